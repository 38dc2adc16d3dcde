package hcloud

import (
	"context"
	"fmt"

	"github.com/hetznercloud/hcloud-go/v2/hcloud"
	"github.com/hetznercloud/hcloud-go/v2/hcloud/exp/deprecationutil"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"oxide.lab/plugins/internal/provider"
)

const changePlan = `Existing servers of that plan will continue to work as before and no action is required on your part.`

func (c *cloud) createServer(ctx context.Context, op *provider.Operation) (string, resource.PropertyMap, error) {
	opts, err := c.serverOptions(ctx, op)
	if err != nil {
		return "", nil, err
	}
	result, _, err := c.client.Server.Create(ctx, *opts)
	if err != nil {
		return "", nil, err
	}
	id := idText(result.Server.ID)
	if err := c.completeServer(ctx, op, opts, result); err != nil {
		return id, nil, err
	}
	_, outputs, err := c.readServer(ctx, id, op.Plan.Map)
	return id, outputs, err
}

func (c *cloud) serverOptions(ctx context.Context, op *provider.Operation) (*hcloud.ServerCreateOpts, error) {
	kind, _, err := c.client.ServerType.Get(ctx, op.Plan.Str("serverType"))
	if err != nil {
		return nil, err
	}
	if kind == nil {
		return nil, fmt.Errorf("server type %s not found", op.Plan.Str("serverType"))
	}
	image, _, err := c.client.Image.GetForArchitecture(ctx, op.Plan.Str("image"), kind.Architecture)
	if err != nil {
		return nil, err
	}
	if image == nil {
		return nil, fmt.Errorf("image %s for architecture %s not found", op.Plan.Str("image"), kind.Architecture)
	}
	location := op.Plan.Str("location")
	if message, unavailable := deprecationutil.ServerTypeMessage(kind, location); unavailable {
		return nil, fmt.Errorf("%s: %s", message, changePlan)
	} else if message != "" {
		op.Warn(message + ": " + changePlan)
	}
	opts := &hcloud.ServerCreateOpts{
		Name: op.Plan.Str("name"), ServerType: &hcloud.ServerType{Name: kind.Name}, Image: image,
		UserData: op.Inputs.Str("userData"), Labels: op.Plan.StrMap("labels"),
	}
	if location != "" {
		opts.Location = &hcloud.Location{Name: location}
	}
	if opts.SSHKeys, err = c.sshKeysOf(ctx, op); err != nil {
		return nil, err
	}
	for _, id := range op.Inputs.Ints("firewallIds") {
		opts.Firewalls = append(opts.Firewalls, &hcloud.ServerCreateFirewall{Firewall: hcloud.Firewall{ID: id}})
	}
	if id := op.Plan.Int("placementGroupId"); id != 0 {
		if opts.PlacementGroup, err = c.placementGroupByID(ctx, id); err != nil {
			return nil, err
		}
	}
	for _, item := range op.Plan.Objects("publicNets") {
		opts.PublicNet = &hcloud.ServerCreatePublicNet{
			EnableIPv4: item.Bool("ipv4Enabled"), EnableIPv6: item.Bool("ipv6Enabled"),
		}
		if id := item.Int("ipv4"); id != 0 {
			opts.PublicNet.EnableIPv4, opts.PublicNet.IPv4 = true, &hcloud.PrimaryIP{ID: id}
		}
		if id := item.Int("ipv6"); id != 0 {
			opts.PublicNet.EnableIPv6, opts.PublicNet.IPv6 = true, &hcloud.PrimaryIP{ID: id}
		}
	}
	if privateOnly(opts, op) {
		opts.StartAfterCreate = new(false)
	}
	return opts, nil
}

// privateOnly says whether the server has to be attached to its networks before it can start.
func privateOnly(opts *hcloud.ServerCreateOpts, op *provider.Operation) bool {
	return opts.PublicNet != nil && !opts.PublicNet.EnableIPv4 && !opts.PublicNet.EnableIPv6 &&
		len(op.Plan.Objects("networks")) > 0
}

func (c *cloud) completeServer(
	ctx context.Context, op *provider.Operation, opts *hcloud.ServerCreateOpts, result hcloud.ServerCreateResult,
) error {
	if err := c.wait(ctx, result.Action); err != nil {
		return err
	}
	for _, action := range result.NextActions {
		if err := c.wait(ctx, action); err != nil {
			return err
		}
	}
	for _, network := range op.Plan.Objects("networks") {
		if err := c.attachInline(ctx, result.Server, network); err != nil {
			return err
		}
	}
	if privateOnly(opts, op) {
		if err := c.powerOn(ctx, result.Server); err != nil {
			return err
		}
	}
	if err := c.setBackups(ctx, result.Server, op.Plan.Bool("backups")); err != nil {
		return err
	}
	if iso := op.Plan.Str("iso"); iso != "" {
		if err := c.setISO(ctx, result.Server, iso); err != nil {
			return err
		}
	}
	if rescue := op.Plan.Str("rescue"); rescue != "" {
		if err := c.setRescue(ctx, result.Server, rescue, opts.SSHKeys); err != nil {
			return err
		}
	}
	if op.Plan.Bool("deleteProtection") || op.Plan.Bool("rebuildProtection") {
		return c.protectServer(ctx, result.Server, op)
	}
	return nil
}

func (c *cloud) sshKeysOf(ctx context.Context, op *provider.Operation) ([]*hcloud.SSHKey, error) {
	var keys []*hcloud.SSHKey
	for _, text := range op.Plan.Strs("sshKeys") {
		key, _, err := c.client.SSHKey.Get(ctx, text)
		if err != nil {
			return nil, err
		}
		if key == nil {
			return nil, fmt.Errorf("SSH key not found: %s", text)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func (c *cloud) placementGroupByID(ctx context.Context, id int64) (*hcloud.PlacementGroup, error) {
	group, _, err := c.client.PlacementGroup.GetByID(ctx, id)
	if err == nil && group == nil {
		err = fmt.Errorf("placement group not found: %d", id)
	}
	return group, err
}
