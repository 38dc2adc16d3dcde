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

// attachInline attaches a server to one of its networks.
func (c *cloud) attachInline(ctx context.Context, server *hcloud.Server, network schema.Values) error {
	opts := hcloud.ServerAttachToNetworkOpts{
		Network: &hcloud.Network{ID: network.Int("networkId")}, IP: net.ParseIP(network.Str("ip")),
		AliasIPs: addresses(network.Strs("aliasIps")),
	}
	if subnet := network.Str("subnetId"); subnet != "" {
		var err error
		if opts.Network, opts.IPRange, err = parseSubnetID(subnet); err != nil {
			return err
		}
	}
	if opts.Network.ID == 0 {
		return errors.New("either subnet_id or network_id must be set")
	}
	return c.attach(ctx, server, opts)
}

func (c *cloud) attach(ctx context.Context, server *hcloud.Server, opts hcloud.ServerAttachToNetworkOpts) error {
	again := coded(hcloud.ErrorCodeConflict, hcloud.ErrorCodeLocked, hcloud.ErrorCodeServiceError,
		hcloud.ErrorCodeNoSubnetAvailable)
	var action *hcloud.Action
	err := retry(ctx, retries, again, func() (err error) {
		action, _, err = c.client.Server.AttachToNetwork(ctx, server, opts)
		return err
	})
	if hcloud.IsError(err, hcloud.ErrorCodeServerAlreadyAttached) {
		return nil
	}
	if err == nil {
		err = c.wait(ctx, action)
	}
	if err != nil {
		return fmt.Errorf("attach server to network: %w", err)
	}
	return nil
}

func (c *cloud) detach(ctx context.Context, server *hcloud.Server, network *hcloud.Network) error {
	again := coded(hcloud.ErrorCodeConflict, hcloud.ErrorCodeLocked, hcloud.ErrorCodeServiceError)
	var action *hcloud.Action
	err := retry(ctx, retries, again, func() (err error) {
		action, _, err = c.client.Server.DetachFromNetwork(ctx, server,
			hcloud.ServerDetachFromNetworkOpts{Network: network})
		return err
	})
	if err != nil {
		return ignoreMissing(err)
	}
	return c.wait(ctx, action)
}

// syncInline brings a server's attachments to the wanted ones. An address cannot be changed in
// place: the server leaves the network and joins again.
func (c *cloud) syncInline(ctx context.Context, server *hcloud.Server, networks []schema.Values) error {
	wanted := map[int64]schema.Values{}
	var order []int64
	for _, network := range networks {
		id := networkOf(network)
		wanted[id] = network
		order = append(order, id)
	}
	for _, attached := range server.PrivateNet {
		network, ok := wanted[attached.Network.ID]
		delete(wanted, attached.Network.ID)
		switch {
		case !ok:
			if err := c.detach(ctx, server, attached.Network); err != nil {
				return err
			}
		case network.Str("ip") != attached.IP.String():
			if err := c.detach(ctx, server, attached.Network); err != nil {
				return err
			}
			if err := c.attachInline(ctx, server, network); err != nil {
				return err
			}
		case !sameTexts(network.Strs("aliasIps"), addressTexts(attached.Aliases)):
			if err := c.changeAliases(ctx, server, attached.Network, network.Strs("aliasIps")); err != nil {
				return err
			}
		}
	}
	for _, id := range order {
		network, ok := wanted[id]
		if !ok {
			continue
		}
		if err := c.attachInline(ctx, server, network); err != nil {
			return err
		}
	}
	return nil
}

func sameTexts(a, b []string) bool {
	set := schema.Opt(schema.Set).OfStrings()
	return schema.Same(set, schema.Strings(a), schema.Strings(b))
}

func (c *cloud) changeAliases(ctx context.Context, server *hcloud.Server, network *hcloud.Network, aliases []string) error {
	action, resp, err := c.client.Server.ChangeAliasIPs(ctx, server, hcloud.ServerChangeAliasIPsOpts{
		Network: network, AliasIPs: addresses(aliases),
	})
	return c.done(ctx, action, resp, err)
}

func (c *cloud) serverNetwork() *provider.Resource {
	return framework(&provider.Resource{
		Properties: schema.Properties{
			"serverId":   schema.Req(schema.Int).Replacing(),
			"networkId":  schema.OptOut(schema.Int).Replacing(),
			"subnetId":   schema.Opt(schema.String).Replacing(),
			"ip":         schema.OptOut(schema.String).Replacing().Checked(checkAddress),
			"aliasIps":   schema.OptOut(schema.Set).Of(schema.Opt(schema.String).Checked(checkAddress)).Else([]any{}),
			"macAddress": schema.Out(schema.String),
		},
		Verify: func(inputs schema.Values) []string { return exactlyOne(inputs, "networkId", "subnetId") },
		Create: func(ctx context.Context, op *provider.Operation) (string, resource.PropertyMap, error) {
			server := &hcloud.Server{ID: op.Plan.Int("serverId")}
			if err := c.attachInline(ctx, server, op.Plan); err != nil {
				return "", nil, err
			}
			return c.readServerNetwork(ctx, fmt.Sprintf("%d-%d", server.ID, networkOf(op.Plan)), op.Plan.Map)
		},
		Read: c.readServerNetwork,
		Update: func(ctx context.Context, id string, op *provider.Operation) (resource.PropertyMap, error) {
			server, network, err := parsePair(id)
			if err != nil {
				return nil, err
			}
			if op.Changed("aliasIps") {
				err := c.changeAliases(ctx, &hcloud.Server{ID: server}, &hcloud.Network{ID: network}, op.Plan.Strs("aliasIps"))
				if err != nil {
					return nil, err
				}
			}
			_, outputs, err := c.readServerNetwork(ctx, id, op.Plan.Map)
			return outputs, err
		},
		Delete: func(ctx context.Context, id string, _ *provider.Operation) error {
			server, network, err := parsePair(id)
			if err != nil {
				return err
			}
			return c.detach(ctx, &hcloud.Server{ID: server}, &hcloud.Network{ID: network})
		},
	})
}

func checkAddress(value resource.PropertyValue) error {
	if net.ParseIP(value.StringValue()) == nil {
		return fmt.Errorf("must be a valid ip, got: %s", value.StringValue())
	}
	return nil
}

// parsePair splits "<member id>-<network id>".
func parsePair(id string) (int64, int64, error) {
	head, tail, _ := strings.Cut(id, "-")
	member, err := number(head)
	network, networkErr := number(tail)
	if err != nil || networkErr != nil {
		return 0, 0, fmt.Errorf("unexpected id '%s', expected two ids joined by '-'", id)
	}
	return member, network, nil
}

func (c *cloud) readServerNetwork(ctx context.Context, id string, state resource.PropertyMap) (string, resource.PropertyMap, error) {
	serverID, networkID, err := parsePair(id)
	if err != nil {
		return id, nil, err
	}
	server, err := c.findServer(ctx, idText(serverID))
	if err != nil {
		return id, nil, err
	}
	attached := server.PrivateNetFor(&hcloud.Network{ID: networkID})
	if attached == nil {
		return id, nil, provider.ErrGone
	}
	return id, overlay(state, resource.PropertyMap{
		"serverId":   schema.Number(server.ID),
		"networkId":  schema.Number(networkID),
		"ip":         schema.Text(attached.IP.String()),
		"macAddress": schema.Text(attached.MACAddress),
		"aliasIps":   schema.Strings(addressTexts(attached.Aliases)),
	}), nil
}
