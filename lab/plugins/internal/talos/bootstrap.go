package talos

import (
	"context"
	"errors"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	machineapi "github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/client"

	"oxide.lab/plugins/internal/provider"
	"oxide.lab/plugins/internal/schema"
)

func bootstrapResource() *provider.Resource {
	return &provider.Resource{
		Framework: true,
		Properties: schema.Properties{
			"endpoint":              schema.OptOut(schema.String).Renewed(),
			"node":                  schema.Req(schema.String),
			"clientConfiguration":   schema.Opt(schema.Object).With(clientConfiguration(schema.Req)),
			"clientConfigurationWo": schema.Opt(schema.Object).With(clientConfiguration(schema.Req)).AsSecret(),
			"timeouts":              timeouts("create"),
		},
		Verify: verifyClient,
		Plan: func(_ context.Context, plan *provider.Planned) error {
			planEndpoint(plan)
			delete(plan.Plan, "clientConfigurationWo")
			return nil
		},
		Create: func(ctx context.Context, op *provider.Operation) (string, resource.PropertyMap, error) {
			target, err := nodeOf(op.Plan, op.Inputs)
			if err != nil {
				return "", nil, err
			}
			// "Already bootstrapped" is repeated like any other error until the time is up.
			err = persist(ctx, timeout(op.Plan, "create"), func(ctx context.Context) error {
				return target.do(ctx, func(ctx context.Context, c *client.Client) error {
					return c.Bootstrap(ctx, &machineapi.BootstrapRequest{})
				})
			})
			if err != nil {
				return "", nil, failed("Error bootstrapping node", err)
			}
			return "machine_bootstrap", op.Plan.Map, nil
		},
		Read: func(_ context.Context, id string, state resource.PropertyMap) (string, resource.PropertyMap, error) {
			if len(state) == 0 {
				return id, nil, errors.New("recovered raw state does not byte-for-byte match the original raw state")
			}
			return id, state, nil
		},
		Update: func(_ context.Context, _ string, op *provider.Operation) (resource.PropertyMap, error) {
			return op.Plan.Map, nil
		},
		Delete: keepNothing,
	}
}

// verifyClient demands one client configuration.
func verifyClient(inputs schema.Values) []string {
	return oneOfTwo(inputs, "clientConfiguration", "client configuration", "client_configuration")
}

func oneOfTwo(inputs schema.Values, key, noun, attribute string) []string {
	_, plain := inputs.Map[resource.PropertyKey(key)]
	_, writeOnly := inputs.Map[resource.PropertyKey(key+"Wo")]
	switch {
	case !plain && !writeOnly:
		return []string{"Missing " + noun + ". Exactly one of " + attribute + " or " + attribute + "_wo must be set."}
	case plain && writeOnly:
		return []string{"Conflicting " + noun + ". Only one of " + attribute + " or " + attribute + "_wo can be set, not both."}
	}
	return nil
}
