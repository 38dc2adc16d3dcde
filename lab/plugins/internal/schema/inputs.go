package schema

import (
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// Refreshed returns the inputs that a program would have written to reach the outputs, limited to
// the inputs that it did write. All values must be plain.
func Refreshed(props Properties, inputs, outputs resource.PropertyMap) resource.PropertyMap {
	out := resource.PropertyMap{}
	for key, input := range inputs {
		output, ok := outputs[key]
		if prop := props[string(key)]; ok && prop != nil {
			out[key] = refreshedValue(prop, input, output)
		}
	}
	return out
}

func refreshedValue(prop *Property, input, output resource.PropertyValue) resource.PropertyValue {
	switch {
	case input.IsString() && output.IsString() && prop.Normalize != nil:
		return input
	case input.IsObject() && output.IsObject() && prop.Kind == Object:
		return resource.NewProperty(Refreshed(prop.Fields, input.ObjectValue(), output.ObjectValue()))
	case input.IsArray() && output.IsArray() && prop.Kind == Set:
		return refreshedSet(prop, input.ArrayValue(), output.ArrayValue())
	case input.IsArray() && output.IsArray():
		var items []resource.PropertyValue
		for i, item := range input.ArrayValue() {
			if i < len(output.ArrayValue()) {
				items = append(items, refreshedValue(prop.Elem, item, output.ArrayValue()[i]))
			}
		}
		return resource.NewProperty(items)
	default:
		return output
	}
}

func refreshedSet(prop *Property, inputs, outputs []resource.PropertyValue) resource.PropertyValue {
	items := make([]resource.PropertyValue, 0, len(inputs))
	taken := make([]bool, len(outputs))
	var rest []resource.PropertyValue
	for _, input := range inputs {
		at := counterpart(prop.Elem, outputs, taken, input)
		for i, output := range outputs {
			if at < 0 && !taken[i] && Same(prop.Elem, input, output) {
				at = i
			}
		}
		if at < 0 {
			rest = append(rest, input)
			continue
		}
		taken[at] = true
		items = append(items, refreshedValue(prop.Elem, input, outputs[at]))
	}
	for i, output := range outputs {
		if !taken[i] && len(rest) > 0 {
			items = append(items, refreshedValue(prop.Elem, rest[0], output))
			rest = rest[1:]
		}
	}
	return resource.NewProperty(items)
}

// Imported returns the inputs that describe a resource of which only the outputs are known.
func Imported(props Properties, outputs resource.PropertyMap) resource.PropertyMap {
	out := resource.PropertyMap{}
	for key, value := range outputs {
		prop := props[string(key)]
		if prop == nil || !prop.Input() || strings.HasPrefix(string(key), "__") {
			continue
		}
		if value = importedValue(prop, value); prop.Required || !isDefault(prop, value) {
			out[key] = value
		}
	}
	return out
}

func importedValue(prop *Property, value resource.PropertyValue) resource.PropertyValue {
	switch {
	case value.IsObject() && prop.Kind == Object:
		return resource.NewProperty(Imported(prop.Fields, value.ObjectValue()))
	case value.IsArray():
		items := make([]resource.PropertyValue, 0, len(value.ArrayValue()))
		for _, item := range value.ArrayValue() {
			items = append(items, importedValue(prop.Elem, item))
		}
		return resource.NewProperty(items)
	default:
		return value
	}
}

func isDefault(prop *Property, value resource.PropertyValue) bool {
	if prop.Default != nil {
		return canonical(prop, value) == canonical(prop, resource.NewPropertyValue(prop.Default))
	}
	return canonical(prop, value) == ""
}
