package kubelet

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/cache"
)

// Events that Observe gets.
const (
	eventCordon   = "cordon"
	eventUncordon = "uncordon"
	eventPod      = "pod"
	eventNode     = "node"
)

// follow keeps a store of objects and wakes the loop at each change. changed gets the objects before and after it, nil
// where there is none.
func (k *Kubelet) follow(ctx context.Context, source cache.ListerWatcher, kind runtime.Object, changed func(before, after any)) (cache.Store, func() bool) {
	notice := func(before, after any) {
		changed(before, after)
		k.Wake()
	}

	store, controller := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: source,
		ObjectType:    kind,
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    func(after any) { notice(nil, after) },
			UpdateFunc: notice,
			DeleteFunc: func(before any) { notice(before, nil) },
		},
	})

	go controller.RunWithContext(ctx)

	return store, controller.HasSynced
}

func (k *Kubelet) watchPods(ctx context.Context, source cache.ListerWatcher) {
	k.pods, k.podsSynced = k.follow(ctx, source, &corev1.Pod{}, func(before, after any) {
		old, _ := before.(*corev1.Pod)
		pod, _ := after.(*corev1.Pod)

		if old == nil || pod == nil || old.DeletionTimestamp != nil || pod.DeletionTimestamp == nil || pod.Annotations[mirrorAnnotation] != "" {
			return
		}

		// Evictions leave a condition; whoever just deletes a pod does not.
		how := "deleted"

		for _, condition := range pod.Status.Conditions {
			if condition.Type == corev1.DisruptionTarget && condition.Reason == "EvictionByEvictionAPI" {
				how = "evicted"
			}
		}

		k.Observe(eventPod, fmt.Sprintf("%s %s/%s", how, pod.Namespace, pod.Name))
	})
}

func (k *Kubelet) watchNode(ctx context.Context, source cache.ListerWatcher) {
	k.follow(ctx, source, &corev1.Node{}, func(before, after any) {
		old, _ := before.(*corev1.Node)
		node, _ := after.(*corev1.Node)

		if old != nil && node != nil {
			k.observeNode(old, node)
		}

		if old != nil && node == nil {
			k.Observe(eventNode, "the Node object is deleted")
		}

		k.mu.Lock()
		defer k.mu.Unlock()

		k.node = node
	})
}

func (k *Kubelet) observeNode(old, node *corev1.Node) {
	if old.Spec.Unschedulable != node.Spec.Unschedulable {
		event := eventUncordon
		if node.Spec.Unschedulable {
			event = eventCordon
		}

		k.Observe(event, node.Name)
	}

	before, after := condition(old.Status.Conditions, corev1.NodeReady), condition(node.Status.Conditions, corev1.NodeReady)
	if before != nil && after != nil && before.Status != after.Status {
		k.Observe(eventNode, fmt.Sprintf("Ready is %s: %s", after.Status, after.Reason))
	}
}
