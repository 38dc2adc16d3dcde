// Package talos holds the resources and functions of the Talos provider.
package talos

import (
	"context"
	"fmt"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/siderolabs/talos/pkg/machinery/config"

	"oxide.lab/plugins/internal/provider"
	"oxide.lab/plugins/internal/schema"
)

// Version is that of the official plugin whose behaviour is followed.
const Version = "0.8.1"

const defaultFactory = "https://factory.talos.dev"

// settings are what the provider was configured with.
type settings struct{ factory string }

// Spec returns the provider.
func Spec() *provider.Spec {
	s := &settings{factory: defaultFactory}
	return &provider.Spec{
		Name:    "talos",
		Version: Version,
		Config:  schema.Properties{"imageFactoryUrl": schema.Opt(schema.String)},
		Configure: func(_ context.Context, config schema.Values) error {
			if url := config.Str("imageFactoryUrl"); url != "" {
				s.factory = strings.TrimSuffix(url, "/")
			}
			return nil
		},
		Resources: map[string]*provider.Resource{
			"talos:machine/secrets:Secrets":                       secretsResource(),
			"talos:machine/configurationApply:ConfigurationApply": applyResource(),
			"talos:machine/bootstrap:Bootstrap":                   bootstrapResource(),
			"talos:cluster/kubeconfig:Kubeconfig":                 kubeconfigResource(),
			"talos:imageFactory/schematic:Schematic":              s.schematicResource(),
		},
		Functions: map[string]*provider.Function{
			"talos:machine/getConfiguration:getConfiguration":                configurationFunction(),
			"talos:client/getConfiguration:getConfiguration":                 clientFunction(),
			"talos:cluster/getHealth:getHealth":                              healthFunction(),
			"talos:cluster/getKubeconfig:getKubeconfig":                      kubeconfigFunction(),
			"talos:imageFactory/getUrls:getUrls":                             s.urlsFunction(),
			"talos:imageFactory/getVersions:getVersions":                     s.onlineFunction(),
			"talos:imageFactory/getExtensionsVersions:getExtensionsVersions": s.onlineFunction(),
			"talos:imageFactory/getOverlaysVersions:getOverlaysVersions":     s.onlineFunction(),
		},
	}
}

func failed(title string, err error) error {
	return &provider.Summary{Title: title, Detail: err.Error()}
}

func checkContract(value resource.PropertyValue) error {
	if _, err := config.ParseContractFromVersion(value.StringValue()); err != nil {
		return fmt.Errorf("Invalid version: %w", err) //nolint:staticcheck // shown as a sentence
	}
	return nil
}

// clientConfiguration describes the certificates with which a client shows who it is.
func clientConfiguration(kind func(schema.Kind) *schema.Property) schema.Properties {
	return schema.Properties{
		"caCertificate":     kind(schema.String),
		"clientCertificate": kind(schema.String),
		"clientKey":         kind(schema.String).AsSecret(),
	}
}

func timeouts(keys ...string) *schema.Property {
	fields := schema.Properties{}
	for _, key := range keys {
		fields[key] = schema.Opt(schema.String).Checked(checkDuration)
	}
	return schema.Opt(schema.Object).With(fields)
}

// unchanged is the Read of resources that nothing can be learned about.
func unchanged(_ context.Context, id string, state resource.PropertyMap) (string, resource.PropertyMap, error) {
	if len(state) == 0 {
		return id, nil, &provider.Summary{
			Title: "Resource Import Not Implemented",
			Detail: "This resource does not support import. Please contact the provider developer for " +
				"additional information.",
		}
	}
	return id, state, nil
}

func keepNothing(context.Context, string, *provider.Operation) error { return nil }

// planEndpoint lets the endpoint follow the node where the program names none.
func planEndpoint(plan *provider.Planned) {
	if _, given := plan.Inputs["endpoint"]; !given {
		if node, ok := plan.Inputs["node"]; ok {
			plan.Plan["endpoint"] = node
		}
	}
}
