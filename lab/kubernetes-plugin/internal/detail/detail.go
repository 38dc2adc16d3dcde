// Package detail compares recorded state with new inputs and reports the changes property by
// property, with those that force a replacement marked.
package detail

import (
	"fmt"
	"reflect"
	"sort"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

// Changes lists what new inputs would change in the recorded state. A property that only the state
// has was filled in by the cluster and is no change; it counts as deleted when the old inputs had it
// and the new ones do not. forceNew holds paths such as ".spec.selector", with "[*]" for any element.
func Changes(
	state, oldInputs, newInputs map[string]any, forceNew []string,
) map[string]*pulumirpc.PropertyDiff {
	c := comparison{found: map[string]*pulumirpc.PropertyDiff{}}
	for _, path := range forceNew {
		c.forceNew = append(c.forceNew, parsePattern(path))
	}
	c.objects(nil, state, oldInputs, newInputs)
	return c.found
}

// Replacements lists the changed paths that force a replacement, sorted.
func Replacements(changes map[string]*pulumirpc.PropertyDiff) []string {
	var paths []string
	for path, change := range changes {
		switch change.GetKind() {
		case pulumirpc.PropertyDiff_ADD_REPLACE,
			pulumirpc.PropertyDiff_DELETE_REPLACE,
			pulumirpc.PropertyDiff_UPDATE_REPLACE:
			paths = append(paths, path)
		}
	}
	sort.Strings(paths)
	return paths
}

type comparison struct {
	forceNew [][]any
	found    map[string]*pulumirpc.PropertyDiff
}

func (c *comparison) objects(path []any, state, oldInputs, newInputs map[string]any) {
	for key, value := range newInputs {
		recorded, has := state[key]
		if !has {
			c.record(child(path, key), value, pulumirpc.PropertyDiff_ADD)
			continue
		}
		c.values(child(path, key), recorded, oldInputs[key], value)
	}
	for key := range oldInputs {
		if _, wanted := newInputs[key]; wanted {
			continue
		}
		if recorded, has := state[key]; has {
			c.record(child(path, key), recorded, pulumirpc.PropertyDiff_DELETE)
		}
	}
}

func (c *comparison) values(path []any, recorded, oldInput, value any) {
	if object, ok := value.(map[string]any); ok {
		if recordedObject, ok := recorded.(map[string]any); ok {
			oldObject, _ := oldInput.(map[string]any)
			c.objects(path, recordedObject, oldObject, object)
			return
		}
	}
	if array, ok := value.([]any); ok {
		if recordedArray, ok := recorded.([]any); ok {
			oldArray, _ := oldInput.([]any)
			c.arrays(path, recordedArray, oldArray, array)
			return
		}
	}
	if !equal(recorded, value) {
		c.record(path, value, pulumirpc.PropertyDiff_UPDATE)
	}
}

func (c *comparison) arrays(path []any, recorded, oldInputs, values []any) {
	for index, value := range values {
		if index >= len(recorded) {
			c.record(child(path, index), value, pulumirpc.PropertyDiff_ADD)
			continue
		}
		var oldInput any
		if index < len(oldInputs) {
			oldInput = oldInputs[index]
		}
		c.values(child(path, index), recorded[index], oldInput, value)
	}
	for index := len(values); index < len(recorded); index++ {
		c.record(child(path, index), recorded[index], pulumirpc.PropertyDiff_DELETE)
	}
}

func (c *comparison) record(path []any, value any, kind pulumirpc.PropertyDiff_Kind) {
	inputDiff := kind == pulumirpc.PropertyDiff_DELETE
	for _, pattern := range c.forceNew {
		if touches(path, value, pattern) {
			kind = replacing[kind]
			break
		}
	}
	c.found[format(path)] = &pulumirpc.PropertyDiff{Kind: kind, InputDiff: inputDiff}
}

var replacing = map[pulumirpc.PropertyDiff_Kind]pulumirpc.PropertyDiff_Kind{
	pulumirpc.PropertyDiff_ADD:    pulumirpc.PropertyDiff_ADD_REPLACE,
	pulumirpc.PropertyDiff_DELETE: pulumirpc.PropertyDiff_DELETE_REPLACE,
	pulumirpc.PropertyDiff_UPDATE: pulumirpc.PropertyDiff_UPDATE_REPLACE,
}

// equal takes 80 and 80.0 as equal: state holds floats, a live object integers. An unknown equals
// nothing.
func equal(a, b any) bool {
	if _, unknown := b.(resource.Computed); unknown {
		return false
	}
	if x, ok := number(a); ok {
		if y, ok := number(b); ok {
			return x == y
		}
	}
	return reflect.DeepEqual(a, b)
}

func number(value any) (float64, bool) {
	switch value := value.(type) {
	case float64:
		return value, true
	case int64:
		return float64(value), true
	}
	return 0, false
}

// child copies the path: a shared backing array would mix up siblings.
func child(path []any, element any) []any {
	return append(append(make([]any, 0, len(path)+1), path...), element)
}

func format(path []any) string {
	var text strings.Builder
	for _, element := range path {
		switch element := element.(type) {
		case int:
			fmt.Fprintf(&text, "[%d]", element)
		case string:
			switch {
			case strings.ContainsAny(element, `."[]`):
				fmt.Fprintf(&text, `["%s"]`, strings.ReplaceAll(element, `"`, `\"`))
			case text.Len() > 0:
				text.WriteString("." + element)
			default:
				text.WriteString(element)
			}
		}
	}
	return text.String()
}
