// Package schema describes the properties of resources and functions, and derives from that
// description how inputs are checked, planned, compared and read back.
package schema

import "github.com/pulumi/pulumi/sdk/v3/go/common/resource"

// Kind is the shape of a property's value.
type Kind int

// The kinds of values that the plugins exchange with the engine.
const (
	String Kind = iota
	Int
	Bool
	List
	Set
	Map
	Object
)

func (k Kind) String() string {
	return [...]string{"string", "number", "boolean", "list", "list", "map", "object"}[k]
}

// Properties maps property names, as programs write them, to their descriptions.
type Properties map[string]*Property

// Property describes one input or output.
type Property struct {
	Kind Kind
	// Elem describes the elements of a List, Set or Map.
	Elem *Property
	// Fields describes the members of an Object.
	Fields Properties

	// Required inputs must be given; Optional ones may be. A property that is neither is an output only.
	Required bool
	Optional bool
	// Computed values are set by the service when the program leaves them out.
	Computed bool
	// Fresh computed values are not carried over from the state when another property changes.
	Fresh bool
	// Sticky properties keep their recorded value when the program leaves them out.
	Sticky bool
	// Replace means that a change needs a new resource.
	Replace bool
	// Secret values are marked secret in everything the plugin returns.
	Secret bool
	// Default is the value of an input that was left out: a string, bool or int.
	Default any
	// Normalize turns an input into the form that is recorded in the state.
	Normalize func(string) string
	// Validate refuses a known value with a reason.
	Validate func(resource.PropertyValue) error
}

// Input says whether a program may set the property.
func (p *Property) Input() bool { return p.Required || p.Optional }

// Req returns a required input of the kind.
func Req(kind Kind) *Property { return &Property{Kind: kind, Required: true} }

// Opt returns an optional input of the kind.
func Opt(kind Kind) *Property { return &Property{Kind: kind, Optional: true} }

// Out returns an output of the kind.
func Out(kind Kind) *Property { return &Property{Kind: kind, Computed: true} }

// OptOut returns an optional input that the service fills in when it is left out.
func OptOut(kind Kind) *Property { return &Property{Kind: kind, Optional: true, Computed: true} }

// Of sets the element description of a collection.
func (p *Property) Of(elem *Property) *Property { p.Elem = elem; return p }

// OfStrings makes the collection one of strings.
func (p *Property) OfStrings() *Property { return p.Of(Opt(String)) }

// OfInts makes the collection one of whole numbers.
func (p *Property) OfInts() *Property { return p.Of(Opt(Int)) }

// With sets the members of an object, or of the objects in a collection.
func (p *Property) With(fields Properties) *Property {
	if p.Kind == Object {
		p.Fields = fields
		return p
	}
	return p.Of(&Property{Kind: Object, Optional: true, Fields: fields})
}

// Replacing marks the property as one whose change replaces the resource.
func (p *Property) Replacing() *Property { p.Replace = true; return p }

// Keeping marks the property as one that keeps its recorded value when left out.
func (p *Property) Keeping() *Property { p.Sticky = true; return p }

// Renewed marks a computed property as unknown while any other property changes.
func (p *Property) Renewed() *Property { p.Fresh = true; return p }

// AsSecret marks the property as secret.
func (p *Property) AsSecret() *Property { p.Secret = true; return p }

// Else sets the default.
func (p *Property) Else(value any) *Property { p.Default = value; return p }

// Stored sets the function that turns an input into its recorded form.
func (p *Property) Stored(f func(string) string) *Property { p.Normalize = f; return p }

// Checked sets the validation.
func (p *Property) Checked(f func(resource.PropertyValue) error) *Property { p.Validate = f; return p }
