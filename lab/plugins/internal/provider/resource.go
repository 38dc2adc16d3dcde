package provider

import (
	"context"
	"errors"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"

	"oxide.lab/plugins/internal/schema"
)

// ErrGone says that the resource does not exist any more.
var ErrGone = errors.New("the resource does not exist")

// Resource is one kind of resource. All property maps are plain: without secret marks, nulls and
// internal properties.
type Resource struct {
	Properties schema.Properties

	// Framework selects the rules of providers written with the newer Terraform framework: a failed
	// creation records nothing, and a fixed name does not force deletion before replacement.
	Framework bool
	// CreateTimeout bounds the creation where the program sets no limit; 0 means 20 minutes.
	CreateTimeout time.Duration

	// Prepare may rewrite what the program wrote before it is checked.
	Prepare func(news resource.PropertyMap)
	// Verify refuses combinations of checked inputs; unknown values read as absent.
	Verify func(inputs schema.Values) []string
	// Plan adjusts the planned state and may refuse it or name properties that force a replacement.
	Plan func(ctx context.Context, plan *Planned) error

	// Create makes the resource. An id together with an error means that it exists, incomplete.
	Create func(ctx context.Context, op *Operation) (id string, outputs resource.PropertyMap, err error)
	// Read returns the resource's outputs, based on the recorded ones, or ErrGone. On import the
	// state is empty.
	Read func(ctx context.Context, id string, state resource.PropertyMap) (string, resource.PropertyMap, error)
	// Update changes the resource from its state to the plan.
	Update func(ctx context.Context, id string, op *Operation) (resource.PropertyMap, error)
	// Delete removes the resource.
	Delete func(ctx context.Context, id string, op *Operation) error
}

// Planned is a plan in the making.
type Planned struct {
	// State is nil for a creation.
	State  resource.PropertyMap
	Inputs resource.PropertyMap
	Plan   resource.PropertyMap
	// Replace lists properties whose change needs a new resource.
	Replace []string
}

// Operation is what a resource is to be changed from and to.
type Operation struct {
	State  schema.Values
	Inputs schema.Values
	Plan   schema.Values
	// Warn shows a warning next to the resource.
	Warn func(message string)

	properties schema.Properties
}

// Changed says whether the planned value of the property differs from the recorded one.
func (o *Operation) Changed(key string) bool {
	k := resource.PropertyKey(key)
	return !schema.Same(o.properties[key], o.State.Map[k], o.Plan.Map[k])
}

// Function is a function that programs can call.
type Function struct {
	Inputs schema.Properties
	// Outputs lists the results that need marks; the arguments are results too.
	Outputs schema.Properties
	// Framework selects the error texts of the newer Terraform framework.
	Framework bool
	Verify    func(args schema.Values) Failures
	Call      func(ctx context.Context, args schema.Values) (resource.PropertyMap, error)
}

// Failure is a refused argument.
type Failure struct{ Property, Reason string }

// Failures are the reasons why arguments are refused.
type Failures []Failure

func (f Failures) encode() []*pulumirpc.CheckFailure {
	var out []*pulumirpc.CheckFailure
	for _, failure := range f {
		out = append(out, &pulumirpc.CheckFailure{Property: failure.Property, Reason: failure.Reason})
	}
	return out
}

// Summary is an error with the summary and detail that the newer framework shows as one text.
type Summary struct{ Title, Detail string }

func (e *Summary) Error() string { return e.Title + ": " + e.Detail }
