package schema

import (
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// DefaultsKey is the internal input that lists which inputs were filled in by defaults.
const DefaultsKey = resource.PropertyKey("__defaults")

// Values reads plain values out of a property map. Absent, null and unknown values read as zero.
type Values struct{ Map resource.PropertyMap }

// Known says whether the property has a value that is neither null nor unknown.
func (v Values) Known(key string) bool {
	value, ok := v.Map[resource.PropertyKey(key)]
	return ok && !value.IsNull() && !value.IsComputed()
}

// Str returns a string property.
func (v Values) Str(key string) string {
	if value := v.Map[resource.PropertyKey(key)]; value.IsString() {
		return value.StringValue()
	}
	return ""
}

// Int returns a whole number.
func (v Values) Int(key string) int64 {
	if value := v.Map[resource.PropertyKey(key)]; value.IsNumber() {
		return int64(value.NumberValue())
	}
	return 0
}

// Bool returns a boolean.
func (v Values) Bool(key string) bool {
	value := v.Map[resource.PropertyKey(key)]
	return value.IsBool() && value.BoolValue()
}

// Object returns a nested object; ok is false when it is absent.
func (v Values) Object(key string) (object Values, ok bool) {
	if value := v.Map[resource.PropertyKey(key)]; value.IsObject() {
		return Values{value.ObjectValue()}, true
	}
	return Values{}, false
}

// Objects returns the objects in a list.
func (v Values) Objects(key string) []Values {
	var out []Values
	for _, item := range v.list(key) {
		if item.IsObject() {
			out = append(out, Values{item.ObjectValue()})
		}
	}
	return out
}

// Strs returns the strings in a list.
func (v Values) Strs(key string) []string {
	var out []string
	for _, item := range v.list(key) {
		if item.IsString() {
			out = append(out, item.StringValue())
		}
	}
	return out
}

// Ints returns the whole numbers in a list.
func (v Values) Ints(key string) []int64 {
	var out []int64
	for _, item := range v.list(key) {
		if item.IsNumber() {
			out = append(out, int64(item.NumberValue()))
		}
	}
	return out
}

// StrMap returns a map of strings, never nil.
func (v Values) StrMap(key string) map[string]string {
	out := map[string]string{}
	if value := v.Map[resource.PropertyKey(key)]; value.IsObject() {
		for k, item := range value.ObjectValue() {
			if item.IsString() && !strings.HasPrefix(string(k), "__") {
				out[string(k)] = item.StringValue()
			}
		}
	}
	return out
}

func (v Values) list(key string) []resource.PropertyValue {
	if value := v.Map[resource.PropertyKey(key)]; value.IsArray() {
		return value.ArrayValue()
	}
	return nil
}

// Strings makes a list value of strings.
func Strings(items []string) resource.PropertyValue {
	out := make([]resource.PropertyValue, 0, len(items))
	for _, item := range items {
		out = append(out, resource.NewProperty(item))
	}
	return resource.NewProperty(out)
}

// Ints makes a list value of whole numbers.
func Ints(items []int64) resource.PropertyValue {
	out := make([]resource.PropertyValue, 0, len(items))
	for _, item := range items {
		out = append(out, Number(item))
	}
	return resource.NewProperty(out)
}

// StrMap makes a map value of strings.
func StrMap(items map[string]string) resource.PropertyValue {
	out := resource.PropertyMap{}
	for key, item := range items {
		out[resource.PropertyKey(key)] = resource.NewProperty(item)
	}
	return resource.NewProperty(out)
}

// Number makes a number value.
func Number[T int | int64 | float32](n T) resource.PropertyValue {
	return resource.NewProperty(float64(n))
}

// Text makes a string value.
func Text[T ~string](s T) resource.PropertyValue { return resource.NewProperty(string(s)) }

// Flag makes a boolean value.
func Flag(b bool) resource.PropertyValue { return resource.NewProperty(b) }

// Objects makes a list value of objects.
func Objects(items []resource.PropertyMap) resource.PropertyValue {
	out := make([]resource.PropertyValue, 0, len(items))
	for _, item := range items {
		out = append(out, resource.NewProperty(item))
	}
	return resource.NewProperty(out)
}

// Plain returns the value without secret marks, nulls in objects, and internal properties.
func Plain(value resource.PropertyValue) resource.PropertyValue {
	switch {
	case value.IsSecret():
		return Plain(value.SecretValue().Element)
	case value.IsOutput():
		if !value.OutputValue().Known {
			return resource.MakeComputed(resource.NewProperty(""))
		}
		return Plain(value.OutputValue().Element)
	case value.IsArray():
		items := make([]resource.PropertyValue, 0, len(value.ArrayValue()))
		for _, item := range value.ArrayValue() {
			items = append(items, Plain(item))
		}
		return resource.NewProperty(items)
	case value.IsObject():
		return resource.NewProperty(PlainMap(value.ObjectValue()))
	default:
		return value
	}
}

// PlainMap applies Plain to every property.
func PlainMap(props resource.PropertyMap) resource.PropertyMap {
	out := resource.PropertyMap{}
	for key, value := range props {
		if plain := Plain(value); !plain.IsNull() && !strings.HasPrefix(string(key), "__") {
			out[key] = plain
		}
	}
	return out
}
