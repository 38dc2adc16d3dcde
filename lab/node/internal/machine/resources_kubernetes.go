package machine

import (
	"context"
	"encoding/json"
	"net/netip"
	"slices"
	"strings"

	machineapi "github.com/siderolabs/talos/pkg/machinery/api/machine"
	etcdres "github.com/siderolabs/talos/pkg/machinery/resources/etcd"
	"github.com/siderolabs/talos/pkg/machinery/resources/k8s"
	"github.com/siderolabs/talos/pkg/machinery/resources/runtime"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/oxide-lab/node/internal/machineconfig"
)

// writeKubernetes writes how the node takes part in Kubernetes.
func (b *Boot) writeKubernetes(ctx context.Context) {
	cfg := b.Config()

	nodename := k8s.NewNodename(k8s.NamespaceName, k8s.NodenameID)
	nodename.TypedSpec().Nodename = b.Hostname()
	nodename.TypedSpec().HostnameVersion = "1"
	b.put(ctx, nodename)

	if address, err := b.NodeIP(); err == nil {
		nodeIP := k8s.NewNodeIP(k8s.NamespaceName, k8s.KubeletID)
		nodeIP.TypedSpec().Addresses = []netip.Addr{address}
		b.put(ctx, nodeIP)
	}

	kubelet := k8s.NewKubeletSpec(k8s.NamespaceName, k8s.KubeletID)
	kubelet.TypedSpec().Image = cfg.Machine().Kubelet().Image()
	kubelet.TypedSpec().ExpectedNodename = b.Hostname()
	b.put(ctx, kubelet)

	endpoint := cfg.Cluster().Endpoint()
	prism := k8s.NewKubePrismEndpoints(k8s.NamespaceName, k8s.KubePrismEndpointsID)
	prism.TypedSpec().Endpoints = []k8s.KubePrismEndpoint{{Host: endpoint.Hostname(), Port: 6443}}

	for _, addr := range b.controlPlaneAddresses() {
		prism.TypedSpec().Endpoints = append(prism.TypedSpec().Endpoints, k8s.KubePrismEndpoint{Host: addr.String(), Port: 6443})
	}

	slices.SortFunc(prism.TypedSpec().Endpoints, func(a, b k8s.KubePrismEndpoint) int { return compare(a.Host, b.Host) })
	b.put(ctx, prism)

	status := k8s.NewNodeStatus(k8s.NamespaceName, b.Hostname())

	if node := b.Node(); node != nil {
		status.TypedSpec().Nodename = node.Name
		status.TypedSpec().NodeReady = nodeReady(node)
		status.TypedSpec().Unschedulable = node.Spec.Unschedulable
		status.TypedSpec().Labels, status.TypedSpec().Annotations = node.Labels, node.Annotations

		for _, cidr := range node.Spec.PodCIDRs {
			if prefix, err := netip.ParsePrefix(cidr); err == nil {
				status.TypedSpec().PodCIDRs = append(status.TypedSpec().PodCIDRs, prefix)
			}
		}

		b.put(ctx, status)
	} else {
		drop(ctx, b.State, status)
	}

	if machineconfig.IsControlPlane(cfg) {
		b.writePlaneConfigs(ctx)
		b.writeStaticPods(ctx)
	}
}

func nodeReady(node *corev1.Node) bool {
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue
		}
	}

	return false
}

func (b *Boot) writeStaticPods(ctx context.Context) {
	for _, pod := range b.staticPods() {
		static := k8s.NewStaticPod(k8s.NamespaceName, pod.Name)
		static.TypedSpec().Pod = toMap(corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				Name: pod.Name, Namespace: "kube-system", Labels: pod.Labels, Annotations: pod.Annotations,
			},
			Spec: corev1.PodSpec{
				HostNetwork: true,
				Containers:  []corev1.Container{{Name: pod.Name, Image: pod.Image, Command: pod.Args}},
			},
		})
		b.put(ctx, static)

		ready := corev1.ConditionFalse
		if pod.Running {
			ready = corev1.ConditionTrue
		}

		status := k8s.NewStaticPodStatus(k8s.NamespaceName, "kube-system/"+pod.Name+"-"+b.Hostname())
		status.TypedSpec().PodStatus = toMap(corev1.PodStatus{
			Phase:      corev1.PodRunning,
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}},
		})
		b.put(ctx, status)
	}
}

// toMap is an object as the generic map that resources carry.
func toMap(object any) map[string]any {
	var values map[string]any

	data, err := json.Marshal(object)
	if err == nil {
		json.Unmarshal(data, &values) //nolint:errcheck // what was marshalled unmarshals
	}

	return values
}

// writeEtcd writes the node's etcd member.
func (b *Boot) writeEtcd(ctx context.Context) {
	if !machineconfig.IsControlPlane(b.Config()) {
		return
	}

	if address, err := b.etcdAddress(); err == nil {
		spec := etcdres.NewSpec(etcdres.NamespaceName, etcdres.SpecID)
		spec.TypedSpec().Name = b.Hostname()
		spec.TypedSpec().AdvertisedAddresses = []netip.Addr{address}
		spec.TypedSpec().Image = b.Config().Cluster().Etcd().Image()
		b.put(ctx, spec)
	}

	member := etcdres.NewMember(etcdres.NamespaceName, etcdres.LocalMemberID)

	service, _ := b.Services.Get("etcd")
	if !service.Healthy {
		drop(ctx, b.State, member)

		return
	}

	if _, err := b.State.Get(ctx, member.Metadata()); err == nil {
		return
	}

	if id, err := b.LocalMember(ctx); err == nil {
		member.TypedSpec().MemberID = etcdres.FormatMemberID(id)
		b.put(ctx, member)
	}
}

// writeStatus writes the node's stage and what keeps it from being ready.
func (b *Boot) writeStatus(ctx context.Context) {
	status := runtime.NewMachineStatus()
	spec := status.TypedSpec()
	spec.Stage = b.MachineStage()
	spec.Status.Ready = true

	if b.Configured() && (spec.Stage == runtime.MachineStageBooting || spec.Stage == runtime.MachineStageRunning) {
		spec.Status.UnmetConditions = b.unmet()
		spec.Status.Ready = len(spec.Status.UnmetConditions) == 0
	}

	current, err := b.State.Get(ctx, status.Metadata())
	if err == nil && sameSpec(current, status) {
		return
	}

	b.put(ctx, status)
	b.Events.Publish(machineStatusEvent(spec), "")
}

func machineStatusEvent(spec *runtime.MachineStatusSpec) *machineapi.MachineStatusEvent {
	event := &machineapi.MachineStatusEvent{
		Stage:  machineapi.MachineStatusEvent_MachineStage(spec.Stage),
		Status: &machineapi.MachineStatusEvent_MachineStatus{Ready: spec.Status.Ready},
	}

	for _, condition := range spec.Status.UnmetConditions {
		event.Status.UnmetConditions = append(event.Status.UnmetConditions,
			&machineapi.MachineStatusEvent_MachineStatus_UnmetCondition{Name: condition.Name, Reason: condition.Reason})
	}

	return event
}

// unmet are the conditions of a ready node that do not hold.
func (b *Boot) unmet() []runtime.UnmetCondition {
	var conditions []runtime.UnmetCondition

	add := func(name string, problems []string) {
		if len(problems) > 0 {
			conditions = append(conditions, runtime.UnmetCondition{Name: name, Reason: strings.Join(problems, ", ")})
		}
	}

	var services []string

	for _, service := range b.Services.List() {
		switch {
		case service.State != ServiceRunning:
			services = append(services, service.ID+" not running")
		case !service.Unknown && !service.Healthy:
			services = append(services, service.ID+" not healthy")
		}
	}

	add("services", services)

	var pods []string

	for _, pod := range b.staticPods() {
		if !pod.Running {
			pods = append(pods, "kube-system/"+pod.Name+"-"+b.Hostname()+" not ready")
		}
	}

	add("staticPods", pods)

	switch node := b.Node(); {
	case node == nil:
		add("nodeReady", []string{`node "` + b.Hostname() + `" status is not available yet`})
	case !nodeReady(node):
		add("nodeReady", []string{`node "` + b.Hostname() + `" is not ready`})
	}

	return conditions
}
