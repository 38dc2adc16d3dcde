// Package await tells when a Kubernetes object has become what it was made for.
package await

import (
	"encoding/json"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Condition gives why the object is not ready yet, or "" when it is. An error is final.
type Condition func(live *unstructured.Unstructured) (string, error)

// Cluster is what a condition may ask beyond the object itself.
type Cluster struct {
	List func(kind schema.GroupVersionKind, namespace, selector string) ([]unstructured.Unstructured, error)
}

// For gives the condition for an object's kind: the annotation pulumi.com/waitFor first, else what
// readiness means for the kind, else nil.
func For(object *unstructured.Unstructured, cluster Cluster) (Condition, error) {
	if expressions := object.GetAnnotations()["pulumi.com/waitFor"]; expressions != "" {
		return custom(expressions)
	}
	kind := object.GroupVersionKind()
	switch kind.GroupKind() {
	case schema.GroupKind{Group: "apps", Kind: "Deployment"}:
		return typed(deployment), nil
	case schema.GroupKind{Group: "apps", Kind: "DaemonSet"}:
		return typed(daemonSet), nil
	case schema.GroupKind{Group: "apps", Kind: "StatefulSet"}:
		return typed(statefulSet), nil
	case schema.GroupKind{Group: "batch", Kind: "Job"}:
		return typed(job), nil
	case schema.GroupKind{Kind: "Pod"}:
		return typed(pod), nil
	case schema.GroupKind{Kind: "Service"}:
		return typed(func(live *corev1.Service) (string, error) { return service(live, cluster) }), nil
	}
	return nil, nil
}

func typed[T any](condition func(*T) (string, error)) Condition {
	return func(live *unstructured.Unstructured) (string, error) {
		encoded, err := json.Marshal(live.Object)
		if err != nil {
			return "", err
		}
		object := new(T)
		if err := json.Unmarshal(encoded, object); err != nil {
			return "", err
		}
		return condition(object)
	}
}

const unobserved = "Waiting for the controller to see the change"

func deployment(live *appsv1.Deployment) (string, error) {
	wanted := int32(1)
	if live.Spec.Replicas != nil {
		wanted = *live.Spec.Replicas
	}
	status := live.Status
	switch {
	case status.ObservedGeneration < live.Generation:
		return unobserved, nil
	case status.UpdatedReplicas < wanted:
		return fmt.Sprintf("Waiting for the new ReplicaSet (%d/%d Pods updated)", status.UpdatedReplicas, wanted), nil
	case status.AvailableReplicas < wanted:
		return fmt.Sprintf("Waiting for Pods to become available (%d/%d)", status.AvailableReplicas, wanted), nil
	case status.Replicas > status.UpdatedReplicas:
		return fmt.Sprintf("Waiting for %d old Pods to end", status.Replicas-status.UpdatedReplicas), nil
	}
	return "", nil
}

func daemonSet(live *appsv1.DaemonSet) (string, error) {
	status := live.Status
	rolling := live.Spec.UpdateStrategy.Type != appsv1.OnDeleteDaemonSetStrategyType
	switch {
	case status.ObservedGeneration < live.Generation:
		return unobserved, nil
	case rolling && status.UpdatedNumberScheduled < status.DesiredNumberScheduled:
		return fmt.Sprintf("Waiting for Pods to be updated (%d/%d)",
			status.UpdatedNumberScheduled, status.DesiredNumberScheduled), nil
	case status.NumberReady < status.DesiredNumberScheduled:
		return fmt.Sprintf("Waiting for Pods to become ready (%d/%d)",
			status.NumberReady, status.DesiredNumberScheduled), nil
	}
	return "", nil
}

func statefulSet(live *appsv1.StatefulSet) (string, error) {
	wanted := int32(1)
	if live.Spec.Replicas != nil {
		wanted = *live.Spec.Replicas
	}
	status := live.Status
	switch {
	case status.ObservedGeneration < live.Generation:
		return unobserved, nil
	case status.ReadyReplicas < wanted:
		return fmt.Sprintf("Waiting for Pods to become ready (%d/%d)", status.ReadyReplicas, wanted), nil
	case status.UpdateRevision != status.CurrentRevision && status.UpdatedReplicas < wanted:
		return fmt.Sprintf("Waiting for Pods to be updated (%d/%d)", status.UpdatedReplicas, wanted), nil
	}
	return "", nil
}

func job(live *batchv1.Job) (string, error) {
	for _, condition := range live.Status.Conditions {
		if condition.Status != corev1.ConditionTrue {
			continue
		}
		switch condition.Type {
		case batchv1.JobComplete:
			return "", nil
		case batchv1.JobFailed:
			return "", fmt.Errorf("job failed: %s: %s", condition.Reason, condition.Message)
		}
	}
	return "Waiting for the Job to complete", nil
}

func pod(live *corev1.Pod) (string, error) {
	if live.Status.Phase == corev1.PodSucceeded {
		return "", nil
	}
	for _, condition := range live.Status.Conditions {
		if condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue {
			return "", nil
		}
	}
	return fmt.Sprintf("Waiting for the Pod to become ready (%s)", live.Status.Phase), nil
}

// service wants an address of its load balancer, and ready endpoints where it selects Pods. A headless
// service and one that names an external host are ready at once.
func service(live *corev1.Service, cluster Cluster) (string, error) {
	if live.Spec.Type == corev1.ServiceTypeExternalName || live.Spec.ClusterIP == corev1.ClusterIPNone {
		return "", nil
	}
	if live.Spec.Type == corev1.ServiceTypeLoadBalancer && len(live.Status.LoadBalancer.Ingress) == 0 {
		return "Waiting for the load balancer to get an address", nil
	}
	if len(live.Spec.Selector) == 0 {
		return "", nil
	}
	slices, err := cluster.List(
		schema.GroupVersionKind{Group: "discovery.k8s.io", Version: "v1", Kind: "EndpointSlice"},
		live.Namespace, "kubernetes.io/service-name="+live.Name)
	if err != nil {
		return "", err
	}
	for _, slice := range slices {
		endpoints, _, _ := unstructured.NestedSlice(slice.Object, "endpoints")
		for _, endpoint := range endpoints {
			object, _ := endpoint.(map[string]any)
			if ready, found, _ := unstructured.NestedBool(object, "conditions", "ready"); !found || ready {
				return "", nil
			}
		}
	}
	return "Waiting for Pods that the Service selects to become ready", nil
}
