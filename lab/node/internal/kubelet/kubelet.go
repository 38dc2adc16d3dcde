// Package kubelet is the part of a node that Kubernetes sees: it gets a client certificate with the bootstrap token,
// registers the Node, renews its lease, keeps its status and decides which pods may start.
package kubelet

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

const (
	// leaseInterval is how often the node tells that it lives.
	leaseInterval = 10 * time.Second
	// retryInterval is the pause after a failure.
	retryInterval = 2 * time.Second
	// pullInterval is the pause between two attempts to pull an image.
	pullInterval = 2 * time.Second
	// statusInterval is how often an unchanged status is written.
	statusInterval = 2 * time.Minute
)

// Settings is what the machine config and the hardware say about the node; they may change while it runs.
type Settings struct {
	NodeName, NodeIP  string
	Version           string
	TalosVersion      string
	Architecture      string
	MachineID, BootID string
	Cores, DiskGB     int
	MemoryGB          float64
	ControlPlane      bool
	ExternalCloud     bool
	ProviderID        string
	// ServingCertificate is set where the kubelet asks for one.
	ServingCertificate  bool
	Labels, Annotations map[string]string
	// Taints are machine.nodeTaints. Kubernetes lets no worker change its own taints, so there they only cause errors, as
	// on real nodes; RegisterTaints, the kubelet's registerWithTaints, is what works.
	Taints         map[string]string
	RegisterTaints []corev1.Taint
	// RegisterLabels are the kubelet's --node-labels.
	RegisterLabels map[string]string
	// Cordoned is set while the node itself drains.
	Cordoned bool
}

// Access is how a node reaches Kubernetes.
type Access struct {
	// Endpoint is the cluster endpoint of the machine config.
	Endpoint string
	CA       []byte
	Token    string
	// Dial resolves and connects as the node does.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Admin is how a control plane node writes its own Node; nil on workers, which use the kubelet's own access.
	Admin func() (*rest.Config, error)
}

// Kubelet is one node's kubelet.
type Kubelet struct {
	Access Access
	// Dir keeps the client certificate.
	Dir string
	// Settings returns the current settings.
	Settings func() Settings
	// StaticPods returns the node's static pods.
	StaticPods func() []StaticPod
	// Pull gets an image into the node's store unless it is there.
	Pull func(image string) error
	// Report gets the state for `talosctl service kubelet` and the reason why the node does not join; healthy is true
	// once the Node is registered.
	Report func(healthy bool, message string)
	// ReportSpec gets the reason why labels, annotations and taints of the config do not reach the Node; empty once they do.
	ReportSpec func(message string)
	// Observe gets what others do to the Node and its pods.
	Observe func(event, detail string)

	client     kubernetes.Interface
	pods       cache.Store
	podsSynced func() bool
	wake       chan struct{}
	cniReady   bool
	restarts   restarts
	nextSpec   time.Time
	lastStatus time.Time
	lastReady  corev1.ConditionStatus
	lastLease  time.Time

	mu   sync.Mutex
	node *corev1.Node
}

// Node returns the Node as last seen; nil before it is registered and after it was deleted.
func (k *Kubelet) Node() *corev1.Node {
	k.mu.Lock()
	defer k.mu.Unlock()

	return k.node
}

// Wake makes the kubelet look at its settings again.
func (k *Kubelet) Wake() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// New makes a kubelet.
func New(access Access, dir string) *Kubelet {
	return &Kubelet{Access: access, Dir: dir, wake: make(chan struct{}, 1)}
}

// Inherit takes over what outlives a kubelet's process: the containers and the pod network. nil is fine.
func (k *Kubelet) Inherit(previous *Kubelet) {
	if previous != nil {
		k.cniReady, k.restarts = previous.cniReady, previous.restarts
	}
}

// Run joins the cluster and works until ctx ends.
func (k *Kubelet) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := k.run(ctx); err != nil && ctx.Err() == nil {
			k.Report(false, err.Error())
			sleep(ctx, retryInterval)
		}
	}
}

func (k *Kubelet) run(ctx context.Context) error {
	config, err := k.credentials(ctx)
	if err != nil {
		return err
	}

	k.client, err = kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}

	if err := k.register(ctx); err != nil {
		return fmt.Errorf("unable to register node with API server: %w", err)
	}

	k.Report(true, "node registered")

	if err := k.askForServingCertificate(ctx); err != nil {
		return fmt.Errorf("serving certificate: %w", err)
	}

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	name := k.Settings().NodeName
	api := k.client.CoreV1().RESTClient()

	k.watchPods(ctx, cache.NewListWatchFromClient(api, "pods", "", fields.OneTermEqualSelector("spec.nodeName", name)))
	k.watchNode(ctx, cache.NewListWatchFromClient(api, "nodes", "", fields.OneTermEqualSelector("metadata.name", name)))

	return k.loop(ctx)
}

func (k *Kubelet) loop(ctx context.Context) error {
	ticker := time.NewTicker(leaseInterval)
	defer ticker.Stop()

	for failures := 0; ; {
		var err error

		if time.Since(k.lastLease) >= leaseInterval-time.Second {
			err = k.renewLease(ctx)
		}

		if err == nil {
			err = k.sync(ctx)
		}

		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			failures++

			k.Report(failures < 5, err.Error())
			sleep(ctx, retryInterval)
			k.Wake()
		case failures > 0:
			failures = 0

			k.Report(true, "node status updated")
		}

		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-k.wake:
			// Bursts of events are answered once.
			sleep(ctx, 50*time.Millisecond)
		}
	}
}

// sync brings pods, static pods and the Node in line.
func (k *Kubelet) sync(ctx context.Context) error {
	node := k.Node()
	if node == nil {
		// Somebody deleted the Node: a running kubelet does not make it again.
		return nil
	}

	if err := k.syncPods(ctx); err != nil {
		return err
	}

	if err := k.syncStatus(ctx, node); err != nil {
		return err
	}

	if err := k.syncStaticPods(ctx, node); err != nil {
		return err
	}

	k.applySpec(ctx, node)

	return nil
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
