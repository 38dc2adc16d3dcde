package talos

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	sideronet "github.com/siderolabs/net"
	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/bundle"
	"github.com/siderolabs/talos/pkg/machinery/config/configpatcher"
	"github.com/siderolabs/talos/pkg/machinery/config/encoder"
	"github.com/siderolabs/talos/pkg/machinery/config/generate"
	"github.com/siderolabs/talos/pkg/machinery/config/machine"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/gendata"
	"golang.org/x/mod/semver"

	"oxide.lab/plugins/internal/provider"
	"oxide.lab/plugins/internal/schema"
)

func configurationFunction() *provider.Function {
	return &provider.Function{
		Framework: true,
		Inputs: schema.Properties{
			"clusterName":       schema.Req(schema.String).Checked(checkName),
			"clusterEndpoint":   schema.Req(schema.String).Checked(checkEndpoint),
			"machineType":       schema.Req(schema.String).Checked(checkMachineType),
			"machineSecrets":    schema.Req(schema.Object).With(machineSecrets(schema.Req, schema.Req)),
			"kubernetesVersion": schema.Opt(schema.String),
			"talosVersion":      schema.Opt(schema.String).Checked(checkContract),
			"configPatches":     schema.Opt(schema.List).OfStrings().Checked(checkPatches),
			"docs":              schema.Opt(schema.Bool),
			"examples":          schema.Opt(schema.Bool),
		},
		Outputs: schema.Properties{
			"machineConfiguration": schema.Out(schema.String).AsSecret(),
			"machineSecrets":       schema.Out(schema.Object).With(machineSecrets(schema.Out, schema.Out)),
		},
		Call: generateConfiguration,
	}
}

func checkName(value resource.PropertyValue) error {
	if value.StringValue() == "" {
		return errors.New("Invalid Attribute Value Length: string length must be at least 1, got: 0") //nolint:staticcheck
	}
	return nil
}

func checkMachineType(value resource.PropertyValue) error {
	if text := value.StringValue(); text != "controlplane" && text != "worker" {
		return fmt.Errorf("Invalid Attribute Value Match: value must be one of: [%q %q], got: %q", //nolint:staticcheck
			"controlplane", "worker", text)
	}
	return nil
}

func checkPatches(value resource.PropertyValue) error {
	var patches []string
	for _, item := range value.ArrayValue() {
		if !item.IsString() {
			return nil
		}
		patches = append(patches, item.StringValue())
	}
	if _, err := configpatcher.LoadPatches(patches); err != nil {
		return failed("config_patches are invalid", err)
	}
	return nil
}

func checkEndpoint(value resource.PropertyValue) error {
	endpoint := value.StringValue()
	parsed, err := url.Parse(endpoint)
	if err != nil && strings.Contains(endpoint, "/") {
		return failed("cluster_endpoint is invalid", fmt.Errorf("failed to parse the cluster endpoint URL: %w", err))
	}
	if err != nil {
		parsed = &url.URL{Host: endpoint}
	}
	switch {
	case parsed.Scheme == "":
		return failed("cluster_endpoint is invalid",
			fmt.Errorf("no scheme specified for the cluster endpoint URL\ntry: %q", suggested(parsed)))
	case parsed.Scheme != "https":
		return failed("cluster_endpoint is invalid",
			fmt.Errorf("the control plane endpoint URL should have scheme https://\ntry: %q", suggested(parsed)))
	}
	if err := sideronet.ValidateEndpointURI(endpoint); err != nil {
		return failed("cluster_endpoint is invalid", fmt.Errorf("error validating the cluster endpoint URL: %w", err))
	}
	return nil
}

func suggested(u *url.URL) *url.URL {
	if u.Scheme == "" && u.Host == "" {
		u.Host, u.Path = u.Path, ""
	}
	u.Scheme = "https"
	if u.Port() == "" {
		u.Host = fmt.Sprintf("%s:%d", u.Host, constants.DefaultControlPlanePort)
	}
	return u
}

// generateConfiguration makes the machine configuration of a kind of node.
func generateConfiguration(_ context.Context, args schema.Values) (resource.PropertyMap, error) {
	kubernetes, version := args.Str("kubernetesVersion"), args.Str("talosVersion")
	if !args.Known("kubernetesVersion") {
		kubernetes = constants.DefaultKubernetesVersion
	}
	if !args.Known("talosVersion") {
		version = semver.MajorMinor(gendata.VersionTag)
	}
	given, _ := args.Object("machineSecrets")
	secretsBundle, err := readBundle(given)
	if err != nil {
		return nil, failed("failed to convert machine secrets certs to secrets bundle certs", err)
	}
	contract, err := config.ParseContractFromVersion(version)
	if err != nil {
		return nil, failed("failed to generate machine configuration", err)
	}
	patches, err := configpatcher.LoadPatches(args.Strs("configPatches"))
	if err != nil {
		return nil, failed("failed to generate machine configuration", fmt.Errorf("error parsing config patch: %w", err))
	}
	kind, patch := machine.TypeWorker, bundle.WithPatchWorker
	if args.Str("machineType") == "controlplane" {
		kind, patch = machine.TypeControlPlane, bundle.WithPatchControlPlane
	}
	made, err := bundle.NewBundle(
		bundle.WithInputOptions(&bundle.InputOptions{
			ClusterName: args.Str("clusterName"),
			Endpoint:    args.Str("clusterEndpoint"),
			KubeVersion: strings.TrimPrefix(kubernetes, "v"),
			GenOptions: []generate.Option{
				generate.WithClusterDiscovery(true),
				generate.WithDNSDomain(constants.DefaultDNSDomain),
				generate.WithInstallDisk("/dev/sda"),
				generate.WithInstallImage(installerImage()),
				generate.WithSecretsBundle(secretsBundle),
				generate.WithVersionContract(contract),
			},
		}),
		bundle.WithVerbose(false),
		patch(patches),
	)
	if err != nil {
		return nil, failed("failed to generate machine configuration", err)
	}
	text, err := made.Serialize(comments(args), kind)
	if err != nil {
		return nil, failed("failed to generate machine configuration", err)
	}
	return resource.PropertyMap{
		"id":                   schema.Text(args.Str("clusterName")),
		"kubernetesVersion":    schema.Text(kubernetes),
		"talosVersion":         schema.Text(version),
		"machineConfiguration": schema.Text(string(text)),
	}, nil
}

func installerImage() string {
	return fmt.Sprintf("%s/%s/installer:%s", gendata.ImagesRegistry, gendata.ImagesUsername, gendata.VersionTag)
}

func comments(args schema.Values) encoder.CommentsFlags {
	flags := encoder.CommentsDisabled
	if args.Bool("docs") {
		flags |= encoder.CommentsDocs
	}
	if args.Bool("examples") {
		flags |= encoder.CommentsExamples
	}
	return flags
}

func clientFunction() *provider.Function {
	return &provider.Function{
		Framework: true,
		Inputs: schema.Properties{
			"clusterName":         schema.Req(schema.String).Checked(checkName),
			"clientConfiguration": schema.Req(schema.Object).With(clientConfiguration(schema.Req)),
			"endpoints":           schema.Opt(schema.List).OfStrings(),
			"nodes":               schema.Opt(schema.List).OfStrings(),
		},
		Outputs: schema.Properties{
			"talosConfig":         schema.Out(schema.String).AsSecret(),
			"clientConfiguration": schema.Out(schema.Object).With(clientConfiguration(schema.Out)),
		},
		Call: func(_ context.Context, args schema.Values) (resource.PropertyMap, error) {
			name := args.Str("clusterName")
			client, _ := args.Object("clientConfiguration")
			made, err := talosconfig(name, client)
			if err != nil {
				return nil, failed("failed to generate talos config", err)
			}
			if endpoints := args.Strs("endpoints"); len(endpoints) > 0 {
				made.Contexts[name].Endpoints = endpoints
			}
			if nodes := args.Strs("nodes"); len(nodes) > 0 {
				made.Contexts[name].Nodes = nodes
			}
			text, err := made.Bytes()
			if err != nil {
				return nil, failed("failed to generate talos config", err)
			}
			return resource.PropertyMap{"id": schema.Text(name), "talosConfig": schema.Text(string(text))}, nil
		},
	}
}
