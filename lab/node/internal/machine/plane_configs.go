package machine

import (
	"context"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/siderolabs/talos/pkg/machinery/config/config"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/resources/k8s"

	"github.com/oxide-lab/node/internal/controlplane"
)

// writePlaneConfigs writes the settings whose versions the static pods carry: `talosctl upgrade-k8s` waits for a pod
// with the version of the changed settings.
func (b *Boot) writePlaneConfigs(ctx context.Context) {
	cluster := b.Config().Cluster()
	plane := b.Config().Machine().Controlplane()

	cloud := ""
	if cluster.ExternalCloudProvider().Enabled() {
		cloud = "external"
	}

	apiserver := k8s.NewAPIServerConfig()
	*apiserver.TypedSpec() = k8s.APIServerConfigSpec{
		Image:                cluster.APIServer().Image(),
		CloudProvider:        cloud,
		ControlPlaneEndpoint: cluster.Endpoint().String(),
		EtcdServers:          []string{"https://127.0.0.1:2379"},
		LocalPort:            cluster.LocalAPIServerPort(),
		ServiceCIDRs:         cluster.Network().ServiceCIDRs(),
		ExtraArgs:            argValues(cluster.APIServer().ExtraArgs()),
		ExtraVolumes:         volumes(cluster.APIServer().ExtraVolumes()),
		EnvironmentVariables: cluster.APIServer().Env(),
		AdvertisedAddress:    "$(POD_IP)",
		Resources:            resources(cluster.APIServer().Resources()),
	}
	b.put(ctx, apiserver)

	manager := k8s.NewControllerManagerConfig()
	*manager.TypedSpec() = k8s.ControllerManagerConfigSpec{
		Enabled:              !plane.ControllerManager().Disabled(),
		Image:                cluster.ControllerManager().Image(),
		CloudProvider:        cloud,
		PodCIDRs:             cluster.Network().PodCIDRs(),
		ServiceCIDRs:         cluster.Network().ServiceCIDRs(),
		ExtraArgs:            argValues(cluster.ControllerManager().ExtraArgs()),
		ExtraVolumes:         volumes(cluster.ControllerManager().ExtraVolumes()),
		EnvironmentVariables: cluster.ControllerManager().Env(),
		Resources:            resources(cluster.ControllerManager().Resources()),
	}
	b.put(ctx, manager)

	scheduler := k8s.NewSchedulerConfig()
	*scheduler.TypedSpec() = k8s.SchedulerConfigSpec{
		Enabled:              !plane.Scheduler().Disabled(),
		Image:                cluster.Scheduler().Image(),
		ExtraArgs:            argValues(cluster.Scheduler().ExtraArgs()),
		ExtraVolumes:         volumes(cluster.Scheduler().ExtraVolumes()),
		EnvironmentVariables: cluster.Scheduler().Env(),
		Resources:            resources(cluster.Scheduler().Resources()),
		Config:               cluster.Scheduler().Config(),
	}
	b.put(ctx, scheduler)

	b.writePlaneFiles(ctx, cluster.APIServer())

	manifests := k8s.NewBootstrapManifestsConfig()
	*manifests.TypedSpec() = k8s.BootstrapManifestsConfigSpec{
		Server:         cluster.Endpoint().String(),
		ClusterDomain:  cluster.Network().DNSDomain(),
		PodCIDRs:       cluster.Network().PodCIDRs(),
		ProxyEnabled:   cluster.Proxy().Enabled(),
		ProxyImage:     cluster.Proxy().Image(),
		CoreDNSEnabled: cluster.CoreDNS().Enabled(),
		CoreDNSImage:   cluster.CoreDNS().Image(),
		FlannelEnabled: cluster.Network().CNI().Name() == "flannel",
		CNIName:        cluster.Network().CNI().Name(),
	}
	b.put(ctx, manifests)
}

// writePlaneFiles writes the settings that reach kube-apiserver as files.
func (b *Boot) writePlaneFiles(ctx context.Context, server config.APIServer) {
	admission := k8s.NewAdmissionControlConfig()
	for _, plugin := range server.AdmissionControl() {
		admission.TypedSpec().Config = append(admission.TypedSpec().Config,
			k8s.AdmissionPluginSpec{Name: plugin.Name(), Configuration: plugin.Configuration()})
	}

	b.put(ctx, admission)

	audit := k8s.NewAuditPolicyConfig()
	audit.TypedSpec().Config = server.AuditPolicy()
	b.put(ctx, audit)

	authorization := k8s.NewAuthorizationConfig()
	authorization.TypedSpec().Image = server.Image()

	for _, authorizer := range server.AuthorizationConfig() {
		authorization.TypedSpec().Config = append(authorization.TypedSpec().Config,
			k8s.AuthorizationAuthorizersSpec{Type: authorizer.Type(), Name: authorizer.Name(), Webhook: authorizer.Webhook()})
	}

	b.put(ctx, authorization)
}

func argValues(args map[string][]string) map[string]k8s.ArgValues {
	values := make(map[string]k8s.ArgValues, len(args))
	for name, list := range args {
		values[name] = k8s.ArgValues{Values: list}
	}

	return values
}

func volumes(mounts []config.VolumeMount) []k8s.ExtraVolume {
	var found []k8s.ExtraVolume

	for _, mount := range mounts {
		found = append(found, k8s.ExtraVolume{
			Name: mount.Name(), HostPath: mount.HostPath(), MountPath: mount.MountPath(), ReadOnly: mount.ReadOnly(),
		})
	}

	return found
}

func resources(wanted config.Resources) k8s.Resources {
	found := k8s.Resources{Requests: map[string]string{}, Limits: map[string]string{}}

	for _, name := range []string{"cpu", "memory"} {
		for _, one := range []struct{ from, to map[string]string }{
			{map[string]string{"cpu": wanted.CPURequests(), "memory": wanted.MemoryRequests()}, found.Requests},
			{map[string]string{"cpu": wanted.CPULimits(), "memory": wanted.MemoryLimits()}, found.Limits},
		} {
			if value := one.from[name]; value != "" {
				one.to[name] = value
			}
		}
	}

	return found
}

// podVersions are the annotations by which the kubelet tells revisions of a component's pod apart. As in Talos, only
// kube-apiserver follows the version of the files, and secrets change with the cluster's authorities alone.
func (b *Boot) podVersions(component string) map[string]string {
	versions := map[string]string{constants.AnnotationStaticPodSecretsVersion: "1"}
	scheduler := b.versionOf(k8s.NewSchedulerConfig())

	switch component {
	case controlplane.APIServer:
		versions[constants.AnnotationStaticPodConfigVersion] = b.versionOf(k8s.NewAPIServerConfig())
		versions[constants.AnnotationStaticPodConfigFileVersion] = b.versionOf(k8s.NewAdmissionControlConfig()) +
			b.versionOf(k8s.NewAuditPolicyConfig()) + b.versionOf(k8s.NewAuthorizationConfig()) + scheduler
	case controlplane.ControllerManager:
		versions[constants.AnnotationStaticPodConfigVersion] = b.versionOf(k8s.NewControllerManagerConfig())
	case controlplane.Scheduler:
		versions[constants.AnnotationStaticPodConfigVersion] = scheduler
	}

	return versions
}

func (b *Boot) versionOf(settings resource.Resource) string {
	res, err := b.State.Get(b.ctx, settings.Metadata())
	if err != nil {
		return "1"
	}

	return res.Metadata().Version().String()
}
