package schema

import "github.com/pulumi/pulumi/sdk/v3/go/common/resource"

// MarkSecrets returns props with every value marked that the schema calls secret, or whose
// counterpart in like is secret.
func MarkSecrets(props Properties, values, like resource.PropertyMap) resource.PropertyMap {
	out := markSchema(props, values)
	copyMarks(out, like)
	return out
}

func markSchema(props Properties, values resource.PropertyMap) resource.PropertyMap {
	out := resource.PropertyMap{}
	for key, value := range values {
		out[key] = markValue(props[string(key)], value)
	}
	return out
}

func markValue(prop *Property, value resource.PropertyValue) resource.PropertyValue {
	switch {
	case prop == nil || value.IsSecret():
		return value
	case prop.Secret:
		return resource.MakeSecret(value)
	case value.IsObject() && prop.Kind == Object:
		return resource.NewProperty(markSchema(prop.Fields, value.ObjectValue()))
	case value.IsArray() && prop.Elem != nil:
		items := make([]resource.PropertyValue, 0, len(value.ArrayValue()))
		for _, item := range value.ArrayValue() {
			items = append(items, markValue(prop.Elem, item))
		}
		return resource.NewProperty(items)
	default:
		return value
	}
}

func copyMarks(out, like resource.PropertyMap) {
	for key, model := range like {
		value, ok := out[key]
		switch {
		case !ok || value.IsSecret() || value.IsNull():
		case value.IsObject() && model.IsObject():
			copyMarks(value.ObjectValue(), model.ObjectValue())
		case model.ContainsSecrets():
			out[key] = resource.MakeSecret(value)
		}
	}
}
