package talos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/siderolabs/talos/pkg/machinery/platforms"
	"golang.org/x/mod/semver"

	"oxide.lab/plugins/internal/provider"
	"oxide.lab/plugins/internal/schema"
)

func (s *settings) schematicResource() *provider.Resource {
	return &provider.Resource{
		Framework:  true,
		Properties: schema.Properties{"schematic": schema.Opt(schema.String)},
		Create: func(ctx context.Context, op *provider.Operation) (string, resource.PropertyMap, error) {
			id, err := s.upload(ctx, op.Plan.Str("schematic"))
			return id, op.Plan.Map, err
		},
		Read: unchanged,
		Update: func(ctx context.Context, _ string, op *provider.Operation) (resource.PropertyMap, error) {
			_, err := s.upload(ctx, op.Plan.Str("schematic"))
			return op.Plan.Map, err
		},
		Delete: keepNothing,
	}
}

// upload registers a schematic with the Image Factory, which answers with its id.
func (s *settings) upload(ctx context.Context, schematic string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.factory+"/schematics", strings.NewReader(schematic))
	if err != nil {
		return "", failed("failed to create schematic", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", failed("failed to create schematic", s.unreachable(err))
	}
	defer resp.Body.Close() //nolint:errcheck
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", failed("failed to create schematic", s.unreachable(err))
	}
	var answer struct {
		ID string `json:"id"`
	}
	if resp.StatusCode >= http.StatusMultipleChoices || json.Unmarshal(body, &answer) != nil || answer.ID == "" {
		return "", failed("failed to create schematic", fmt.Errorf("%s: %s", resp.Status, strings.TrimSpace(string(body))))
	}
	return answer.ID, nil
}

func (s *settings) unreachable(err error) error {
	return fmt.Errorf("the Image Factory at %s cannot be reached: %w; set talos:imageFactoryUrl to one that can, "+
		"or use a schematic id that you know", s.factory, err)
}

// onlineFunction stands for functions that only the Image Factory can answer.
func (s *settings) onlineFunction() *provider.Function {
	return &provider.Function{
		Framework: true, Inputs: schema.Properties{},
		Call: func(context.Context, schema.Values) (resource.PropertyMap, error) {
			return nil, errors.New("this function needs the Image Factory, which the lab's plugin does not ask; " +
				"name the version or extension yourself, or use the official plugin")
		},
	}
}

func (s *settings) urlsFunction() *provider.Function {
	return &provider.Function{
		Framework: true,
		Inputs: schema.Properties{
			"talosVersion": schema.Req(schema.String),
			"schematicId":  schema.Req(schema.String),
			"architecture": schema.Opt(schema.String),
			"platform":     schema.Opt(schema.String),
			"sbc":          schema.Opt(schema.String),
		},
		Call: func(_ context.Context, args schema.Values) (resource.PropertyMap, error) { return s.urls(args) },
	}
}

// urls works out where the Image Factory keeps the files of a schematic.
func (s *settings) urls(args schema.Values) (resource.PropertyMap, error) {
	architecture, platform := args.Str("architecture"), args.Str("platform")
	if architecture == "" {
		architecture = platforms.ArchAmd64
	}
	version := tagged(args.Str("talosVersion"))
	if !semver.IsValid(version) {
		return nil, failed("talos_version is not valid", errors.New("The provided version is not a valid semantic version.")) //nolint:staticcheck
	}
	factory, err := url.Parse(s.factory)
	if err != nil {
		return nil, failed("failed to parse image factory base URL", err)
	}
	id := args.Str("schematicId")
	file := func(path string) resource.PropertyValue {
		return schema.Text(fmt.Sprintf("%s/image/%s/%s/%s", s.factory, id, version, path))
	}
	image := func(name string) resource.PropertyValue {
		return schema.Text(fmt.Sprintf("%s/%s/%s:%s", factory.Host, name, id, version))
	}
	script := func(path string) resource.PropertyValue {
		return schema.Text(fmt.Sprintf("%s://pxe.%s/pxe/%s/%s/%s", factory.Scheme, factory.Host, id, version, path))
	}
	urls := resource.PropertyMap{"installer": image(platform + "-installer")}
	found, known := platforms.MetalPlatform(), platform == "metal"
	for _, cloud := range platforms.CloudPlatforms() {
		if cloud.Name == platform {
			found, known = cloud, true
		}
	}
	switch {
	case platform == "":
		urls["installer"], urls["diskImage"] = image("metal-installer"), file("metal-arm64.raw.xz")
	case !known:
		return nil, failed("failed to find platform", errors.New(platform))
	default:
		platformURLs(urls, found, architecture, file, script)
		if found.SecureBootSupported || platform == "metal" {
			urls["installerSecureboot"] = image(platform + "-installer-secureboot")
		}
	}
	return resource.PropertyMap{
		"id": schema.Text(""), "architecture": schema.Text(architecture), "urls": resource.NewProperty(urls),
	}, nil
}

func platformURLs(
	urls resource.PropertyMap, platform platforms.Platform, architecture string,
	file, script func(string) resource.PropertyValue,
) {
	metal := platform.Name == "metal"
	secure := metal || platform.SecureBootSupported
	methods := platform.BootMethods
	if metal {
		methods = []string{platforms.BootMethodDiskImage, platforms.BootMethodISO, platforms.BootMethodPXE}
		urls["kernel"], urls["initramfs"] = file(platform.KernelPath(architecture)), file(platform.InitramfsPath(architecture))
		urls["kernelCommandLine"], urls["uki"] = file(platform.CmdlinePath(architecture)), file(platform.SecureBootUKIPath(architecture))
	}
	for _, method := range methods {
		switch method {
		case platforms.BootMethodDiskImage:
			urls["diskImage"] = file(platform.DiskImageDefaultPath(architecture))
			if secure {
				urls["diskImageSecureboot"] = file(platform.SecureBootDiskImageDefaultPath(architecture))
			}
		case platforms.BootMethodPXE:
			urls["pxe"] = script(platform.PXEScriptPath(architecture))
		case platforms.BootMethodISO:
			urls["iso"] = file(platform.ISOPath(architecture))
			if secure {
				urls["isoSecureboot"] = file(platform.SecureBootISOPath(architecture))
			}
		}
	}
}
