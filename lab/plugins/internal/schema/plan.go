package schema

import "github.com/pulumi/pulumi/sdk/v3/go/common/resource"

// Unknown is the value of an output that is decided by the service.
var Unknown = resource.MakeComputed(resource.NewProperty(""))

// Plan returns the state that a resource will have once the inputs are applied. Inputs must be
// plain. Without a state, whatever the service decides is unknown.
func Plan(props Properties, state, inputs resource.PropertyMap) resource.PropertyMap {
	planned := resource.PropertyMap{}
	for key, prop := range props {
		k := resource.PropertyKey(key)
		old, has := state[k]
		input, given := inputs[k]
		switch {
		case given:
			planned[k] = planValue(prop, old, has, input)
		case prop.Default != nil:
			planned[k] = resource.NewPropertyValue(prop.Default)
		case has && (prop.Computed || prop.Sticky):
			planned[k] = old
		case prop.Computed && state == nil:
			planned[k] = Unknown
		}
	}
	return planned
}

func planValue(prop *Property, old resource.PropertyValue, has bool, input resource.PropertyValue) resource.PropertyValue {
	switch {
	case input.IsString() && prop.Normalize != nil:
		return resource.NewProperty(prop.Normalize(input.StringValue()))
	case input.IsObject() && prop.Kind == Object:
		var prior resource.PropertyMap
		if has && old.IsObject() {
			prior = old.ObjectValue()
		}
		return resource.NewProperty(Plan(prop.Fields, prior, input.ObjectValue()))
	case input.IsArray():
		return planItems(prop, old, has, input.ArrayValue())
	default:
		return input
	}
}

func planItems(prop *Property, old resource.PropertyValue, has bool, inputs []resource.PropertyValue) resource.PropertyValue {
	var priors []resource.PropertyValue
	if has && old.IsArray() {
		priors = old.ArrayValue()
	}
	items := make([]resource.PropertyValue, 0, len(inputs))
	taken := make([]bool, len(priors))
	for i, input := range inputs {
		at := -1
		if prop.Kind == List && i < len(priors) {
			at = i
		} else if prop.Kind == Set {
			at = counterpart(prop.Elem, priors, taken, input)
		}
		if at < 0 {
			items = append(items, planValue(prop.Elem, resource.PropertyValue{}, false, input))
			continue
		}
		taken[at] = true
		items = append(items, planValue(prop.Elem, priors[at], true, input))
	}
	return resource.NewProperty(items)
}

// counterpart finds the recorded set element that agrees with everything the program wrote.
func counterpart(elem *Property, priors []resource.PropertyValue, taken []bool, input resource.PropertyValue) int {
	for i, prior := range priors {
		if taken[i] || !prior.IsObject() || !input.IsObject() {
			continue
		}
		agrees := true
		for key, value := range input.ObjectValue() {
			prop := elem.Fields[string(key)]
			if prop == nil || !Same(prop, prior.ObjectValue()[key], value) {
				agrees = false
				break
			}
		}
		if agrees {
			return i
		}
	}
	return -1
}

// Settled returns the planned values without those that are still unknown.
func Settled(planned resource.PropertyMap) resource.PropertyMap {
	out := resource.PropertyMap{}
	for key, value := range planned {
		if value.IsComputed() {
			continue
		}
		out[key] = settledValue(value)
	}
	return out
}

func settledValue(value resource.PropertyValue) resource.PropertyValue {
	switch {
	case value.IsObject():
		return resource.NewProperty(Settled(value.ObjectValue()))
	case value.IsArray():
		items := make([]resource.PropertyValue, 0, len(value.ArrayValue()))
		for _, item := range value.ArrayValue() {
			if !item.IsComputed() {
				items = append(items, settledValue(item))
			}
		}
		return resource.NewProperty(items)
	default:
		return value
	}
}
