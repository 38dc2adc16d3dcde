package provider

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"

	"oxide.lab/plugins/internal/schema"
)

// Invoke calls a function.
func (s *Server) Invoke(ctx context.Context, req *pulumirpc.InvokeRequest) (*pulumirpc.InvokeResponse, error) {
	function, ok := s.spec.Functions[req.GetTok()]
	if !ok {
		return nil, fmt.Errorf("unrecognized data function (Invoke): %s", req.GetTok())
	}
	marked, err := decode(req.GetArgs())
	if err != nil {
		return nil, err
	}
	if function.Verify != nil {
		if failures := function.Verify(schema.Values{Map: schema.PlainMap(marked)}); len(failures) > 0 {
			return &pulumirpc.InvokeResponse{Failures: failures.encode()}, nil
		}
	}
	checker := &schema.Checker{Lenient: function.Framework}
	args := schema.PlainMap(checker.Check(function.Inputs, marked))
	if len(checker.Failures) > 0 {
		return nil, errors.New(strings.Join(checker.Failures, "\n"))
	}
	results, err := function.Call(ctx, schema.Values{Map: args})
	if err != nil {
		if !function.Framework {
			err = fmt.Errorf("invoking %s: %w", req.GetTok(), listed(err))
		}
		return nil, err
	}
	outputs := maps.Clone(args)
	maps.Copy(outputs, results)
	ret, err := encode(schema.MarkSecrets(function.Outputs, outputs, marked))
	return &pulumirpc.InvokeResponse{Return: ret}, err
}
