package hcloud

import (
	"context"
	"crypto/sha1" //nolint:gosec // an id derived from a list, not a secret
	"fmt"
	"strings"
	"time"

	"github.com/hetznercloud/hcloud-go/v2/hcloud"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"oxide.lab/plugins/internal/provider"
	"oxide.lab/plugins/internal/schema"
)

// lookup finds objects of one kind.
type lookup[T any] struct {
	noun    string
	plural  string
	byID    func(context.Context, int64) (*T, *hcloud.Response, error)
	byName  func(context.Context, string) (*T, *hcloud.Response, error)
	all     func(context.Context, schema.Values) ([]*T, error)
	outputs func(*T) resource.PropertyMap
	// extra are further arguments of both functions.
	extra schema.Properties
}

func (l lookup[T]) args(more ...string) schema.Properties {
	out := schema.Properties{}
	for key, prop := range l.extra {
		out[key] = prop
	}
	for _, key := range more {
		out[key] = schema.Opt(schema.String)
	}
	return out
}

func (l lookup[T]) one() *provider.Function {
	args := l.args("name", "selector", "withSelector")
	args["id"] = schema.Opt(schema.Int)
	return &provider.Function{Inputs: args, Call: func(ctx context.Context, args schema.Values) (resource.PropertyMap, error) {
		found, err := l.find(ctx, args)
		if err != nil {
			return nil, explain(err)
		}
		return l.outputs(found), nil
	}}
}

func (l lookup[T]) find(ctx context.Context, args schema.Values) (*T, error) {
	selector := args.Str("withSelector")
	if selector == "" {
		selector = args.Str("selector")
	}
	switch {
	case args.Int("id") != 0:
		found, _, err := l.byID(ctx, args.Int("id"))
		if err == nil && found == nil {
			err = fmt.Errorf("no %s found with id %d", l.noun, args.Int("id"))
		}
		return found, err
	case args.Str("name") != "":
		found, _, err := l.byName(ctx, args.Str("name"))
		if err == nil && found == nil {
			err = fmt.Errorf("no %s found with name %s", l.noun, args.Str("name"))
		}
		return found, err
	case selector != "":
		found, err := l.all(ctx, args)
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("no %s found for selector %q", l.noun, selector)
		}
		if len(found) > 1 {
			return nil, fmt.Errorf("more than one %s found for selector %q", l.noun, selector)
		}
		return found[0], nil
	}
	return nil, fmt.Errorf("please specify an id, a name or a selector to lookup the %s", l.noun)
}

func (l lookup[T]) many() *provider.Function {
	return &provider.Function{Inputs: l.args("withSelector"),
		Call: func(ctx context.Context, args schema.Values) (resource.PropertyMap, error) {
			found, err := l.all(ctx, args)
			if err != nil {
				return nil, explain(err)
			}
			items := []resource.PropertyMap{}
			for _, item := range found {
				items = append(items, l.outputs(item))
			}
			return resource.PropertyMap{
				"id":                           schema.Text(listID(items)),
				resource.PropertyKey(l.plural): schema.Objects(items),
			}, nil
		}}
}

func listID(items []resource.PropertyMap) string {
	var ids strings.Builder
	for _, item := range items {
		if id := item["id"]; id.IsNumber() {
			fmt.Fprintf(&ids, "%d", int64(id.NumberValue()))
		}
	}
	return fmt.Sprintf("%x", sha1.Sum([]byte(ids.String()))) //nolint:gosec // see the import
}

func selected(args schema.Values) hcloud.ListOpts {
	selector := args.Str("withSelector")
	if selector == "" {
		selector = args.Str("selector")
	}
	return hcloud.ListOpts{LabelSelector: selector}
}

// numbered adds the numeric id that functions return.
func numbered(id int64, out resource.PropertyMap) resource.PropertyMap {
	out["id"] = schema.Number(id)
	return overlay(nil, out)
}

func stamp(t time.Time) resource.PropertyValue {
	if t.IsZero() {
		return resource.NewNullProperty()
	}
	return schema.Text(t.Format(time.RFC3339))
}

func (c *cloud) functions() map[string]*provider.Function {
	out := map[string]*provider.Function{}
	put := func(name string, function *provider.Function) {
		out[fmt.Sprintf("hcloud:index/%s:%s", name, name)] = function
	}
	mostRecent := schema.Properties{"mostRecent": schema.Opt(schema.Bool)}

	networks := lookup[hcloud.Network]{
		noun: "network", plural: "networks", extra: schema.Properties{
			"mostRecent": schema.Opt(schema.Bool), "ipRange": schema.Opt(schema.String), "labels": labels(),
		},
		byID: func(ctx context.Context, id int64) (*hcloud.Network, *hcloud.Response, error) {
			return c.client.Network.GetByID(ctx, id)
		},
		byName: func(ctx context.Context, n string) (*hcloud.Network, *hcloud.Response, error) {
			return c.client.Network.GetByName(ctx, n)
		},
		all: func(ctx context.Context, args schema.Values) ([]*hcloud.Network, error) {
			return c.client.Network.AllWithOpts(ctx, hcloud.NetworkListOpts{ListOpts: selected(args)})
		},
		outputs: func(n *hcloud.Network) resource.PropertyMap {
			return numbered(n.ID, resource.PropertyMap{
				"name": schema.Text(n.Name), "ipRange": schema.Text(n.IPRange.String()), "labels": schema.StrMap(n.Labels),
				"deleteProtection":      schema.Flag(n.Protection.Delete),
				"exposeRoutesToVswitch": schema.Flag(n.ExposeRoutesToVSwitch),
			})
		},
	}
	put("getNetwork", networks.one())
	put("getNetworks", networks.many())

	firewalls := lookup[hcloud.Firewall]{
		noun: "firewall", plural: "firewalls", extra: mostRecent,
		byID: func(ctx context.Context, id int64) (*hcloud.Firewall, *hcloud.Response, error) {
			return c.client.Firewall.GetByID(ctx, id)
		},
		byName: func(ctx context.Context, n string) (*hcloud.Firewall, *hcloud.Response, error) {
			return c.client.Firewall.GetByName(ctx, n)
		},
		all: func(ctx context.Context, args schema.Values) ([]*hcloud.Firewall, error) {
			return c.client.Firewall.AllWithOpts(ctx, hcloud.FirewallListOpts{ListOpts: selected(args)})
		},
		outputs: func(f *hcloud.Firewall) resource.PropertyMap { return numbered(f.ID, firewallOutputs(f)) },
	}
	put("getFirewall", firewalls.one())
	put("getFirewalls", firewalls.many())

	groups := lookup[hcloud.PlacementGroup]{
		noun: "placement group", plural: "placementGroups", extra: mostRecent,
		byID: func(ctx context.Context, id int64) (*hcloud.PlacementGroup, *hcloud.Response, error) {
			return c.client.PlacementGroup.GetByID(ctx, id)
		},
		byName: func(ctx context.Context, n string) (*hcloud.PlacementGroup, *hcloud.Response, error) {
			return c.client.PlacementGroup.GetByName(ctx, n)
		},
		all: func(ctx context.Context, args schema.Values) ([]*hcloud.PlacementGroup, error) {
			return c.client.PlacementGroup.AllWithOpts(ctx, hcloud.PlacementGroupListOpts{ListOpts: selected(args)})
		},
		outputs: func(g *hcloud.PlacementGroup) resource.PropertyMap {
			return numbered(g.ID, placementGroupOutputs(g))
		},
	}
	put("getPlacementGroup", groups.one())
	put("getPlacementGroups", groups.many())

	addresses := lookup[hcloud.PrimaryIP]{
		noun: "primary ip", plural: "primaryIps",
		byID: func(ctx context.Context, id int64) (*hcloud.PrimaryIP, *hcloud.Response, error) {
			return c.client.PrimaryIP.GetByID(ctx, id)
		},
		byName: func(ctx context.Context, n string) (*hcloud.PrimaryIP, *hcloud.Response, error) {
			return c.client.PrimaryIP.GetByName(ctx, n)
		},
		all: func(ctx context.Context, args schema.Values) ([]*hcloud.PrimaryIP, error) {
			return c.client.PrimaryIP.AllWithOpts(ctx, hcloud.PrimaryIPListOpts{ListOpts: selected(args)})
		},
		outputs: func(ip *hcloud.PrimaryIP) resource.PropertyMap { return numbered(ip.ID, primaryIPOutputs(ip)) },
	}
	put("getPrimaryIp", addresses.one())
	put("getPrimaryIps", addresses.many())

	balancers := lookup[hcloud.LoadBalancer]{
		noun: "Load Balancer", plural: "loadBalancers",
		byID: func(ctx context.Context, id int64) (*hcloud.LoadBalancer, *hcloud.Response, error) {
			return c.client.LoadBalancer.GetByID(ctx, id)
		},
		byName: func(ctx context.Context, n string) (*hcloud.LoadBalancer, *hcloud.Response, error) {
			return c.client.LoadBalancer.GetByName(ctx, n)
		},
		all: func(ctx context.Context, args schema.Values) ([]*hcloud.LoadBalancer, error) {
			return c.client.LoadBalancer.AllWithOpts(ctx, hcloud.LoadBalancerListOpts{ListOpts: selected(args)})
		},
		outputs: func(b *hcloud.LoadBalancer) resource.PropertyMap {
			out := loadBalancerOutputs(b)
			out["algorithms"] = resource.NewProperty([]resource.PropertyValue{out["algorithm"]})
			delete(out, "algorithm")
			out["services"] = schema.Objects(nil)
			return numbered(b.ID, out)
		},
	}
	put("getLoadBalancer", balancers.one())
	put("getLoadBalancers", balancers.many())
	c.serverFunctions(put)
	c.imageFunctions(put)
	c.catalogueFunctions(put)
	return out
}
