package machine

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"

	"github.com/oxide-lab/node/internal/controlplane"
	"github.com/oxide-lab/node/internal/fabric"
	"github.com/oxide-lab/node/internal/kubelet"
	"github.com/oxide-lab/node/internal/kwok"
	"github.com/oxide-lab/node/internal/machineconfig"
	"github.com/oxide-lab/node/internal/manifests"
)

// planeService is the state of a control plane's static pods.
type planeService struct {
	mu      sync.Mutex
	pods    []staticPod
	running map[string]bool
	ready   bool
}

// staticPod is a component with the annotations that its pod got when it was last applied.
type staticPod struct {
	controlplane.Command

	annotations map[string]string
}

func (p *planeService) isRunning() bool {
	p.mu.Lock()
	defer p.mu.Unlock()

	return p.running[controlplane.APIServer]
}

func (p *planeService) isReady() bool {
	p.mu.Lock()
	defer p.mu.Unlock()

	return p.ready
}

func (p *planeService) set(component string, running bool) {
	p.mu.Lock()
	defer p.mu.Unlock()

	if p.running == nil {
		p.running = map[string]bool{}
	}

	p.running[component] = running

	if component == controlplane.APIServer && !running {
		p.ready = false
	}
}

// runPlane runs the Kubernetes control plane as long as etcd is healthy for the first time, and follows the config.
func (b *Boot) runPlane(ctx context.Context) {
	runner := &controlplane.Runner{LogDir: b.logDir(), Ready: b.plane.isReady, Changed: func(component string, running bool, err error) {
		b.plane.set(component, running)

		if running {
			b.machine.Note(EventStaticPod, "%s runs", component)
		}

		if err != nil {
			b.waitsFor(component, err.Error())
		} else {
			b.waitsFor(component, "")
		}

		b.changed.Notify()
	}}

	defer runner.Stop()

	b.run(b.proxyKubernetes)
	b.run(b.checkPlane)

	for applied := ""; ; {
		change := b.changed.Wait()
		etcd, _ := b.Services.Get("etcd")
		fingerprint := b.planeFingerprint()

		switch {
		case b.EtcdLeft():
			runner.Stop()

			applied = ""
		case (applied != "" || etcd.Healthy) && applied != fingerprint:
			if err := b.applyPlane(runner); err != nil {
				b.waitsFor("static pods", err.Error())
			} else {
				b.waitsFor("static pods", "")

				applied = fingerprint
			}
		}

		if !b.waitOn(ctx, change, 10*time.Second) {
			return
		}
	}
}

// planeFingerprint changes with everything that the control plane is rendered from.
func (b *Boot) planeFingerprint() string {
	b.mu.Lock()
	data := b.configData
	b.mu.Unlock()

	return fmt.Sprintf("%x %v %s", sha256.Sum256(data), b.Addresses(), b.Hostname())
}

func (b *Boot) applyPlane(runner *controlplane.Runner) error {
	address, err := b.NodeIP()
	if err != nil {
		return err
	}

	member := b.Etcd()
	plane := &controlplane.Plane{
		Dir:           filepath.Join(b.runDir(), "kubernetes"),
		LogDir:        b.logDir(),
		KubernetesDir: b.env.KubernetesDir,
		Wire:          b.Wire(),
		NodeIP:        address.String(),
		Hostname:      b.Hostname(),
		EtcdPKI:       member.PKI,
		EtcdURL:       member.ClientURL(),
	}

	for _, addr := range b.Addresses() {
		plane.Addresses = append(plane.Addresses, addr.String())
	}

	commands, err := plane.Render(b.Config())
	if err != nil {
		return err
	}

	b.writePlaneConfigs(b.ctx)
	b.setStaticPods(commands)
	b.changed.Notify()

	// A pod whose image cannot be had is down: the kubelet has ended the one before.
	var missing []error

	pulled := slices.DeleteFunc(commands, func(command controlplane.Command) bool {
		err := b.Pull(command.Image)
		missing = append(missing, err)

		return err != nil
	})
	runner.Apply(pulled)

	return errors.Join(missing...)
}

// setStaticPods gives every component the annotations with which Talos makes the kubelet restart its pod; a component
// that has others than before is restarted.
func (b *Boot) setStaticPods(commands []controlplane.Command) {
	b.plane.mu.Lock()
	defer b.plane.mu.Unlock()

	before := b.plane.pods
	b.plane.pods = nil

	if b.plane.running == nil {
		b.plane.running = map[string]bool{}
	}

	for i := range commands {
		command := &commands[i]
		annotations := b.podVersions(command.Component)
		command.Restart += fmt.Sprint(annotations)
		b.plane.pods = append(b.plane.pods, staticPod{*command, annotations})

		index := slices.IndexFunc(before, func(pod staticPod) bool { return pod.Component == command.Component })
		if index >= 0 && before[index].Restart != command.Restart {
			b.machine.Note(EventStaticPod, "%s restarts: %s", command.Component, annotations)

			b.plane.running[command.Component] = false
			b.plane.ready = b.plane.ready && command.Component != controlplane.APIServer
		}
	}
}

// adminAccess reaches the node's own kube-apiserver as cluster administrator.
func (b *Boot) adminAccess() (*rest.Config, error) {
	ca := b.Config().Cluster().IssuingCA()

	client, err := controlplane.AdminCertificate(ca, "talos:admin")
	if err != nil {
		return nil, err
	}

	return &rest.Config{
		Host: "https://" + b.Wire() + ":6443",
		TLSClientConfig: rest.TLSClientConfig{
			ServerName: "localhost", CAData: ca.Crt, CertData: client.Crt, KeyData: client.Key,
		},
		Timeout: 20 * time.Second,
		QPS:     50,
		Burst:   100,
	}, nil
}

// clusterAccess reaches any kube-apiserver behind the cluster endpoint as cluster administrator.
func (b *Boot) clusterAccess() (*rest.Config, error) {
	access, err := b.adminAccess()
	if err != nil {
		return nil, err
	}

	access.Host, access.Dial, access.ServerName = b.endpoint(), b.dial, ""

	return access, nil
}

// checkPlane watches the readiness of kube-apiserver and applies the bootstrap manifests once it is there.
func (b *Boot) checkPlane(ctx context.Context) {
	access, err := b.adminAccess()
	if err != nil {
		b.waitsFor("static pods", err.Error())

		return
	}

	client, err := rest.HTTPClientFor(access)
	if err != nil {
		return
	}

	for applied := ""; pause(ctx, time.Second); {
		if !b.plane.isRunning() {
			continue
		}

		ready := probe(ctx, client, access.Host+"/readyz")

		b.plane.mu.Lock()
		changed := b.plane.ready != ready
		b.plane.ready = ready
		b.plane.mu.Unlock()

		if changed {
			if ready {
				b.machine.Note(EventStaticPod, "%s is ready", controlplane.APIServer)
			}

			b.changed.Notify()
			b.env.Clusters.Refresh()
		}

		if !ready {
			continue
		}

		stream, err := manifests.Render(b.Config().Cluster())
		if err == nil && applied != stream {
			if err = manifests.Apply(ctx, access, stream); err == nil {
				applied = stream
			}
		}

		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			b.waitsFor("manifests", err.Error())
		default:
			b.waitsFor("manifests", "")
		}

		// A ready server is looked at less often.
		pause(ctx, 4*time.Second)
	}
}

func probe(ctx context.Context, client *http.Client, url string) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()

	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}

	response, err := client.Do(request)
	if err != nil {
		return false
	}

	return response.Body.Close() == nil && response.StatusCode == http.StatusOK
}

// proxyKubernetes carries connections from the public address to kube-apiserver while that runs.
func (b *Boot) proxyKubernetes(ctx context.Context) {
	var listener *PublicListener

	defer func() {
		if listener != nil {
			listener.Close() //nolint:errcheck
		}
	}()

	for {
		change := b.changed.Wait()
		running := b.plane.isRunning()

		if listener != nil && !running {
			listener.Close() //nolint:errcheck
			listener = nil
		}

		if listener == nil && running && b.machine.Hardware().Public().IsValid() {
			opened, err := b.ListenPublic(fabric.PortKubernetes)
			if err != nil {
				b.waitsFor("network", err.Error())
			} else {
				listener = opened

				go b.forward(ctx, opened)
			}
		}

		if !b.waitOn(ctx, change, 10*time.Second) {
			return
		}
	}
}

func (b *Boot) forward(ctx context.Context, listener *PublicListener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}

		go func() {
			upstream, err := (&net.Dialer{}).DialContext(ctx, "tcp", fabric.JoinPort(b.Wire(), fabric.PortKubernetes))
			if err != nil {
				conn.Close() //nolint:errcheck

				return
			}

			kwok.Pipe(ctx, conn, upstream)
		}()
	}
}

// ImageAvailable returns an error for an image of a control plane component whose version the lab does not have; all
// other images are only names here.
func (b *Boot) ImageAvailable(image string) error {
	for _, component := range []string{controlplane.APIServer, controlplane.ControllerManager, controlplane.Scheduler} {
		if !strings.Contains(image, "/"+component+":") {
			continue
		}

		command := controlplane.Command{
			Component: component, Image: image, Path: filepath.Join(b.env.KubernetesDir, machineconfig.Tag(image), component),
		}

		return command.Available()
	}

	return nil
}

// staticPods are the control plane's pods as the kubelet mirrors them.
func (b *Boot) staticPods() []kubelet.StaticPod {
	b.plane.mu.Lock()
	defer b.plane.mu.Unlock()

	pods := make([]kubelet.StaticPod, 0, len(b.plane.pods))

	for _, pod := range b.plane.pods {
		running := b.plane.running[pod.Component]
		if pod.Component == controlplane.APIServer {
			running = running && b.plane.ready
		}

		version := strings.TrimPrefix(machineconfig.Tag(pod.Image), "v")
		pods = append(pods, kubelet.StaticPod{
			Name:    pod.Component,
			Image:   pod.Image,
			Args:    slices.Clone(pod.Args),
			Running: running,
			Labels: map[string]string{
				"tier": "control-plane", "k8s-app": pod.Component, "component": pod.Component,
				"app.kubernetes.io/name": pod.Component, "app.kubernetes.io/version": version,
				"app.kubernetes.io/component": "control-plane", "app.kubernetes.io/managed-by": "Talos",
			},
			Annotations: pod.annotations,
		})
	}

	return pods
}
