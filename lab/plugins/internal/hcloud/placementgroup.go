package hcloud

import (
	"context"
	"fmt"

	"github.com/hetznercloud/hcloud-go/v2/hcloud"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"oxide.lab/plugins/internal/provider"
	"oxide.lab/plugins/internal/schema"
)

func (c *cloud) placementGroup() *provider.Resource {
	return classic(&provider.Resource{
		Properties: schema.Properties{
			"name":    schema.Req(schema.String),
			"labels":  labels(),
			"servers": schema.Out(schema.Set).OfInts(),
			"type": schema.Req(schema.String).Checked(func(value resource.PropertyValue) error {
				if value.StringValue() != "spread" {
					return fmt.Errorf("%s is not a valid placement group type", value.StringValue())
				}
				return nil
			}),
		},
		Create: func(ctx context.Context, op *provider.Operation) (string, resource.PropertyMap, error) {
			result, _, err := c.client.PlacementGroup.Create(ctx, hcloud.PlacementGroupCreateOpts{
				Name: op.Plan.Str("name"), Labels: op.Plan.StrMap("labels"),
				Type: hcloud.PlacementGroupType(op.Plan.Str("type")),
			})
			if err != nil {
				return "", nil, err
			}
			id := idText(result.PlacementGroup.ID)
			if err := c.wait(ctx, result.Action); err != nil {
				return id, nil, err
			}
			return c.readPlacementGroup(ctx, id, op.Plan.Map)
		},
		Read: c.readPlacementGroup,
		Update: func(ctx context.Context, id string, op *provider.Operation) (resource.PropertyMap, error) {
			group, err := c.findPlacementGroup(ctx, id)
			if err != nil {
				return nil, err
			}
			opts := hcloud.PlacementGroupUpdateOpts{}
			if op.Changed("name") {
				opts.Name = op.Plan.Str("name")
			}
			if op.Changed("labels") {
				opts.Labels = op.Plan.StrMap("labels")
			}
			if _, _, err := c.client.PlacementGroup.Update(ctx, group, opts); err != nil {
				return nil, err
			}
			_, outputs, err := c.readPlacementGroup(ctx, id, op.Plan.Map)
			return outputs, err
		},
		Delete: func(ctx context.Context, id string, _ *provider.Operation) error {
			n, err := number(id)
			if err != nil {
				return err
			}
			_, err = c.client.PlacementGroup.Delete(ctx, &hcloud.PlacementGroup{ID: n})
			return err
		},
	})
}

func (c *cloud) findPlacementGroup(ctx context.Context, id string) (*hcloud.PlacementGroup, error) {
	n, err := number(id)
	if err != nil {
		return nil, err
	}
	group, _, err := c.client.PlacementGroup.GetByID(ctx, n)
	return missing(group, err)
}

func (c *cloud) readPlacementGroup(ctx context.Context, id string, state resource.PropertyMap) (string, resource.PropertyMap, error) {
	group, err := c.findPlacementGroup(ctx, id)
	if err != nil {
		return id, nil, err
	}
	return id, overlay(state, placementGroupOutputs(group)), nil
}

func placementGroupOutputs(group *hcloud.PlacementGroup) resource.PropertyMap {
	return resource.PropertyMap{
		"name": schema.Text(group.Name), "labels": schema.StrMap(group.Labels),
		"type": schema.Text(group.Type), "servers": schema.Ints(group.Servers),
	}
}

func (c *cloud) sshKey() *provider.Resource {
	return framework(&provider.Resource{
		Properties: schema.Properties{
			"name":        schema.Req(schema.String),
			"publicKey":   schema.Req(schema.String).Replacing(),
			"fingerprint": schema.Out(schema.String),
			"labels":      frameworkLabels(),
		},
		Create: func(ctx context.Context, op *provider.Operation) (string, resource.PropertyMap, error) {
			key, _, err := c.client.SSHKey.Create(ctx, hcloud.SSHKeyCreateOpts{
				Name: op.Plan.Str("name"), PublicKey: op.Plan.Str("publicKey"), Labels: op.Plan.StrMap("labels"),
			})
			if err != nil {
				return "", nil, err
			}
			return idText(key.ID), overlay(op.Plan.Map, sshKeyOutputs(key)), nil
		},
		Read: func(ctx context.Context, id string, state resource.PropertyMap) (string, resource.PropertyMap, error) {
			n, err := number(id)
			if err != nil {
				return id, nil, err
			}
			key, _, err := c.client.SSHKey.GetByID(ctx, n)
			if key, err = missing(key, err); err != nil {
				return id, nil, err
			}
			return id, overlay(state, sshKeyOutputs(key)), nil
		},
		Update: func(ctx context.Context, id string, op *provider.Operation) (resource.PropertyMap, error) {
			n, err := number(id)
			if err != nil {
				return nil, err
			}
			opts := hcloud.SSHKeyUpdateOpts{}
			if op.Changed("name") {
				opts.Name = op.Plan.Str("name")
			}
			if op.Changed("labels") {
				opts.Labels = op.Plan.StrMap("labels")
			}
			key, _, err := c.client.SSHKey.Update(ctx, &hcloud.SSHKey{ID: n}, opts)
			if err != nil {
				return nil, err
			}
			return overlay(op.Plan.Map, sshKeyOutputs(key)), nil
		},
		Delete: func(ctx context.Context, id string, _ *provider.Operation) error {
			n, err := number(id)
			if err != nil {
				return err
			}
			_, err = c.client.SSHKey.Delete(ctx, &hcloud.SSHKey{ID: n})
			return ignoreMissing(err)
		},
	})
}

func sshKeyOutputs(key *hcloud.SSHKey) resource.PropertyMap {
	return resource.PropertyMap{
		"name": schema.Text(key.Name), "publicKey": schema.Text(key.PublicKey),
		"fingerprint": schema.Text(key.Fingerprint), "labels": schema.StrMap(key.Labels),
	}
}

// frameworkLabels are an empty map when the program leaves them out.
func frameworkLabels() *schema.Property {
	return labels().Else(map[string]any{})
}
