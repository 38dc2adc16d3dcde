package machine

import (
	"context"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/resource/meta"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/cosi-project/runtime/pkg/state/impl/inmem"
	"github.com/cosi-project/runtime/pkg/state/impl/namespaced"
	"github.com/cosi-project/runtime/pkg/state/registry"
	"github.com/siderolabs/talos/pkg/machinery/resources/block"
	"github.com/siderolabs/talos/pkg/machinery/resources/cluster"
	"github.com/siderolabs/talos/pkg/machinery/resources/config"
	"github.com/siderolabs/talos/pkg/machinery/resources/cri"
	"github.com/siderolabs/talos/pkg/machinery/resources/etcd"
	"github.com/siderolabs/talos/pkg/machinery/resources/files"
	"github.com/siderolabs/talos/pkg/machinery/resources/hardware"
	"github.com/siderolabs/talos/pkg/machinery/resources/k8s"
	"github.com/siderolabs/talos/pkg/machinery/resources/kubespan"
	"github.com/siderolabs/talos/pkg/machinery/resources/network"
	"github.com/siderolabs/talos/pkg/machinery/resources/perf"
	"github.com/siderolabs/talos/pkg/machinery/resources/runtime"
	"github.com/siderolabs/talos/pkg/machinery/resources/secrets"
	"github.com/siderolabs/talos/pkg/machinery/resources/security"
	"github.com/siderolabs/talos/pkg/machinery/resources/siderolink"
	"github.com/siderolabs/talos/pkg/machinery/resources/time"
	"github.com/siderolabs/talos/pkg/machinery/resources/v1alpha1"
	"go.yaml.in/yaml/v4"
)

// newState makes the node's resource store with the namespaces and types that `talosctl get` knows.
func newState(ctx context.Context) state.State {
	store := state.WrapCore(namespaced.NewState(inmem.Build))
	namespaces := registry.NewNamespaceRegistry(store)
	types := registry.NewResourceRegistry(store)

	// The store is empty and in memory: registration fails only when the boot has ended already.
	namespaces.RegisterDefault(ctx) //nolint:errcheck
	types.RegisterDefault(ctx)      //nolint:errcheck

	for name, description := range map[string]string{
		v1alpha1.NamespaceName:        "Services.",
		cluster.NamespaceName:         "Cluster identity and members.",
		cluster.RawNamespaceName:      "Discovery data before it is merged.",
		config.NamespaceName:          "Machine config.",
		etcd.NamespaceName:            "etcd member and settings.",
		files.NamespaceName:           "Files that Talos writes.",
		hardware.NamespaceName:        "Hardware.",
		k8s.NamespaceName:             "Kubernetes on any node.",
		k8s.ControlPlaneNamespaceName: "Kubernetes on control planes.",
		kubespan.NamespaceName:        "KubeSpan.",
		network.NamespaceName:         "Network state.",
		network.ConfigNamespaceName:   "Network settings before they are merged.",
		cri.NamespaceName:             "Container runtime.",
		secrets.NamespaceName:         "Secrets; for admins only.",
		security.NamespaceName:        "Image verification.",
		perf.NamespaceName:            "Load.",
	} {
		namespaces.Register(ctx, name, description) //nolint:errcheck
	}

	for _, definition := range definitions {
		types.Register(ctx, definition) //nolint:errcheck
	}

	return store
}

// put creates or updates a resource; one that is the same already keeps its version, which watchers rely on.
func put(ctx context.Context, store state.State, res resource.Resource) {
	current, err := store.Get(ctx, res.Metadata())
	if state.IsNotFoundError(err) {
		store.Create(ctx, res) //nolint:errcheck // fails only when the boot ends

		return
	}

	if err != nil || sameSpec(current, res) {
		return
	}

	res.Metadata().SetVersion(current.Metadata().Version())
	store.Update(ctx, res) //nolint:errcheck // fails only when the boot ends
}

func sameSpec(a, b resource.Resource) bool {
	left, errLeft := yaml.Marshal(a.Spec())
	right, errRight := yaml.Marshal(b.Spec())

	return errLeft == nil && errRight == nil && string(left) == string(right)
}

// drop removes a resource.
func drop(ctx context.Context, store state.State, res resource.Resource) {
	store.Destroy(ctx, res.Metadata()) //nolint:errcheck // gone already, or the boot ends
}

// definitions are the resource types that `talosctl get` knows, filled or not.
var definitions = []meta.ResourceWithRD{
	&block.Device{},
	&block.DiscoveredVolume{},
	&block.DiscoveryRefreshRequest{},
	&block.DiscoveryRefreshStatus{},
	&block.Disk{},
	&block.MountRequest{},
	&block.MountStatus{},
	&block.SwapStatus{},
	&block.Symlink{},
	&block.SystemDisk{},
	&block.UserDiskConfigStatus{},
	&block.VolumeConfig{},
	&block.VolumeLifecycle{},
	&block.VolumeMountRequest{},
	&block.VolumeMountStatus{},
	&block.VolumeStatus{},
	&block.ZswapStatus{},

	&cluster.Affiliate{},
	&cluster.Config{},
	&cluster.Identity{},
	&cluster.Info{},
	&cluster.Member{},

	&config.MachineConfig{},
	&config.MachineType{},

	&cri.ImageCacheConfig{},
	&cri.RegistriesConfig{},
	&cri.SeccompProfile{},

	&etcd.Config{},
	&etcd.Member{},
	&etcd.PKIStatus{},
	&etcd.Spec{},

	&files.EtcFileSpec{},
	&files.EtcFileStatus{},

	&hardware.MemoryModule{},
	&hardware.PCIDevice{},
	&hardware.PCIDriverRebindConfig{},
	&hardware.PCIDriverRebindStatus{},
	&hardware.PCRStatus{},
	&hardware.Processor{},
	&hardware.SystemInformation{},

	&k8s.APIServerConfig{},
	&k8s.AdmissionControlConfig{},
	&k8s.AuditPolicyConfig{},
	&k8s.AuthorizationConfig{},
	&k8s.BootstrapManifestsConfig{},
	&k8s.ConfigStatus{},
	&k8s.ControllerManagerConfig{},
	&k8s.Endpoint{},
	&k8s.ExtraManifestsConfig{},
	&k8s.KubePrismConfig{},
	&k8s.KubePrismEndpoints{},
	&k8s.KubePrismStatuses{},
	&k8s.KubeletConfig{},
	&k8s.KubeletKubeconfig{},
	&k8s.KubeletLifecycle{},
	&k8s.KubeletSpec{},
	&k8s.Manifest{},
	&k8s.ManifestStatus{},
	&k8s.NodeAnnotationSpec{},
	&k8s.NodeCordonedSpec{},
	&k8s.NodeIP{},
	&k8s.NodeIPConfig{},
	&k8s.NodeLabelSpec{},
	&k8s.NodeStatus{},
	&k8s.NodeTaintSpec{},
	&k8s.Nodename{},
	&k8s.SchedulerConfig{},
	&k8s.SecretsStatus{},
	&k8s.StaticPod{},
	&k8s.StaticPodServerStatus{},
	&k8s.StaticPodStatus{},

	&kubespan.Config{},
	&kubespan.Endpoint{},
	&kubespan.Identity{},
	&kubespan.PeerSpec{},
	&kubespan.PeerStatus{},

	&network.AddressSpec{},
	&network.AddressStatus{},
	&network.DNSResolveCache{},
	&network.DNSUpstream{},
	&network.DeviceConfigSpec{},
	&network.EthernetSpec{},
	&network.EthernetStatus{},
	&network.HardwareAddr{},
	&network.HostDNSConfig{},
	&network.HostnameSpec{},
	&network.HostnameStatus{},
	&network.LinkAliasSpec{},
	&network.LinkRefresh{},
	&network.LinkSpec{},
	&network.LinkStatus{},
	&network.NfTablesChain{},
	&network.NodeAddress{},
	&network.NodeAddressFilter{},
	&network.NodeAddressSortAlgorithm{},
	&network.OperatorSpec{},
	&network.PlatformConfig{},
	&network.ProbeSpec{},
	&network.ProbeStatus{},
	&network.ResolverSpec{},
	&network.ResolverStatus{},
	&network.RouteSpec{},
	&network.RouteStatus{},
	&network.RoutingRuleSpec{},
	&network.RoutingRuleStatus{},
	&network.Status{},
	&network.TimeServerSpec{},
	&network.TimeServerStatus{},

	&perf.CPU{},
	&perf.Memory{},

	&runtime.APIServiceConfig{},
	&runtime.BootedEntry{},
	&runtime.DevicesStatus{},
	&runtime.Diagnostic{},
	&runtime.Environment{},
	&runtime.EventSinkConfig{},
	&runtime.ExtensionServiceConfig{},
	&runtime.ExtensionServiceConfigStatus{},
	&runtime.ExtensionStatus{},
	&runtime.KernelCmdline{},
	&runtime.KernelModuleSpec{},
	&runtime.KernelParamDefaultSpec{},
	&runtime.KernelParamSpec{},
	&runtime.KernelParamStatus{},
	&runtime.KmsgLogConfig{},
	&runtime.LoadedKernelModule{},
	&runtime.MachineResetSignal{},
	&runtime.MachineStatus{},
	&runtime.MaintenanceServiceConfig{},
	&runtime.MaintenanceServiceRequest{},
	&runtime.MetaKey{},
	&runtime.MetaLoaded{},
	&runtime.MountStatus{},
	&runtime.OOMAction{},
	&runtime.PlatformMetadata{},
	&runtime.SBOMItem{},
	&runtime.SecurityState{},
	&runtime.ServicePID{},
	&runtime.UniqueMachineToken{},
	&runtime.Version{},
	&runtime.WatchdogTimerConfig{},
	&runtime.WatchdogTimerStatus{},

	&secrets.API{},
	&secrets.CertSAN{},
	&secrets.EncryptionSalt{},
	&secrets.Etcd{},
	&secrets.EtcdRoot{},
	&secrets.Kubelet{},
	&secrets.Kubernetes{},
	&secrets.KubernetesDynamicCerts{},
	&secrets.KubernetesRoot{},
	&secrets.MaintenanceRoot{},
	&secrets.OSRoot{},
	&secrets.Trustd{},

	&security.ImageVerificationRule{},
	&security.TUFTrustedRoot{},

	&siderolink.Config{},
	&siderolink.Status{},
	&siderolink.Tunnel{},

	&time.AdjtimeStatus{},
	&time.Status{},

	&v1alpha1.AcquireConfigSpec{},
	&v1alpha1.AcquireConfigStatus{},
	&v1alpha1.Service{},
}
