package hcloud

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/hetznercloud/hcloud-go/v2/hcloud"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"oxide.lab/plugins/internal/provider"
	"oxide.lab/plugins/internal/schema"
)

func (c *cloud) loadBalancerTarget() *provider.Resource {
	return classic(&provider.Resource{
		Properties: schema.Properties{
			"type":           schema.Req(schema.String).Checked(oneOf("server", "label_selector", "ip")),
			"loadBalancerId": schema.Req(schema.Int).Replacing(),
			"serverId":       schema.Opt(schema.Int).Replacing(),
			"labelSelector":  schema.Opt(schema.String).Replacing(),
			"ip":             schema.Opt(schema.String).Replacing(),
			"usePrivateIp":   schema.OptOut(schema.Bool),
		},
		Verify: func(inputs schema.Values) []string {
			reasons := exactlyOne(inputs, "serverId", "labelSelector", "ip")
			_, ip := inputs.Map["ip"]
			if _, private := inputs.Map["usePrivateIp"]; ip && private {
				reasons = append(reasons, `Conflicting configuration arguments. "ip": conflicts with usePrivateIp`)
			}
			return reasons
		},
		Create: c.createTarget,
		Read: func(ctx context.Context, id string, state resource.PropertyMap) (string, resource.PropertyMap, error) {
			if len(state) == 0 {
				var err error
				if state, err = importedTarget(id); err != nil {
					return id, nil, err
				}
			}
			return c.readTarget(ctx, state)
		},
		Update: func(ctx context.Context, _ string, op *provider.Operation) (resource.PropertyMap, error) {
			balancer, target, err := c.findTarget(ctx, op.State)
			if err != nil {
				return nil, err
			}
			if err := c.removeTarget(ctx, balancer, target); err != nil {
				return nil, err
			}
			_, outputs, err := c.createTarget(ctx, op)
			return outputs, err
		},
		Delete: func(ctx context.Context, _ string, op *provider.Operation) error {
			balancer, target, err := c.findTarget(ctx, op.State)
			if err != nil {
				return err
			}
			return c.removeTarget(ctx, balancer, target)
		},
	})
}

// importedTarget reads "<load balancer id>__<type>__<server id, selector or address>".
func importedTarget(id string) (resource.PropertyMap, error) {
	parts := strings.SplitN(id, "__", 3)
	if len(parts) != 3 {
		return nil, fmt.Errorf("import id has invalid format: %s", id)
	}
	balancer, err := number(parts[0])
	if err != nil {
		return nil, fmt.Errorf("load balancer id is not an integer: %s", parts[0])
	}
	state := resource.PropertyMap{"loadBalancerId": schema.Number(balancer), "type": schema.Text(parts[1])}
	switch parts[1] {
	case "server":
		server, err := number(parts[2])
		if err != nil {
			return nil, fmt.Errorf("server id is not an integer: %s", parts[2])
		}
		state["serverId"] = schema.Number(server)
	case "label_selector":
		state["labelSelector"] = schema.Text(parts[2])
	case "ip":
		state["ip"] = schema.Text(parts[2])
	default:
		return nil, fmt.Errorf("unsupported target type: %s", parts[1])
	}
	return state, nil
}

func (c *cloud) createTarget(ctx context.Context, op *provider.Operation) (string, resource.PropertyMap, error) {
	balancer, err := c.findLoadBalancer(ctx, idText(op.Plan.Int("loadBalancerId")))
	if err != nil {
		return "", nil, fmt.Errorf("load balancer %d: not found", op.Plan.Int("loadBalancerId"))
	}
	action, err := c.addTarget(ctx, balancer, op)
	if err != nil && !hcloud.IsError(err, hcloud.ErrorCodeTargetAlreadyDefined) {
		return "", nil, err
	}
	if err := c.wait(ctx, action); err != nil {
		return "", nil, fmt.Errorf("add load balancer target: %w", err)
	}
	return c.readTarget(ctx, op.Plan.Map)
}

func (c *cloud) addTarget(ctx context.Context, balancer *hcloud.LoadBalancer, op *provider.Operation) (*hcloud.Action, error) {
	var private *bool
	if op.Inputs.Bool("usePrivateIp") {
		private = new(true)
	}
	switch op.Plan.Str("type") {
	case "server":
		server, err := c.findServer(ctx, idText(op.Plan.Int("serverId")))
		if errors.Is(err, provider.ErrGone) {
			return nil, fmt.Errorf("server %d: not found", op.Plan.Int("serverId"))
		} else if err != nil {
			return nil, err
		}
		if private != nil {
			if err := c.waitForNetwork(ctx, balancer); err != nil {
				return nil, err
			}
		}
		action, _, err := c.client.LoadBalancer.AddServerTarget(ctx, balancer,
			hcloud.LoadBalancerAddServerTargetOpts{Server: server, UsePrivateIP: private})
		return action, wrapped("add server target", err)
	case "label_selector":
		action, _, err := c.client.LoadBalancer.AddLabelSelectorTarget(ctx, balancer,
			hcloud.LoadBalancerAddLabelSelectorTargetOpts{Selector: op.Plan.Str("labelSelector"), UsePrivateIP: private})
		return action, wrapped("add label selector target", err)
	default:
		ip := net.ParseIP(op.Plan.Str("ip"))
		if ip == nil {
			return nil, errors.New("ip is missing or invalid")
		}
		action, _, err := c.client.LoadBalancer.AddIPTarget(ctx, balancer, hcloud.LoadBalancerAddIPTargetOpts{IP: ip})
		return action, wrapped("add ip target", err)
	}
}

func wrapped(what string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// waitForNetwork gives an attachment made at the same time the chance to appear.
func (c *cloud) waitForNetwork(ctx context.Context, balancer *hcloud.LoadBalancer) error {
	return retry(ctx, retries, always, func() error {
		current, err := c.findLoadBalancer(ctx, idText(balancer.ID))
		if err == nil && len(current.PrivateNet) == 0 {
			err = fmt.Errorf("load balancer %d: no private networks", balancer.ID)
		}
		return err
	})
}

func (c *cloud) findTarget(ctx context.Context, state schema.Values) (*hcloud.LoadBalancer, hcloud.LoadBalancerTarget, error) {
	balancer, err := c.findLoadBalancer(ctx, idText(state.Int("loadBalancerId")))
	if err != nil {
		return nil, hcloud.LoadBalancerTarget{}, err
	}
	for _, target := range balancer.Targets {
		switch {
		case target.Server != nil && target.Server.Server.ID == state.Int("serverId"),
			target.LabelSelector != nil && target.LabelSelector.Selector == state.Str("labelSelector"),
			target.IP != nil && target.IP.IP == state.Str("ip"):
			return balancer, target, nil
		}
	}
	return nil, hcloud.LoadBalancerTarget{}, provider.ErrGone
}

func (c *cloud) readTarget(ctx context.Context, state resource.PropertyMap) (string, resource.PropertyMap, error) {
	balancer, target, err := c.findTarget(ctx, schema.Values{Map: state})
	if err != nil {
		return "", nil, err
	}
	out := resource.PropertyMap{"type": schema.Text(target.Type), "loadBalancerId": schema.Number(balancer.ID)}
	var id string
	switch target.Type {
	case hcloud.LoadBalancerTargetTypeServer:
		out["serverId"] = schema.Number(target.Server.Server.ID)
		id = fmt.Sprintf("lb-srv-tgt-%d-%d", target.Server.Server.ID, balancer.ID)
	case hcloud.LoadBalancerTargetTypeLabelSelector:
		out["labelSelector"] = schema.Text(target.LabelSelector.Selector)
		id = fmt.Sprintf("lb-label-selector-tgt-%x-%d", sha256.Sum256([]byte(target.LabelSelector.Selector)), balancer.ID)
	default:
		out["ip"] = schema.Text(target.IP.IP)
		id = fmt.Sprintf("lb-ip-tgt-%x-%d", sha256.Sum256([]byte(target.IP.IP)), balancer.ID)
	}
	if target.Type != hcloud.LoadBalancerTargetTypeIP {
		out["usePrivateIp"] = schema.Flag(target.UsePrivateIP)
	}
	return id, overlay(state, out), nil
}

func (c *cloud) removeTarget(ctx context.Context, balancer *hcloud.LoadBalancer, target hcloud.LoadBalancerTarget) error {
	var action *hcloud.Action
	err := retry(ctx, retries, coded(hcloud.ErrorCodeConflict, hcloud.ErrorCodeLocked), func() (err error) {
		switch target.Type {
		case hcloud.LoadBalancerTargetTypeServer:
			action, _, err = c.client.LoadBalancer.RemoveServerTarget(ctx, balancer, target.Server.Server)
		case hcloud.LoadBalancerTargetTypeLabelSelector:
			action, _, err = c.client.LoadBalancer.RemoveLabelSelectorTarget(ctx, balancer, target.LabelSelector.Selector)
		default:
			action, _, err = c.client.LoadBalancer.RemoveIPTarget(ctx, balancer, net.ParseIP(target.IP.IP))
		}
		return err
	})
	if hcloud.IsError(err, "load_balancer_target_not_found") || (err != nil && strings.Contains(err.Error(), "target not found")) {
		return nil
	}
	if err == nil {
		err = c.wait(ctx, action)
	}
	return wrapped("remove server target", err)
}
