package server

import (
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

func recorded(inputs resource.PropertyMap) resource.PropertyMap {
	state := inputs.Copy()
	state["__inputs"] = resource.NewObjectProperty(inputs)
	return state
}

func configMap(name string, data map[string]any) resource.PropertyMap {
	metadata := map[string]any{}
	if name != "" {
		metadata["name"] = name
	}
	return properties(map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data,
	})
}

func TestObjectWithoutNameGetsOneAndKeepsIt(t *testing.T) {
	s := configured(t, map[string]string{"kubeconfig": nowhere})
	first, _ := check(t, s, configMapURN, nil, configMap("", map[string]any{"a": "1"}))
	metadata := first["metadata"].ObjectValue()
	name := metadata["name"].StringValue()
	if !strings.HasPrefix(name, "settings-") {
		t.Errorf("made-up name %q", name)
	}
	if metadata["namespace"].V != "default" {
		t.Errorf("namespace %v", metadata["namespace"])
	}
	second, _ := check(t, s, configMapURN, first, configMap("", map[string]any{"a": "2"}))
	if got := second["metadata"].ObjectValue()["name"].StringValue(); got != name {
		t.Errorf("name %q became %q", name, got)
	}
}

func TestClusterWideObjectsGetNoNamespace(t *testing.T) {
	s := configured(t, map[string]string{"kubeconfig": nowhere})
	policy := properties(map[string]any{
		"apiVersion": "cilium.io/v2", "kind": "CiliumClusterwideNetworkPolicy",
		"metadata": map[string]any{"name": "metadata"},
	})
	namespaced := func() bool {
		inputs, _ := check(t, s, policyURN, nil, policy)
		_, has := inputs["metadata"].ObjectValue()["namespace"]
		return has
	}
	if !namespaced() {
		t.Error("a kind that nobody knows should be taken as namespaced")
	}
	check(t, s, releaseURN, nil, ciliumInputs(nil))
	if namespaced() {
		t.Error("the chart of a checked release says that the kind is cluster-wide")
	}
	inputs, _ := check(t, s, namespaceURN, nil, properties(map[string]any{
		"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "app"},
	}))
	if _, has := inputs["metadata"].ObjectValue()["namespace"]; has {
		t.Error("a Namespace got a namespace")
	}
}

func TestSecretDataIsSecretAndStringDataBecomesData(t *testing.T) {
	s := configured(t, map[string]string{"kubeconfig": nowhere})
	inputs, _ := check(t, s, secretURN, nil, properties(map[string]any{
		"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "cred"},
		"stringData": map[string]any{"password": "hidden"},
	}))
	if _, has := inputs["stringData"]; has {
		t.Error("stringData is still there")
	}
	if !inputs["data"].IsSecret() {
		t.Fatalf("data: %v", inputs["data"])
	}
	data := inputs["data"].SecretValue().Element.ObjectValue()
	if data["password"].V != "aGlkZGVu" {
		t.Errorf("data: %v", data)
	}
}

func TestObjectDiffFollowsWhatKubernetesLetsChange(t *testing.T) {
	s := configured(t, map[string]string{"kubeconfig": nowhere})
	named, _ := check(t, s, configMapURN, nil, configMap("fixed", map[string]any{"a": "1"}))
	unnamed, _ := check(t, s, configMapURN, nil, configMap("", map[string]any{"a": "1"}))
	labelled := configMap("fixed", map[string]any{"a": "1"})
	labelled["metadata"].ObjectValue()["labels"] = resource.NewObjectProperty(properties(map[string]any{"x": "y"}))
	for name, test := range map[string]struct {
		olds, news   resource.PropertyMap
		changed      bool
		replaced     bool
		deletedFirst bool
	}{
		"same":                    {named, configMap("fixed", map[string]any{"a": "1"}), false, false, false},
		"label":                   {named, labelled, true, false, false},
		"data under a fixed name": {named, configMap("fixed", map[string]any{"a": "2"}), true, true, true},
		"data under a made-up name": {
			unnamed, configMap("", map[string]any{"a": "2"}), true, true, false,
		},
		"name": {named, configMap("other", map[string]any{"a": "1"}), true, true, false},
	} {
		news, _ := check(t, s, configMapURN, test.olds, test.news)
		response := diff(t, s, configMapURN, recorded(test.olds), news)
		if changed := response.GetChanges() == pulumirpc.DiffResponse_DIFF_SOME; changed != test.changed {
			t.Errorf("%s: changed %t: %v", name, changed, response.GetDetailedDiff())
		}
		if replaced := len(response.GetReplaces()) > 0; replaced != test.replaced {
			t.Errorf("%s: replaces %v", name, response.GetReplaces())
		}
		if response.GetDeleteBeforeReplace() != test.deletedFirst {
			t.Errorf("%s: delete before replace %t", name, response.GetDeleteBeforeReplace())
		}
	}
}

func TestWhatTheClusterFilledInIsNoDifference(t *testing.T) {
	s := configured(t, map[string]string{"kubeconfig": nowhere})
	urn := "urn:pulumi:dev::test::kubernetes:apps/v1:Deployment::web"
	deployment := func(cpu string, labels map[string]any) resource.PropertyMap {
		return properties(map[string]any{
			"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": "web"},
			"spec": map[string]any{
				"selector": map[string]any{"matchLabels": labels},
				"template": map[string]any{"spec": map[string]any{"containers": []any{map[string]any{
					"name": "c", "image": "nginx",
					"resources": map[string]any{"requests": map[string]any{"cpu": cpu}},
				}}}},
			},
		})
	}
	inputs, _ := check(t, s, urn, nil, deployment("500m", map[string]any{"app": "web"}))
	live := inputs.Copy()
	live["status"] = resource.NewObjectProperty(properties(map[string]any{"replicas": 1.0}))
	spec := live["spec"].ObjectValue().Copy()
	spec["replicas"] = resource.NewNumberProperty(1)
	live["spec"] = resource.NewObjectProperty(spec)
	live["__inputs"] = resource.NewObjectProperty(inputs)

	same, _ := check(t, s, urn, inputs, deployment("0.5", map[string]any{"app": "web"}))
	if response := diff(t, s, urn, live, same); response.GetChanges() != pulumirpc.DiffResponse_DIFF_NONE {
		t.Errorf("the same request in another notation: %v", response.GetDetailedDiff())
	}
	other, _ := check(t, s, urn, inputs, deployment("0.5", map[string]any{"app": "other"}))
	response := diff(t, s, urn, live, other)
	if len(response.GetReplaces()) != 1 || response.GetReplaces()[0] != "spec.selector.matchLabels.app" {
		t.Errorf("another selector replaces %v", response.GetReplaces())
	}
}
