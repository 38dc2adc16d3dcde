package await

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

func parse(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	object := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &object.Object); err != nil {
		t.Fatal(err)
	}
	return object
}

func TestReadiness(t *testing.T) {
	endpoints := func(ready bool) Cluster {
		return Cluster{List: func(schema.GroupVersionKind, string, string) ([]unstructured.Unstructured, error) {
			return []unstructured.Unstructured{{Object: map[string]any{
				"endpoints": []any{map[string]any{"conditions": map[string]any{"ready": ready}}},
			}}}, nil
		}}
	}
	for name, test := range map[string]struct {
		object  string
		cluster Cluster
		// reason is part of why the object is not ready, "" when it is.
		reason string
	}{
		"Deployment": {`{apiVersion: apps/v1, kind: Deployment, metadata: {generation: 2}, spec: {replicas: 2},
			status: {observedGeneration: 2, replicas: 2, updatedReplicas: 2, availableReplicas: 2}}`, Cluster{}, ""},
		"Deployment not seen": {`{apiVersion: apps/v1, kind: Deployment, metadata: {generation: 2}, spec: {replicas: 2},
			status: {observedGeneration: 1, replicas: 2, updatedReplicas: 2, availableReplicas: 2}}`, Cluster{}, "controller"},
		"Deployment starting": {`{apiVersion: apps/v1, kind: Deployment, spec: {replicas: 2},
			status: {replicas: 2, updatedReplicas: 2, availableReplicas: 1}}`, Cluster{}, "available (1/2)"},
		"Deployment with old Pods": {`{apiVersion: apps/v1, kind: Deployment, spec: {replicas: 1},
			status: {replicas: 2, updatedReplicas: 1, availableReplicas: 1}}`, Cluster{}, "1 old Pods"},
		"DaemonSet": {`{apiVersion: apps/v1, kind: DaemonSet,
			status: {desiredNumberScheduled: 3, updatedNumberScheduled: 3, numberReady: 3}}`, Cluster{}, ""},
		"DaemonSet rolling": {`{apiVersion: apps/v1, kind: DaemonSet,
			status: {desiredNumberScheduled: 3, updatedNumberScheduled: 1, numberReady: 3}}`, Cluster{}, "updated (1/3)"},
		"DaemonSet updated by deletion": {`{apiVersion: apps/v1, kind: DaemonSet, spec: {updateStrategy: {type: OnDelete}},
			status: {desiredNumberScheduled: 3, updatedNumberScheduled: 1, numberReady: 3}}`, Cluster{}, ""},
		"StatefulSet": {`{apiVersion: apps/v1, kind: StatefulSet, spec: {replicas: 2}, status: {readyReplicas: 1}}`,
			Cluster{}, "ready (1/2)"},
		"Pod": {`{apiVersion: v1, kind: Pod, status: {phase: Running,
			conditions: [{type: Ready, status: "True"}]}}`, Cluster{}, ""},
		"Pod pending": {`{apiVersion: v1, kind: Pod, status: {phase: Pending}}`, Cluster{}, "Pending"},
		"Job": {`{apiVersion: batch/v1, kind: Job, status: {conditions: [{type: Complete, status: "True"}]}}`,
			Cluster{}, ""},
		"Job running":      {`{apiVersion: batch/v1, kind: Job}`, Cluster{}, "complete"},
		"headless Service": {`{apiVersion: v1, kind: Service, spec: {clusterIP: None, selector: {a: b}}}`, Cluster{}, ""},
		"Service": {`{apiVersion: v1, kind: Service, spec: {clusterIP: 10.0.0.1, selector: {a: b}}}`,
			endpoints(true), ""},
		"Service without Pods": {`{apiVersion: v1, kind: Service, spec: {clusterIP: 10.0.0.1, selector: {a: b}}}`,
			endpoints(false), "Pods that the Service selects"},
		"LoadBalancer": {`{apiVersion: v1, kind: Service, spec: {type: LoadBalancer, clusterIP: 10.0.0.1}}`,
			Cluster{}, "load balancer"},
		"waitFor condition": {`{apiVersion: v1, kind: ConfigMap, metadata: {annotations: {pulumi.com/waitFor: condition=Synced}},
			status: {conditions: [{type: Synced, status: "False"}]}}`, Cluster{}, "Synced=True"},
		"waitFor jsonpath": {`{apiVersion: v1, kind: ConfigMap,
			metadata: {annotations: {pulumi.com/waitFor: '["jsonpath={.data.a}=1", "jsonpath={.data.b}"]'}},
			data: {a: "1", b: x}}`, Cluster{}, ""},
		"waitFor jsonpath missing": {`{apiVersion: v1, kind: ConfigMap,
			metadata: {annotations: {pulumi.com/waitFor: 'jsonpath={.data.a}'}}}`, Cluster{}, "{.data.a}"},
	} {
		object := parse(t, test.object)
		condition, err := For(object, test.cluster)
		if err != nil || condition == nil {
			t.Errorf("%s: no condition: %v", name, err)
			continue
		}
		reason, err := condition(object)
		if err != nil || (reason == "") != (test.reason == "") || !strings.Contains(reason, test.reason) {
			t.Errorf("%s: %q, %v", name, reason, err)
		}
	}
}

func TestFailedJobIsFinal(t *testing.T) {
	object := parse(t, `{apiVersion: batch/v1, kind: Job, status: {conditions: [
		{type: Failed, status: "True", reason: BackoffLimitExceeded}]}}`)
	condition, _ := For(object, Cluster{})
	if _, err := condition(object); err == nil || !strings.Contains(err.Error(), "BackoffLimitExceeded") {
		t.Errorf("got %v", err)
	}
}

func TestMalformedWaitForIsRefused(t *testing.T) {
	for _, expression := range []string{"ready", "jsonpath=.data.a", "[]"} {
		object := &unstructured.Unstructured{Object: map[string]any{}}
		object.SetAnnotations(map[string]string{"pulumi.com/waitFor": expression})
		if _, err := For(object, Cluster{}); err == nil {
			t.Errorf("%q was accepted", expression)
		}
	}
}
