package hcloud

import (
	"context"
	"errors"
	"fmt"

	"github.com/hetznercloud/hcloud-go/v2/hcloud"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"oxide.lab/plugins/internal/provider"
	"oxide.lab/plugins/internal/schema"
)

func (c *cloud) firewall() *provider.Resource {
	ranges := func() *schema.Property {
		return schema.Opt(schema.Set).Of(schema.Opt(schema.String).Checked(checkRange).Stored(normalRange))
	}
	return classic(&provider.Resource{
		Properties: schema.Properties{
			"name":   schema.Req(schema.String),
			"labels": schema.OptOut(schema.Map).OfStrings().Checked(checkLabels),
			"applyTos": schema.OptOut(schema.Set).With(schema.Properties{
				"labelSelector": schema.OptOut(schema.String),
				"server":        schema.OptOut(schema.Int),
			}),
			"rules": schema.Opt(schema.Set).With(schema.Properties{
				"direction":      schema.Req(schema.String).Checked(checkDirection),
				"protocol":       schema.Req(schema.String).Checked(checkProtocol),
				"port":           schema.Opt(schema.String),
				"sourceIps":      ranges(),
				"destinationIps": ranges(),
				"description":    schema.Opt(schema.String),
			}),
		},
		Create: c.createFirewall,
		Read:   c.readFirewall,
		Update: c.updateFirewall,
		Delete: c.deleteFirewall,
	})
}

func checkDirection(value resource.PropertyValue) error {
	if oneOf("in", "out")(value) != nil {
		return fmt.Errorf("%s is not a valid direction", value.StringValue())
	}
	return nil
}

func checkProtocol(value resource.PropertyValue) error {
	if oneOf("icmp", "tcp", "udp", "esp", "gre")(value) != nil {
		return fmt.Errorf("%s is not a valid protocol", value.StringValue())
	}
	return nil
}

func firewallRules(values schema.Values) []hcloud.FirewallRule {
	var rules []hcloud.FirewallRule
	for _, item := range values.Objects("rules") {
		rule := hcloud.FirewallRule{
			Direction: hcloud.FirewallRuleDirection(item.Str("direction")),
			Protocol:  hcloud.FirewallRuleProtocol(item.Str("protocol")),
		}
		if port := item.Str("port"); port != "" {
			rule.Port = &port
		}
		if description := item.Str("description"); description != "" {
			rule.Description = &description
		}
		rule.SourceIPs = parseRanges(item.Strs("sourceIps"))
		rule.DestinationIPs = parseRanges(item.Strs("destinationIps"))
		rules = append(rules, rule)
	}
	return rules
}

func firewallTargets(values schema.Values) []hcloud.FirewallResource {
	var out []hcloud.FirewallResource
	for _, item := range values.Objects("applyTos") {
		if selector := item.Str("labelSelector"); selector != "" {
			out = append(out, firewallSelector(selector))
		} else if server := item.Int("server"); server != 0 {
			out = append(out, firewallServer(server))
		}
	}
	return out
}

func firewallServer(id int64) hcloud.FirewallResource {
	return hcloud.FirewallResource{
		Type: hcloud.FirewallResourceTypeServer, Server: &hcloud.FirewallResourceServer{ID: id},
	}
}

func firewallSelector(selector string) hcloud.FirewallResource {
	return hcloud.FirewallResource{
		Type:          hcloud.FirewallResourceTypeLabelSelector,
		LabelSelector: &hcloud.FirewallResourceLabelSelector{Selector: selector},
	}
}

func (c *cloud) createFirewall(ctx context.Context, op *provider.Operation) (string, resource.PropertyMap, error) {
	result, _, err := c.client.Firewall.Create(ctx, hcloud.FirewallCreateOpts{
		Name: op.Plan.Str("name"), Labels: op.Plan.StrMap("labels"),
		Rules: firewallRules(op.Plan), ApplyTo: firewallTargets(op.Plan),
	})
	if err != nil {
		return "", nil, err
	}
	// An incomplete firewall is not recorded: its id counts only once its actions succeeded.
	if err := c.wait(ctx, result.Actions...); err != nil {
		return "", nil, err
	}
	return c.readFirewall(ctx, idText(result.Firewall.ID), op.Plan.Map)
}

func (c *cloud) findFirewall(ctx context.Context, id string) (*hcloud.Firewall, error) {
	n, err := number(id)
	if err != nil {
		return nil, err
	}
	firewall, _, err := c.client.Firewall.GetByID(ctx, n)
	return missing(firewall, err)
}

func (c *cloud) readFirewall(ctx context.Context, id string, state resource.PropertyMap) (string, resource.PropertyMap, error) {
	firewall, err := c.findFirewall(ctx, id)
	if err != nil {
		return id, nil, err
	}
	return id, overlay(state, firewallOutputs(firewall)), nil
}

func firewallOutputs(firewall *hcloud.Firewall) resource.PropertyMap {
	rules := []resource.PropertyMap{}
	for _, rule := range firewall.Rules {
		out := resource.PropertyMap{
			"direction":      schema.Text(rule.Direction),
			"protocol":       schema.Text(rule.Protocol),
			"sourceIps":      schema.Strings(rangeTexts(rule.SourceIPs)),
			"destinationIps": schema.Strings(rangeTexts(rule.DestinationIPs)),
		}
		if rule.Port != nil {
			out["port"] = schema.Text(*rule.Port)
		}
		if rule.Description != nil {
			out["description"] = schema.Text(*rule.Description)
		}
		rules = append(rules, out)
	}
	targets := []resource.PropertyMap{}
	for _, target := range firewall.AppliedTo {
		switch target.Type {
		case hcloud.FirewallResourceTypeLabelSelector:
			targets = append(targets, resource.PropertyMap{"labelSelector": schema.Text(target.LabelSelector.Selector)})
		case hcloud.FirewallResourceTypeServer:
			targets = append(targets, resource.PropertyMap{"server": schema.Number(target.Server.ID)})
		}
	}
	return resource.PropertyMap{
		"name": schema.Text(firewall.Name), "labels": schema.StrMap(firewall.Labels),
		"rules": schema.Objects(rules), "applyTos": schema.Objects(targets),
	}
}

func (c *cloud) updateFirewall(ctx context.Context, id string, op *provider.Operation) (resource.PropertyMap, error) {
	firewall, err := c.findFirewall(ctx, id)
	if err != nil {
		return nil, err
	}
	if op.Changed("name") {
		if _, _, err := c.client.Firewall.Update(ctx, firewall, hcloud.FirewallUpdateOpts{Name: op.Plan.Str("name")}); err != nil {
			return nil, err
		}
	}
	if rules := firewallRules(op.Plan); op.Changed("rules") && len(rules) > 0 {
		actions, _, err := c.client.Firewall.SetRules(ctx, firewall, hcloud.FirewallSetRulesOpts{Rules: rules})
		if err == nil {
			err = c.wait(ctx, actions...)
		}
		if err != nil {
			return nil, err
		}
	}
	if op.Changed("labels") {
		opts := hcloud.FirewallUpdateOpts{Labels: op.Plan.StrMap("labels")}
		if _, _, err := c.client.Firewall.Update(ctx, firewall, opts); err != nil {
			return nil, err
		}
	}
	if op.Changed("applyTos") {
		if err := c.syncFirewallTargets(ctx, firewall, firewallTargets(op.State), firewallTargets(op.Plan)); err != nil {
			return nil, err
		}
	}
	_, outputs, err := c.readFirewall(ctx, id, op.Plan.Map)
	return outputs, err
}

func (c *cloud) syncFirewallTargets(ctx context.Context, firewall *hcloud.Firewall, olds, news []hcloud.FirewallResource) error {
	if gone := targetsWithout(olds, news); len(gone) > 0 {
		actions, _, err := c.client.Firewall.RemoveResources(ctx, firewall, gone)
		if err == nil {
			err = c.wait(ctx, actions...)
		}
		if err != nil && !hcloud.IsError(err, hcloud.ErrorCodeFirewallResourceNotFound) {
			return err
		}
	}
	if added := targetsWithout(news, olds); len(added) > 0 {
		actions, _, err := c.client.Firewall.ApplyResources(ctx, firewall, added)
		if err != nil {
			return err
		}
		return c.wait(ctx, actions...)
	}
	return nil
}

func targetKey(target hcloud.FirewallResource) string {
	if target.Server != nil {
		return idText(target.Server.ID)
	}
	return "selector " + target.LabelSelector.Selector
}

func targetsWithout(all, others []hcloud.FirewallResource) []hcloud.FirewallResource {
	known := map[string]bool{}
	for _, target := range others {
		known[targetKey(target)] = true
	}
	var out []hcloud.FirewallResource
	for _, target := range all {
		if !known[targetKey(target)] {
			out = append(out, target)
		}
	}
	return out
}

func (c *cloud) deleteFirewall(ctx context.Context, id string, _ *provider.Operation) error {
	firewall, err := c.findFirewall(ctx, id)
	if errors.Is(err, provider.ErrGone) {
		return errCrash
	}
	if err != nil {
		return err
	}
	if len(firewall.AppliedTo) > 0 {
		actions, _, err := c.client.Firewall.RemoveResources(ctx, firewall, firewall.AppliedTo)
		if err == nil {
			err = c.wait(ctx, actions...)
		}
		if err != nil && !hcloud.IsError(err, hcloud.ErrorCodeFirewallResourceNotFound, hcloud.ErrorCodeNotFound) {
			return err
		}
	}
	err = retry(ctx, 2*retries, coded(hcloud.ErrorCodeConflict, hcloud.ErrorCodeResourceInUse), func() error {
		_, err := c.client.Firewall.Delete(ctx, firewall)
		return err
	})
	return ignoreMissing(err)
}
