package machine

import (
	"context"
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/config/config"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	corev1 "k8s.io/api/core/v1"

	"github.com/oxide-lab/node/internal/kubelet"
	"github.com/oxide-lab/node/internal/machineconfig"
)

// kubeletStart is how long a kubelet takes to start anew.
const kubeletStart = time.Second

// clusterKey tells Kubernetes clusters apart: by their CA.
func clusterKey(cfg config.Config) string {
	if cfg == nil || cfg.Cluster() == nil || cfg.Cluster().IssuingCA() == nil {
		return ""
	}

	return string(cfg.Cluster().IssuingCA().Crt)
}

// runKubelet runs a kubelet and starts it anew when the config changes what it cannot change live.
func (b *Boot) runKubelet(ctx context.Context) {
	var current string

	end := func() {}
	defer func() { end() }()

	for {
		change := b.changed.Wait()
		key, err := b.kubeletKey()

		var retry <-chan time.Time

		switch {
		case err != nil:
			b.Services.Set("kubelet", ServiceWaiting, "Waiting for node IP")
			b.waitsFor("kubelet", err.Error())
		case key != current:
			if err := b.Pull(b.Config().Machine().Kubelet().Image()); err != nil {
				end()

				end, current = func() {}, ""

				b.Services.Set("kubelet", ServicePreparing, "Running pre state")
				b.waitsFor("kubelet", err.Error())

				retry = time.After(pullInterval)

				break
			}

			end = b.startKubelet(ctx, current != "", end)
			current = key
		default:
			if k := b.Kubelet(); k != nil {
				k.Wake()
			}
		}

		select {
		case <-ctx.Done():
			return
		case <-change:
		case <-retry:
		}
	}
}

// startKubelet ends the kubelet that runs, if one does, and starts the next. Containers and pod network live on.
func (b *Boot) startKubelet(ctx context.Context, restart bool, end func()) func() {
	if restart {
		b.Services.Set("kubelet", ServiceStopping, "Sending SIGTERM to kubelet")
		b.machine.Note(EventKubelet, "restarts")
	}

	end()

	if restart {
		b.Services.Set("kubelet", ServiceFinished, "Service finished successfully")
		pause(ctx, kubeletStart)
	}

	k := b.newKubelet()
	k.Inherit(b.Kubelet())

	b.mu.Lock()
	b.kubelet = k
	b.mu.Unlock()

	b.Services.Set("kubelet", ServiceRunning, started("kubelet", 2100))
	b.Services.SetHealth("kubelet", true, "Health check successful")

	return inBackground(ctx, k.Run)
}

// inBackground runs a part until end is called, which returns when the part has ended.
func inBackground(ctx context.Context, part func(context.Context)) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})

	go func() {
		defer close(done)

		part(ctx)
	}()

	return func() {
		cancel()
		<-done
	}
}

// Kubelet is the running kubelet; nil before it starts.
func (b *Boot) Kubelet() *kubelet.Kubelet {
	b.mu.Lock()
	defer b.mu.Unlock()

	return b.kubelet
}

// Node is the Kubernetes Node as the node knows it; nil if it has none.
func (b *Boot) Node() *corev1.Node {
	if k := b.Kubelet(); k != nil {
		return k.Node()
	}

	return nil
}

// kubeletKey changes with what needs a new kubelet.
func (b *Boot) kubeletKey() (string, error) {
	address, err := b.NodeIP()
	if err != nil {
		return "", err
	}

	cfg := b.Config()
	k := cfg.Machine().Kubelet()

	b.mu.Lock()
	restarts := b.kubeletRestarts
	b.mu.Unlock()

	settings, err := json.Marshal([]any{
		restarts, b.Hostname(), address, k.Image(), k.ExtraArgs(), k.ExtraConfig(), k.ExtraMounts(), k.ClusterDNS(), k.CredentialProviderConfig(),
		k.DefaultRuntimeSeccompProfileEnabled(), k.DisableManifestsDirectory(), k.SkipNodeRegistration(),
		cfg.Cluster().Network().DNSDomain(), cfg.Cluster().ExternalCloudProvider().Enabled(), cfg.Cluster().ScheduleOnControlPlanes(),
		b.endpoint(), bootstrapToken(cfg), string(machineconfig.ClusterCAs(cfg)),
	})

	return string(settings), err
}

func (b *Boot) endpoint() string {
	endpoint := *b.Config().Cluster().Endpoint()
	if endpoint.Port() == "" {
		endpoint.Host += ":443"
	}

	return (&url.URL{Scheme: endpoint.Scheme, Host: endpoint.Host}).String()
}

func bootstrapToken(cfg config.Config) string {
	return cfg.Cluster().Token().ID() + "." + cfg.Cluster().Token().Secret()
}

func (b *Boot) newKubelet() *kubelet.Kubelet {
	cfg := b.Config()
	access := kubelet.Access{
		Endpoint: b.endpoint(),
		CA:       machineconfig.ClusterCAs(cfg),
		Token:    bootstrapToken(cfg),
		Dial:     b.dial,
	}

	if machineconfig.IsControlPlane(cfg) {
		access.Admin = b.clusterAccess
	}

	k := kubelet.New(access, b.machine.disk().Ephemeral("kubelet"))
	k.Settings = b.kubeletSettings
	k.StaticPods = b.staticPods
	k.Pull = b.Pull
	k.Observe = func(event, detail string) { b.machine.Note(event, "%s", detail) }
	k.ReportSpec = func(message string) { b.waitsFor("k8s.NodeApplyController", message) }
	k.Report = func(healthy bool, message string) {
		if healthy {
			b.mu.Lock()
			first := !b.joined
			b.joined = true
			b.mu.Unlock()

			if first {
				b.machine.Note("join", "node %s registered in Kubernetes", b.Hostname())
			}

			message = ""
		}

		b.waitsFor("kubelet", message)
	}

	return k
}

// kubeletSettings is what the config and the hardware say now.
func (b *Boot) kubeletSettings() kubelet.Settings {
	cfg := b.Config()
	hw := b.machine.Hardware()
	address, _ := b.NodeIP() //nolint:errcheck // the kubelet does not start without one

	settings := kubelet.Settings{
		NodeName:      b.Hostname(),
		NodeIP:        address.String(),
		Version:       machineconfig.Tag(cfg.Machine().Kubelet().Image()),
		TalosVersion:  b.Installed.TalosVersion,
		Architecture:  architecture(hw.Architecture),
		MachineID:     b.Installed.NodeID,
		BootID:        b.ID,
		Cores:         hw.ServerType.Cores,
		DiskGB:        hw.ServerType.DiskGB,
		MemoryGB:      hw.ServerType.MemoryGB,
		ControlPlane:  machineconfig.IsControlPlane(cfg),
		ExternalCloud: cfg.Cluster().ExternalCloudProvider().Enabled(),
		Labels:        maps.Clone(cfg.Machine().NodeLabels()),
		Annotations:   maps.Clone(cfg.Machine().NodeAnnotations()),
		Taints:        maps.Clone(cfg.Machine().NodeTaints()),
	}

	// Talos shows extensions on the Node: as labels where the version fits into one, else as annotations.
	if settings.Annotations == nil {
		settings.Annotations = map[string]string{}
	}

	settings.Annotations[constants.K8sExtensionPrefix+"schematic"] = b.Installed.Schematic

	if provider := cfg.Machine().Kubelet().ExtraArgs()["provider-id"]; len(provider) > 0 {
		settings.ProviderID = provider[0]
	}

	settings.ServingCertificate = slices.Contains(cfg.Machine().Kubelet().ExtraArgs()["rotate-server-certificates"], "true")

	b.mu.Lock()
	settings.Cordoned = b.cordoned
	b.mu.Unlock()

	settings.RegisterTaints = registerTaints(cfg.Machine().Kubelet().ExtraConfig())
	settings.RegisterLabels = map[string]string{}

	for _, list := range cfg.Machine().Kubelet().ExtraArgs()["node-labels"] {
		for pair := range strings.SplitSeq(list, ",") {
			key, value, _ := strings.Cut(pair, "=")
			settings.RegisterLabels[key] = value
		}
	}

	if settings.ControlPlane {
		if settings.Labels == nil {
			settings.Labels = map[string]string{}
		}

		settings.Labels[constants.LabelNodeRoleControlPlane] = ""

		if !cfg.Cluster().ScheduleOnControlPlanes() {
			if settings.Taints == nil {
				settings.Taints = map[string]string{}
			}

			settings.Taints[constants.LabelNodeRoleControlPlane] = string(corev1.TaintEffectNoSchedule)
		}
	}

	return settings
}

// registerTaints are the kubelet's own taints in machine.kubelet.extraConfig.
func registerTaints(extra map[string]any) []corev1.Taint {
	var taints []corev1.Taint

	data, err := json.Marshal(extra["registerWithTaints"])
	if err == nil {
		json.Unmarshal(data, &taints) //nolint:errcheck // a kubelet with a broken list would not start
	}

	return taints
}

// architecture translates the cloud's name to Kubernetes'.
func architecture(name string) string {
	if strings.HasPrefix(name, "arm") {
		return "arm64"
	}

	return "amd64"
}
