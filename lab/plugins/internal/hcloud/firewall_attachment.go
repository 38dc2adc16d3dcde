package hcloud

import (
	"context"
	"errors"

	"github.com/hetznercloud/hcloud-go/v2/hcloud"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"oxide.lab/plugins/internal/provider"
	"oxide.lab/plugins/internal/schema"
)

var errNoTargets = errors.New("no resources referenced")

func (c *cloud) firewallAttachment() *provider.Resource {
	return classic(&provider.Resource{
		Properties: schema.Properties{
			"firewallId":     schema.Req(schema.Int).Replacing(),
			"serverIds":      schema.Opt(schema.Set).OfInts(),
			"labelSelectors": schema.Opt(schema.Set).OfStrings(),
		},
		Create: func(ctx context.Context, op *provider.Operation) (string, resource.PropertyMap, error) {
			firewall := &hcloud.Firewall{ID: op.Plan.Int("firewallId")}
			targets := attachmentTargets(op.Plan)
			if len(targets) == 0 {
				return "", nil, errNoTargets
			}
			actions, _, err := c.client.Firewall.ApplyResources(ctx, firewall, targets)
			if err == nil {
				err = c.wait(ctx, actions...)
			}
			if err != nil && !hcloud.IsError(err, hcloud.ErrorCodeFirewallAlreadyApplied) {
				return "", nil, err
			}
			return c.readFirewallAttachment(ctx, idText(firewall.ID), op.Plan.Map)
		},
		Read: c.readFirewallAttachment,
		Update: func(ctx context.Context, id string, op *provider.Operation) (resource.PropertyMap, error) {
			firewall, err := c.findFirewall(ctx, id)
			if err != nil {
				return nil, err
			}
			if err := c.syncFirewallTargets(ctx, firewall, firewall.AppliedTo, attachmentTargets(op.Plan)); err != nil {
				return nil, err
			}
			_, outputs, err := c.readFirewallAttachment(ctx, id, op.Plan.Map)
			return outputs, err
		},
		Delete: func(ctx context.Context, _ string, op *provider.Operation) error {
			firewall := &hcloud.Firewall{ID: op.State.Int("firewallId")}
			actions, _, err := c.client.Firewall.RemoveResources(ctx, firewall, attachmentTargets(op.State))
			if err != nil {
				return err
			}
			return c.wait(ctx, actions...)
		},
	})
}

func attachmentTargets(values schema.Values) []hcloud.FirewallResource {
	var out []hcloud.FirewallResource
	for _, id := range values.Ints("serverIds") {
		out = append(out, firewallServer(id))
	}
	for _, selector := range values.Strs("labelSelectors") {
		out = append(out, firewallSelector(selector))
	}
	return out
}

func (c *cloud) readFirewallAttachment(ctx context.Context, id string, state resource.PropertyMap) (string, resource.PropertyMap, error) {
	firewall, err := c.findFirewall(ctx, id)
	if err != nil {
		return id, nil, err
	}
	out := resource.PropertyMap{"firewallId": schema.Number(firewall.ID)}
	var servers []int64
	var selectors []string
	for _, target := range firewall.AppliedTo {
		if target.Server != nil {
			servers = append(servers, target.Server.ID)
		} else if target.LabelSelector != nil {
			selectors = append(selectors, target.LabelSelector.Selector)
		}
	}
	out["serverIds"], out["labelSelectors"] = resource.NewNullProperty(), resource.NewNullProperty()
	if len(servers) > 0 {
		out["serverIds"] = schema.Ints(servers)
	}
	if len(selectors) > 0 {
		out["labelSelectors"] = schema.Strings(selectors)
	}
	return id, overlay(state, out), nil
}
