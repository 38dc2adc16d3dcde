package schema

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

// Change is one difference between the state and the plan.
type Change struct {
	Path    string
	Kind    pulumirpc.PropertyDiff_Kind
	Replace bool
}

// Diff lists the differences between a state and the plan that would follow it.
func Diff(props Properties, state, planned resource.PropertyMap) []Change {
	var changes []Change
	keys := make([]string, 0, len(props))
	for key := range props {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		k := resource.PropertyKey(key)
		var found []Change
		compare(key, props[key], state[k], planned[k], &found)
		for _, change := range found {
			change.Replace = props[key].Replace
			changes = append(changes, change)
		}
	}
	return changes
}

// Renew makes the computed values unknown that are decided anew by any change.
func Renew(props Properties, inputs, planned resource.PropertyMap) {
	for key, prop := range props {
		k := resource.PropertyKey(key)
		if _, given := inputs[k]; !given && prop.Fresh {
			planned[k] = Unknown
		}
	}
}

// Same says whether two values mean the same to the service.
func Same(prop *Property, a, b resource.PropertyValue) bool {
	return canonical(prop, a) == canonical(prop, b)
}

func compare(path string, prop *Property, old, planned resource.PropertyValue, out *[]Change) {
	if planned.IsComputed() {
		*out = append(*out, Change{Path: path, Kind: kindOf(old, planned)})
		return
	}
	if Same(prop, old, planned) {
		return
	}
	switch {
	case old.IsObject() && planned.IsObject():
		compareMembers(path, prop, old.ObjectValue(), planned.ObjectValue(), out)
	case old.IsArray() && planned.IsArray() && prop.Kind == List:
		olds, news := old.ArrayValue(), planned.ArrayValue()
		for i := range max(len(olds), len(news)) {
			compare(fmt.Sprintf("%s[%d]", path, i), prop.Elem, at(olds, i), at(news, i), out)
		}
	case old.IsArray() && planned.IsArray():
		compareSets(path, prop, old.ArrayValue(), planned.ArrayValue(), out)
	default:
		*out = append(*out, Change{Path: path, Kind: kindOf(old, planned)})
	}
}

func compareMembers(path string, prop *Property, old, planned resource.PropertyMap, out *[]Change) {
	names := map[string]bool{}
	for key := range old {
		names[string(key)] = true
	}
	for key := range planned {
		names[string(key)] = true
	}
	keys := make([]string, 0, len(names))
	for key := range names {
		if !strings.HasPrefix(key, "__") {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		member := prop.Elem
		if prop.Kind == Object {
			member = prop.Fields[key]
		}
		if member != nil {
			compare(join(path, key), member, old[resource.PropertyKey(key)], planned[resource.PropertyKey(key)], out)
		}
	}
}

func compareSets(path string, prop *Property, olds, news []resource.PropertyValue, out *[]Change) {
	left := map[string]int{}
	for _, item := range olds {
		left[canonical(prop.Elem, item)]++
	}
	kinds := map[int]pulumirpc.PropertyDiff_Kind{}
	for i, item := range news {
		if id := canonical(prop.Elem, item); left[id] > 0 {
			left[id]--
		} else {
			kinds[i] = pulumirpc.PropertyDiff_ADD
		}
	}
	for i := len(olds) - 1; i >= 0; i-- {
		id := canonical(prop.Elem, olds[i])
		if left[id] == 0 {
			continue
		}
		left[id]--
		if _, added := kinds[i]; added {
			kinds[i] = pulumirpc.PropertyDiff_UPDATE
		} else {
			kinds[i] = pulumirpc.PropertyDiff_DELETE
		}
	}
	for i := range max(len(olds), len(news)) {
		if kind, ok := kinds[i]; ok {
			*out = append(*out, Change{Path: fmt.Sprintf("%s[%d]", path, i), Kind: kind})
		}
	}
}

func at(items []resource.PropertyValue, i int) resource.PropertyValue {
	if i < len(items) {
		return items[i]
	}
	return resource.PropertyValue{}
}

func kindOf(old, planned resource.PropertyValue) pulumirpc.PropertyDiff_Kind {
	switch {
	case old.IsNull():
		return pulumirpc.PropertyDiff_ADD
	case planned.IsNull():
		return pulumirpc.PropertyDiff_DELETE
	default:
		return pulumirpc.PropertyDiff_UPDATE
	}
}

// canonical writes a value so that equal meanings give equal texts: zero values equal absent ones,
// and the order of sets does not count.
func canonical(prop *Property, value resource.PropertyValue) string {
	switch {
	case value.IsSecret():
		return canonical(prop, value.SecretValue().Element)
	case value.IsComputed():
		return "?"
	case value.IsString():
		if value.StringValue() == "" {
			return ""
		}
		text, _ := json.Marshal(value.StringValue())
		return string(text)
	case value.IsBool():
		if !value.BoolValue() {
			return ""
		}
		return "true"
	case value.IsNumber():
		if value.NumberValue() == 0 {
			return ""
		}
		return fmt.Sprintf("%v", value.NumberValue())
	case value.IsArray():
		items := make([]string, 0, len(value.ArrayValue()))
		for _, item := range value.ArrayValue() {
			items = append(items, canonical(prop.Elem, item))
		}
		if prop.Kind == Set {
			slices.Sort(items)
		}
		return bracket("[", items, "]")
	case value.IsObject():
		var members []string
		for key, item := range value.ObjectValue() {
			member := prop.Elem
			if prop.Kind == Object {
				member = prop.Fields[string(key)]
			}
			if member == nil || strings.HasPrefix(string(key), "__") {
				continue
			}
			if text := canonical(member, item); text != "" || prop.Kind == Map {
				members = append(members, fmt.Sprintf("%q:%s", string(key), text))
			}
		}
		slices.Sort(members)
		return bracket("{", members, "}")
	default:
		return ""
	}
}

func bracket(open string, items []string, end string) string {
	if len(items) == 0 {
		return ""
	}
	return open + strings.Join(items, ",") + end
}
