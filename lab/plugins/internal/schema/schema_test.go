package schema

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

func props() Properties {
	return Properties{
		"name":   Req(String),
		"size":   Opt(Int).Else(1),
		"image":  OptOut(String).Replacing(),
		"data":   Opt(String).Stored(func(s string) string { return "hash of " + s }).AsSecret(),
		"labels": Opt(Map).OfStrings(),
		"status": Out(String),
		"token":  Out(String).Renewed(),
		"nets": Opt(Set).Keeping().With(Properties{
			"id": Opt(Int), "ip": OptOut(String), "mac": Out(String),
		}),
	}
}

func values(pairs ...any) resource.PropertyMap {
	out := resource.PropertyMap{}
	for i := 0; i < len(pairs); i += 2 {
		out[resource.PropertyKey(pairs[i].(string))] = resource.NewPropertyValue(pairs[i+1])
	}
	return out
}

func paths(changes []Change) string {
	var out []string
	for _, change := range changes {
		out = append(out, change.Path)
	}
	return strings.Join(out, " ")
}

func TestCheckRefusesUnknownUnsettableMissingAndMistypedInputs(t *testing.T) {
	checker := &Checker{Name: "r"}
	checker.Check(props(), values("nosuch", "x", "status", "on", "size", "many"))
	all := strings.Join(checker.Failures, "\n")
	for _, want := range []string{
		"Invalid or unknown key. Examine values at 'r.nosuch'.",
		"Value for unconfigurable attribute. Examine values at 'r.status'.",
		"Missing required property 'name'",
		"expected a number, got a string. Examine values at 'r.size'.",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("missing %q in\n%s", want, all)
		}
	}
}

func TestDefaultsBelongToThePlanNotToTheInputs(t *testing.T) {
	checker := &Checker{Name: "r", Listed: true}
	out := checker.Check(props(), values("name", "n"))
	if out.HasValue("size") || len(out[DefaultsKey].ArrayValue()) != 0 {
		t.Errorf("inputs %v", out)
	}
	if plan := Plan(props(), nil, PlainMap(out)); plan["size"].NumberValue() != 1 {
		t.Errorf("plan %v", plan)
	}
}

func TestCheckKeepsSecretMarksAndUnknownValues(t *testing.T) {
	checker := &Checker{Name: "r"}
	out := checker.Check(props(), resource.PropertyMap{
		"name": resource.MakeSecret(resource.NewProperty("n")), "size": Unknown,
	})
	if !out["name"].IsSecret() || !out["size"].IsComputed() || len(checker.Failures) > 0 {
		t.Errorf("got %v, failures %v", out, checker.Failures)
	}
}

func TestCheckReportsWhatAValidationRefuses(t *testing.T) {
	p := Properties{"a": Opt(List).Of(Opt(String).Checked(func(resource.PropertyValue) error { return errors.New("no") }))}
	checker := &Checker{Name: "r"}
	checker.Check(p, values("a", []any{"x"}))
	if want := "no. Examine values at 'r.a[0]'."; !slices.Contains(checker.Failures, want) {
		t.Errorf("failures %v", checker.Failures)
	}
}

func TestLenientCheckDropsUnknownKeysAndNamesMissingAttributes(t *testing.T) {
	p := Properties{"group": Req(Object).With(Properties{"bootstrapToken": Req(String)})}
	checker := &Checker{Lenient: true}
	checker.Check(p, values("group", map[string]any{"bootstrap_token": "x"}))
	if len(checker.Failures) != 1 ||
		!strings.HasPrefix(checker.Failures[0], "[group.bootstrapToken] Missing Configuration for Required Attribute: ") ||
		!strings.Contains(checker.Failures[0], "group.bootstrap_token") {
		t.Errorf("failures %v", checker.Failures)
	}
}

func TestDiffComparesMeaningNotSpelling(t *testing.T) {
	state := values("name", "n", "size", 1, "image", "7", "data", "hash of d", "labels", map[string]any{},
		"status", "on", "token", "t", "nets", []any{
			map[string]any{"id": 1, "ip": "10.0.0.1", "mac": "m1"}, map[string]any{"id": 2, "ip": "10.0.0.2", "mac": "m2"},
		})
	cases := map[string]struct {
		inputs resource.PropertyMap
		want   string
	}{
		"same":            {values("name", "n", "data", "d"), ""},
		"set order":       {values("name", "n", "data", "d", "nets", []any{map[string]any{"id": 2}, map[string]any{"id": 1}}), ""},
		"set element":     {values("name", "n", "data", "d", "nets", []any{map[string]any{"id": 1, "ip": "10.0.0.9"}, map[string]any{"id": 2}}), "nets[0]"},
		"label":           {values("name", "n", "data", "d", "labels", map[string]any{"a": "b"}), "labels.a"},
		"hash":            {values("name", "n", "data", "e"), "data"},
		"removed":         {values("name", "n"), "data"},
		"computed":        {values("name", "n", "data", "d", "image", "8"), "image"},
		"computed unset":  {values("name", "n", "data", "d"), ""},
		"unknown":         {resource.PropertyMap{"name": Unknown, "data": resource.NewProperty("d")}, "name"},
		"two from labels": {values("name", "m", "data", "d", "size", 2), "name size"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := paths(Diff(props(), state, Plan(props(), state, c.inputs))); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestDiffMarksReplacementsAndKinds(t *testing.T) {
	state := values("name", "n", "image", "7", "labels", map[string]any{"a": "1", "b": "1"})
	plan := Plan(props(), state, values("name", "n", "image", "8", "labels", map[string]any{"a": "2", "c": "1"}))
	got := map[string]Change{}
	for _, change := range Diff(props(), state, plan) {
		got[change.Path] = change
	}
	if !got["image"].Replace || got["labels.a"].Replace {
		t.Errorf("replacements: %v", got)
	}
	if got["labels.a"].Kind != pulumirpc.PropertyDiff_UPDATE || got["labels.b"].Kind != pulumirpc.PropertyDiff_DELETE ||
		got["labels.c"].Kind != pulumirpc.PropertyDiff_ADD {
		t.Errorf("kinds: %v", got)
	}
}

func TestPlanLeavesToTheServiceWhatItDecides(t *testing.T) {
	plan := Plan(props(), nil, values("name", "n", "nets", []any{map[string]any{"id": 1}}))
	net := plan["nets"].ArrayValue()[0].ObjectValue()
	if !plan["status"].IsComputed() || !plan["image"].IsComputed() || !net["mac"].IsComputed() {
		t.Errorf("plan %v", plan)
	}
	if settled := Settled(plan); settled.HasValue("status") || settled["nets"].ContainsUnknowns() {
		t.Errorf("settled %v", settled)
	}
}

func TestRenewedValuesAreUnknownOnceAnythingChanges(t *testing.T) {
	state := values("name", "n", "token", "t", "status", "on")
	plan := Plan(props(), state, values("name", "m"))
	Renew(props(), values("name", "m"), plan)
	if !plan["token"].IsComputed() || plan["status"].StringValue() != "on" {
		t.Errorf("plan %v", plan)
	}
}

func TestRefreshedInputsFollowOutputsButKeepWhatCannotBeReadBack(t *testing.T) {
	got := Refreshed(props(),
		values("name", "n", "data", "d", "labels", map[string]any{"a": "1"}, "size", 1,
			"nets", []any{map[string]any{"id": 2}, map[string]any{"id": 1}}),
		values("name", "n2", "data", "hash of d", "labels", map[string]any{"b": "2"}, "status", "on",
			"nets", []any{map[string]any{"id": 1, "ip": "a", "mac": "x"}, map[string]any{"id": 2, "ip": "b", "mac": "y"}}))
	want := values("name", "n2", "data", "d", "labels", map[string]any{"b": "2"},
		"nets", []any{map[string]any{"id": 2}, map[string]any{"id": 1}})
	if !got.DeepEquals(want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

func TestImportedInputsDescribeTheResourceWithoutDefaultsAndOutputs(t *testing.T) {
	got := Imported(props(), values("name", "n", "size", 1, "image", "7", "labels", map[string]any{}, "status", "on"))
	if want := values("name", "n", "image", "7"); !got.DeepEquals(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestMarksFollowSchemaAndInputs(t *testing.T) {
	got := MarkSecrets(props(), values("name", "n", "data", "h", "status", "on"),
		resource.PropertyMap{"name": resource.MakeSecret(resource.NewProperty("n"))})
	if !got["name"].IsSecret() || !got["data"].IsSecret() || got["status"].IsSecret() {
		t.Errorf("got %v", got)
	}
	if plain := PlainMap(got); plain.ContainsSecrets() || plain["data"].StringValue() != "h" {
		t.Errorf("plain %v", plain)
	}
}
