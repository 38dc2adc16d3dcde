package machine

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log"
	"net"
	"path/filepath"
	"sync"

	"k8s.io/client-go/rest"

	"github.com/oxide-lab/node/internal/cloud"
	"github.com/oxide-lab/node/internal/controlplane"
	"github.com/oxide-lab/node/internal/fabric"
	"github.com/oxide-lab/node/internal/kwok"
	"github.com/oxide-lab/node/internal/machineconfig"
)

// Clusters runs what plays the containers of each Kubernetes cluster that has a live API server: one kwok, and Hetzner's
// controllers where their pods run.
type Clusters struct {
	env    *Env
	signal chan struct{}

	mu      sync.Mutex
	running map[string]*clusterRun
}

type clusterRun struct {
	cancel context.CancelFunc
	done   chan struct{}
}

// NewClusters makes the keeper of clusters; Run does its work.
func NewClusters(env *Env) *Clusters {
	return &Clusters{env: env, signal: make(chan struct{}, 1), running: map[string]*clusterRun{}}
}

// Refresh makes it look again.
func (c *Clusters) Refresh() {
	select {
	case c.signal <- struct{}{}:
	default:
	}
}

// Run starts and stops kwoks until ctx ends and all are gone.
func (c *Clusters) Run(ctx context.Context) {
	for {
		c.reconcile(ctx)

		select {
		case <-ctx.Done():
			c.stopExcept(nil)

			return
		case <-c.signal:
		}
	}
}

// boots are the running boots of all machines.
func (c *Clusters) boots() []*Boot {
	var boots []*Boot

	for _, host := range c.env.Fabric.Hosts() {
		if boot := host.(*Machine).Boot(); boot != nil { //nolint:forcetypeassert // all hosts are machines
			boots = append(boots, boot)
		}
	}

	return boots
}

func (c *Clusters) reconcile(ctx context.Context) {
	wanted := map[string]*Boot{}

	for _, boot := range c.boots() {
		if boot.plane.isRunning() {
			wanted[clusterKey(boot.Config())] = boot
		}
	}

	c.stopExcept(wanted)

	c.mu.Lock()
	defer c.mu.Unlock()

	for key, boot := range wanted {
		if c.running[key] != nil {
			continue
		}

		running, cancel := context.WithCancel(ctx)
		entry := &clusterRun{cancel: cancel, done: make(chan struct{})}
		c.running[key] = entry

		name := fmt.Sprintf("%x", sha256.Sum256([]byte(key)))[:12]
		settings := kwok.Cluster{
			Dir:     filepath.Join(c.env.StateDir, "clusters", name),
			LogFile: filepath.Join(c.env.StateDir, "clusters", name, "kwok.log"),
			Binary:  filepath.Join(c.env.BinDir, "kwok"),
			CA:      boot.Config().Cluster().IssuingCA(),
			PodCIDR: boot.Config().Cluster().Network().PodCIDRs()[0],
			Dial:    func(ctx context.Context) (net.Conn, error) { return c.dial(ctx, key) },
		}

		var parts sync.WaitGroup

		parts.Go(func() {
			if err := kwok.Run(running, settings); err != nil {
				log.Printf("kwok: %s", err)
			}
		})
		parts.Go(func() {
			if err := runCloud(running, settings); err != nil {
				log.Printf("cloud: %s", err)
			}
		})

		go func() {
			defer close(entry.done)

			parts.Wait()
		}()
	}
}

func runCloud(ctx context.Context, cluster kwok.Cluster) error {
	client, err := controlplane.AdminCertificate(cluster.CA, "cloud")
	if err != nil {
		return err
	}

	return cloud.Run(ctx, &rest.Config{
		Host: "https://localhost:6443",
		Dial: func(ctx context.Context, _, _ string) (net.Conn, error) { return cluster.Dial(ctx) },
		TLSClientConfig: rest.TLSClientConfig{
			ServerName: "localhost", CAData: cluster.CA.Crt, CertData: client.Crt, KeyData: client.Key,
		},
		QPS:   50,
		Burst: 100,
	})
}

func (c *Clusters) stopExcept(wanted map[string]*Boot) {
	c.mu.Lock()
	defer c.mu.Unlock()

	for key, entry := range c.running {
		if wanted[key] == nil {
			entry.cancel()
			<-entry.done
			delete(c.running, key)
		}
	}
}

// dial connects to any API server of a cluster.
func (c *Clusters) dial(ctx context.Context, key string) (net.Conn, error) {
	failure := errors.New("no live API server")

	for _, boot := range c.boots() {
		cfg := boot.Config()
		if cfg == nil || !machineconfig.IsControlPlane(cfg) || clusterKey(cfg) != key || !boot.plane.isRunning() {
			continue
		}

		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", fabric.JoinPort(boot.Wire(), fabric.PortKubernetes))
		if err == nil {
			return conn, nil
		}

		failure = err
	}

	return nil, failure
}
