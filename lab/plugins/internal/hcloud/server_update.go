package hcloud

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hetznercloud/hcloud-go/v2/hcloud"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"oxide.lab/plugins/internal/provider"
)

func (c *cloud) updateServer(ctx context.Context, id string, op *provider.Operation) (resource.PropertyMap, error) {
	server, err := c.findServer(ctx, id)
	if err != nil {
		return nil, err
	}
	steps := []struct {
		keys []string
		do   func() error
	}{
		{[]string{"name"}, func() error {
			_, _, err := c.client.Server.Update(ctx, server, hcloud.ServerUpdateOpts{Name: op.Plan.Str("name")})
			return err
		}},
		{[]string{"labels"}, func() error {
			_, _, err := c.client.Server.Update(ctx, server, hcloud.ServerUpdateOpts{Labels: op.Plan.StrMap("labels")})
			return err
		}},
		{[]string{"serverType"}, func() error { return c.changeType(ctx, server, op) }},
		{[]string{"backups"}, func() error { return c.setBackups(ctx, server, op.Plan.Bool("backups")) }},
		{[]string{"iso"}, func() error { return c.setISO(ctx, server, op.Plan.Str("iso")) }},
		{[]string{"rescue"}, func() error {
			keys, err := c.sshKeysOf(ctx, op)
			if err != nil {
				return err
			}
			return c.setRescue(ctx, server, op.Plan.Str("rescue"), keys)
		}},
		{[]string{"networks"}, func() error { return c.syncInline(ctx, server, op.Plan.Objects("networks")) }},
		{[]string{"firewallIds"}, func() error { return c.syncFirewalls(ctx, server, op.Plan.Ints("firewallIds")) }},
		{[]string{"publicNets"}, func() error { return c.updatePublicNet(ctx, server, op) }},
		{[]string{"placementGroupId"}, func() error {
			return c.setPlacementGroup(ctx, server, op.Plan.Int("placementGroupId"))
		}},
		{[]string{"deleteProtection", "rebuildProtection"}, func() error { return c.protectServer(ctx, server, op) }},
	}
	for _, step := range steps {
		if slices.ContainsFunc(step.keys, op.Changed) {
			if err := step.do(); err != nil {
				return nil, err
			}
		}
	}
	_, outputs, err := c.readServer(ctx, id, op.Plan.Map)
	return outputs, err
}

// changeType needs the server off; it is started again by whoever wants it.
func (c *cloud) changeType(ctx context.Context, server *hcloud.Server, op *provider.Operation) error {
	if server.Status == hcloud.ServerStatusRunning {
		action, resp, err := c.client.Server.Poweroff(ctx, server)
		if err := c.done(ctx, action, resp, err); err != nil {
			return err
		}
	}
	action, resp, err := c.client.Server.ChangeType(ctx, server, hcloud.ServerChangeTypeOpts{
		ServerType:  &hcloud.ServerType{Name: op.Plan.Str("serverType")},
		UpgradeDisk: !op.Plan.Bool("keepDisk"),
	})
	return c.done(ctx, action, resp, err)
}

func (c *cloud) syncFirewalls(ctx context.Context, server *hcloud.Server, wanted []int64) error {
	target := []hcloud.FirewallResource{firewallServer(server.ID)}
	var present []int64
	for _, firewall := range server.PublicNet.Firewalls {
		present = append(present, firewall.Firewall.ID)
		if slices.Contains(wanted, firewall.Firewall.ID) {
			continue
		}
		actions, _, err := c.client.Firewall.RemoveResources(ctx, &firewall.Firewall, target)
		if err == nil {
			err = c.wait(ctx, actions...)
		}
		if err != nil {
			return err
		}
	}
	for _, id := range wanted {
		if slices.Contains(present, id) {
			continue
		}
		actions, _, err := c.client.Firewall.ApplyResources(ctx, &hcloud.Firewall{ID: id}, target)
		if err == nil {
			err = c.wait(ctx, actions...)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *cloud) setPlacementGroup(ctx context.Context, server *hcloud.Server, id int64) error {
	if server.PlacementGroup != nil {
		if server.Status != hcloud.ServerStatusOff {
			return errors.New("removing a running server from a placement group is currently not supported in the provider. " +
				"You can shutdown the server yourself, apply the changes again and then start the server manually as a workaround")
		}
		action, resp, err := c.client.Server.RemoveFromPlacementGroup(ctx, server)
		if err := c.done(ctx, action, resp, err); err != nil {
			return err
		}
	}
	if id == 0 {
		return nil
	}
	group, err := c.placementGroupByID(ctx, id)
	if err != nil {
		return err
	}
	action, resp, err := c.client.Server.AddToPlacementGroup(ctx, server, group)
	return c.done(ctx, action, resp, err)
}

func (c *cloud) protectServer(ctx context.Context, server *hcloud.Server, op *provider.Operation) error {
	action, resp, err := c.client.Server.ChangeProtection(ctx, server, hcloud.ServerChangeProtectionOpts{
		Delete:  new(op.Plan.Bool("deleteProtection")),
		Rebuild: new(op.Plan.Bool("rebuildProtection")),
	})
	return c.done(ctx, action, resp, err)
}

func (c *cloud) powerOn(ctx context.Context, server *hcloud.Server) error {
	return retry(ctx, retries, always, func() error {
		action, resp, err := c.client.Server.Poweron(ctx, server)
		return c.done(ctx, action, resp, err)
	})
}

func (c *cloud) setBackups(ctx context.Context, server *hcloud.Server, backups bool) error {
	switch on := server.BackupWindow != ""; {
	case on && !backups:
		action, resp, err := c.client.Server.DisableBackup(ctx, server)
		return c.done(ctx, action, resp, err)
	case !on && backups:
		action, resp, err := c.client.Server.EnableBackup(ctx, server, "")
		return c.done(ctx, action, resp, err)
	}
	return nil
}

func (c *cloud) setISO(ctx context.Context, server *hcloud.Server, text string) error {
	if server.ISO != nil {
		action, resp, err := c.client.Server.DetachISO(ctx, server)
		if err := c.done(ctx, action, resp, err); err != nil {
			return err
		}
	}
	if text != "" {
		iso, _, err := c.client.ISO.Get(ctx, text)
		if err != nil {
			return err
		}
		if iso == nil {
			return fmt.Errorf("ISO not found: %s", text)
		}
		if iso.Architecture != nil && *iso.Architecture != server.ServerType.Architecture {
			return errors.New("failed to attach iso: iso has a different architecture than the server")
		}
		action, resp, err := c.client.Server.AttachISO(ctx, server, iso)
		if err := c.done(ctx, action, resp, err); err != nil {
			return err
		}
	}
	if server.ISO == nil && text == "" {
		return nil
	}
	return c.reset(ctx, server)
}

func (c *cloud) setRescue(ctx context.Context, server *hcloud.Server, kind string, keys []*hcloud.SSHKey) error {
	if server.RescueEnabled {
		action, resp, err := c.client.Server.DisableRescue(ctx, server)
		if err := c.done(ctx, action, resp, err); err != nil {
			return err
		}
	}
	if kind != "" {
		result, _, err := c.client.Server.EnableRescue(ctx, server, hcloud.ServerEnableRescueOpts{
			Type: hcloud.ServerRescueType(kind), SSHKeys: keys,
		})
		if err == nil {
			err = c.wait(ctx, result.Action)
		}
		if err != nil {
			return err
		}
	}
	if !server.RescueEnabled && kind == "" {
		return nil
	}
	return c.reset(ctx, server)
}

func (c *cloud) reset(ctx context.Context, server *hcloud.Server) error {
	action, resp, err := c.client.Server.Reset(ctx, server)
	return c.done(ctx, action, resp, err)
}
