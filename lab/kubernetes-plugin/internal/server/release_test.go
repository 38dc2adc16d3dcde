package server

import (
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/asset"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

func TestReleaseCheckCompletesTheInputs(t *testing.T) {
	s := configured(t, map[string]string{"kubeconfig": nowhere, "namespace": "elsewhere"})
	inputs, failures := check(t, s, releaseURN, nil, properties(map[string]any{
		"chart": ciliumChart, "version": "1.19.x",
	}))
	if failures != nil {
		t.Fatal(failures)
	}
	if name := inputs["name"].StringValue(); !strings.HasPrefix(name, "cilium-") || len(name) == len("cilium-") {
		t.Errorf("made-up name %q", name)
	}
	for key, want := range map[resource.PropertyKey]any{
		"namespace": "elsewhere", "timeout": 300.0, "version": "1.19.6", "atomic": false, "keyring": "",
	} {
		if got := inputs[key].V; got != want {
			t.Errorf("%s = %v, want %v", key, got, want)
		}
	}
	again, _ := check(t, s, releaseURN, inputs, properties(map[string]any{"chart": ciliumChart}))
	if again["name"] != inputs["name"] {
		t.Errorf("name %v became %v", inputs["name"], again["name"])
	}
}

func TestReleaseCheckRefusesWhatHelmCouldNotUse(t *testing.T) {
	s := configured(t, map[string]string{"kubeconfig": nowhere})
	for name, test := range map[string]struct {
		inputs   map[string]any
		property string
		reason   string
	}{
		"missing chart":  {map[string]any{"chart": "./no-such-chart"}, "chart", "check the chart name"},
		"unknown input":  {map[string]any{"chart": ciliumChart, "valuesFile": "x"}, "valuesFile", "no such input"},
		"empty chart":    {map[string]any{"chart": ""}, "chart", "no chart is named"},
		"no chart given": {map[string]any{}, "chart", "no chart is named"},
	} {
		_, failures := check(t, s, releaseURN, nil, properties(test.inputs))
		if len(failures) != 1 || failures[0].GetProperty() != test.property ||
			!strings.Contains(failures[0].GetReason(), test.reason) {
			t.Errorf("%s: %v", name, failures)
		}
	}
}

func TestReleaseValuesKeepSecretsAndUnknowns(t *testing.T) {
	s := configured(t, map[string]string{"kubeconfig": nowhere})
	given := ciliumInputs(nil)
	given["values"] = resource.NewObjectProperty(resource.PropertyMap{
		"password": secret("hidden"),
		"address":  unknown,
		"list":     resource.NewArrayProperty([]resource.PropertyValue{secret("one"), resource.NewStringProperty("two")}),
		"plain":    resource.NewStringProperty("shown"),
	})
	// With an unknown inside, the chart is not looked for.
	given["chart"] = resource.NewStringProperty("./no-such-chart")
	inputs, failures := check(t, s, releaseURN, nil, given)
	if failures != nil {
		t.Fatal(failures)
	}
	state := preview(t, s, releaseURN, inputs)
	for where, values := range map[string]resource.PropertyMap{
		"inputs": inputs["values"].ObjectValue(), "state": state["values"].ObjectValue(),
	} {
		if !values["password"].IsSecret() || !values["list"].IsSecret() || values["plain"].IsSecret() {
			t.Errorf("secrets of the %s: %v", where, values)
		}
		if !values["address"].IsComputed() {
			t.Errorf("unknown of the %s: %v", where, values["address"])
		}
	}
	if !state["__inputs"].IsSecret() {
		t.Error("the recorded inputs are not secret")
	}
}

func TestReleaseValueFilesAreMergedBelowTheValues(t *testing.T) {
	s := configured(t, map[string]string{"kubeconfig": nowhere})
	file := func(text string) resource.PropertyValue {
		contents, err := asset.FromText(text)
		if err != nil {
			t.Fatal(err)
		}
		return resource.NewAssetProperty(contents)
	}
	given := ciliumInputs(map[string]any{"values": map[string]any{"a": map[string]any{"top": "values"}}})
	given["valueYamlFiles"] = resource.NewArrayProperty([]resource.PropertyValue{
		file("a: {top: first, middle: first, bottom: first}"), file("a: {middle: second}"),
	})
	inputs, _ := check(t, s, releaseURN, nil, given)
	got := inputs["values"].ObjectValue()["a"].ObjectValue().Mappable()
	for key, want := range map[string]string{"top": "values", "middle": "second", "bottom": "first"} {
		if got[key] != want {
			t.Errorf("a.%s = %v, want %s", key, got[key], want)
		}
	}
}

func TestReleaseIsReplacedOnlyForAnotherNameOrNamespace(t *testing.T) {
	s := configured(t, map[string]string{"kubeconfig": nowhere})
	olds, _ := check(t, s, releaseURN, nil, ciliumInputs(nil))
	state := olds.Copy()
	state["__inputs"] = resource.MakeSecret(resource.NewObjectProperty(olds))
	state["resourceNames"] = resource.NewObjectProperty(properties(map[string]any{"v1/Pod": []any{"a"}}))
	state["status"] = resource.NewObjectProperty(properties(map[string]any{"revision": 3.0}))
	for name, test := range map[string]struct {
		change   map[string]any
		changes  []string
		replaces []string
	}{
		"nothing":     {nil, nil, nil},
		"a name":      {map[string]any{"name": "other"}, []string{"name"}, []string{"name"}},
		"a namespace": {map[string]any{"namespace": "other"}, []string{"namespace"}, []string{"namespace"}},
		"a timeout":   {map[string]any{"timeout": 60.0}, []string{"timeout"}, nil},
		"a chart":     {map[string]any{"chart": "../../../charts/cilium/"}, []string{"chart"}, nil},
		"other values": {
			map[string]any{"values": map[string]any{"MTU": 1400.0}},
			[]string{
				"values.MTU", "values.ipam", "values.k8sServiceHost", "values.k8sServicePort",
				"values.kubeProxyReplacement",
			}, nil,
		},
		"no awaiting":   {map[string]any{"skipAwait": true, "timeout": 300.0}, []string{"skipAwait"}, nil},
		"limit history": {map[string]any{"maxHistory": 5.0}, []string{"maxHistory"}, nil},
	} {
		news, failures := check(t, s, releaseURN, olds, ciliumInputs(test.change))
		if failures != nil {
			t.Errorf("%s: %v", name, failures)
			continue
		}
		response := diff(t, s, releaseURN, state, news)
		var changed []string
		for path := range response.GetDetailedDiff() {
			changed = append(changed, path)
		}
		slices.Sort(changed)
		if !slices.Equal(changed, test.changes) || !slices.Equal(response.GetReplaces(), test.replaces) {
			t.Errorf("%s: changes %v, replaces %v", name, changed, response.GetReplaces())
		}
		if some := response.GetChanges() == pulumirpc.DiffResponse_DIFF_SOME; some != (test.changes != nil) {
			t.Errorf("%s: %v", name, response.GetChanges())
		}
	}
}
