package hcloud

import (
	"context"
	"fmt"
	"net"

	"github.com/hetznercloud/hcloud-go/v2/hcloud"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"oxide.lab/plugins/internal/provider"
	"oxide.lab/plugins/internal/schema"
)

func (c *cloud) loadBalancerNetwork() *provider.Resource {
	return framework(&provider.Resource{
		Properties: schema.Properties{
			"loadBalancerId":        schema.Req(schema.Int).Replacing(),
			"networkId":             schema.OptOut(schema.Int).Replacing(),
			"subnetId":              schema.Opt(schema.String).Replacing(),
			"ip":                    schema.OptOut(schema.String).Replacing().Checked(checkAddress),
			"enablePublicInterface": schema.OptOut(schema.Bool).Else(true),
		},
		Verify: func(inputs schema.Values) []string { return exactlyOne(inputs, "networkId", "subnetId") },
		Create: c.createLoadBalancerNetwork,
		Read:   c.readLoadBalancerNetwork,
		Update: func(ctx context.Context, id string, op *provider.Operation) (resource.PropertyMap, error) {
			if op.Changed("enablePublicInterface") {
				balancer, err := c.findLoadBalancer(ctx, idText(op.State.Int("loadBalancerId")))
				if err != nil {
					return nil, err
				}
				if err := c.setPublicInterface(ctx, balancer, op.Plan.Bool("enablePublicInterface")); err != nil {
					return nil, err
				}
			}
			_, outputs, err := c.readLoadBalancerNetwork(ctx, id, op.Plan.Map)
			return outputs, err
		},
		Delete: c.deleteLoadBalancerNetwork,
	})
}

func (c *cloud) createLoadBalancerNetwork(ctx context.Context, op *provider.Operation) (string, resource.PropertyMap, error) {
	balancer := &hcloud.LoadBalancer{ID: op.Plan.Int("loadBalancerId")}
	opts := hcloud.LoadBalancerAttachToNetworkOpts{
		Network: &hcloud.Network{ID: op.Plan.Int("networkId")}, IP: net.ParseIP(op.Plan.Str("ip")),
	}
	if subnet := op.Plan.Str("subnetId"); subnet != "" {
		var err error
		if opts.Network, opts.IPRange, err = parseSubnetID(subnet); err != nil {
			return "", nil, err
		}
	}
	again := coded(hcloud.ErrorCodeConflict, hcloud.ErrorCodeLocked, hcloud.ErrorCodeServiceError,
		hcloud.ErrorCodeNoSubnetAvailable)
	var action *hcloud.Action
	err := retry(ctx, retries, again, func() (err error) {
		action, _, err = c.client.LoadBalancer.AttachToNetwork(ctx, balancer, opts)
		return err
	})
	if err != nil && !hcloud.IsError(err, hcloud.ErrorCodeLoadBalancerAlreadyAttached) {
		return "", nil, err
	}
	if err := c.wait(ctx, action); err != nil {
		return "", nil, err
	}
	if err := c.setPublicInterface(ctx, balancer, op.Plan.Bool("enablePublicInterface")); err != nil {
		return "", nil, err
	}
	return c.readLoadBalancerNetwork(ctx, fmt.Sprintf("%d-%d", balancer.ID, opts.Network.ID), op.Plan.Map)
}

func (c *cloud) setPublicInterface(ctx context.Context, balancer *hcloud.LoadBalancer, enabled bool) error {
	current, _, err := c.client.LoadBalancer.GetByID(ctx, balancer.ID)
	if current, err = missing(current, err); err != nil || current.PublicNet.Enabled == enabled {
		return err
	}
	if enabled {
		action, resp, err := c.client.LoadBalancer.EnablePublicInterface(ctx, balancer)
		return c.done(ctx, action, resp, err)
	}
	action, resp, err := c.client.LoadBalancer.DisablePublicInterface(ctx, balancer)
	return c.done(ctx, action, resp, err)
}

func (c *cloud) readLoadBalancerNetwork(ctx context.Context, id string, state resource.PropertyMap) (string, resource.PropertyMap, error) {
	balancerID, networkID, err := parsePair(id)
	if err != nil {
		return id, nil, err
	}
	balancer, err := c.findLoadBalancer(ctx, idText(balancerID))
	if err != nil {
		return id, nil, err
	}
	attached := balancer.PrivateNetFor(&hcloud.Network{ID: networkID})
	if attached == nil {
		return id, nil, provider.ErrGone
	}
	return id, overlay(state, resource.PropertyMap{
		"loadBalancerId":        schema.Number(balancerID),
		"networkId":             schema.Number(networkID),
		"ip":                    schema.Text(attached.IP.String()),
		"enablePublicInterface": schema.Flag(balancer.PublicNet.Enabled),
	}), nil
}

func (c *cloud) deleteLoadBalancerNetwork(ctx context.Context, id string, _ *provider.Operation) error {
	balancerID, networkID, err := parsePair(id)
	if err != nil {
		return err
	}
	again := coded(hcloud.ErrorCodeConflict, hcloud.ErrorCodeLocked, hcloud.ErrorCodeServiceError)
	var action *hcloud.Action
	err = retry(ctx, retries, again, func() (err error) {
		action, _, err = c.client.LoadBalancer.DetachFromNetwork(ctx, &hcloud.LoadBalancer{ID: balancerID},
			hcloud.LoadBalancerDetachFromNetworkOpts{Network: &hcloud.Network{ID: networkID}})
		return err
	})
	if err != nil {
		return ignoreMissing(err)
	}
	return c.wait(ctx, action)
}
