package hcloud

import (
	"context"
	"net"

	"github.com/hetznercloud/hcloud-go/v2/hcloud"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"oxide.lab/plugins/internal/provider"
	"oxide.lab/plugins/internal/schema"
)

func (c *cloud) network() *provider.Resource {
	return classic(&provider.Resource{
		Properties: schema.Properties{
			"name":                  schema.Req(schema.String),
			"ipRange":               schema.Req(schema.String).Replacing().Checked(checkCIDR),
			"labels":                labels(),
			"deleteProtection":      schema.Opt(schema.Bool).Else(false),
			"exposeRoutesToVswitch": schema.Opt(schema.Bool).Else(false),
		},
		Create: c.createNetwork,
		Read:   c.readNetwork,
		Update: c.updateNetwork,
		Delete: func(ctx context.Context, id string, _ *provider.Operation) error {
			n, err := number(id)
			if err != nil {
				return err
			}
			_, err = c.client.Network.Delete(ctx, &hcloud.Network{ID: n})
			return ignoreMissing(err)
		},
	})
}

func checkCIDR(value resource.PropertyValue) error {
	_, _, err := net.ParseCIDR(value.StringValue())
	return err
}

func ignoreMissing(err error) error {
	if hcloud.IsError(err, hcloud.ErrorCodeNotFound) {
		return nil
	}
	return err
}

func (c *cloud) createNetwork(ctx context.Context, op *provider.Operation) (string, resource.PropertyMap, error) {
	_, ipRange, err := net.ParseCIDR(op.Plan.Str("ipRange"))
	if err != nil {
		return "", nil, err
	}
	network, _, err := c.client.Network.Create(ctx, hcloud.NetworkCreateOpts{
		Name: op.Plan.Str("name"), IPRange: ipRange, Labels: op.Plan.StrMap("labels"),
		ExposeRoutesToVSwitch: op.Plan.Bool("exposeRoutesToVswitch"),
	})
	if err != nil {
		return "", nil, err
	}
	id := idText(network.ID)
	if op.Plan.Bool("deleteProtection") {
		if err := c.protectNetwork(ctx, network, true); err != nil {
			return id, nil, err
		}
	}
	return c.readNetwork(ctx, id, op.Plan.Map)
}

func (c *cloud) readNetwork(ctx context.Context, id string, state resource.PropertyMap) (string, resource.PropertyMap, error) {
	network, err := c.findNetwork(ctx, id)
	if err != nil {
		return id, nil, err
	}
	return id, overlay(state, resource.PropertyMap{
		"name":                  schema.Text(network.Name),
		"ipRange":               schema.Text(network.IPRange.String()),
		"labels":                schema.StrMap(network.Labels),
		"deleteProtection":      schema.Flag(network.Protection.Delete),
		"exposeRoutesToVswitch": schema.Flag(network.ExposeRoutesToVSwitch),
	}), nil
}

func (c *cloud) findNetwork(ctx context.Context, id string) (*hcloud.Network, error) {
	n, err := number(id)
	if err != nil {
		return nil, err
	}
	network, _, err := c.client.Network.GetByID(ctx, n)
	return missing(network, err)
}

func (c *cloud) updateNetwork(ctx context.Context, id string, op *provider.Operation) (resource.PropertyMap, error) {
	network, err := c.findNetwork(ctx, id)
	if err != nil {
		return nil, err
	}
	update := func(key string, opts hcloud.NetworkUpdateOpts) error {
		if !op.Changed(key) {
			return nil
		}
		_, _, err := c.client.Network.Update(ctx, network, opts)
		return err
	}
	if err := update("name", hcloud.NetworkUpdateOpts{Name: op.Plan.Str("name")}); err != nil {
		return nil, err
	}
	if err := update("labels", hcloud.NetworkUpdateOpts{Labels: op.Plan.StrMap("labels")}); err != nil {
		return nil, err
	}
	expose := hcloud.NetworkUpdateOpts{ExposeRoutesToVSwitch: new(op.Plan.Bool("exposeRoutesToVswitch"))}
	if err := update("exposeRoutesToVswitch", expose); err != nil {
		return nil, err
	}
	if op.Changed("deleteProtection") {
		if err := c.protectNetwork(ctx, network, op.Plan.Bool("deleteProtection")); err != nil {
			return nil, err
		}
	}
	_, outputs, err := c.readNetwork(ctx, id, op.Plan.Map)
	return outputs, err
}

func (c *cloud) protectNetwork(ctx context.Context, network *hcloud.Network, protect bool) error {
	action, resp, err := c.client.Network.ChangeProtection(ctx, network,
		hcloud.NetworkChangeProtectionOpts{Delete: &protect})
	return c.done(ctx, action, resp, err)
}
