package schema

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// Checker turns what a program wrote into checked inputs.
type Checker struct {
	// Name is the resource's name, shown in the reasons of failures.
	Name string
	// Listed adds to every object the list of inputs that the plugin chose itself, empty at first.
	Listed bool
	// Lenient drops unknown keys, as functions of the newer Terraform framework do.
	Lenient bool
	// Failures collects the reasons why the inputs are refused.
	Failures []string
}

// Check coerces and validates the inputs of an object. Defaults are left to the plan; secret marks are
// kept.
func (c *Checker) Check(props Properties, news resource.PropertyMap) resource.PropertyMap {
	return c.object("", props, news)
}

func (c *Checker) object(path string, props Properties, news resource.PropertyMap) resource.PropertyMap {
	out := resource.PropertyMap{}
	var keys []string
	for key := range news {
		keys = append(keys, string(key))
	}
	slices.Sort(keys)
	for _, key := range keys {
		value := news[resource.PropertyKey(key)]
		if strings.HasPrefix(key, "__") || value.IsNull() {
			continue
		}
		at := join(path, key)
		prop, ok := props[key]
		switch {
		case !ok && c.Lenient:
		case !ok:
			c.fail(at, "Invalid or unknown key")
		case !prop.Input():
			c.fail(at, "Value for unconfigurable attribute")
		default:
			out[resource.PropertyKey(key)] = c.value(at, prop, value)
		}
	}
	keys = keys[:0]
	for key := range props {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		if _, ok := out[resource.PropertyKey(key)]; !ok && props[key].Required {
			c.missing(join(path, key))
		}
	}
	if c.Listed {
		out[DefaultsKey] = resource.NewProperty([]resource.PropertyValue{})
	}
	return out
}

func (c *Checker) value(path string, prop *Property, value resource.PropertyValue) resource.PropertyValue {
	switch {
	case value.IsSecret():
		return resource.MakeSecret(c.value(path, prop, value.SecretValue().Element))
	case value.IsComputed() || value.IsOutput():
		return value
	}
	coerced, ok := coerce(prop.Kind, value)
	if !ok {
		c.fail(path, fmt.Sprintf("expected a %s, got a %s", prop.Kind, value.TypeString()))
		return value
	}
	if prop.Validate != nil {
		if err := prop.Validate(Plain(coerced)); err != nil {
			c.fail(path, err.Error())
		}
	}
	switch prop.Kind {
	case List, Set:
		items := make([]resource.PropertyValue, 0, len(coerced.ArrayValue()))
		for i, item := range coerced.ArrayValue() {
			if !item.IsNull() {
				items = append(items, c.value(fmt.Sprintf("%s[%d]", path, i), prop.Elem, item))
			}
		}
		return resource.NewProperty(items)
	case Map:
		entries := resource.PropertyMap{}
		for key, item := range coerced.ObjectValue() {
			if !item.IsNull() && !strings.HasPrefix(string(key), "__") {
				entries[key] = c.value(join(path, string(key)), prop.Elem, item)
			}
		}
		return resource.NewProperty(entries)
	case Object:
		return resource.NewProperty(c.object(path, prop.Fields, coerced.ObjectValue()))
	default:
		return coerced
	}
}

func (c *Checker) missing(path string) {
	if !c.Lenient {
		c.Failures = append(c.Failures, fmt.Sprintf("Missing required property '%s'", path))
		return
	}
	c.Failures = append(c.Failures, fmt.Sprintf("[%s] Missing Configuration for Required Attribute: "+
		"Must set a configuration value for the %s attribute as the provider has marked it as required.",
		path, snake(path)))
}

// snake writes a path as the provider's own documentation does.
func snake(path string) string {
	var out strings.Builder
	for _, r := range path {
		if r >= 'A' && r <= 'Z' {
			out.WriteRune('_')
			r += 'a' - 'A'
		}
		out.WriteRune(r)
	}
	return out.String()
}

func (c *Checker) fail(path, reason string) {
	if c.Lenient {
		c.Failures = append(c.Failures, fmt.Sprintf("[%s] %s", path, reason))
		return
	}
	c.Failures = append(c.Failures, fmt.Sprintf("%s. Examine values at '%s.%s'.", reason, c.Name, path))
}

// coerce accepts the spellings of scalars that programs and configuration use for one another.
func coerce(kind Kind, value resource.PropertyValue) (resource.PropertyValue, bool) {
	switch kind {
	case String:
		switch {
		case value.IsNumber():
			return resource.NewProperty(strconv.FormatFloat(value.NumberValue(), 'f', -1, 64)), true
		case value.IsBool():
			return resource.NewProperty(strconv.FormatBool(value.BoolValue())), true
		}
		return value, value.IsString()
	case Int:
		if value.IsString() {
			n, err := strconv.ParseInt(value.StringValue(), 10, 64)
			return Number(n), err == nil
		}
		return value, value.IsNumber() && value.NumberValue() == math.Trunc(value.NumberValue())
	case Bool:
		if value.IsString() {
			b, err := strconv.ParseBool(value.StringValue())
			return resource.NewProperty(b), err == nil
		}
		return value, value.IsBool()
	case List, Set:
		return value, value.IsArray()
	default:
		return value, value.IsObject()
	}
}

var identifier = regexp.MustCompile(`^[_a-zA-Z][-_a-zA-Z0-9]*$`)

func join(path, key string) string {
	if path == "" {
		return key
	}
	if identifier.MatchString(key) {
		return path + "." + key
	}
	quoted, _ := json.Marshal(key)
	return fmt.Sprintf("%s[%s]", path, quoted)
}
