package hcloud

import (
	"context"
	"errors"

	"github.com/hetznercloud/hcloud-go/v2/hcloud"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"oxide.lab/plugins/internal/provider"
	"oxide.lab/plugins/internal/schema"
)

func (c *cloud) findServer(ctx context.Context, id string) (*hcloud.Server, error) {
	n, err := number(id)
	if err != nil {
		return nil, err
	}
	server, _, err := c.client.Server.GetByID(ctx, n)
	return missing(server, err)
}

func (c *cloud) readServer(ctx context.Context, id string, state resource.PropertyMap) (string, resource.PropertyMap, error) {
	server, err := c.findServer(ctx, id)
	if errors.Is(err, provider.ErrGone) && len(state) == 0 {
		server, _, err = c.client.Server.GetByName(ctx, id) // an import may name the server instead
		server, err = missing(server, err)
	}
	if err != nil {
		return id, nil, err
	}
	return idText(server.ID), overlay(state, serverOutputs(server, schema.Values{Map: state})), nil
}

// serverOutputs are what the API tells about a server. User data is never told. Networks are
// reported only where they are recorded already: others belong to separate attachment resources.
func serverOutputs(server *hcloud.Server, state schema.Values) resource.PropertyMap {
	var firewalls []int64
	for _, firewall := range server.PublicNet.Firewalls {
		firewalls = append(firewalls, firewall.Firewall.ID)
	}
	out := resource.PropertyMap{
		"name":              schema.Text(server.Name),
		"status":            schema.Text(server.Status),
		"backupWindow":      schema.Text(server.BackupWindow),
		"backups":           schema.Flag(server.BackupWindow != ""),
		"labels":            schema.StrMap(server.Labels),
		"deleteProtection":  schema.Flag(server.Protection.Delete),
		"rebuildProtection": schema.Flag(server.Protection.Rebuild),
		"firewallIds":       schema.Ints(firewalls),
		"primaryDiskSize":   schema.Number(server.PrimaryDiskSize),
		"ipv4Address":       resource.NewNullProperty(),
		"ipv6Address":       resource.NewNullProperty(),
		"ipv6Network":       schema.Text("<nil>"),
		"placementGroupId":  resource.NewNullProperty(),
	}
	if server.ServerType != nil {
		out["serverType"] = schema.Text(server.ServerType.Name)
	}
	if server.Location != nil {
		out["location"] = schema.Text(server.Location.Name)
	}
	if !server.PublicNet.IPv4.IsUnspecified() {
		out["ipv4Address"] = schema.Text(server.PublicNet.IPv4.IP.String())
	}
	if len(server.PublicNet.IPv6.IP) > 0 {
		out["ipv6Address"] = schema.Text(firstAddress(server.PublicNet.IPv6.IP))
	}
	if server.PublicNet.IPv6.Network != nil {
		out["ipv6Network"] = schema.Text(server.PublicNet.IPv6.Network.String())
	}
	if server.PlacementGroup != nil {
		out["placementGroupId"] = schema.Number(server.PlacementGroup.ID)
	}
	if image := server.Image; image != nil {
		out["image"] = schema.Text(idText(image.ID))
		// Only official images have names; a program that wrote the id keeps the id.
		if image.Name != "" && state.Str("image") != idText(image.ID) {
			out["image"] = schema.Text(image.Name)
		}
	}
	if recorded := state.Objects("networks"); len(recorded) > 0 {
		out["networks"] = serverNetworks(server, recorded)
	}
	return out
}

func serverNetworks(server *hcloud.Server, recorded []schema.Values) resource.PropertyValue {
	var items []resource.PropertyMap
	for _, attached := range server.PrivateNet {
		item := resource.PropertyMap{
			"ip":         schema.Text(attached.IP.String()),
			"macAddress": schema.Text(attached.MACAddress),
			"aliasIps":   schema.Strings(addressTexts(attached.Aliases)),
		}
		for _, known := range recorded {
			if networkOf(known) != attached.Network.ID {
				continue
			}
			item["networkId"] = schema.Number(attached.Network.ID)
			if subnet := known.Str("subnetId"); subnet != "" {
				item["subnetId"] = schema.Text(subnet)
			}
			break
		}
		items = append(items, item)
	}
	return schema.Objects(items)
}

// networkOf returns the network that an attachment names, directly or by its subnet.
func networkOf(attachment schema.Values) int64 {
	if network, _, err := parseSubnetID(attachment.Str("subnetId")); err == nil {
		return network.ID
	}
	return attachment.Int("networkId")
}
