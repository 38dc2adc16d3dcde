package property

import (
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// MarkSecrets makes outputs secret where the inputs of the same name are. Objects are walked, so
// that one secret leaf does not hide its whole tree; an array with a secret inside becomes secret
// as a whole, because a cluster may reorder it. The data of a Secret is always secret.
func MarkSecrets(outputs, inputs resource.PropertyMap) {
	if outputs == nil {
		return
	}
	if kind := outputs["kind"]; kind.IsString() && kind.StringValue() == "Secret" {
		for _, key := range []resource.PropertyKey{"data", "stringData"} {
			if value, has := outputs[key]; has {
				outputs[key] = resource.MakeSecret(value)
			}
		}
		return
	}
	for key, input := range inputs {
		output, has := outputs[key]
		switch {
		case !has:
		case output.IsObject() && input.IsObject():
			MarkSecrets(output.ObjectValue(), input.ObjectValue())
		case !output.IsSecret() && input.ContainsSecrets():
			outputs[key] = resource.MakeSecret(output)
		}
	}
}

// MarkUnknowns makes outputs unknown where the inputs of the same place are.
func MarkUnknowns(outputs, inputs resource.PropertyMap) {
	if outputs == nil {
		return
	}
	for key, input := range inputs {
		if output, has := outputs[key]; has {
			outputs[key] = markUnknown(output, input)
		}
	}
}

func markUnknown(output, input resource.PropertyValue) resource.PropertyValue {
	switch {
	case input.IsSecret():
		return markUnknown(output, input.SecretValue().Element)
	case input.IsComputed():
		return Unknown()
	case output.IsObject() && input.IsObject():
		MarkUnknowns(output.ObjectValue(), input.ObjectValue())
	case output.IsArray() && input.IsArray():
		elements := output.ArrayValue()
		for index, element := range input.ArrayValue() {
			if index < len(elements) {
				elements[index] = markUnknown(elements[index], element)
			}
		}
	}
	return output
}

// Unknown is the placeholder for a value that is only known after the update.
func Unknown() resource.PropertyValue {
	return resource.MakeComputed(resource.NewStringProperty(""))
}
