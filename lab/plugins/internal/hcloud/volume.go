package hcloud

import (
	"context"

	"github.com/hetznercloud/hcloud-go/v2/hcloud"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"oxide.lab/plugins/internal/provider"
	"oxide.lab/plugins/internal/schema"
)

func (c *cloud) volume() *provider.Resource {
	return classic(&provider.Resource{
		Properties: schema.Properties{
			"name":             schema.Req(schema.String),
			"size":             schema.Req(schema.Int),
			"location":         schema.OptOut(schema.String).Replacing(),
			"serverId":         schema.OptOut(schema.Int),
			"labels":           labels(),
			"linuxDevice":      schema.Out(schema.String),
			"automount":        schema.Opt(schema.Bool),
			"format":           schema.Opt(schema.String),
			"deleteProtection": schema.Opt(schema.Bool).Else(false),
		},
		Create: c.createVolume,
		Read:   c.readVolume,
		Update: c.updateVolume,
		Delete: func(ctx context.Context, id string, _ *provider.Operation) error {
			volume, err := c.findVolume(ctx, id)
			if err != nil {
				return err
			}
			if err := c.detachVolume(ctx, volume); err != nil {
				return err
			}
			return retry(ctx, retries, always, func() error {
				_, err := c.client.Volume.Delete(ctx, volume)
				return ignoreMissing(err)
			})
		},
	})
}

func (c *cloud) createVolume(ctx context.Context, op *provider.Operation) (string, resource.PropertyMap, error) {
	opts := hcloud.VolumeCreateOpts{
		Name: op.Plan.Str("name"), Size: int(op.Plan.Int("size")), Labels: op.Plan.StrMap("labels"),
		Format: textOrNil(op.Plan, "format"),
	}
	if op.Plan.Bool("automount") {
		opts.Automount = new(true)
	}
	if server := op.Inputs.Int("serverId"); server != 0 {
		opts.Server = &hcloud.Server{ID: server}
	}
	if location := op.Inputs.Str("location"); location != "" {
		opts.Location = &hcloud.Location{Name: location}
	}
	var result hcloud.VolumeCreateResult
	err := retry(ctx, retries, coded(hcloud.ErrorCodeLocked), func() (err error) {
		result, _, err = c.client.Volume.Create(ctx, opts)
		return err
	})
	if err != nil {
		return "", nil, err
	}
	id := idText(result.Volume.ID)
	if err := c.wait(ctx, append([]*hcloud.Action{result.Action}, result.NextActions...)...); err != nil {
		return id, nil, err
	}
	if op.Plan.Bool("deleteProtection") {
		if err := c.protectVolume(ctx, result.Volume, true); err != nil {
			return id, nil, err
		}
	}
	return c.readVolume(ctx, id, op.Plan.Map)
}

func (c *cloud) findVolume(ctx context.Context, id string) (*hcloud.Volume, error) {
	n, err := number(id)
	if err != nil {
		return nil, err
	}
	volume, _, err := c.client.Volume.GetByID(ctx, n)
	return missing(volume, err)
}

func (c *cloud) readVolume(ctx context.Context, id string, state resource.PropertyMap) (string, resource.PropertyMap, error) {
	volume, err := c.findVolume(ctx, id)
	if err != nil {
		return id, nil, err
	}
	out := resource.PropertyMap{
		"name": schema.Text(volume.Name), "size": schema.Number(volume.Size),
		"location": schema.Text(volume.Location.Name), "labels": schema.StrMap(volume.Labels),
		"linuxDevice": schema.Text(volume.LinuxDevice), "deleteProtection": schema.Flag(volume.Protection.Delete),
	}
	if volume.Server != nil {
		out["serverId"] = schema.Number(volume.Server.ID)
	}
	return id, overlay(state, out), nil
}

func (c *cloud) updateVolume(ctx context.Context, id string, op *provider.Operation) (resource.PropertyMap, error) {
	volume, err := c.findVolume(ctx, id)
	if err != nil {
		return nil, err
	}
	if op.Changed("name") {
		if _, _, err := c.client.Volume.Update(ctx, volume, hcloud.VolumeUpdateOpts{Name: op.Plan.Str("name")}); err != nil {
			return nil, err
		}
	}
	if op.Changed("serverId") {
		if err := c.detachVolume(ctx, volume); err != nil {
			return nil, err
		}
		if server := op.Plan.Int("serverId"); server != 0 {
			if err := c.attachVolume(ctx, volume, server, op.Plan.Bool("automount"), always); err != nil {
				return nil, err
			}
		}
	}
	if op.Changed("size") {
		action, resp, err := c.client.Volume.Resize(ctx, volume, int(op.Plan.Int("size")))
		if err := c.done(ctx, action, resp, err); err != nil {
			return nil, err
		}
	}
	if op.Changed("labels") {
		opts := hcloud.VolumeUpdateOpts{Labels: op.Plan.StrMap("labels")}
		if _, _, err := c.client.Volume.Update(ctx, volume, opts); err != nil {
			return nil, err
		}
	}
	if op.Changed("deleteProtection") {
		if err := c.protectVolume(ctx, volume, op.Plan.Bool("deleteProtection")); err != nil {
			return nil, err
		}
	}
	_, outputs, err := c.readVolume(ctx, id, op.Plan.Map)
	return outputs, err
}

func (c *cloud) attachVolume(ctx context.Context, volume *hcloud.Volume, server int64, mount bool, again func(error) bool) error {
	opts := hcloud.VolumeAttachOpts{Server: &hcloud.Server{ID: server}}
	if mount {
		opts.Automount = &mount
	}
	return retry(ctx, retries, again, func() error {
		action, resp, err := c.client.Volume.AttachWithOpts(ctx, volume, opts)
		return c.done(ctx, action, resp, err)
	})
}

func (c *cloud) detachVolume(ctx context.Context, volume *hcloud.Volume) error {
	if volume.Server == nil {
		return nil
	}
	return retry(ctx, retries, always, func() error {
		action, resp, err := c.client.Volume.Detach(ctx, volume)
		return ignoreMissing(c.done(ctx, action, resp, err))
	})
}

func (c *cloud) protectVolume(ctx context.Context, volume *hcloud.Volume, protect bool) error {
	action, resp, err := c.client.Volume.ChangeProtection(ctx, volume, hcloud.VolumeChangeProtectionOpts{Delete: &protect})
	return c.done(ctx, action, resp, err)
}

func (c *cloud) volumeAttachment() *provider.Resource {
	read := func(ctx context.Context, id string, state resource.PropertyMap) (string, resource.PropertyMap, error) {
		volume, err := c.findVolume(ctx, id)
		if err != nil {
			return id, nil, err
		}
		if volume.Server == nil {
			return id, nil, provider.ErrGone
		}
		return id, overlay(state, resource.PropertyMap{
			"volumeId": schema.Number(volume.ID), "serverId": schema.Number(volume.Server.ID),
		}), nil
	}
	return classic(&provider.Resource{
		Properties: schema.Properties{
			"volumeId":  schema.Req(schema.Int).Replacing(),
			"serverId":  schema.Req(schema.Int).Replacing(),
			"automount": schema.OptOut(schema.Bool),
		},
		Create: func(ctx context.Context, op *provider.Operation) (string, resource.PropertyMap, error) {
			volume := &hcloud.Volume{ID: op.Plan.Int("volumeId")}
			err := c.attachVolume(ctx, volume, op.Plan.Int("serverId"), op.Inputs.Bool("automount"),
				coded(hcloud.ErrorCodeLocked))
			if err != nil {
				return "", nil, err
			}
			return read(ctx, idText(volume.ID), op.Plan.Map)
		},
		Read: read,
		Delete: func(ctx context.Context, id string, _ *provider.Operation) error {
			volume, err := c.findVolume(ctx, id)
			if err != nil {
				return err
			}
			return c.detachVolume(ctx, volume)
		},
	})
}
