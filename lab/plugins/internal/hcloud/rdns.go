package hcloud

import (
	"context"
	"fmt"
	"net"
	"strings"

	"github.com/hetznercloud/hcloud-go/v2/hcloud"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"oxide.lab/plugins/internal/provider"
	"oxide.lab/plugins/internal/schema"
)

// pointed is a kind of object that reverse DNS names belong to.
type pointed struct {
	prefix string
	key    string
	find   func(ctx context.Context, id int64) (hcloud.RDNSSupporter, error)
}

func (c *cloud) pointed() []pointed {
	return []pointed{
		{"s", "serverId", func(ctx context.Context, id int64) (hcloud.RDNSSupporter, error) {
			return c.findServer(ctx, idText(id))
		}},
		{"p", "primaryIpId", func(ctx context.Context, id int64) (hcloud.RDNSSupporter, error) {
			return c.findPrimaryIP(ctx, idText(id))
		}},
		{"f", "floatingIpId", func(ctx context.Context, id int64) (hcloud.RDNSSupporter, error) {
			ip, _, err := c.client.FloatingIP.GetByID(ctx, id)
			return missing(ip, err)
		}},
		{"l", "loadBalancerId", func(ctx context.Context, id int64) (hcloud.RDNSSupporter, error) {
			return c.findLoadBalancer(ctx, idText(id))
		}},
	}
}

func (c *cloud) rdns() *provider.Resource {
	return framework(&provider.Resource{
		Properties: schema.Properties{
			"serverId":       schema.Opt(schema.Int).Replacing(),
			"primaryIpId":    schema.Opt(schema.Int).Replacing(),
			"floatingIpId":   schema.Opt(schema.Int).Replacing(),
			"loadBalancerId": schema.Opt(schema.Int).Replacing(),
			"ipAddress":      schema.Req(schema.String).Replacing().Checked(checkAddress),
			"dnsPtr":         schema.Req(schema.String),
		},
		Verify: func(inputs schema.Values) []string {
			return exactlyOne(inputs, "serverId", "primaryIpId", "floatingIpId", "loadBalancerId")
		},
		Create: func(ctx context.Context, op *provider.Operation) (string, resource.PropertyMap, error) {
			for _, kind := range c.pointed() {
				if id := op.Plan.Int(kind.key); id != 0 {
					ip := net.ParseIP(op.Plan.Str("ipAddress"))
					if err := c.point(ctx, kind, id, ip, new(op.Plan.Str("dnsPtr"))); err != nil {
						return "", nil, err
					}
					return fmt.Sprintf("%s-%d-%s", kind.prefix, id, ip), op.Plan.Map, nil
				}
			}
			return "", nil, fmt.Errorf("no object named for %s", op.Plan.Str("ipAddress"))
		},
		Read: func(ctx context.Context, id string, state resource.PropertyMap) (string, resource.PropertyMap, error) {
			kind, object, ip, err := c.parsePointer(id)
			if err != nil {
				return id, nil, err
			}
			found, err := kind.find(ctx, object)
			if err != nil {
				return id, nil, err
			}
			name, err := found.GetDNSPtrForIP(ip)
			if err != nil {
				return id, nil, provider.ErrGone
			}
			return id, overlay(state, resource.PropertyMap{
				resource.PropertyKey(kind.key): schema.Number(object),
				"ipAddress":                    schema.Text(ip.String()),
				"dnsPtr":                       schema.Text(name),
			}), nil
		},
		Update: func(ctx context.Context, id string, op *provider.Operation) (resource.PropertyMap, error) {
			kind, object, ip, err := c.parsePointer(id)
			if err == nil {
				err = c.point(ctx, kind, object, ip, new(op.Plan.Str("dnsPtr")))
			}
			return op.Plan.Map, err
		},
		Delete: func(ctx context.Context, id string, _ *provider.Operation) error {
			kind, object, ip, err := c.parsePointer(id)
			if err != nil {
				return err
			}
			return ignoreMissing(c.point(ctx, kind, object, ip, nil))
		},
	})
}

func (c *cloud) point(ctx context.Context, kind pointed, id int64, ip net.IP, name *string) error {
	object, err := kind.find(ctx, id)
	if err != nil {
		return err
	}
	action, resp, err := c.client.RDNS.ChangeDNSPtr(ctx, object, ip, name)
	return c.done(ctx, action, resp, err)
}

// parsePointer splits "<kind>-<object id>-<address>".
func (c *cloud) parsePointer(id string) (pointed, int64, net.IP, error) {
	parts := strings.SplitN(id, "-", 3)
	if len(parts) == 3 {
		object, err := number(parts[1])
		ip := net.ParseIP(parts[2])
		for _, kind := range c.pointed() {
			if kind.prefix == parts[0] && err == nil && ip != nil {
				return kind, object, ip, nil
			}
		}
	}
	return pointed{}, 0, nil, fmt.Errorf("unexpected id '%s', expected '$RESOURCE_PREFIX-$RESOURCE_ID-$IP_ADDRESS'", id)
}
