package hcloud

import (
	"context"
	"slices"

	"github.com/hetznercloud/hcloud-go/v2/hcloud"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"oxide.lab/plugins/internal/provider"
	"oxide.lab/plugins/internal/schema"
)

func (c *cloud) loadBalancer() *provider.Resource {
	return classic(&provider.Resource{
		Properties: schema.Properties{
			"name":             schema.Req(schema.String),
			"loadBalancerType": schema.Req(schema.String),
			"ipv4":             schema.Out(schema.String),
			"ipv6":             schema.Out(schema.String),
			"location":         schema.OptOut(schema.String).Replacing(),
			"networkZone":      schema.OptOut(schema.String).Replacing(),
			"networkId":        schema.Out(schema.Int),
			"networkIp":        schema.Out(schema.String),
			"algorithm": schema.OptOut(schema.Object).With(schema.Properties{
				"type": schema.OptOut(schema.String).Checked(oneOf("round_robin", "least_connections")),
			}),
			"labels": schema.OptOut(schema.Map).OfStrings().Checked(checkLabels),
			"targets": schema.OptOut(schema.Set).With(schema.Properties{
				"type":         schema.Req(schema.String).Checked(oneOf("server")),
				"serverId":     schema.Opt(schema.Int),
				"usePrivateIp": schema.Opt(schema.Bool).Else(false),
			}),
			"deleteProtection": schema.Opt(schema.Bool).Else(false),
		},
		Create: c.createLoadBalancer,
		Read:   c.readLoadBalancer,
		Update: c.updateLoadBalancer,
		Delete: func(ctx context.Context, id string, _ *provider.Operation) error {
			balancer, err := c.findLoadBalancer(ctx, id)
			if err != nil {
				return err
			}
			_, err = c.client.LoadBalancer.Delete(ctx, balancer)
			return ignoreMissing(err)
		},
	})
}

func (c *cloud) createLoadBalancer(ctx context.Context, op *provider.Operation) (string, resource.PropertyMap, error) {
	opts := hcloud.LoadBalancerCreateOpts{
		Name: op.Plan.Str("name"), Labels: op.Inputs.StrMap("labels"),
		LoadBalancerType: &hcloud.LoadBalancerType{Name: op.Plan.Str("loadBalancerType")},
		NetworkZone:      hcloud.NetworkZone(op.Inputs.Str("networkZone")),
	}
	if location := op.Inputs.Str("location"); location != "" {
		opts.Location = &hcloud.Location{Name: location}
	}
	if algorithm, ok := op.Inputs.Object("algorithm"); ok {
		opts.Algorithm = &hcloud.LoadBalancerAlgorithm{Type: hcloud.LoadBalancerAlgorithmType(algorithm.Str("type"))}
	}
	for _, id := range balancedServers(op.Inputs) {
		opts.Targets = append(opts.Targets, hcloud.LoadBalancerCreateOptsTarget{
			Type:   hcloud.LoadBalancerTargetTypeServer,
			Server: hcloud.LoadBalancerCreateOptsTargetServer{Server: &hcloud.Server{ID: id}},
		})
	}
	result, _, err := c.client.LoadBalancer.Create(ctx, opts)
	if err != nil {
		return "", nil, err
	}
	id := idText(result.LoadBalancer.ID)
	if err := c.wait(ctx, result.Action); err != nil {
		return id, nil, err
	}
	if op.Plan.Bool("deleteProtection") {
		if err := c.protectLoadBalancer(ctx, result.LoadBalancer, true); err != nil {
			return id, nil, err
		}
	}
	return c.readLoadBalancer(ctx, id, op.Plan.Map)
}

func balancedServers(values schema.Values) []int64 {
	var out []int64
	for _, target := range values.Objects("targets") {
		out = append(out, target.Int("serverId"))
	}
	return out
}

func (c *cloud) findLoadBalancer(ctx context.Context, id string) (*hcloud.LoadBalancer, error) {
	n, err := number(id)
	if err != nil {
		return nil, err
	}
	balancer, _, err := c.client.LoadBalancer.GetByID(ctx, n)
	return missing(balancer, err)
}

func (c *cloud) readLoadBalancer(ctx context.Context, id string, state resource.PropertyMap) (string, resource.PropertyMap, error) {
	balancer, err := c.findLoadBalancer(ctx, id)
	if err != nil {
		return id, nil, err
	}
	return id, overlay(state, loadBalancerOutputs(balancer)), nil
}

func loadBalancerOutputs(balancer *hcloud.LoadBalancer) resource.PropertyMap {
	targets := []resource.PropertyMap{}
	for _, target := range balancer.Targets {
		// The official provider never fills the flag in.
		out := resource.PropertyMap{
			"type": schema.Text(target.Type), "serverId": schema.Number(int64(0)), "usePrivateIp": schema.Flag(false),
		}
		if target.Server != nil {
			out["serverId"] = schema.Number(target.Server.Server.ID)
		}
		targets = append(targets, out)
	}
	out := resource.PropertyMap{
		"name": schema.Text(balancer.Name), "loadBalancerType": schema.Text(balancer.LoadBalancerType.Name),
		"ipv4":             schema.Text(balancer.PublicNet.IPv4.IP.String()),
		"ipv6":             schema.Text(balancer.PublicNet.IPv6.IP.String()),
		"location":         schema.Text(balancer.Location.Name),
		"networkZone":      schema.Text(balancer.Location.NetworkZone),
		"labels":           schema.StrMap(balancer.Labels),
		"deleteProtection": schema.Flag(balancer.Protection.Delete),
		"targets":          schema.Objects(targets),
		"algorithm": resource.NewProperty(resource.PropertyMap{
			"type": schema.Text(balancer.Algorithm.Type),
		}),
	}
	if len(balancer.PrivateNet) > 0 {
		out["networkId"] = schema.Number(balancer.PrivateNet[0].Network.ID)
		out["networkIp"] = schema.Text(balancer.PrivateNet[0].IP.String())
	}
	return out
}

func (c *cloud) updateLoadBalancer(ctx context.Context, id string, op *provider.Operation) (resource.PropertyMap, error) {
	balancer, err := c.findLoadBalancer(ctx, id)
	if err != nil {
		return nil, err
	}
	if op.Changed("name") {
		opts := hcloud.LoadBalancerUpdateOpts{Name: op.Plan.Str("name")}
		if _, _, err := c.client.LoadBalancer.Update(ctx, balancer, opts); err != nil {
			return nil, err
		}
	}
	if op.Changed("loadBalancerType") {
		action, resp, err := c.client.LoadBalancer.ChangeType(ctx, balancer, hcloud.LoadBalancerChangeTypeOpts{
			LoadBalancerType: &hcloud.LoadBalancerType{Name: op.Plan.Str("loadBalancerType")},
		})
		if err := c.done(ctx, action, resp, err); err != nil {
			return nil, err
		}
	}
	if algorithm, ok := op.Plan.Object("algorithm"); ok && op.Changed("algorithm") {
		action, resp, err := c.client.LoadBalancer.ChangeAlgorithm(ctx, balancer, hcloud.LoadBalancerChangeAlgorithmOpts{
			Type: hcloud.LoadBalancerAlgorithmType(algorithm.Str("type")),
		})
		if err := c.done(ctx, action, resp, err); err != nil {
			return nil, err
		}
	}
	if op.Changed("labels") {
		opts := hcloud.LoadBalancerUpdateOpts{Labels: op.Plan.StrMap("labels")}
		if _, _, err := c.client.LoadBalancer.Update(ctx, balancer, opts); err != nil {
			return nil, err
		}
	}
	if op.Changed("targets") {
		if err := c.syncBalanced(ctx, balancer, balancedServers(op.Plan)); err != nil {
			return nil, err
		}
	}
	if op.Changed("deleteProtection") {
		if err := c.protectLoadBalancer(ctx, balancer, op.Plan.Bool("deleteProtection")); err != nil {
			return nil, err
		}
	}
	_, outputs, err := c.readLoadBalancer(ctx, id, op.Plan.Map)
	return outputs, err
}

func (c *cloud) syncBalanced(ctx context.Context, balancer *hcloud.LoadBalancer, wanted []int64) error {
	var present []int64
	for _, target := range balancer.Targets {
		if target.Server == nil {
			continue
		}
		present = append(present, target.Server.Server.ID)
		if slices.Contains(wanted, target.Server.Server.ID) {
			continue
		}
		action, resp, err := c.client.LoadBalancer.RemoveServerTarget(ctx, balancer, target.Server.Server)
		if err := c.done(ctx, action, resp, err); err != nil {
			return err
		}
	}
	for _, id := range wanted {
		if slices.Contains(present, id) {
			continue
		}
		action, resp, err := c.client.LoadBalancer.AddServerTarget(ctx, balancer,
			hcloud.LoadBalancerAddServerTargetOpts{Server: &hcloud.Server{ID: id}})
		if err := c.done(ctx, action, resp, err); err != nil {
			return err
		}
	}
	return nil
}

func (c *cloud) protectLoadBalancer(ctx context.Context, balancer *hcloud.LoadBalancer, protect bool) error {
	action, resp, err := c.client.LoadBalancer.ChangeProtection(ctx, balancer,
		hcloud.LoadBalancerChangeProtectionOpts{Delete: &protect})
	return c.done(ctx, action, resp, err)
}
