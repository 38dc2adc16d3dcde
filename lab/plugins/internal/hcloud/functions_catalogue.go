package hcloud

import (
	"context"
	"fmt"
	"time"

	"github.com/hetznercloud/hcloud-go/v2/hcloud"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"oxide.lab/plugins/internal/provider"
	"oxide.lab/plugins/internal/schema"
)

func (c *cloud) serverFunctions(put func(string, *provider.Function)) {
	servers := lookup[hcloud.Server]{
		noun: "Server", plural: "servers",
		extra: schema.Properties{
			"withStatuses":     schema.Opt(schema.List).OfStrings(),
			"placementGroupId": schema.Opt(schema.Int),
		},
		byID: func(ctx context.Context, id int64) (*hcloud.Server, *hcloud.Response, error) {
			return c.client.Server.GetByID(ctx, id)
		},
		byName: func(ctx context.Context, name string) (*hcloud.Server, *hcloud.Response, error) {
			return c.client.Server.GetByName(ctx, name)
		},
		all: func(ctx context.Context, args schema.Values) ([]*hcloud.Server, error) {
			opts := hcloud.ServerListOpts{ListOpts: selected(args)}
			for _, status := range args.Strs("withStatuses") {
				opts.Status = append(opts.Status, hcloud.ServerStatus(status))
			}
			return c.client.Server.AllWithOpts(ctx, opts)
		},
		outputs: func(server *hcloud.Server) resource.PropertyMap {
			out := serverOutputs(server, schema.Values{})
			networks := []resource.PropertyMap{}
			for _, attached := range server.PrivateNet {
				networks = append(networks, resource.PropertyMap{
					"networkId": schema.Number(attached.Network.ID), "ip": schema.Text(attached.IP.String()),
					"aliasIps": schema.Strings(addressTexts(attached.Aliases)), "macAddress": schema.Text(attached.MACAddress),
				})
			}
			out["networks"] = schema.Objects(networks)
			return numbered(server.ID, out)
		},
	}
	put("getServer", servers.one())
	put("getServers", servers.many())
}

func imageOutputs(image *hcloud.Image) resource.PropertyMap {
	return numbered(image.ID, resource.PropertyMap{
		"type": schema.Text(image.Type), "name": schema.Text(image.Name), "description": schema.Text(image.Description),
		"labels": schema.StrMap(image.Labels), "created": stamp(image.Created), "osFlavor": schema.Text(image.OSFlavor),
		"osVersion": schema.Text(image.OSVersion), "architecture": schema.Text(image.Architecture),
		"rapidDeploy": schema.Flag(image.RapidDeploy), "deprecated": stamp(image.Deprecated),
		"isDeprecated": schema.Flag(!image.Deprecated.IsZero()), "deprecationAnnounced": stamp(image.Deprecated),
		"unavailableAfter": resource.NewNullProperty(),
	})
}

func imageOptions(args schema.Values, architectures []string) hcloud.ImageListOpts {
	opts := hcloud.ImageListOpts{ListOpts: selected(args), Name: args.Str("name"), IncludeDeprecated: args.Bool("includeDeprecated")}
	for _, status := range args.Strs("withStatuses") {
		opts.Status = append(opts.Status, hcloud.ImageStatus(status))
	}
	for _, architecture := range architectures {
		opts.Architecture = append(opts.Architecture, hcloud.Architecture(architecture))
	}
	if args.Bool("mostRecent") {
		opts.Sort = []string{"created:desc"}
	}
	return opts
}

func (c *cloud) imageFunctions(put func(string, *provider.Function)) {
	shared := func(more schema.Properties) schema.Properties {
		more["includeDeprecated"], more["mostRecent"] = schema.Opt(schema.Bool), schema.Opt(schema.Bool)
		more["withSelector"], more["withStatuses"] = schema.Opt(schema.String), schema.Opt(schema.List).OfStrings()
		return more
	}
	put("getImage", &provider.Function{
		Framework: true,
		Inputs: shared(schema.Properties{
			"id": schema.Opt(schema.Int), "name": schema.Opt(schema.String), "selector": schema.Opt(schema.String),
			"withArchitecture": schema.Opt(schema.String),
		}),
		Verify: func(args schema.Values) provider.Failures {
			for _, reason := range exactlyOne(args, "id", "name", "selector", "withSelector") {
				return provider.Failures{{Reason: reason}}
			}
			return nil
		},
		Call: c.getImage,
	})
	put("getImages", &provider.Function{
		Framework: true,
		Inputs:    shared(schema.Properties{"withArchitectures": schema.Opt(schema.List).OfStrings()}),
		Call: func(ctx context.Context, args schema.Values) (resource.PropertyMap, error) {
			found, err := c.client.Image.AllWithOpts(ctx, imageOptions(args, args.Strs("withArchitectures")))
			if err != nil {
				return nil, request(err)
			}
			items := []resource.PropertyMap{}
			for _, image := range found {
				items = append(items, imageOutputs(image))
			}
			return resource.PropertyMap{"id": schema.Text(listID(items)), "images": schema.Objects(items)}, nil
		},
	})
}

func (c *cloud) getImage(ctx context.Context, args schema.Values) (resource.PropertyMap, error) {
	if id := args.Int("id"); id != 0 {
		image, _, err := c.client.Image.GetByID(ctx, id)
		if err != nil {
			return nil, request(err)
		}
		if image == nil {
			return nil, notFound(fmt.Sprintf("Resource (image) was not found: id=%d", id))
		}
		return imageOutputs(image), nil
	}
	architecture := args.Str("withArchitecture")
	if architecture == "" {
		architecture = string(hcloud.ArchitectureX86)
	}
	opts := imageOptions(args, []string{architecture})
	found, _, err := c.client.Image.List(ctx, opts)
	if err != nil {
		return nil, request(err)
	}
	using := "label selector: " + opts.LabelSelector
	if opts.Name != "" {
		using = "name: " + opts.Name
	}
	if len(found) == 0 {
		return nil, notFound(fmt.Sprintf("Resource (image) was not found using %s\n\nQuery parameters: %s",
			using, opts.Values().Encode()))
	}
	if len(found) > 1 && !args.Bool("mostRecent") {
		return nil, &provider.Summary{Title: "Found more than one resource",
			Detail: fmt.Sprintf("Found more than one resource (image) using %s\n\nQuery parameters: %s",
				using, opts.Values().Encode())}
	}
	return imageOutputs(found[0]), nil
}

func notFound(detail string) error {
	return &provider.Summary{Title: "Resource not found", Detail: detail}
}

func locationOutputs(location *hcloud.Location) resource.PropertyMap {
	return numbered(location.ID, resource.PropertyMap{
		"name": schema.Text(location.Name), "description": schema.Text(location.Description),
		"country": schema.Text(location.Country), "city": schema.Text(location.City),
		"latitude": resource.NewProperty(location.Latitude), "longitude": resource.NewProperty(location.Longitude),
		"networkZone": schema.Text(location.NetworkZone),
	})
}

// deprecated adds whether, since when and until when something is sold; times that nobody set are empty.
func deprecated(info *hcloud.DeprecationInfo, out resource.PropertyMap) resource.PropertyMap {
	announced, until := "", ""
	if info != nil {
		announced, until = info.Announced.Format(time.RFC3339), info.UnavailableAfter.Format(time.RFC3339)
	}
	out["isDeprecated"] = schema.Flag(info != nil)
	out["deprecationAnnounced"], out["unavailableAfter"] = schema.Text(announced), schema.Text(until)
	return out
}

func serverTypeOutputs(kind *hcloud.ServerType) resource.PropertyMap {
	locations := []resource.PropertyMap{}
	for _, offered := range kind.Locations {
		locations = append(locations, numbered(offered.Location.ID, deprecated(offered.Deprecation, resource.PropertyMap{
			"name": schema.Text(offered.Location.Name), "available": schema.Flag(offered.Available),
			"recommended": schema.Flag(offered.Recommended),
		})))
	}
	return numbered(kind.ID, deprecated(kind.Deprecation, resource.PropertyMap{
		"name": schema.Text(kind.Name), "description": schema.Text(kind.Description), "category": schema.Text(kind.Category),
		"cores": schema.Number(kind.Cores), "memory": schema.Number(kind.Memory), "disk": schema.Number(kind.Disk),
		"storageType": schema.Text(kind.StorageType), "cpuType": schema.Text(kind.CPUType),
		"architecture": schema.Text(kind.Architecture), "locations": schema.Objects(locations),
		"includedTraffic": schema.Number(int64(0)),
	}))
}

func loadBalancerTypeOutputs(kind *hcloud.LoadBalancerType) resource.PropertyMap {
	return numbered(kind.ID, resource.PropertyMap{
		"name": schema.Text(kind.Name), "description": schema.Text(kind.Description),
		"maxAssignedCertificates": schema.Number(kind.MaxAssignedCertificates),
		"maxConnections":          schema.Number(kind.MaxConnections), "maxServices": schema.Number(kind.MaxServices),
		"maxTargets": schema.Number(kind.MaxTargets), "isDeprecated": schema.Flag(kind.IsDeprecated()),
	})
}

// catalogue makes a function that lists everything, with the columns that older programs read.
func catalogue[T any](list, ids string, all func(context.Context) ([]*T, error), outputs func(*T) resource.PropertyMap) *provider.Function {
	return &provider.Function{Framework: true, Inputs: schema.Properties{},
		Call: func(ctx context.Context, _ schema.Values) (resource.PropertyMap, error) {
			found, err := all(ctx)
			if err != nil {
				return nil, request(err)
			}
			items := []resource.PropertyMap{}
			var numbers, names, descriptions []resource.PropertyValue
			for _, item := range found {
				out := outputs(item)
				items = append(items, out)
				numbers = append(numbers, schema.Text(idText(int64(out["id"].NumberValue()))))
				names = append(names, out["name"])
				descriptions = append(descriptions, out["description"])
			}
			return resource.PropertyMap{
				"id":                       schema.Text(listID(items)),
				resource.PropertyKey(list): schema.Objects(items),
				resource.PropertyKey(ids):  resource.NewProperty(numbers),
				"names":                    resource.NewProperty(names),
				"descriptions":             resource.NewProperty(descriptions),
			}, nil
		}}
}

func (c *cloud) catalogueFunctions(put func(string, *provider.Function)) {
	locations := lookup[hcloud.Location]{
		noun: "location", outputs: locationOutputs,
		byID: func(ctx context.Context, id int64) (*hcloud.Location, *hcloud.Response, error) {
			return c.client.Location.GetByID(ctx, id)
		},
		byName: func(ctx context.Context, name string) (*hcloud.Location, *hcloud.Response, error) {
			return c.client.Location.GetByName(ctx, name)
		},
	}
	put("getLocation", locations.one())
	put("getLocations", catalogue("locations", "locationIds", func(ctx context.Context) ([]*hcloud.Location, error) {
		return c.client.Location.All(ctx)
	}, locationOutputs))
	kinds := lookup[hcloud.ServerType]{
		noun: "server type", outputs: serverTypeOutputs,
		byID: func(ctx context.Context, id int64) (*hcloud.ServerType, *hcloud.Response, error) {
			return c.client.ServerType.GetByID(ctx, id)
		},
		byName: func(ctx context.Context, name string) (*hcloud.ServerType, *hcloud.Response, error) {
			return c.client.ServerType.GetByName(ctx, name)
		},
	}
	put("getServerType", kinds.one())
	put("getServerTypes", catalogue("serverTypes", "serverTypeIds", func(ctx context.Context) ([]*hcloud.ServerType, error) {
		return c.client.ServerType.All(ctx)
	}, serverTypeOutputs))
	balancers := lookup[hcloud.LoadBalancerType]{
		noun: "load balancer type", outputs: loadBalancerTypeOutputs,
		byID: func(ctx context.Context, id int64) (*hcloud.LoadBalancerType, *hcloud.Response, error) {
			return c.client.LoadBalancerType.GetByID(ctx, id)
		},
		byName: func(ctx context.Context, name string) (*hcloud.LoadBalancerType, *hcloud.Response, error) {
			return c.client.LoadBalancerType.GetByName(ctx, name)
		},
	}
	put("getLoadBalancerType", balancers.one())
	put("getLoadBalancerTypes", &provider.Function{Framework: true, Inputs: schema.Properties{},
		Call: func(ctx context.Context, _ schema.Values) (resource.PropertyMap, error) {
			found, err := c.client.LoadBalancerType.All(ctx)
			if err != nil {
				return nil, request(err)
			}
			items := []resource.PropertyMap{}
			for _, kind := range found {
				items = append(items, loadBalancerTypeOutputs(kind))
			}
			return resource.PropertyMap{"id": schema.Text(listID(items)), "loadBalancerTypes": schema.Objects(items)}, nil
		}})
}
