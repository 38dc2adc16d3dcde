package talos

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	machineapi "github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/client"
	"github.com/siderolabs/talos/pkg/machinery/config/configpatcher"

	"oxide.lab/plugins/internal/provider"
	"oxide.lab/plugins/internal/schema"
)

// rebootAware is the mode that stages a configuration where it would otherwise reboot the node.
const rebootAware = "staged_if_needing_reboot"

func applyResource() *provider.Resource {
	return &provider.Resource{
		Framework: true,
		Properties: schema.Properties{
			"applyMode":                   schema.OptOut(schema.String).Else("auto").Checked(checkMode),
			"resolvedApplyMode":           schema.Out(schema.String).Renewed(),
			"node":                        schema.Req(schema.String),
			"endpoint":                    schema.OptOut(schema.String).Renewed(),
			"clientConfiguration":         schema.Opt(schema.Object).With(clientConfiguration(schema.Req)),
			"clientConfigurationWo":       schema.Opt(schema.Object).With(clientConfiguration(schema.Req)).AsSecret(),
			"machineConfigurationInput":   schema.Opt(schema.String).AsSecret(),
			"machineConfigurationInputWo": schema.Opt(schema.String).AsSecret(),
			"machineConfiguration":        schema.Out(schema.String).AsSecret(),
			"machineConfigurationHash":    schema.Out(schema.String),
			"configPatches":               schema.Opt(schema.List).OfStrings(),
			"timeouts":                    timeouts("create", "update", "delete"),
			"onDestroy": schema.Opt(schema.Object).With(schema.Properties{
				"reset":    schema.OptOut(schema.Bool).Else(false),
				"graceful": schema.OptOut(schema.Bool).Else(true),
				"reboot":   schema.OptOut(schema.Bool).Else(false),
			}),
		},
		Verify: func(inputs schema.Values) []string {
			reasons := oneOfTwo(inputs, "machineConfigurationInput", "machine configuration input",
				"machine_configuration_input")
			return append(append(reasons, verifyClient(inputs)...), verifyOnDestroy(inputs)...)
		},
		Plan: planApply,
		Create: func(ctx context.Context, op *provider.Operation) (string, resource.PropertyMap, error) {
			return "machine_configuration_apply", op.Plan.Map, apply(ctx, op, "create")
		},
		Read: unchanged,
		Update: func(ctx context.Context, _ string, op *provider.Operation) (resource.PropertyMap, error) {
			return op.Plan.Map, apply(ctx, op, "update")
		},
		Delete: resetOnDestroy,
	}
}

func checkMode(value resource.PropertyValue) error {
	switch value.StringValue() {
	case "auto", "reboot", "no_reboot", "staged", rebootAware:
		return nil
	}
	return fmt.Errorf("Invalid Attribute Value Match: value must be one of: [%q %q %q %q %q], got: %q", //nolint:staticcheck
		"auto", "reboot", "no_reboot", "staged", rebootAware, value.StringValue())
}

// verifyOnDestroy demands all three members as known values, although the schema has defaults.
func verifyOnDestroy(inputs schema.Values) []string {
	wish, ok := inputs.Object("onDestroy")
	if !ok || (wish.Known("reset") && wish.Known("graceful") && wish.Known("reboot")) {
		return nil
	}
	return []string{"Value Conversion Error. An unexpected error was encountered trying to build a value: " +
		"on_destroy needs known values for all of reset, graceful and reboot."}
}

// planApply renders the configuration as soon as its parts are known.
func planApply(ctx context.Context, plan *provider.Planned) error {
	delete(plan.Plan, "clientConfigurationWo")
	delete(plan.Plan, "machineConfigurationInputWo")
	if plan.Inputs["endpoint"].IsComputed() || plan.Inputs["node"].IsComputed() {
		return nil
	}
	planEndpoint(plan)
	text, known, err := rendered(schema.Values{Map: plan.Inputs})
	if err != nil || !known {
		return err
	}
	sum := sha256.Sum256([]byte(text))
	plan.Plan["machineConfigurationHash"] = schema.Text(hex.EncodeToString(sum[:]))
	if _, writeOnly := plan.Inputs["machineConfigurationInputWo"]; writeOnly {
		delete(plan.Plan, "machineConfiguration")
	} else {
		plan.Plan["machineConfiguration"] = schema.Text(text)
	}
	plan.Plan["resolvedApplyMode"] = schema.Text(resolvedMode(ctx, plan, text))
	return nil
}

// rendered patches the configuration; known is false while a part of it is unknown.
func rendered(inputs schema.Values) (text string, known bool, err error) {
	input := inputs.Map["machineConfigurationInputWo"]
	if !input.IsString() {
		input = inputs.Map["machineConfigurationInput"]
	}
	list := inputs.Map["configPatches"]
	if !input.IsString() || list.ContainsUnknowns() {
		return "", false, nil
	}
	patches, err := configpatcher.LoadPatches(inputs.Strs("configPatches"))
	if err != nil {
		return "", false, failed("Error loading config patches", err)
	}
	patched, err := configpatcher.Apply(configpatcher.WithBytes([]byte(input.StringValue())), patches)
	if err != nil {
		return "", false, failed("Error applying config patches", err)
	}
	data, err := patched.Bytes()
	if err != nil {
		return "", false, failed("Error converting config to bytes", err)
	}
	return string(data), true, nil
}

// resolvedMode asks the node, by a dry run, whether the configuration needs a reboot.
func resolvedMode(ctx context.Context, plan *provider.Planned, text string) string {
	values := schema.Values{Map: plan.Plan}
	mode := strings.ToLower(values.Str("applyMode"))
	if mode != rebootAware {
		return mode
	}
	state := schema.Values{Map: plan.State}
	if plan.State != nil && state.Str("machineConfiguration") == text && state.Str("resolvedApplyMode") != "" {
		return state.Str("resolvedApplyMode")
	}
	target, err := nodeOf(values, schema.Values{Map: plan.Inputs})
	if err != nil {
		return "auto"
	}
	reboot := false
	err = target.do(ctx, func(ctx context.Context, c *client.Client) error {
		resp, err := c.ApplyConfiguration(ctx, &machineapi.ApplyConfigurationRequest{
			Mode: machineapi.ApplyConfigurationRequest_AUTO, Data: []byte(text), DryRun: true,
		})
		reboot = err == nil && len(resp.GetMessages()) > 0 &&
			resp.GetMessages()[0].GetMode() == machineapi.ApplyConfigurationRequest_REBOOT
		return err
	})
	if err == nil && reboot {
		return "staged"
	}
	return "auto"
}

func apply(ctx context.Context, op *provider.Operation, limit string) error {
	target, err := nodeOf(op.Plan, op.Inputs)
	if err != nil {
		return err
	}
	text := op.Plan.Str("machineConfiguration")
	if text == "" {
		if text, _, err = rendered(op.Inputs); err != nil {
			return err
		}
	}
	mode := op.Plan.Str("resolvedApplyMode")
	if mode == "" {
		mode = op.Plan.Str("applyMode")
	}
	request := &machineapi.ApplyConfigurationRequest{
		Data: []byte(text),
		Mode: machineapi.ApplyConfigurationRequest_Mode(
			machineapi.ApplyConfigurationRequest_Mode_value[strings.ToUpper(mode)]),
	}
	err = persist(ctx, timeout(op.Plan, limit), func(ctx context.Context) error {
		return target.do(ctx, func(ctx context.Context, c *client.Client) error {
			_, err := c.ApplyConfiguration(ctx, request)
			return err
		})
	})
	if err != nil {
		return failed("Error applying configuration", err)
	}
	return nil
}
