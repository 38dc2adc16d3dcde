package object

import (
	"encoding/base64"
	"encoding/json"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/oxide-lab/kubernetes-plugin/internal/property"
)

var readOnlyMetadata = []string{
	"creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "generation",
	"managedFields", "resourceVersion", "uid",
}

// normalize gives inputs the shape that the API server would give them, so that "0.5" and "500m" or
// stringData and data are no difference. An object with unknowns, or of an installed kind, only loses
// its read-only metadata.
func normalize(inputs *unstructured.Unstructured) *unstructured.Unstructured {
	result := inputs
	if !property.HasUnknowns(inputs.Object) {
		switch {
		case isSecret(inputs):
			result = normalizeSecret(inputs)
		case scheme.Scheme.Recognizes(inputs.GroupVersionKind()):
			result = throughTypes(inputs)
		}
	}
	for _, field := range readOnlyMetadata {
		unstructured.RemoveNestedField(result.Object, "metadata", field)
	}
	return result
}

// throughTypes writes the object in the API's own types and reads it back. Inputs that do not fit the
// types are left for the API server to reject.
func throughTypes(inputs *unstructured.Unstructured) *unstructured.Unstructured {
	typed, err := scheme.Scheme.New(inputs.GroupVersionKind())
	if err != nil {
		return inputs
	}
	encoded, err := json.Marshal(inputs.Object)
	if err != nil || json.Unmarshal(encoded, typed) != nil {
		return inputs
	}
	typed.GetObjectKind().SetGroupVersionKind(inputs.GroupVersionKind())
	if encoded, err = json.Marshal(typed); err != nil {
		return inputs
	}
	normal := map[string]any{}
	if json.Unmarshal(encoded, &normal) != nil {
		return inputs
	}
	return &unstructured.Unstructured{Object: prune(normal, inputs.Object)}
}

func isSecret(object *unstructured.Unstructured) bool {
	return object.GetAPIVersion() == "v1" && object.GetKind() == "Secret"
}

func isConfigMap(object *unstructured.Unstructured) bool {
	return object.GetAPIVersion() == "v1" && object.GetKind() == "ConfigMap"
}

func isDefinition(object *unstructured.Unstructured) bool {
	return object.GroupVersionKind().Group == "apiextensions.k8s.io" &&
		object.GetKind() == "CustomResourceDefinition"
}

// normalizeSecret moves stringData into data, as the API server does.
func normalizeSecret(secret *unstructured.Unstructured) *unstructured.Unstructured {
	result := secret.DeepCopy()
	data, _ := result.Object["data"].(map[string]any)
	if data == nil {
		data = map[string]any{}
	}
	for key, value := range data {
		// The API server re-encodes data, which drops line breaks.
		if text, ok := value.(string); ok {
			if raw, err := base64.StdEncoding.DecodeString(text); err == nil {
				data[key] = base64.StdEncoding.EncodeToString(raw)
			}
		}
	}
	texts, _ := result.Object["stringData"].(map[string]any)
	for key, value := range texts {
		text, ok := value.(string)
		if !ok {
			return secret
		}
		data[key] = base64.StdEncoding.EncodeToString([]byte(text))
	}
	delete(result.Object, "stringData")
	if len(data) > 0 {
		result.Object["data"] = data
	}
	return result
}

// prune keeps of a live object only what the shape, the inputs that made it, also has.
func prune(live, shape map[string]any) map[string]any {
	result := map[string]any{}
	for key, value := range live {
		if wanted, has := shape[key]; has {
			result[key] = pruneValue(value, wanted)
		}
	}
	return result
}

func pruneValue(live, shape any) any {
	switch live := live.(type) {
	case map[string]any:
		if shape, ok := shape.(map[string]any); ok {
			return prune(live, shape)
		}
	case []any:
		shape, ok := shape.([]any)
		if !ok || len(shape) == 0 {
			return live
		}
		result := make([]any, 0, len(shape))
		for index := range min(len(live), len(shape)) {
			result = append(result, pruneValue(live[index], shape[index]))
		}
		return result
	}
	return live
}
