package provider

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"

	"oxide.lab/plugins/internal/schema"
)

// Check validates and completes what a program wrote.
func (s *Server) Check(_ context.Context, req *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	res, err := s.find(req.GetUrn(), "Check")
	if err != nil {
		return nil, err
	}
	olds, err := decode(req.GetOlds())
	if err != nil {
		return nil, err
	}
	news, err := decode(req.GetNews())
	if err != nil {
		return nil, err
	}
	if res.Prepare != nil {
		res.Prepare(news)
	}
	named, err := autoname(res, req, olds, news)
	if err != nil {
		return nil, err
	}
	checker := &schema.Checker{Name: resource.URN(req.GetUrn()).Name(), Listed: !res.Framework}
	inputs := checker.Check(res.Properties, news)
	if list, ok := inputs[schema.DefaultsKey]; ok && named {
		inputs[schema.DefaultsKey] = resource.NewProperty(append(list.ArrayValue(), resource.NewProperty("name")))
	}
	if res.Verify != nil && len(checker.Failures) == 0 {
		checker.Failures = res.Verify(schema.Values{Map: schema.PlainMap(inputs)})
	}
	var failures []*pulumirpc.CheckFailure
	for _, reason := range checker.Failures {
		failures = append(failures, &pulumirpc.CheckFailure{Reason: reason})
	}
	props, err := encode(schema.MarkSecrets(res.Properties, inputs, news))
	return &pulumirpc.CheckResponse{Inputs: props, Failures: failures}, err
}

// autoname gives the resource a name of its own when the program chose none.
func autoname(res *Resource, req *pulumirpc.CheckRequest, olds, news resource.PropertyMap) (bool, error) {
	prop, ok := res.Properties["name"]
	if _, given := news["name"]; given || !ok || !prop.Input() {
		return false, nil
	}
	if old, has := olds["name"]; has && old.IsString() && wasAutonamed(olds) {
		news["name"] = old
		return true, nil
	}
	switch options := req.GetAutonaming(); {
	case options.GetProposedName() != "":
		news["name"] = resource.NewProperty(options.GetProposedName())
	case options.GetMode() == pulumirpc.CheckRequest_AutonamingOptions_DISABLE:
		return false, nil
	default:
		name, err := resource.NewUniqueName(req.GetRandomSeed(), resource.URN(req.GetUrn()).Name()+"-", 7, 255, nil)
		if err != nil {
			return false, err
		}
		news["name"] = resource.NewProperty(name)
	}
	return true, nil
}

func wasAutonamed(olds resource.PropertyMap) bool {
	defaults, ok := olds[schema.DefaultsKey]
	if !ok || !defaults.IsArray() {
		return true
	}
	return slices.ContainsFunc(defaults.ArrayValue(), func(v resource.PropertyValue) bool {
		return v.IsString() && v.StringValue() == "name"
	})
}

// plan works out the state that follows from the inputs. Ignored properties keep their recorded
// values.
func (r *Resource) plan(ctx context.Context, state, inputs resource.PropertyMap, ignore []string) (*Planned, error) {
	planned := &Planned{State: state, Inputs: inputs, Plan: schema.Plan(r.Properties, state, inputs)}
	for _, path := range ignore {
		key := resource.PropertyKey(path)
		if old, has := state[key]; has {
			planned.Inputs[key], planned.Plan[key] = old, old
		} else if _, ok := r.Properties[path]; ok {
			delete(planned.Inputs, key)
			delete(planned.Plan, key)
		}
	}
	if state != nil && len(schema.Diff(r.Properties, state, planned.Plan)) > 0 {
		schema.Renew(r.Properties, inputs, planned.Plan)
	}
	if r.Plan != nil {
		if err := r.Plan(ctx, planned); err != nil {
			return nil, err
		}
	}
	return planned, nil
}

// Diff says what an update would change, and whether it needs a new resource.
func (s *Server) Diff(ctx context.Context, req *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	res, err := s.find(req.GetUrn(), "Diff")
	if err != nil {
		return nil, err
	}
	olds, err := decode(req.GetOlds())
	if err != nil {
		return nil, err
	}
	news, err := decode(req.GetNews())
	if err != nil {
		return nil, err
	}
	state, inputs := schema.PlainMap(olds), schema.PlainMap(news)
	planned, err := res.plan(ctx, state, inputs, req.GetIgnoreChanges())
	if err != nil {
		return nil, planError(req.GetUrn(), err)
	}
	resp := &pulumirpc.DiffResponse{
		Changes: pulumirpc.DiffResponse_DIFF_NONE, HasDetailedDiff: true,
		DetailedDiff: map[string]*pulumirpc.PropertyDiff{},
	}
	for _, change := range visible(schema.Diff(res.Properties, state, planned.Plan), planned) {
		if ignored(change.Path, req.GetIgnoreChanges()) {
			continue
		}
		top := topLevel(change.Path)
		kind := change.Kind
		if change.Replace || slices.Contains(planned.Replace, top) {
			kind++ // every kind is followed by its replacing twin
			resp.Replaces = add(resp.Replaces, top)
		}
		resp.Changes = pulumirpc.DiffResponse_DIFF_SOME
		resp.Diffs = add(resp.Diffs, top)
		resp.DetailedDiff[change.Path] = &pulumirpc.PropertyDiff{Kind: kind}
	}
	for key, prop := range res.Properties {
		if prop.Replace && !slices.Contains(resp.Replaces, key) {
			resp.Stables = append(resp.Stables, key)
		}
	}
	slices.Sort(resp.Stables)
	resp.DeleteBeforeReplace = len(resp.Replaces) > 0 && !res.Framework && fixedName(res, news)
	return resp, nil
}

// visible leaves out outputs that change only because inputs do, where there are such inputs.
func visible(changes []schema.Change, planned *Planned) []schema.Change {
	var own []schema.Change
	for _, change := range changes {
		key := resource.PropertyKey(topLevel(change.Path))
		_, given := planned.Inputs[key]
		if _, derived := planned.Plan[key]; given || !derived {
			own = append(own, change)
		}
	}
	if len(own) > 0 {
		return own
	}
	return changes
}

// fixedName says whether the program chose the name: then the old resource must go first.
func fixedName(res *Resource, news resource.PropertyMap) bool {
	if prop, ok := res.Properties["name"]; !ok || !prop.Input() {
		return false
	}
	_, listed := news[schema.DefaultsKey]
	return listed && !wasAutonamed(news)
}

func ignored(path string, paths []string) bool {
	return slices.ContainsFunc(paths, func(p string) bool {
		rest, ok := strings.CutPrefix(path, p)
		return p == "*" || ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
	})
}

func topLevel(path string) string {
	if i := strings.IndexAny(path, ".["); i >= 0 {
		return path[:i]
	}
	return path
}

func add(list []string, item string) []string {
	if slices.Contains(list, item) {
		return list
	}
	return append(list, item)
}

func planError(urn string, err error) error { return fmt.Errorf("diffing %s: %w", urn, err) }
