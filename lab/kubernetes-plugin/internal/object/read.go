package object

import (
	"context"
	"fmt"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/oxide-lab/kubernetes-plugin/internal/cluster"
	"github.com/oxide-lab/kubernetes-plugin/internal/property"
)

// Read refreshes an object, or imports it when there are no recorded inputs; the id is
// "namespace/name" or the bare name. An object that is not there any more is gone from state.
func (p *Provider) Read(_ context.Context, call *pulumirpc.ReadRequest) (*pulumirpc.ReadResponse, error) {
	olds, err := property.Decode("old state", call.GetProperties())
	if err != nil {
		return nil, err
	}
	givenInputs, err := property.Decode("old inputs", call.GetInputs())
	if err != nil {
		return nil, err
	}
	inputs, imported, err := p.wanted(call, givenInputs, olds)
	if err != nil {
		return nil, err
	}
	live, err := p.current(inputs)
	switch {
	case apierrors.IsNotFound(err) || meta.IsNoMatchError(err):
		return &pulumirpc.ReadResponse{}, nil
	case err != nil:
		return nil, err
	}
	shape := inputs
	if imported {
		shape = importable(live)
	}
	liveInputs := &unstructured.Unstructured{Object: prune(live.Object, shape.Object)}
	state, err := p.checkpoint(liveInputs, live, givenInputs,
		initialAPIVersion(olds, inputs), p.fieldManager(olds, inputs))
	if err != nil {
		return nil, err
	}
	properties := property.FromManifest(liveInputs.Object)
	property.MarkSecrets(properties, givenInputs)
	encoded, err := property.Encode("inputs", properties, p.KeepSecrets)
	if err != nil {
		return nil, err
	}
	id := call.GetId()
	if id == "" {
		id = identity(live)
	}
	return &pulumirpc.ReadResponse{Id: id, Properties: state, Inputs: encoded}, nil
}

// wanted gives the old inputs, completed so that they name the object to read.
func (p *Provider) wanted(
	call *pulumirpc.ReadRequest, given, olds resource.PropertyMap,
) (inputs *unstructured.Unstructured, imported bool, err error) {
	namespace, name := splitIdentity(call.GetId())
	if name == "" {
		return nil, false, fmt.Errorf("failed to read resource because of a failure to parse resource "+
			"name from request ID: %s", call.GetId())
	}
	urn := resource.URN(call.GetUrn())
	inputs = normalize(manifest(given))
	if inputs.GroupVersionKind().Empty() {
		_, live := parseCheckpoint(olds)
		kind := live.GroupVersionKind()
		if kind.Empty() {
			imported = true
			if kind, err = cluster.Kind(string(urn.Type())); err != nil {
				return nil, false, err
			}
			if !p.Cluster.Knows(kind) {
				kind.Kind = strings.TrimSuffix(kind.Kind, "Patch")
			}
		}
		inputs.SetGroupVersionKind(kind)
	}
	if inputs.GetNamespace() == "" && namespace != "" {
		inputs.SetNamespace(namespace)
	}
	if inputs.GetName() == "" {
		inputs.SetName(name)
	}
	return inputs, imported, nil
}

// importable gives what of a live object may be written in a program.
func importable(live *unstructured.Unstructured) *unstructured.Unstructured {
	shape := live.DeepCopy()
	unstructured.RemoveNestedField(shape.Object, "status")
	for _, field := range readOnlyMetadata {
		unstructured.RemoveNestedField(shape.Object, "metadata", field)
	}
	for _, annotation := range []string{
		"deployment.kubernetes.io/revision", "kubectl.kubernetes.io/last-applied-configuration",
	} {
		unstructured.RemoveNestedField(shape.Object, "metadata", "annotations", annotation)
	}
	return shape
}
