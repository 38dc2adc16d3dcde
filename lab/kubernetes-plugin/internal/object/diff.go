package object

import (
	"context"
	"maps"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/oxide-lab/kubernetes-plugin/internal/cluster"
	"github.com/oxide-lab/kubernetes-plugin/internal/detail"
	"github.com/oxide-lab/kubernetes-plugin/internal/property"
)

// Diff compares the new inputs with the recorded live object, reduced to what the old inputs set. So
// a refresh shows drift, and what the cluster filled in is no difference.
func (p *Provider) Diff(_ context.Context, request *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	urn := resource.URN(request.GetUrn())
	olds, err := property.Decode("old state", request.GetOlds())
	if err != nil {
		return nil, err
	}
	news, err := property.Decode("resource inputs", request.GetNews())
	if err != nil {
		return nil, err
	}
	kind, err := cluster.Kind(string(urn.Type()))
	if err != nil {
		return nil, err
	}
	newInputs := normalize(manifest(news))
	oldInputs, live := parseCheckpoint(olds)
	oldInputs = normalize(oldInputs)
	state := prune(live.Object, oldInputs.Object)
	patch := isPatch(urn, newInputs)
	if patch {
		kind.Kind = strings.TrimSuffix(kind.Kind, "Patch")
	}
	p.alignNamespaces(kind, state, newInputs.Object)
	if p.ServerSideApply {
		delete(metadataOf(state), "resourceVersion")
	}
	if metadata := metadataOf(state); newInputs.GetName() != "" && metadata != nil {
		metadata["name"] = live.GetName()
	}
	forced := []string{".metadata.name", ".metadata.namespace"}
	if !patch {
		forced = p.replacedBy(newInputs)
	}
	changes := detail.Changes(state, state, newInputs.Object, forced)
	if err := ignore(changes, request.GetIgnoreChanges()); err != nil {
		return nil, err
	}
	replaces := detail.Replacements(changes)
	for path, change := range changes {
		if path == "metadata" && change.GetKind() == pulumirpc.PropertyDiff_DELETE {
			replaces = append(replaces, path)
		}
	}
	response := &pulumirpc.DiffResponse{
		Changes:         pulumirpc.DiffResponse_DIFF_NONE,
		Replaces:        replaces,
		DetailedDiff:    changes,
		HasDetailedDiff: true,
		// A replacement under the same fixed name has to remove the old object first.
		DeleteBeforeReplace: len(replaces) > 0 && newInputs.GetName() != "" &&
			!annotated(newInputs, annotationAutonamed) &&
			newInputs.GetName() == live.GetName() &&
			newInputs.GetNamespace() == live.GetNamespace(),
	}
	if len(changes) > 0 {
		response.Changes = pulumirpc.DiffResponse_DIFF_SOME
	}
	return response, nil
}

// alignNamespaces writes the default namespace out, and drops a namespace that a cluster-wide kind
// was given before its scope was known.
func (p *Provider) alignNamespaces(kind schema.GroupVersionKind, objects ...map[string]any) {
	namespaced := p.Cluster.Namespaced(kind)
	for _, object := range objects {
		metadata := metadataOf(object)
		if metadata == nil {
			continue
		}
		if !namespaced {
			delete(metadata, "namespace")
		} else if namespace, has := metadata["namespace"]; !has || namespace == "" {
			metadata["namespace"] = "default"
		}
	}
}

// metadataOf gives the object's metadata for writing, copied so that nothing else changes, or nil.
func metadataOf(object map[string]any) map[string]any {
	metadata, ok := object["metadata"].(map[string]any)
	if !ok {
		return nil
	}
	metadata = maps.Clone(metadata)
	object["metadata"] = metadata
	return metadata
}

func ignore(changes map[string]*pulumirpc.PropertyDiff, paths []string) error {
	for _, text := range paths {
		ignored, err := resource.ParsePropertyPath(text)
		if err != nil {
			return err
		}
		for changed := range changes {
			path, err := resource.ParsePropertyPath(changed)
			if err != nil {
				return err
			}
			if ignored.Contains(path) {
				delete(changes, changed)
			}
		}
	}
	return nil
}
