package object

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/oxide-lab/kubernetes-plugin/internal/cluster"
	"github.com/oxide-lab/kubernetes-plugin/internal/property"
)

// Check gives the object its name and namespace where the program left them out.
func (p *Provider) Check(_ context.Context, request *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	urn := resource.URN(request.GetUrn())
	kind, err := cluster.Kind(string(urn.Type()))
	if err != nil {
		return nil, err
	}
	olds, err := property.Decode("old inputs", request.GetOlds())
	if err != nil {
		return nil, err
	}
	news, err := property.Decode("resource inputs", request.GetNews())
	if err != nil {
		return nil, err
	}
	inputs := normalize(manifest(news))
	if isPatch(urn, inputs) {
		if !p.ServerSideApply {
			return nil, errors.New("patch resources require Server-Side Apply mode, which is enabled " +
				"using the `enableServerSideApply` Provider config")
		}
		if inputs.GetName() == "" && !property.HasUnknowns(inputs.Object["metadata"]) {
			return nil, errors.New("patch resources require the `.metadata.name` field to be set")
		}
		kind.Kind = strings.TrimSuffix(kind.Kind, "Patch")
	}
	if err := p.name(request, urn, inputs, manifest(olds)); err != nil {
		return nil, err
	}
	if p.ServerSideApply && inputs.GetGenerateName() != "" && inputs.GetName() == "" {
		return nil, errors.New(
			"the `.metadata.generateName` field is not supported in Server-Side Apply mode")
	}
	if metadata, isObject := inputs.Object["metadata"].(map[string]any); isObject {
		_, has := metadata["namespace"]
		if (!has || metadata["namespace"] == "") && p.Cluster.Namespace != "" && p.Cluster.Namespaced(kind) {
			metadata["namespace"] = p.Cluster.Namespace
		}
	}
	if isDefinition(inputs) {
		p.Cluster.Plan(inputs)
	}
	checked := resource.NewPropertyMapFromMap(inputs.Object)
	property.MarkSecrets(checked, news)
	encoded, err := property.Encode("checked inputs", checked, p.KeepSecrets)
	if err != nil {
		return nil, err
	}
	return &pulumirpc.CheckResponse{Inputs: encoded}, nil
}

// name makes up a name for an object without one and marks it, so that a replacement may get another.
// An object keeps the name that was made up before.
func (p *Provider) name(
	request *pulumirpc.CheckRequest, urn resource.URN, inputs, olds *unstructured.Unstructured,
) error {
	if inputs.Object["metadata"] == nil {
		inputs.Object["metadata"] = map[string]any{}
	}
	metadata, isObject := inputs.Object["metadata"].(map[string]any)
	if !isObject {
		return nil // wholly unknown until the update
	}
	if name := metadata["name"]; name != nil && name != "" {
		return nil
	}
	if metadata["generateName"] != nil {
		return nil
	}
	name := olds.GetName()
	if !annotated(olds, annotationAutonamed) {
		var err error
		if name, err = resource.NewUniqueName(request.GetRandomSeed(), urn.Name()+"-", 0, 0, nil); err != nil {
			return err
		}
		if options := request.GetAutonaming(); options != nil {
			if options.GetMode() == pulumirpc.CheckRequest_AutonamingOptions_DISABLE {
				return fmt.Errorf(
					"autonaming is disabled, resource requires the .metadata.name field to be set")
			}
			name = options.GetProposedName()
		}
	}
	metadata["name"] = name
	annotations, isObject := metadata["annotations"].(map[string]any)
	if metadata["annotations"] == nil {
		annotations, isObject = map[string]any{}, true
	}
	if isObject {
		annotations[annotationAutonamed] = "true"
		metadata["annotations"] = annotations
	}
	return nil
}
