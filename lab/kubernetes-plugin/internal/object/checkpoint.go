package object

import (
	"maps"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"google.golang.org/protobuf/types/known/structpb"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/oxide-lab/kubernetes-plugin/internal/property"
)

const (
	inputsKey            = "__inputs"
	initialAPIVersionKey = "__initialApiVersion"
	fieldManagerKey      = "__fieldManager"
)

// manifest reads a Kubernetes object off properties.
func manifest(properties resource.PropertyMap) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: property.Manifest(properties)}
}

// checkpoint is what the engine records: the live object, and beside it the inputs and the name that
// owns the object's fields. Secrets of the inputs stay secret in both.
func (p *Provider) checkpoint(
	inputs, live *unstructured.Unstructured, given resource.PropertyMap, apiVersion, fieldManager string,
) (*structpb.Struct, error) {
	recorded := property.FromManifest(live.Object)
	recordedInputs := property.FromManifest(inputs.Object)
	property.MarkSecrets(recorded, given)
	property.MarkSecrets(recordedInputs, given)
	recorded[inputsKey] = resource.NewObjectProperty(recordedInputs)
	recorded[initialAPIVersionKey] = resource.NewStringProperty(apiVersion)
	recorded[fieldManagerKey] = resource.NewStringProperty(fieldManager)
	return property.Encode("state", recorded, p.KeepSecrets)
}

// parseCheckpoint splits recorded state into the inputs and the live object.
func parseCheckpoint(recorded resource.PropertyMap) (inputs, live *unstructured.Unstructured) {
	state := maps.Clone(property.Manifest(recorded))
	recordedInputs, _ := state[inputsKey].(map[string]any)
	if recordedInputs == nil {
		recordedInputs = map[string]any{}
	}
	for _, key := range []string{inputsKey, initialAPIVersionKey, fieldManagerKey} {
		delete(state, key)
	}
	return &unstructured.Unstructured{Object: recordedInputs}, &unstructured.Unstructured{Object: state}
}

// fieldManager is who owns the fields that the resource sets: the annotation's name, else the
// recorded one, else a new one.
func (p *Provider) fieldManager(recorded resource.PropertyMap, inputs *unstructured.Unstructured) string {
	if !p.ServerSideApply {
		return creator
	}
	if name := inputs.GetAnnotations()[annotationFieldManager]; name != "" {
		return name
	}
	if name := recorded[fieldManagerKey]; name.IsString() {
		return name.StringValue()
	}
	name, err := resource.NewUniqueHex(creator+"-", 0, 0)
	if err != nil {
		return creator
	}
	return name
}

func initialAPIVersion(recorded resource.PropertyMap, inputs *unstructured.Unstructured) string {
	if version := recorded[initialAPIVersionKey]; version.IsString() {
		return version.StringValue()
	}
	return inputs.GetAPIVersion()
}
