// Package property converts between the engine's property maps and plain values, and carries
// secrets and unknowns from inputs over to what the cluster or Helm answered.
package property

import (
	"fmt"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"google.golang.org/protobuf/types/known/structpb"
)

// Decode reads properties off the wire, with their secrets and unknowns.
func Decode(what string, wire *structpb.Struct) (resource.PropertyMap, error) {
	decoded, err := plugin.UnmarshalProperties(wire, plugin.MarshalOptions{
		Label: what, KeepUnknowns: true, KeepSecrets: true,
	})
	if err != nil {
		return nil, fmt.Errorf("malformed %s: %w", what, err)
	}
	return decoded, nil
}

// Encode writes properties to the wire. keepSecrets is what the engine said it accepts.
func Encode(what string, properties resource.PropertyMap, keepSecrets bool) (*structpb.Struct, error) {
	return plugin.MarshalProperties(properties, plugin.MarshalOptions{
		Label: what, KeepUnknowns: true, KeepSecrets: keepSecrets,
	})
}

// Plain gives the properties as JSON values without secret wrappers; an unknown stays a
// resource.Computed.
func Plain(properties resource.PropertyMap) map[string]any {
	return properties.MapRepl(nil, openSecret)
}

// Known is Plain with every unknown replaced by nil.
func Known(properties resource.PropertyMap) map[string]any {
	return properties.MapRepl(nil, func(value resource.PropertyValue) (any, bool) {
		if opened, ok := openSecretAs(value, Known); ok {
			return opened, true
		}
		if value.IsComputed() {
			return nil, true
		}
		return nil, false
	})
}

// Manifest gives the properties as a Kubernetes object. Pulumi SDKs write the schema extensions
// of a CustomResourceDefinition with underscores; the API writes them with dashes.
func Manifest(properties resource.PropertyMap) map[string]any {
	return properties.MapRepl(func(key string) (string, bool) {
		if strings.HasPrefix(key, "x_kubernetes_") {
			return strings.ReplaceAll(key, "_", "-"), true
		}
		return "", false
	}, openSecret)
}

// FromManifest is the reverse of Manifest.
func FromManifest(object map[string]any) resource.PropertyMap {
	return resource.NewPropertyMapFromMapRepl(object, func(key string) (resource.PropertyKey, bool) {
		if strings.HasPrefix(key, "x-kubernetes-") {
			return resource.PropertyKey(strings.ReplaceAll(key, "-", "_")), true
		}
		return "", false
	}, nil)
}

// HasUnknowns reports whether plain values, as Plain or Manifest give them, hold an unknown.
func HasUnknowns(value any) bool {
	switch value := value.(type) {
	case resource.Computed:
		return true
	case map[string]any:
		for _, element := range value {
			if HasUnknowns(element) {
				return true
			}
		}
	case []any:
		for _, element := range value {
			if HasUnknowns(element) {
				return true
			}
		}
	}
	return false
}

func openSecret(value resource.PropertyValue) (any, bool) {
	return openSecretAs(value, Plain)
}

// openSecretAs unwraps a secret through an object of one key, so that nested secrets and unknowns
// follow the same rules as those at the top.
func openSecretAs(
	value resource.PropertyValue, convert func(resource.PropertyMap) map[string]any,
) (any, bool) {
	if !value.IsSecret() {
		return nil, false
	}
	const key = "value"
	return convert(resource.PropertyMap{key: value.SecretValue().Element})[key], true
}
