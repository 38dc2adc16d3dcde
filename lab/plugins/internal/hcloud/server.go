package hcloud

import (
	"context"
	"crypto/sha1" //nolint:gosec // the form in which the official provider records user data
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/hetznercloud/hcloud-go/v2/hcloud"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"oxide.lab/plugins/internal/provider"
	"oxide.lab/plugins/internal/schema"
)

func (c *cloud) server() *provider.Resource {
	return classic(&provider.Resource{
		Properties: schema.Properties{
			"name":       schema.Req(schema.String),
			"serverType": schema.Req(schema.String),
			"image":      schema.OptOut(schema.String).Replacing().Checked(notEmpty("image must have more than 0 characters")),
			"location":   schema.OptOut(schema.String).Replacing(),
			"datacenter": datacenter(),
			"userData":   schema.Opt(schema.String).Replacing().Stored(userDataHash),
			"sshKeys": schema.Opt(schema.List).Replacing().Of(
				schema.Opt(schema.String).Checked(notEmpty("Invalid ssh key passed"))),
			"keepDisk":              schema.Opt(schema.Bool).Else(false),
			"allowDeprecatedImages": schema.Opt(schema.Bool),
			"backupWindow":          schema.Out(schema.String),
			"backups":               schema.Opt(schema.Bool).Else(false),
			"ipv4Address":           schema.Out(schema.String),
			"ipv6Address":           schema.Out(schema.String),
			"ipv6Network":           schema.Out(schema.String),
			"status":                schema.Out(schema.String),
			"iso":                   schema.Opt(schema.String),
			"rescue":                schema.Opt(schema.String),
			"labels":                labels(),
			"publicNets": schema.Opt(schema.Set).Keeping().With(schema.Properties{
				"ipv4Enabled": schema.Opt(schema.Bool).Else(true),
				"ipv6Enabled": schema.Opt(schema.Bool).Else(true),
				"ipv4":        schema.OptOut(schema.Int),
				"ipv6":        schema.OptOut(schema.Int),
			}),
			"networks": schema.Opt(schema.Set).Keeping().With(schema.Properties{
				"networkId":  schema.OptOut(schema.Int),
				"subnetId":   schema.OptOut(schema.String),
				"ip":         schema.OptOut(schema.String),
				"aliasIps":   schema.OptOut(schema.Set).OfStrings(),
				"macAddress": schema.Out(schema.String),
			}),
			"ignoreRemoteFirewallIds": schema.Opt(schema.Bool).Else(false),
			"firewallIds":             schema.OptOut(schema.Set).OfInts(),
			"placementGroupId":        schema.Opt(schema.Int),
			"deleteProtection":        schema.Opt(schema.Bool).Else(false),
			"rebuildProtection":       schema.Opt(schema.Bool).Else(false),
			"shutdownBeforeDeletion":  schema.Opt(schema.Bool).Else(false),
			"primaryDiskSize":         schema.Out(schema.Int),
		},
		CreateTimeout: 90 * time.Minute,
		Prepare:       emptyAliasIPs,
		Plan:          planServer,
		Create:        c.createServer,
		Read:          c.readServer,
		Update:        c.updateServer,
		Delete:        c.deleteServer,
	})
}

func notEmpty(reason string) func(resource.PropertyValue) error {
	return func(value resource.PropertyValue) error {
		if value.StringValue() == "" {
			return errors.New(reason)
		}
		return nil
	}
}

func userDataHash(text string) string {
	sum := sha1.Sum([]byte(text)) //nolint:gosec // see the import
	return base64.StdEncoding.EncodeToString(sum[:])
}

// emptyAliasIPs writes an empty list where the program gives no alias addresses, as the official
// plugin does against differences that never end.
func emptyAliasIPs(news resource.PropertyMap) {
	networks := news["networks"]
	if !networks.IsArray() {
		return
	}
	for _, network := range networks.ArrayValue() {
		if network.IsObject() {
			if _, ok := network.ObjectValue()["aliasIps"]; !ok {
				network.ObjectValue()["aliasIps"] = schema.Strings(nil)
			}
		}
	}
}

// planServer refuses network attachments that contradict themselves.
func planServer(_ context.Context, plan *provider.Planned) error {
	if plan.State != nil && (schema.Values{Map: plan.Plan}).Bool("ignoreRemoteFirewallIds") {
		if old, ok := plan.State["firewallIds"]; ok {
			plan.Plan["firewallIds"] = old
		}
	}
	seen := map[int64]bool{}
	for _, network := range (schema.Values{Map: plan.Inputs}).Objects("networks") {
		_, hasNetwork := network.Map["networkId"]
		_, hasSubnet := network.Map["subnetId"]
		if !hasNetwork && !hasSubnet {
			return explained("must specify either network_id or subnet_id")
		}
		id := network.Int("networkId")
		if text := network.Str("subnetId"); text != "" {
			parsed, ipRange, err := parseSubnetID(text)
			if err != nil {
				continue
			}
			if id != 0 && parsed.ID != id {
				return explained("subnet_id (%s) does not belong to the specified network_id (%d)", text, id)
			}
			if ip := net.ParseIP(network.Str("ip")); ip != nil && !ipRange.Contains(ip) {
				return explained("server IP (%s) is outside subnet IP range (%s)", ip, ipRange)
			}
			id = parsed.ID
		}
		if id != 0 && seen[id] {
			return explained("server is only allowed to be attached to each network once: %d", id)
		}
		seen[id] = true
	}
	return nil
}

func explained(format string, args ...any) error {
	return fmt.Errorf("1 error occurred:\n\t* "+format+"\n\n", args...) //nolint:staticcheck
}

func (c *cloud) deleteServer(ctx context.Context, id string, op *provider.Operation) error {
	n, err := number(id)
	if err != nil {
		return err
	}
	server := &hcloud.Server{ID: n}
	if op.State.Bool("shutdownBeforeDeletion") {
		if err := c.shutDown(ctx, server, op); err != nil {
			return err
		}
	}
	// Not found is an error here: the official provider does not tolerate it either.
	result, _, err := c.client.Server.DeleteWithResult(ctx, server)
	if err != nil {
		return err
	}
	return c.wait(ctx, result.Action)
}

func (c *cloud) shutDown(ctx context.Context, server *hcloud.Server, op *provider.Operation) error {
	action, resp, err := c.client.Server.Shutdown(ctx, server)
	if err := c.done(ctx, action, resp, err); err != nil {
		return err
	}
	running := errors.New("server has not shut down yet")
	err = retry(ctx, retries, func(err error) bool { return errors.Is(err, running) }, func() error {
		found, _, err := c.client.Server.GetByID(ctx, server.ID)
		if err == nil && found != nil && found.Status != hcloud.ServerStatusOff {
			return running
		}
		return err
	})
	if err != nil {
		op.Warn(fmt.Sprintf("Server id %d did not finish shutting down gracefully in time, deleting it anyways.", server.ID))
	}
	return nil
}

func firstAddress(ip net.IP) string { return ip.String() + "1" }
