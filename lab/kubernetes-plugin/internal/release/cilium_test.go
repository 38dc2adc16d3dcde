package release

import (
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"sigs.k8s.io/yaml"
)

const ciliumChart = "../../../charts/cilium"

// oxideValues are what a cluster without kube-proxy needs at least.
func oxideValues(more map[string]any) map[string]any {
	values := map[string]any{
		"ipam":                 map[string]any{"mode": "kubernetes"},
		"kubeProxyReplacement": true,
		"k8sServiceHost":       "localhost",
		"k8sServicePort":       float64(7445),
		"bpf":                  map[string]any{"masquerade": true},
	}
	return chartutil.MergeTables(more, values)
}

func renderCilium(t *testing.T, values map[string]any) (map[string]map[string]any, error) {
	t.Helper()
	loaded, err := loader.Load(ciliumChart)
	if err != nil {
		t.Fatal(err)
	}
	complete, err := chartutil.ToRenderValues(loaded, values, chartutil.ReleaseOptions{
		Name: "cilium", Namespace: "kube-system", Revision: 1, IsInstall: true,
	}, chartutil.DefaultCapabilities)
	if err != nil {
		t.Fatal(err)
	}
	files, err := engine.Render(loaded, complete)
	if err != nil {
		return nil, err
	}
	objects := map[string]map[string]any{}
	for name, content := range files {
		if strings.HasSuffix(name, ".tpl") {
			continue
		}
		for _, document := range manifests(content) {
			object := map[string]any{}
			if err := yaml.UnmarshalStrict([]byte(document), &object); err != nil {
				t.Fatalf("%s: %v\n%s", name, err, document)
			}
			if len(object) == 0 {
				continue
			}
			metadata := object["metadata"].(map[string]any)
			objects[object["kind"].(string)+"/"+metadata["name"].(string)] = object
		}
	}
	return objects, nil
}

func dig(object any, path ...any) any {
	for _, step := range path {
		switch step := step.(type) {
		case string:
			nested, _ := object.(map[string]any)
			object = nested[step]
		case int:
			nested, _ := object.([]any)
			if step >= len(nested) {
				return nil
			}
			object = nested[step]
		}
	}
	return object
}

func TestCiliumConfigHasTheAgentsOptionNames(t *testing.T) {
	objects, err := renderCilium(t, oxideValues(map[string]any{
		"hubble":     map[string]any{"metrics": map[string]any{"enabled": []any{"dns", "drop"}}},
		"nodeIPAM":   map[string]any{"enabled": true},
		"anyOfTheir": map[string]any{"values": "is accepted"},
	}))
	if err != nil {
		t.Fatal(err)
	}
	data := dig(objects["ConfigMap/cilium-config"], "data").(map[string]any)
	for option, want := range map[string]string{
		"kube-proxy-replacement": "true",
		"routing-mode":           "tunnel",
		"tunnel-protocol":        "vxlan",
		"ipam":                   "kubernetes",
		"enable-hubble":          "true",
		"enable-bpf-masquerade":  "true",
		"enable-node-ipam":       "true",
		"hubble-metrics":         "dns drop",
		"cluster-name":           "default",
		"enable-ipv6":            "false",
	} {
		if got := data[option]; got != want {
			t.Errorf("%s = %v, want %q", option, got, want)
		}
	}
	if _, has := data["cluster-pool-ipv4-cidr"]; has {
		t.Error("cluster-pool-ipv4-cidr is set although IPAM does not use the cluster pool")
	}
	if dump := data["values.yaml"].(string); !strings.Contains(dump, "is accepted") {
		t.Errorf("values.yaml lacks a value that the chart does not know:\n%s", dump)
	}
}

func TestCiliumAgentReachesTheAPIWithoutItsService(t *testing.T) {
	objects, err := renderCilium(t, oxideValues(nil))
	if err != nil {
		t.Fatal(err)
	}
	pod := dig(objects["DaemonSet/cilium"], "spec", "template", "spec")
	if dig(pod, "hostNetwork") != true || dig(pod, "tolerations", 0, "operator") != "Exists" {
		t.Error("the agent has to run on the host network of every node")
	}
	environment := map[any]any{}
	for _, variable := range dig(pod, "containers", 0, "env").([]any) {
		environment[dig(variable, "name")] = dig(variable, "value")
	}
	if environment["KUBERNETES_SERVICE_HOST"] != "localhost" || environment["KUBERNETES_SERVICE_PORT"] != "7445" {
		t.Errorf("API environment of the agent: %v", environment)
	}
}

func TestCiliumRefusesValuesItCouldNotComeUpWith(t *testing.T) {
	for name, test := range map[string]struct {
		values map[string]any
		reason string
	}{
		"no API host": {map[string]any{"k8sServiceHost": ""}, "k8sServiceHost and k8sServicePort must be set"},
		"kube-proxy replacement": {
			map[string]any{"kubeProxyReplacement": "strict"}, "explicitly set to a valid value",
		},
		"native routing": {map[string]any{"routingMode": "native"}, "ipv4NativeRoutingCIDR must be set"},
		"UI without relay": {
			map[string]any{"hubble": map[string]any{"ui": map[string]any{"enabled": true}}},
			"requires .Values.hubble.relay.enabled=true",
		},
	} {
		_, err := renderCilium(t, oxideValues(test.values))
		if err == nil || !strings.Contains(err.Error(), test.reason) {
			t.Errorf("%s: got %v, want %q", name, err, test.reason)
		}
	}
}

func TestCiliumPodsRollWithTheConfigurationOnlyOnDemand(t *testing.T) {
	checksum := func(values map[string]any) any {
		objects, err := renderCilium(t, oxideValues(values))
		if err != nil {
			t.Fatal(err)
		}
		return dig(objects["DaemonSet/cilium"], "spec", "template", "metadata", "annotations",
			"cilium.io/cilium-configmap-checksum")
	}
	if got := checksum(nil); got != nil {
		t.Errorf("checksum without rollOutCiliumPods: %v", got)
	}
	before := checksum(map[string]any{"rollOutCiliumPods": true})
	after := checksum(map[string]any{"rollOutCiliumPods": true, "MTU": float64(1400)})
	if before == nil || before == after {
		t.Errorf("checksums before and after a change: %v, %v", before, after)
	}
}

func TestCiliumAddOnsFollowTheirSwitches(t *testing.T) {
	switches := func(on bool) map[string]any {
		return map[string]any{
			"envoy":  map[string]any{"enabled": on},
			"hubble": map[string]any{"relay": map[string]any{"enabled": on}, "ui": map[string]any{"enabled": on}},
		}
	}
	for _, on := range []bool{false, true} {
		objects, err := renderCilium(t, oxideValues(switches(on)))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{
			"DaemonSet/cilium-envoy", "Deployment/hubble-relay", "Deployment/hubble-ui", "Service/hubble-ui",
		} {
			if _, has := objects[name]; has != on {
				t.Errorf("switched %t, %s rendered %t", on, name, has)
			}
		}
		if replicas := dig(objects["Deployment/cilium-operator"], "spec", "replicas"); replicas != float64(2) {
			t.Errorf("operator replicas: %v", replicas)
		}
	}
}

func TestCiliumOnTalosNeedsNoKernelModulesAndMountsNoCgroup(t *testing.T) {
	objects, err := renderCilium(t, oxideValues(map[string]any{
		"cgroup": map[string]any{"autoMount": map[string]any{"enabled": false}, "hostRoot": "/sys/fs/cgroup"},
		"securityContext": map[string]any{"capabilities": map[string]any{
			"ciliumAgent":      []any{"CHOWN", "NET_ADMIN"},
			"cleanCiliumState": []any{"NET_ADMIN"},
		}},
		"loadBalancer":         map[string]any{"acceleration": "best-effort"},
		"defaultLBServiceIPAM": "nodeipam",
	}))
	if err != nil {
		t.Fatal(err)
	}
	pod := dig(objects["DaemonSet/cilium"], "spec", "template", "spec")
	for _, container := range append(dig(pod, "initContainers").([]any), dig(pod, "containers").([]any)...) {
		name := dig(container, "name")
		if name == "mount-cgroup" {
			t.Error("the cgroup is mounted")
		}
		added, _ := dig(container, "securityContext", "capabilities", "add").([]any)
		for _, capability := range added {
			if capability == "SYS_MODULE" {
				t.Errorf("%s may load kernel modules", name)
			}
		}
	}
	data := dig(objects["ConfigMap/cilium-config"], "data").(map[string]any)
	for option, want := range map[string]string{
		"cgroup-root": "/sys/fs/cgroup", "bpf-lb-acceleration": "best-effort", "default-lb-service-ipam": "nodeipam",
	} {
		if data[option] != want {
			t.Errorf("%s = %v, want %q", option, data[option], want)
		}
	}
}
