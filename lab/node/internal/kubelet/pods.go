package kubelet

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// AnnotationCNI marks the pods of a DaemonSet as network plugin where its name or labels do not tell.
const AnnotationCNI = "lab.oxide/cni"

// mirrorAnnotation is on the API's image of a static pod.
const mirrorAnnotation = "kubernetes.io/config.mirror"

// networkPlugins are names of DaemonSets whose pods bring up a node's pod network.
var networkPlugins = []string{"cilium", "flannel", "calico", "canal", "weave", "antrea", "kube-router", "kindnet"}

// isNetworkPlugin tells whether a pod belongs to a CNI DaemonSet.
func isNetworkPlugin(pod *corev1.Pod) bool {
	if !pod.Spec.HostNetwork || len(pod.OwnerReferences) != 1 || pod.OwnerReferences[0].Kind != "DaemonSet" {
		return false
	}

	if pod.Annotations[AnnotationCNI] == "true" {
		return true
	}

	// cilium-envoy and the like run beside the agent and bring up nothing.
	if part := pod.Labels["k8s-app"]; strings.HasSuffix(part, "-envoy") {
		return false
	}

	for _, plugin := range networkPlugins {
		owner := pod.OwnerReferences[0].Name
		if pod.Labels["k8s-app"] == plugin || owner == plugin || owner == plugin+"-node" || owner == "kube-"+plugin {
			return true
		}
	}

	return false
}

func podCondition(pod *corev1.Pod, kind corev1.PodConditionType) corev1.ConditionStatus {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == kind {
			return condition.Status
		}
	}

	return corev1.ConditionUnknown
}

// syncPods lets pods start or be torn down. Host network pods start at once, others once the network plugin runs; a
// plugin that ran once has left its configuration on the node, so the node stays ready when its pod is replaced.
func (k *Kubelet) syncPods(ctx context.Context) error {
	if err := k.restartPods(ctx); err != nil || !k.restarts.listed {
		return err
	}

	pods := k.pods.List()

	for _, object := range pods {
		pod := object.(*corev1.Pod) //nolint:errcheck,forcetypeassert // the store holds nothing else
		_, waits := k.restarts.due[pod.UID]

		if !waits && pod.DeletionTimestamp == nil && isNetworkPlugin(pod) && podCondition(pod, corev1.PodReady) == corev1.ConditionTrue {
			k.cniReady = true
		}
	}

	for _, object := range pods {
		pod := object.(*corev1.Pod) //nolint:errcheck,forcetypeassert // the store holds nothing else
		if pod.Annotations[mirrorAnnotation] != "" {
			continue
		}

		wanted := corev1.ConditionTrue
		started := podCondition(pod, corev1.PodReadyToStartContainers)

		switch {
		case pod.DeletionTimestamp != nil:
			wanted = corev1.ConditionFalse
		case pod.Status.Phase != corev1.PodPending, !pod.Spec.HostNetwork && !k.cniReady:
			continue
		}

		if started == wanted {
			continue
		}

		if wanted == corev1.ConditionTrue {
			if err := k.pullImages(pod); err != nil {
				k.wakeIn(ctx, pullInterval)

				continue
			}
		}

		if err := k.setReadyToStart(ctx, pod, wanted); err != nil {
			return err
		}
	}

	return nil
}

// pullImages gets the images of a pod.
func (k *Kubelet) pullImages(pod *corev1.Pod) error {
	for _, container := range append(slices.Clone(pod.Spec.InitContainers), pod.Spec.Containers...) {
		if err := k.Pull(container.Image); err != nil {
			return err
		}
	}

	return nil
}

func (k *Kubelet) setReadyToStart(ctx context.Context, pod *corev1.Pod, status corev1.ConditionStatus) error {
	patch, err := json.Marshal(map[string]any{"status": map[string]any{
		"conditions": []corev1.PodCondition{{
			Type: corev1.PodReadyToStartContainers, Status: status, LastTransitionTime: metav1.Now(),
		}},
	}})
	if err != nil {
		return err
	}

	_, err = k.client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	if apierrors.IsNotFound(err) {
		return nil
	}

	if err != nil {
		return fmt.Errorf("failed to update status of pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}

	return nil
}

// StaticPod is a control plane component as the API shows it.
type StaticPod struct {
	Name        string
	Image       string
	Args        []string
	Labels      map[string]string
	Annotations map[string]string
	Running     bool
}

// syncStaticPods keeps a mirror pod for each static pod.
func (k *Kubelet) syncStaticPods(ctx context.Context, node *corev1.Node) error {
	wanted := map[string]StaticPod{}
	for _, pod := range k.StaticPods() {
		wanted[pod.Name+"-"+node.Name] = pod
	}

	existing := map[string]*corev1.Pod{}

	for _, object := range k.pods.List() {
		pod := object.(*corev1.Pod) //nolint:errcheck,forcetypeassert // the store holds nothing else
		if pod.Annotations[mirrorAnnotation] != "" {
			existing[pod.Name] = pod
		}
	}

	for name, pod := range existing {
		spec, still := wanted[name]
		if still && pod.DeletionTimestamp == nil && pod.Annotations[mirrorAnnotation] == spec.hash() {
			continue
		}

		err := k.client.CoreV1().Pods(pod.Namespace).Delete(ctx, name, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("failed to delete mirror pod %s: %w", name, err)
		}

		delete(existing, name)
	}

	for name, spec := range wanted {
		pod := existing[name]
		if pod == nil {
			var err error

			pod, err = k.client.CoreV1().Pods(metav1.NamespaceSystem).Create(ctx, spec.mirror(node), metav1.CreateOptions{})
			if apierrors.IsAlreadyExists(err) {
				continue
			}

			if err != nil {
				return fmt.Errorf("failed creating mirror pod %s: %w", name, err)
			}
		}

		if err := k.syncMirrorStatus(ctx, pod, spec); err != nil {
			return err
		}
	}

	return nil
}

// hash tells revisions of a static pod apart.
func (p StaticPod) hash() string {
	return fmt.Sprintf("%s %s", p.Image, p.Annotations)
}

func (p StaticPod) mirror(node *corev1.Node) *corev1.Pod {
	annotations := maps.Clone(p.Annotations)
	annotations[mirrorAnnotation] = p.hash()
	annotations["kubernetes.io/config.source"] = "http"

	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name:        p.Name + "-" + node.Name,
			Namespace:   metav1.NamespaceSystem,
			Labels:      p.Labels,
			Annotations: annotations,
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "v1", Kind: "Node", Name: node.Name, UID: node.UID, Controller: new(true),
			}},
		},
		Spec: corev1.PodSpec{
			NodeName:          node.Name,
			HostNetwork:       true,
			PriorityClassName: "system-cluster-critical",
			Tolerations:       []corev1.Toleration{{Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute}},
			Containers:        []corev1.Container{{Name: p.Name, Image: p.Image, Command: append([]string{"/usr/local/bin/" + p.Name}, p.Args...)}},
		},
	}
}

func (k *Kubelet) syncMirrorStatus(ctx context.Context, pod *corev1.Pod, spec StaticPod) error {
	ready := corev1.ConditionFalse
	if spec.Running {
		ready = corev1.ConditionTrue
	}

	if podCondition(pod, corev1.PodReady) == ready {
		return nil
	}

	now := metav1.Now()
	state := corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}

	if spec.Running {
		state = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}}
	}

	status := corev1.PodStatus{
		Phase:     corev1.PodRunning,
		HostIP:    k.Settings().NodeIP,
		PodIP:     k.Settings().NodeIP,
		StartTime: &now,
		ContainerStatuses: []corev1.ContainerStatus{{
			Name: spec.Name, Image: spec.Image, ImageID: spec.Image, Ready: spec.Running, Started: new(spec.Running), State: state,
		}},
	}

	for _, kind := range []corev1.PodConditionType{corev1.PodScheduled, corev1.PodInitialized, corev1.PodReadyToStartContainers} {
		status.Conditions = append(status.Conditions, corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: now})
	}

	for _, kind := range []corev1.PodConditionType{corev1.ContainersReady, corev1.PodReady} {
		status.Conditions = append(status.Conditions, corev1.PodCondition{Type: kind, Status: ready, LastTransitionTime: now})
	}

	patch, err := json.Marshal(map[string]any{"status": status})
	if err != nil {
		return err
	}

	_, err = k.client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("failed to update status of mirror pod %s: %w", pod.Name, err)
	}

	// The store catches up through the watch; until then the same patch would be sent at each event.
	sleep(ctx, 20*time.Millisecond)

	return nil
}
