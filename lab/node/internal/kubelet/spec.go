package kubelet

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/constants"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// specRetry is the pause after Kubernetes has refused labels, annotations and taints of the config.
const specRetry = 5 * time.Second

// applySpec runs syncSpec until it succeeds. As in Talos this is not the kubelet's work, so a refusal leaves the kubelet
// healthy: one label that a worker may not set keeps all its labels, annotations and taints from the Node.
func (k *Kubelet) applySpec(ctx context.Context, node *corev1.Node) {
	if time.Now().Before(k.nextSpec) {
		return
	}

	err := k.syncSpec(ctx, node)

	switch {
	case ctx.Err() != nil:
	case err != nil:
		k.nextSpec = time.Now().Add(specRetry)
		k.ReportSpec(err.Error())
		k.wakeIn(ctx, specRetry)
	default:
		k.ReportSpec("")
	}
}

// syncSpec keeps labels, annotations and taints of the machine config on the Node. What Talos set is recorded in
// annotations, so that it is removed when the config drops it and nothing else is touched.
func (k *Kubelet) syncSpec(ctx context.Context, seen *corev1.Node) error {
	s := k.Settings()
	node := seen.DeepCopy()

	if node.Annotations == nil {
		node.Annotations = map[string]string{}
	}

	if node.Labels == nil {
		node.Labels = map[string]string{}
	}

	syncOwned(node, constants.AnnotationOwnedLabels, node.Labels, s.Labels)
	syncOwned(node, constants.AnnotationOwnedAnnotations, node.Annotations, s.Annotations)
	syncTaints(node, s.Taints)

	// What Talos cordoned before a reboot or a shutdown, it uncordons after it.
	if !s.Cordoned && node.Annotations[constants.AnnotationCordonedKey] != "" {
		delete(node.Annotations, constants.AnnotationCordonedKey)

		node.Spec.Unschedulable = false
	}

	if maps.Equal(node.Labels, seen.Labels) && maps.Equal(node.Annotations, seen.Annotations) && slices.Equal(node.Spec.Taints, seen.Spec.Taints) {
		return nil
	}

	client := k.client

	if k.Access.Admin != nil {
		config, err := k.Access.Admin()
		if err != nil {
			return err
		}

		if client, err = kubernetes.NewForConfig(config); err != nil {
			return err
		}
	}

	updated, err := client.CoreV1().Nodes().Update(ctx, node, metav1.UpdateOptions{})
	if apierrors.IsConflict(err) {
		return nil
	}

	if err != nil {
		return err
	}

	k.mu.Lock()
	k.node = updated
	k.mu.Unlock()

	return nil
}

func ownedKeys(node *corev1.Node, annotation string) map[string]bool {
	var keys []string

	json.Unmarshal([]byte(node.Annotations[annotation]), &keys) //nolint:errcheck // nothing owned then

	owned := map[string]bool{}
	for _, key := range keys {
		owned[key] = true
	}

	return owned
}

func recordOwned(node *corev1.Node, annotation string, owned map[string]bool) {
	if len(owned) == 0 {
		delete(node.Annotations, annotation)

		return
	}

	data, _ := json.Marshal(slices.Sorted(maps.Keys(owned))) //nolint:errcheck // strings always marshal
	node.Annotations[annotation] = string(data)
}

func syncOwned(node *corev1.Node, annotation string, actual, wanted map[string]string) {
	owned := ownedKeys(node, annotation)

	for key, value := range wanted {
		if current, exists := actual[key]; !exists || current == value || owned[key] {
			actual[key] = value
			owned[key] = true
		}
	}

	for key := range owned {
		if _, still := wanted[key]; !still {
			delete(actual, key)
			delete(owned, key)
		}
	}

	recordOwned(node, annotation, owned)
}

func syncTaints(node *corev1.Node, wanted map[string]string) {
	owned := ownedKeys(node, constants.AnnotationOwnedTaints)

	for _, key := range slices.Sorted(maps.Keys(wanted)) {
		value, effect, found := strings.Cut(wanted[key], ":")
		if !found {
			value, effect = "", wanted[key]
		}

		taint := corev1.Taint{Key: key, Value: value, Effect: corev1.TaintEffect(effect)}
		index := slices.IndexFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.Key == key })

		switch {
		case index < 0:
			node.Spec.Taints = append(node.Spec.Taints, taint)
			owned[key] = true
		case node.Spec.Taints[index] == taint:
			owned[key] = true
		case owned[key]:
			node.Spec.Taints[index] = taint
		}
	}

	for key := range owned {
		if _, still := wanted[key]; !still {
			node.Spec.Taints = slices.DeleteFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.Key == key })
			delete(owned, key)
		}
	}

	recordOwned(node, constants.AnnotationOwnedTaints, owned)
}
