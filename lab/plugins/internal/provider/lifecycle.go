package provider

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/protobuf/types/known/emptypb"

	"oxide.lab/plugins/internal/schema"
)

const defaultTimeout = 20 * time.Minute

// Create makes a resource, or in a preview says what it would look like.
func (s *Server) Create(ctx context.Context, req *pulumirpc.CreateRequest) (*pulumirpc.CreateResponse, error) {
	res, err := s.find(req.GetUrn(), "Create")
	if err != nil {
		return nil, err
	}
	marked, err := decode(req.GetProperties())
	if err != nil {
		return nil, err
	}
	inputs := schema.PlainMap(marked)
	planned, err := res.plan(ctx, nil, inputs, nil)
	if err != nil {
		return nil, planError(req.GetUrn(), err)
	}
	if req.GetPreview() {
		props, err := encode(schema.MarkSecrets(res.Properties, planned.Plan, marked))
		return &pulumirpc.CreateResponse{Properties: props}, err
	}
	limit := res.CreateTimeout
	if limit == 0 {
		limit = defaultTimeout
	}
	ctx, cancel := bounded(ctx, req.GetTimeout(), limit)
	defer cancel()
	id, outputs, err := res.Create(ctx, s.operation(ctx, res, req.GetUrn(), nil, inputs, planned.Plan))
	if err != nil && (id == "" || res.Framework) {
		return nil, plainError(res, err)
	}
	if outputs == nil {
		outputs = schema.Settled(planned.Plan)
	}
	props, encodeErr := encode(schema.MarkSecrets(res.Properties, outputs, marked))
	if encodeErr != nil {
		return nil, encodeErr
	}
	if err != nil {
		return nil, initError(id, props, fmt.Sprintf("creating %s: %s", req.GetUrn(), plainError(res, err)))
	}
	return &pulumirpc.CreateResponse{Id: id, Properties: props}, nil
}

// Read refreshes a recorded resource, or imports one of which only the id is known.
func (s *Server) Read(ctx context.Context, req *pulumirpc.ReadRequest) (*pulumirpc.ReadResponse, error) {
	res, err := s.find(req.GetUrn(), "Read")
	if err != nil {
		return nil, err
	}
	markedState, err := decode(req.GetProperties())
	if err != nil {
		return nil, err
	}
	markedInputs, err := decode(req.GetInputs())
	if err != nil {
		return nil, err
	}
	ctx, cancel := bounded(ctx, req.GetTimeout(), defaultTimeout)
	defer cancel()
	id, outputs, err := res.Read(ctx, req.GetId(), schema.PlainMap(markedState))
	if errors.Is(err, ErrGone) {
		return &pulumirpc.ReadResponse{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("refreshing %s: %w", req.GetUrn(), plainError(res, err))
	}
	var inputs resource.PropertyMap
	if len(req.GetProperties().GetFields()) > 0 {
		inputs = schema.Refreshed(res.Properties, schema.PlainMap(markedInputs), outputs)
	} else {
		inputs = schema.Imported(res.Properties, outputs)
	}
	props, err := encode(schema.MarkSecrets(res.Properties, outputs, markedState))
	if err != nil {
		return nil, err
	}
	ins, err := encode(schema.MarkSecrets(res.Properties, inputs, markedInputs))
	return &pulumirpc.ReadResponse{Id: id, Properties: props, Inputs: ins}, err
}

// Update changes a resource in place, or in a preview says what it would look like.
func (s *Server) Update(ctx context.Context, req *pulumirpc.UpdateRequest) (*pulumirpc.UpdateResponse, error) {
	res, err := s.find(req.GetUrn(), "Update")
	if err != nil {
		return nil, err
	}
	olds, err := decode(req.GetOlds())
	if err != nil {
		return nil, err
	}
	marked, err := decode(req.GetNews())
	if err != nil {
		return nil, err
	}
	state, inputs := schema.PlainMap(olds), schema.PlainMap(marked)
	planned, err := res.plan(ctx, state, inputs, req.GetIgnoreChanges())
	if err != nil {
		return nil, planError(req.GetUrn(), err)
	}
	if req.GetPreview() {
		props, err := encode(schema.MarkSecrets(res.Properties, planned.Plan, marked))
		return &pulumirpc.UpdateResponse{Properties: props}, err
	}
	ctx, cancel := bounded(ctx, req.GetTimeout(), defaultTimeout)
	defer cancel()
	outputs := maps.Clone(state)
	if res.Update != nil {
		outputs, err = res.Update(ctx, req.GetId(), s.operation(ctx, res, req.GetUrn(), state, inputs, planned.Plan))
	}
	if errors.Is(err, ErrGone) {
		return nil, fmt.Errorf("Resource provider reported that the resource did not exist while updating %s.\n\n"+ //nolint:staticcheck
			"This is usually a result of the resource having been deleted outside of Pulumi, and can often be "+
			"fixed by running `pulumi refresh` before updating", req.GetUrn())
	}
	if err != nil && res.Framework {
		return nil, plainError(res, err)
	}
	if err != nil {
		outputs = state
	}
	props, encodeErr := encode(schema.MarkSecrets(res.Properties, outputs, marked))
	if encodeErr != nil {
		return nil, encodeErr
	}
	if err != nil {
		return nil, initError(req.GetId(), props, fmt.Sprintf("updating %s: %s", req.GetUrn(), plainError(res, err)))
	}
	return &pulumirpc.UpdateResponse{Properties: props}, nil
}

// Delete removes a resource.
func (s *Server) Delete(ctx context.Context, req *pulumirpc.DeleteRequest) (*emptypb.Empty, error) {
	res, err := s.find(req.GetUrn(), "Delete")
	if err != nil {
		return nil, err
	}
	state, err := decode(req.GetProperties())
	if err != nil {
		return nil, err
	}
	ctx, cancel := bounded(ctx, req.GetTimeout(), defaultTimeout)
	defer cancel()
	if res.Delete != nil {
		err = res.Delete(ctx, req.GetId(), s.operation(ctx, res, req.GetUrn(), schema.PlainMap(state), nil, nil))
	}
	if err == nil || errors.Is(err, ErrGone) {
		return &emptypb.Empty{}, nil
	}
	return nil, fmt.Errorf("deleting %s: %w", req.GetUrn(), plainError(res, err))
}

func (s *Server) operation(
	ctx context.Context, res *Resource, urn string, state, inputs, plan resource.PropertyMap,
) *Operation {
	return &Operation{
		State:      schema.Values{Map: state},
		Inputs:     schema.Values{Map: inputs},
		Plan:       schema.Values{Map: schema.Settled(plan)},
		Warn:       func(message string) { s.warn(ctx, urn, message) },
		properties: res.Properties,
	}
}

func (s *Server) find(urn, method string) (*Resource, error) {
	kind := string(resource.URN(urn).Type())
	if res, ok := s.spec.Resources[kind]; ok {
		return res, nil
	}
	return nil, fmt.Errorf("unrecognized resource type (%s): %s", method, kind)
}

func bounded(ctx context.Context, seconds float64, otherwise time.Duration) (context.Context, context.CancelFunc) {
	if seconds > 0 {
		otherwise = time.Duration(seconds * float64(time.Second))
	}
	return context.WithTimeout(ctx, otherwise)
}
