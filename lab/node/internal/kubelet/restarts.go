package kubelet

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// containerStart is how long the containers of a pod take to be ready after a boot.
const containerStart = time.Second

// restarts are the pods whose containers ended with the last boot and start again with this one.
type restarts struct {
	// listed is set once the pods of the last boot are known.
	listed bool
	// due is when a pod that waits may be ready.
	due map[types.UID]time.Time
}

// restartPods starts the containers of an earlier boot again: their pods are not ready before the pod network is.
func (k *Kubelet) restartPods(ctx context.Context) error {
	if !k.restarts.listed {
		if !k.podsSynced() {
			k.wakeIn(ctx, 100*time.Millisecond)

			return nil
		}

		if err := k.endContainers(ctx); err != nil {
			return err
		}

		k.restarts.listed = true
	}

	for _, object := range k.pods.List() {
		pod := object.(*corev1.Pod) //nolint:errcheck,forcetypeassert // the store holds nothing else

		due, waits := k.restarts.due[pod.UID]
		if !waits || !pod.Spec.HostNetwork && !k.cniReady {
			continue
		}

		if wait := time.Until(due); wait > 0 {
			k.wakeIn(ctx, wait)

			continue
		}

		if err := k.setReady(ctx, pod, true); err != nil {
			return err
		}

		delete(k.restarts.due, pod.UID)
	}

	return nil
}

func (k *Kubelet) endContainers(ctx context.Context) error {
	k.restarts.due = map[types.UID]time.Time{}

	for _, object := range k.pods.List() {
		pod := object.(*corev1.Pod) //nolint:errcheck,forcetypeassert // the store holds nothing else
		if pod.Annotations[mirrorAnnotation] != "" || pod.DeletionTimestamp != nil || pod.Status.Phase != corev1.PodRunning {
			continue
		}

		if err := k.setReady(ctx, pod, false); err != nil {
			return err
		}

		k.restarts.due[pod.UID] = time.Now().Add(containerStart)
	}

	return nil
}

func (k *Kubelet) setReady(ctx context.Context, pod *corev1.Pod, ready bool) error {
	now, value := metav1.Now(), corev1.ConditionFalse
	if ready {
		value = corev1.ConditionTrue
	}

	var containers []corev1.ContainerStatus

	for _, container := range pod.Status.ContainerStatuses {
		container.Ready, container.Started = ready, &ready

		if !ready {
			container.RestartCount++
			container.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}}
		} else {
			container.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}}
		}

		containers = append(containers, container)
	}

	var conditions []corev1.PodCondition
	for _, kind := range []corev1.PodConditionType{corev1.ContainersReady, corev1.PodReady} {
		conditions = append(conditions, corev1.PodCondition{Type: kind, Status: value, LastTransitionTime: now})
	}

	patch, err := json.Marshal(map[string]any{"status": map[string]any{"conditions": conditions, "containerStatuses": containers}})
	if err != nil {
		return err
	}

	_, err = k.client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("failed to update status of pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}

	return nil
}

// wakeIn makes the kubelet look again after a while.
func (k *Kubelet) wakeIn(ctx context.Context, d time.Duration) {
	go func() {
		sleep(ctx, d)
		k.Wake()
	}()
}
