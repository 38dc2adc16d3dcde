package release

import (
	"sort"

	"helm.sh/helm/v3/pkg/releaseutil"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// copyValues protects the recorded values: Helm coalesces a chart's defaults into what it is given.
func copyValues(values map[string]any) map[string]any {
	copied := make(map[string]any, len(values))
	for key, value := range values {
		if nested, ok := value.(map[string]any); ok {
			value = copyValues(nested)
		}
		copied[key] = value
	}
	return copied
}

// manifests splits a rendered manifest into its documents, in their order.
func manifests(rendered string) []string {
	split := releaseutil.SplitManifests(rendered)
	keys := make([]string, 0, len(split))
	for key := range split {
		keys = append(keys, key)
	}
	sort.Sort(releaseutil.BySplitManifestsOrder(keys))
	documents := make([]string, 0, len(keys))
	for _, key := range keys {
		documents = append(documents, split[key])
	}
	return documents
}

// resourceNames lists what a manifest holds, by kind: "DaemonSet.apps/apps/v1" has
// ["kube-system/cilium"], a core kind such as "ConfigMap/v1" no group, and a cluster-wide object no
// namespace.
func resourceNames(rendered string) (map[string][]string, error) {
	names := map[string][]string{}
	for _, document := range manifests(rendered) {
		content := map[string]any{}
		if err := yaml.Unmarshal([]byte(document), &content); err != nil {
			return nil, err
		}
		object := unstructured.Unstructured{Object: content}
		if object.GetKind() == "" {
			continue
		}
		name := object.GetName()
		if namespace := object.GetNamespace(); namespace != "" {
			name = namespace + "/" + name
		}
		kind := object.GroupVersionKind().GroupKind().String() + "/" + object.GetAPIVersion()
		names[kind] = append(names[kind], name)
	}
	for _, list := range names {
		sort.Strings(list)
	}
	return names, nil
}
