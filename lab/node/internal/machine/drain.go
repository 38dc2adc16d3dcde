package machine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/constants"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/oxide-lab/node/internal/machineconfig"
)

// drainTimeout is that of Talos' own drain.
const drainTimeout = 5 * time.Minute

// clusterClient is an administrator's client to the node's cluster through any live control plane.
func (b *Boot) clusterClient() (kubernetes.Interface, error) {
	for _, peer := range b.env.Clusters.boots() {
		cfg := peer.Config()
		if cfg == nil || !machineconfig.IsControlPlane(cfg) || clusterKey(cfg) != clusterKey(b.Config()) || !peer.plane.isRunning() {
			continue
		}

		access, err := peer.adminAccess()
		if err != nil {
			return nil, err
		}

		return kubernetes.NewForConfig(access)
	}

	return nil, errors.New("no live Kubernetes API server")
}

// drain cordons the node and evicts its pods, except those of DaemonSets and static ones.
func (b *Boot) drain(ctx context.Context) error {
	if b.Node() == nil {
		return nil
	}

	client, err := b.clusterClient()
	if err != nil {
		return err
	}

	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()

	b.mu.Lock()
	b.cordoned = true
	b.mu.Unlock()

	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"annotations": map[string]string{constants.AnnotationCordonedKey: constants.AnnotationCordonedValue}},
		"spec":     map[string]any{"unschedulable": true},
	})
	if err != nil {
		return err
	}

	name := b.Hostname()
	if _, err := client.CoreV1().Nodes().Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("failed to cordon node %s: %w", name, err)
	}

	for {
		list, err := client.CoreV1().Pods("").List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=" + name})
		if err != nil {
			return err
		}

		left := 0

		for i := range list.Items {
			if !evictable(&list.Items[i]) {
				continue
			}

			left++

			if list.Items[i].DeletionTimestamp == nil {
				if err := evict(ctx, client, &list.Items[i]); err != nil {
					return err
				}
			}
		}

		if left == 0 {
			return nil
		}

		if !pause(ctx, time.Second) {
			return fmt.Errorf("drain of %s: %d pods left: %w", name, left, ctx.Err())
		}
	}
}

func evictable(pod *corev1.Pod) bool {
	if pod.Annotations[corev1.MirrorPodAnnotationKey] != "" {
		return false
	}

	for _, owner := range pod.OwnerReferences {
		if owner.Kind == "DaemonSet" {
			return false
		}
	}

	return true
}

func evict(ctx context.Context, client kubernetes.Interface, pod *corev1.Pod) error {
	err := client.CoreV1().Pods(pod.Namespace).EvictV1(ctx, &policyv1.Eviction{
		ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace},
	})

	// A disruption budget says "not now".
	if apierrors.IsNotFound(err) || apierrors.IsTooManyRequests(err) {
		return nil
	}

	return err
}
