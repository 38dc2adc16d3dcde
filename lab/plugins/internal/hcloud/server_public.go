package hcloud

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/hetznercloud/hcloud-go/v2/hcloud"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"oxide.lab/plugins/internal/provider"
	"oxide.lab/plugins/internal/schema"
)

// publicChange is what becomes of one address family of a server.
type publicChange struct {
	kind        hcloud.PrimaryIPType
	key         string
	wasEnabled  bool
	wasID       int64
	enabled     bool
	id          int64
	currentID   int64
	blockIsGone bool
}

// updatePublicNet changes the public addresses of a server, which is powered off meanwhile.
func (c *cloud) updatePublicNet(ctx context.Context, server *hcloud.Server, op *provider.Operation) error {
	action, resp, err := c.client.Server.Poweroff(ctx, server)
	if err := c.done(ctx, action, resp, err); err != nil {
		return err
	}
	changeErr := c.changeAddresses(ctx, server, op)
	if err := c.powerOn(ctx, server); err != nil {
		return err
	}
	return changeErr
}

func (c *cloud) changeAddresses(ctx context.Context, server *hcloud.Server, op *provider.Operation) error {
	families := []struct {
		kind    hcloud.PrimaryIPType
		current int64
	}{
		{hcloud.PrimaryIPTypeIPv4, server.PublicNet.IPv4.ID},
		{hcloud.PrimaryIPTypeIPv6, server.PublicNet.IPv6.ID},
	}
	old, had := first(op.State.Objects("publicNets"))
	next, has := first(op.Plan.Objects("publicNets"))
	for _, family := range families {
		key := string(family.kind)
		change := publicChange{
			kind: family.kind, key: key, currentID: family.current, blockIsGone: !has,
			wasEnabled: !had || old.Bool(key+"Enabled"), wasID: old.Int(key),
			enabled: next.Bool(key + "Enabled"), id: next.Int(key),
		}
		if err := c.changeAddress(ctx, server, change); err != nil {
			return err
		}
	}
	return nil
}

func (c *cloud) changeAddress(ctx context.Context, server *hcloud.Server, change publicChange) error {
	switch {
	case change.blockIsGone:
		if change.wasID == 0 || change.currentID == 0 {
			return nil
		}
		if err := c.unassign(ctx, change.currentID); err != nil {
			return err
		}
		return c.randomAddress(ctx, server, change.kind)
	case !change.enabled && change.id != 0:
		return fmt.Errorf("this operation is not allowed: %sEnabled = false | %s = %d", change.key, change.key, change.id)
	case change.enabled && change.id != 0:
		if err := c.dropAddress(ctx, change); err != nil {
			return err
		}
		return c.assign(ctx, change.id, server.ID, "server")
	case !change.enabled:
		return c.dropAddress(ctx, change)
	case change.wasEnabled && change.wasID != 0:
		if err := c.unassign(ctx, change.wasID); err != nil {
			return err
		}
		return c.randomAddress(ctx, server, change.kind)
	case !change.wasEnabled && change.wasID == 0:
		return c.randomAddress(ctx, server, change.kind)
	}
	return nil
}

// dropAddress takes the current address away; one that nobody chose is deleted.
func (c *cloud) dropAddress(ctx context.Context, change publicChange) error {
	if change.currentID == 0 {
		return nil
	}
	if err := c.unassign(ctx, change.currentID); err != nil || change.wasID != 0 {
		return err
	}
	_, err := c.client.PrimaryIP.Delete(ctx, &hcloud.PrimaryIP{ID: change.currentID})
	return err
}

func (c *cloud) randomAddress(ctx context.Context, server *hcloud.Server, kind hcloud.PrimaryIPType) error {
	result, _, err := c.client.PrimaryIP.Create(ctx, hcloud.PrimaryIPCreateOpts{
		Name: fmt.Sprintf("primary_ip-%d", 1000000+rand.IntN(8999999)), //nolint:gosec // a name, not a secret
		Type: kind, AssigneeID: &server.ID, AssigneeType: "server", AutoDelete: new(true),
	})
	if err != nil {
		return err
	}
	return c.wait(ctx, result.Action)
}

func first(items []schema.Values) (schema.Values, bool) {
	if len(items) == 0 {
		return schema.Values{Map: resource.PropertyMap{}}, false
	}
	return items[0], true
}
