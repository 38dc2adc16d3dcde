package kubelet

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/constants"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// annotationNodeIP tells the cloud controller which address the node goes by.
const annotationNodeIP = "alpha.kubernetes.io/provided-node-ip"

// register makes the Node, or takes over the one that an earlier boot made.
func (k *Kubelet) register(ctx context.Context) error {
	s := k.Settings()
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: s.NodeName,
			Labels: map[string]string{
				corev1.LabelHostname:      s.NodeName,
				corev1.LabelOSStable:      "linux",
				corev1.LabelArchStable:    s.Architecture,
				"beta.kubernetes.io/os":   "linux",
				"beta.kubernetes.io/arch": s.Architecture,
			},
			Annotations: map[string]string{"volumes.kubernetes.io/controller-managed-attach-detach": "true"},
		},
		Spec:   corev1.NodeSpec{ProviderID: s.ProviderID},
		Status: k.status(s),
	}

	maps.Copy(node.Labels, s.RegisterLabels)

	node.Spec.Taints = slices.Clone(s.RegisterTaints)

	if _, tainted := s.Taints[constants.LabelNodeRoleControlPlane]; tainted {
		node.Spec.Taints = append(node.Spec.Taints, corev1.Taint{
			Key: constants.LabelNodeRoleControlPlane, Effect: corev1.TaintEffectNoSchedule,
		})
	}

	if s.ExternalCloud {
		node.Annotations[annotationNodeIP] = s.NodeIP
		node.Spec.Taints = append(node.Spec.Taints, corev1.Taint{
			Key: "node.cloudprovider.kubernetes.io/uninitialized", Value: "true", Effect: corev1.TaintEffectNoSchedule,
		})
	}

	created, err := k.client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		created, err = k.client.CoreV1().Nodes().Get(ctx, s.NodeName, metav1.GetOptions{})
	}

	if err != nil {
		return err
	}

	k.mu.Lock()
	k.node = created
	k.mu.Unlock()

	k.lastStatus = time.Time{}

	return nil
}

func (k *Kubelet) renewLease(ctx context.Context) error {
	name := k.Settings().NodeName
	now := metav1.NowMicro()
	leases := k.client.CoordinationV1().Leases(corev1.NamespaceNodeLease)

	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"renewTime": now, "holderIdentity": name}})
	if err != nil {
		return err
	}

	_, err = leases.Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{})
	if apierrors.IsNotFound(err) {
		lease := &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec:       coordinationv1.LeaseSpec{HolderIdentity: &name, RenewTime: &now, LeaseDurationSeconds: new(int32(40))},
		}

		if node := k.Node(); node != nil {
			lease.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: name, UID: node.UID}}
		}

		_, err = leases.Create(ctx, lease, metav1.CreateOptions{})
	}

	if err != nil {
		return fmt.Errorf("failed to renew node lease: %w", err)
	}

	k.lastLease = time.Now()

	return nil
}

// syncStatus writes the status when it changed, and from time to time anyway.
func (k *Kubelet) syncStatus(ctx context.Context, node *corev1.Node) error {
	s := k.Settings()
	status := k.status(s)

	annotated := true

	if s.ExternalCloud {
		// What the cloud controller has set takes precedence.
		if len(node.Status.Addresses) > 0 {
			status.Addresses = node.Status.Addresses
		}

		annotated = node.Annotations[annotationNodeIP] == s.NodeIP
	}

	ready := condition(status.Conditions, corev1.NodeReady).Status
	current := condition(node.Status.Conditions, corev1.NodeReady)
	unchanged := annotated && current != nil && current.Status == ready && k.lastReady == ready &&
		node.Status.NodeInfo == status.NodeInfo && slices.Equal(node.Status.Addresses, status.Addresses)

	if unchanged && time.Since(k.lastStatus) < statusInterval {
		return nil
	}

	for i := range status.Conditions {
		next := &status.Conditions[i]
		if old := condition(node.Status.Conditions, next.Type); old != nil && old.Status == next.Status {
			next.LastTransitionTime = old.LastTransitionTime
		}
	}

	change := map[string]any{"status": status}
	if !annotated {
		change["metadata"] = map[string]any{"annotations": map[string]string{annotationNodeIP: s.NodeIP}}
	}

	patch, err := json.Marshal(change)
	if err != nil {
		return err
	}

	updated, err := k.client.CoreV1().Nodes().PatchStatus(ctx, s.NodeName, patch)
	if err != nil {
		return fmt.Errorf("error updating node status: %w", err)
	}

	k.mu.Lock()
	k.node = updated
	k.mu.Unlock()

	k.lastStatus, k.lastReady = time.Now(), ready

	return nil
}

func condition(conditions []corev1.NodeCondition, kind corev1.NodeConditionType) *corev1.NodeCondition {
	for i := range conditions {
		if conditions[i].Type == kind {
			return &conditions[i]
		}
	}

	return nil
}

func (k *Kubelet) status(s Settings) corev1.NodeStatus {
	now := metav1.Now()
	memory := resource.NewQuantity(int64(s.MemoryGB*float64(1<<30)), resource.BinarySI)
	capacity := corev1.ResourceList{
		corev1.ResourceCPU:              *resource.NewQuantity(int64(s.Cores), resource.DecimalSI),
		corev1.ResourceMemory:           *memory,
		corev1.ResourceEphemeralStorage: *resource.NewQuantity(int64(s.DiskGB)<<30, resource.BinarySI),
		corev1.ResourcePods:             *resource.NewQuantity(110, resource.DecimalSI),
	}
	allocatable := capacity.DeepCopy()
	allocatable[corev1.ResourceMemory] = *resource.NewQuantity(max(memory.Value()-512<<20, 0), resource.BinarySI)
	allocatable[corev1.ResourceCPU] = *resource.NewMilliQuantity(int64(s.Cores)*1000-50, resource.DecimalSI)

	conditions := []corev1.NodeCondition{
		{Type: corev1.NodeMemoryPressure, Status: corev1.ConditionFalse, Reason: "KubeletHasSufficientMemory", Message: "kubelet has sufficient memory available"},
		{Type: corev1.NodeDiskPressure, Status: corev1.ConditionFalse, Reason: "KubeletHasNoDiskPressure", Message: "kubelet has no disk pressure"},
		{Type: corev1.NodePIDPressure, Status: corev1.ConditionFalse, Reason: "KubeletHasSufficientPID", Message: "kubelet has sufficient PID available"},
		{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady", Message: "kubelet is posting ready status"},
	}

	if !k.cniReady {
		conditions[3].Status = corev1.ConditionFalse
		conditions[3].Reason = "KubeletNotReady"
		conditions[3].Message = "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady " +
			"message:Network plugin returns error: cni plugin not initialized"
	}

	for i := range conditions {
		conditions[i].LastHeartbeatTime, conditions[i].LastTransitionTime = now, now
	}

	return corev1.NodeStatus{
		Capacity:    capacity,
		Allocatable: allocatable,
		Conditions:  conditions,
		Addresses: []corev1.NodeAddress{
			{Type: corev1.NodeInternalIP, Address: s.NodeIP},
			{Type: corev1.NodeHostName, Address: s.NodeName},
		},
		DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: 10250}},
		NodeInfo: corev1.NodeSystemInfo{
			MachineID:               strings.ReplaceAll(s.MachineID, "-", ""),
			SystemUUID:              s.MachineID,
			BootID:                  s.BootID,
			KernelVersion:           "6.18.33-talos",
			OSImage:                 "Talos (" + s.TalosVersion + ")",
			ContainerRuntimeVersion: "containerd://2.2.5",
			KubeletVersion:          s.Version,
			OperatingSystem:         "linux",
			Architecture:            s.Architecture,
		},
	}
}
