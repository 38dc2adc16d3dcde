package hcloud

import (
	"context"

	"github.com/hetznercloud/hcloud-go/v2/hcloud"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"oxide.lab/plugins/internal/provider"
	"oxide.lab/plugins/internal/schema"
)

func (c *cloud) primaryIP() *provider.Resource {
	return framework(&provider.Resource{
		Properties: schema.Properties{
			"name":             schema.Req(schema.String),
			"type":             schema.Req(schema.String).Replacing(),
			"location":         schema.OptOut(schema.String).Replacing(),
			"datacenter":       datacenter(),
			"assigneeId":       schema.OptOut(schema.Int).Renewed(),
			"assigneeType":     schema.OptOut(schema.String).Renewed(),
			"autoDelete":       schema.OptOut(schema.Bool).Else(false),
			"labels":           frameworkLabels(),
			"deleteProtection": schema.OptOut(schema.Bool).Else(false),
			"ipAddress":        schema.Out(schema.String),
			"ipNetwork":        schema.Out(schema.String),
		},
		Verify: func(inputs schema.Values) []string {
			reasons := exactlyOne(inputs, "location", "assigneeId")
			_, id := inputs.Map["assigneeId"]
			if _, kind := inputs.Map["assigneeType"]; id && !kind {
				reasons = append(reasons, "Invalid Attribute Combination. "+
					"These attributes must be configured together: [assigneeId,assigneeType]")
			}
			return reasons
		},
		Create: c.createPrimaryIP,
		Read:   c.readPrimaryIP,
		Update: c.updatePrimaryIP,
		Delete: c.deletePrimaryIP,
	})
}

func (c *cloud) createPrimaryIP(ctx context.Context, op *provider.Operation) (string, resource.PropertyMap, error) {
	opts := hcloud.PrimaryIPCreateOpts{
		Name: op.Plan.Str("name"), Type: hcloud.PrimaryIPType(op.Plan.Str("type")),
		AutoDelete: new(op.Plan.Bool("autoDelete")), Labels: op.Plan.StrMap("labels"),
		Location: op.Inputs.Str("location"),
	}
	if opts.Location == "" && op.Inputs.Known("assigneeId") {
		opts.AssigneeID = new(op.Inputs.Int("assigneeId"))
		opts.AssigneeType = op.Inputs.Str("assigneeType")
	}
	result, _, err := c.client.PrimaryIP.Create(ctx, opts)
	if err != nil {
		return "", nil, err
	}
	id := idText(result.PrimaryIP.ID)
	if err := c.wait(ctx, result.Action); err != nil {
		return id, nil, err
	}
	if op.Plan.Bool("deleteProtection") {
		if err := c.protectPrimaryIP(ctx, result.PrimaryIP.ID, true); err != nil {
			return id, nil, err
		}
	}
	return c.readPrimaryIP(ctx, id, op.Plan.Map)
}

func (c *cloud) findPrimaryIP(ctx context.Context, id string) (*hcloud.PrimaryIP, error) {
	n, err := number(id)
	if err != nil {
		return nil, err
	}
	ip, _, err := c.client.PrimaryIP.GetByID(ctx, n)
	return missing(ip, err)
}

func (c *cloud) readPrimaryIP(ctx context.Context, id string, state resource.PropertyMap) (string, resource.PropertyMap, error) {
	ip, err := c.findPrimaryIP(ctx, id)
	if err != nil {
		return id, nil, err
	}
	return id, overlay(state, primaryIPOutputs(ip)), nil
}

func primaryIPOutputs(ip *hcloud.PrimaryIP) resource.PropertyMap {
	out := resource.PropertyMap{
		"name": schema.Text(ip.Name), "type": schema.Text(ip.Type), "ipAddress": schema.Text(ip.IP.String()),
		"ipNetwork": resource.NewNullProperty(), "assigneeId": schema.Number(ip.AssigneeID),
		"assigneeType": schema.Text(ip.AssigneeType), "labels": schema.StrMap(ip.Labels),
		"deleteProtection": schema.Flag(ip.Protection.Delete), "autoDelete": schema.Flag(ip.AutoDelete),
	}
	if ip.Type == hcloud.PrimaryIPTypeIPv6 && ip.Network != nil {
		out["ipNetwork"] = schema.Text(ip.Network.String())
	}
	if ip.Location != nil {
		out["location"] = schema.Text(ip.Location.Name)
	}
	return out
}

func (c *cloud) updatePrimaryIP(ctx context.Context, id string, op *provider.Operation) (resource.PropertyMap, error) {
	ip, err := c.findPrimaryIP(ctx, id)
	if err != nil {
		return nil, err
	}
	if op.Changed("deleteProtection") {
		if err := c.protectPrimaryIP(ctx, ip.ID, op.Plan.Bool("deleteProtection")); err != nil {
			return nil, err
		}
	}
	if given(op, "assigneeId") || given(op, "assigneeType") {
		if op.State.Int("assigneeId") != 0 {
			if err := c.unassign(ctx, ip.ID); err != nil {
				return nil, err
			}
		}
		if assignee := op.Inputs.Int("assigneeId"); assignee != 0 {
			if err := c.assign(ctx, ip.ID, assignee, op.Plan.Str("assigneeType")); err != nil {
				return nil, err
			}
		}
	}
	opts := hcloud.PrimaryIPUpdateOpts{}
	if op.Changed("name") {
		opts.Name = op.Plan.Str("name")
	}
	if op.Changed("labels") {
		opts.Labels = new(op.Plan.StrMap("labels"))
	}
	if op.Changed("autoDelete") {
		opts.AutoDelete = new(op.Plan.Bool("autoDelete"))
	}
	if _, _, err := c.client.PrimaryIP.Update(ctx, ip, opts); err != nil {
		return nil, err
	}
	_, outputs, err := c.readPrimaryIP(ctx, id, op.Plan.Map)
	return outputs, err
}

// given says whether the program itself asks for another value than the recorded one.
func given(op *provider.Operation, key string) bool { return op.Inputs.Known(key) && op.Changed(key) }

func (c *cloud) deletePrimaryIP(ctx context.Context, id string, op *provider.Operation) error {
	n, err := number(id)
	if err != nil {
		return err
	}
	ip := &hcloud.PrimaryIP{ID: n}
	if assignee := op.State.Int("assigneeId"); assignee != 0 {
		if err := c.release(ctx, ip, assignee); err != nil {
			return err
		}
	}
	again := func(err error) bool { return !hcloud.IsError(err, hcloud.ErrorCodeNotFound, hcloud.ErrorCodeProtected) }
	err = retry(ctx, 2*retries, again, func() error {
		_, err := c.client.PrimaryIP.Delete(ctx, ip)
		return err
	})
	return ignoreMissing(err)
}

// release takes the address from the server that has it, which must be off meanwhile. Refusals are
// passed over: the server or its assignment may be gone already.
func (c *cloud) release(ctx context.Context, ip *hcloud.PrimaryIP, assignee int64) error {
	server, _, err := c.client.Server.GetByID(ctx, assignee)
	if err != nil || server == nil || (server.PublicNet.IPv4.ID != ip.ID && server.PublicNet.IPv6.ID != ip.ID) {
		return nil
	}
	action, _, _ := c.client.Server.Poweroff(ctx, server)
	if err := c.wait(ctx, action); err != nil {
		return err
	}
	action, _, _ = c.client.PrimaryIP.Unassign(ctx, ip.ID)
	if err := c.wait(ctx, action); err != nil {
		return err
	}
	action, _, _ = c.client.Server.Poweron(ctx, server)
	return c.wait(ctx, action)
}

func (c *cloud) protectPrimaryIP(ctx context.Context, id int64, protect bool) error {
	action, resp, err := c.client.PrimaryIP.ChangeProtection(ctx,
		hcloud.PrimaryIPChangeProtectionOpts{ID: id, Delete: protect})
	return c.done(ctx, action, resp, err)
}

func (c *cloud) assign(ctx context.Context, id, assignee int64, kind string) error {
	action, resp, err := c.client.PrimaryIP.Assign(ctx,
		hcloud.PrimaryIPAssignOpts{ID: id, AssigneeID: assignee, AssigneeType: kind})
	return c.done(ctx, action, resp, err)
}

func (c *cloud) unassign(ctx context.Context, id int64) error {
	action, resp, err := c.client.PrimaryIP.Unassign(ctx, id)
	return c.done(ctx, action, resp, err)
}
