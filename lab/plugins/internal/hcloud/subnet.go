package hcloud

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/hetznercloud/hcloud-go/v2/hcloud"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"oxide.lab/plugins/internal/provider"
	"oxide.lab/plugins/internal/schema"
)

func (c *cloud) networkSubnet() *provider.Resource {
	return classic(&provider.Resource{
		Properties: schema.Properties{
			"networkId":   schema.Req(schema.Int).Replacing(),
			"type":        schema.Req(schema.String).Replacing().Checked(oneOf("cloud", "server", "vswitch")),
			"networkZone": schema.Req(schema.String).Replacing(),
			"ipRange":     schema.Req(schema.String).Replacing(),
			"gateway":     schema.Out(schema.String),
			"vswitchId":   schema.Opt(schema.Int).Replacing(),
		},
		Create: c.createSubnet,
		Read:   c.readSubnet,
		Delete: c.deleteSubnet,
	})
}

// parseSubnetID splits "<network id>-<range>".
func parseSubnetID(id string) (*hcloud.Network, *net.IPNet, error) {
	head, tail, _ := strings.Cut(id, "-")
	network, err := number(head)
	_, ipRange, rangeErr := net.ParseCIDR(tail)
	if err != nil || rangeErr != nil {
		return nil, nil, fmt.Errorf("unexpected subnet id '%s', expected '$NETWORK_ID-$SUBNET_IP_RANGE'", id)
	}
	return &hcloud.Network{ID: network}, ipRange, nil
}

func (c *cloud) createSubnet(ctx context.Context, op *provider.Operation) (string, resource.PropertyMap, error) {
	_, ipRange, err := net.ParseCIDR(op.Plan.Str("ipRange"))
	if err != nil {
		return "", nil, err
	}
	network := &hcloud.Network{ID: op.Plan.Int("networkId")}
	opts := hcloud.NetworkAddSubnetOpts{Subnet: hcloud.NetworkSubnet{
		IPRange:     ipRange,
		NetworkZone: hcloud.NetworkZone(op.Plan.Str("networkZone")),
		Type:        hcloud.NetworkSubnetType(op.Plan.Str("type")),
	}}
	if opts.Subnet.Type == hcloud.NetworkSubnetTypeVSwitch {
		opts.Subnet.VSwitchID = op.Plan.Int("vswitchId")
	}
	var action *hcloud.Action
	again := coded(hcloud.ErrorCodeConflict, hcloud.ErrorCodeVSwitchAlreadyUsed)
	err = retry(ctx, retries, again, func() (err error) {
		action, _, err = c.client.Network.AddSubnet(ctx, network, opts)
		return err
	})
	if err != nil {
		return "", nil, err
	}
	id := fmt.Sprintf("%d-%s", network.ID, ipRange)
	if err := c.wait(ctx, action); err != nil {
		return id, nil, err
	}
	return c.readSubnet(ctx, id, op.Plan.Map)
}

func (c *cloud) findSubnet(ctx context.Context, id string) (*hcloud.Network, hcloud.NetworkSubnet, error) {
	network, ipRange, err := parseSubnetID(id)
	if err != nil {
		return nil, hcloud.NetworkSubnet{}, provider.ErrGone
	}
	network, _, err = c.client.Network.GetByID(ctx, network.ID)
	if network, err = missing(network, err); err != nil {
		return nil, hcloud.NetworkSubnet{}, err
	}
	for _, subnet := range network.Subnets {
		if subnet.IPRange.String() == ipRange.String() {
			return network, subnet, nil
		}
	}
	return network, hcloud.NetworkSubnet{}, provider.ErrGone
}

func (c *cloud) readSubnet(ctx context.Context, id string, state resource.PropertyMap) (string, resource.PropertyMap, error) {
	network, subnet, err := c.findSubnet(ctx, id)
	if err != nil {
		return id, nil, err
	}
	out := overlay(state, resource.PropertyMap{
		"networkId":   schema.Number(network.ID),
		"networkZone": schema.Text(subnet.NetworkZone),
		"ipRange":     schema.Text(subnet.IPRange.String()),
		"type":        schema.Text(subnet.Type),
		"gateway":     schema.Text(subnet.Gateway.String()),
	})
	if subnet.Type == hcloud.NetworkSubnetTypeVSwitch {
		out["vswitchId"] = schema.Number(subnet.VSwitchID)
	}
	return fmt.Sprintf("%d-%s", network.ID, subnet.IPRange), out, nil
}

// inUse recognises a network that still has members.
func inUse(err error) bool {
	return hcloud.IsError(err, hcloud.ErrorCodeServiceError) &&
		(strings.Contains(err.Error(), "servers are attached") ||
			strings.Contains(err.Error(), "network has attached resources"))
}

func (c *cloud) deleteSubnet(ctx context.Context, id string, _ *provider.Operation) error {
	var action *hcloud.Action
	busy := coded(hcloud.ErrorCodeConflict, hcloud.ErrorCodeLocked)
	err := retry(ctx, retries*10, func(err error) bool { return busy(err) || inUse(err) }, func() error {
		network, subnet, err := c.findSubnet(ctx, id)
		if errors.Is(err, provider.ErrGone) && network != nil {
			return errCrash
		}
		if err != nil {
			return err
		}
		action, _, err = c.client.Network.DeleteSubnet(ctx, network, hcloud.NetworkDeleteSubnetOpts{Subnet: subnet})
		return err
	})
	switch {
	case inUse(err), hcloud.IsError(err, hcloud.ErrorCodeNotFound):
		return nil // the network is taken to go as a whole
	case err != nil:
		return err
	}
	return c.wait(ctx, action)
}

func (c *cloud) networkRoute() *provider.Resource {
	return classic(&provider.Resource{
		Properties: schema.Properties{
			"networkId":   schema.Req(schema.Int).Replacing(),
			"destination": schema.Req(schema.String).Replacing(),
			"gateway":     schema.Req(schema.String).Replacing(),
		},
		Create: c.createRoute,
		Read:   c.readRoute,
		Delete: c.deleteRoute,
	})
}

func (c *cloud) createRoute(ctx context.Context, op *provider.Operation) (string, resource.PropertyMap, error) {
	_, destination, err := net.ParseCIDR(op.Plan.Str("destination"))
	if err != nil {
		return "", nil, err
	}
	gateway := net.ParseIP(op.Plan.Str("gateway"))
	if gateway == nil {
		return "", nil, fmt.Errorf("invalid gateway: %s", op.Plan.Str("gateway"))
	}
	network := &hcloud.Network{ID: op.Plan.Int("networkId")}
	opts := hcloud.NetworkAddRouteOpts{Route: hcloud.NetworkRoute{Destination: destination, Gateway: gateway}}
	var action *hcloud.Action
	err = retry(ctx, retries, coded(hcloud.ErrorCodeConflict), func() (err error) {
		action, _, err = c.client.Network.AddRoute(ctx, network, opts)
		return err
	})
	if err != nil {
		return "", nil, err
	}
	id := fmt.Sprintf("%d-%s", network.ID, destination)
	if err := c.wait(ctx, action); err != nil {
		return id, nil, err
	}
	return c.readRoute(ctx, id, op.Plan.Map)
}

func (c *cloud) findRoute(ctx context.Context, id string) (*hcloud.Network, hcloud.NetworkRoute, error) {
	network, destination, err := parseSubnetID(id)
	if err != nil {
		return nil, hcloud.NetworkRoute{}, provider.ErrGone
	}
	network, _, err = c.client.Network.GetByID(ctx, network.ID)
	if network, err = missing(network, err); err != nil {
		return nil, hcloud.NetworkRoute{}, err
	}
	for _, route := range network.Routes {
		if route.Destination.String() == destination.String() {
			return network, route, nil
		}
	}
	return nil, hcloud.NetworkRoute{}, provider.ErrGone
}

func (c *cloud) readRoute(ctx context.Context, id string, state resource.PropertyMap) (string, resource.PropertyMap, error) {
	network, route, err := c.findRoute(ctx, id)
	if err != nil {
		return id, nil, err
	}
	return id, overlay(state, resource.PropertyMap{
		"networkId":   schema.Number(network.ID),
		"destination": schema.Text(route.Destination.String()),
		"gateway":     schema.Text(route.Gateway.String()),
	}), nil
}

func (c *cloud) deleteRoute(ctx context.Context, id string, _ *provider.Operation) error {
	network, route, err := c.findRoute(ctx, id)
	if err != nil {
		return nil
	}
	var action *hcloud.Action
	err = retry(ctx, retries, coded(hcloud.ErrorCodeConflict), func() (err error) {
		action, _, err = c.client.Network.DeleteRoute(ctx, network, hcloud.NetworkDeleteRouteOpts{Route: route})
		return err
	})
	if err != nil {
		return ignoreMissing(err)
	}
	return c.wait(ctx, action)
}
