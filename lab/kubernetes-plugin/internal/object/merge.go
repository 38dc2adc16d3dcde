package object

import (
	"encoding/json"
	"reflect"
)

// mergePatch is the JSON merge patch that leads from the old inputs to the new ones; what only the
// live object has stays.
func mergePatch(old, new map[string]any) ([]byte, error) {
	return json.Marshal(mergeStep(old, new))
}

func mergeStep(old, new map[string]any) map[string]any {
	patch := map[string]any{}
	for key, value := range new {
		was, had := old[key]
		if had && reflect.DeepEqual(was, value) {
			continue
		}
		oldObject, wasObject := was.(map[string]any)
		newObject, isObject := value.(map[string]any)
		if wasObject && isObject {
			value = mergeStep(oldObject, newObject)
		}
		patch[key] = value
	}
	for key := range old {
		if _, wanted := new[key]; !wanted {
			patch[key] = nil
		}
	}
	return patch
}
