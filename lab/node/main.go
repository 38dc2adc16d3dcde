// Command lab-node emulates all Talos nodes of a lab. It is one daemon: each node has its own Talos API, addresses and
// disk, and control plane nodes run a real etcd and a real Kubernetes control plane as child processes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"k8s.io/klog/v2"

	"github.com/oxide-lab/node/internal/control"
	"github.com/oxide-lab/node/internal/fabric"
	"github.com/oxide-lab/node/internal/machine"
	"github.com/oxide-lab/node/internal/talosapi"
)

func main() {
	log.SetFlags(log.Ltime | log.Lmsgprefix)

	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "lab-node:", err)
		os.Exit(1)
	}
}

func run() error {
	stateDir := flag.String("state-dir", "", "directory for disks and logs of the nodes")
	listen := flag.String("listen", "127.0.0.1:0", "address of the control API")
	prefix := flag.String("internal-prefix", "127.17", "first two bytes of the nodes' internal loopback addresses")
	binDir := flag.String("bin-dir", ".lab/bin", "directory with etcd and kwok")
	kubernetesDir := flag.String("kubernetes-dir", ".lab/kubernetes", "directory with a directory of binaries for each Kubernetes version")
	bootSeconds := flag.Float64("boot-seconds", 1, "how long a node takes to boot")
	checkSeconds := flag.Float64("check-seconds", 1, "how long a second between health checks of load balancers takes")
	vpn := flag.String("vpn", "", "address of the HTTP proxy into the private networks; none without it")
	claim := flag.String("claim", "", "loopback address to hold, so that no other lab uses the same addresses")
	verbose := flag.Bool("verbose", false, "show messages of the Kubernetes client library")
	flag.Parse()

	if *stateDir == "" {
		return errors.New("--state-dir is missing")
	}

	if !*verbose {
		// The library reports every refused connection of a cluster that is still booting.
		klog.SetLogger(klog.Logger{})
		klog.LogToStderr(false)
		klog.SetOutput(nowhere{})
	}

	for _, path := range []*string{stateDir, binDir, kubernetesDir} {
		absolute, err := filepath.Abs(*path)
		if err != nil {
			return err
		}

		*path = absolute
	}

	if *claim != "" {
		held, err := net.Listen("tcp", *claim)
		if err != nil {
			return fmt.Errorf("another lab uses these addresses: %w", err)
		}
		defer held.Close() //nolint:errcheck
	}

	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}

	journal, err := machine.OpenJournal(*stateDir)
	if err != nil {
		return err
	}

	env := &machine.Env{
		StateDir:      *stateDir,
		BinDir:        *binDir,
		KubernetesDir: *kubernetesDir,
		BootTime:      time.Duration(*bootSeconds * float64(time.Second)),
		Fabric:        fabric.New(*prefix),
		Faults:        &machine.Faults{},
		Journal:       journal,
		NewAPI:        talosapi.New,
	}
	env.Clusters = machine.NewClusters(env)

	if *vpn != "" {
		inside, err := net.Listen("tcp", *vpn)
		if err != nil {
			return err
		}
		defer inside.Close() //nolint:errcheck

		go http.Serve(inside, &control.VPN{Fabric: env.Fabric}) //nolint:errcheck,gosec // ends with the listener
	}

	clusters, stopClusters := context.WithCancel(context.Background())
	clustersEnded := make(chan struct{})

	go func() {
		defer close(clustersEnded)

		env.Clusters.Run(clusters)
	}()

	fleet, err := control.NewFleet(env, *checkSeconds)
	if err != nil {
		stopClusters()

		return err
	}

	server := &http.Server{Handler: fleet.Handler(), ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)

	go func() { failed <- server.Serve(listener) }()

	log.Printf("control API on http://%s", listener.Addr())

	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)

	select {
	case <-signals:
	case err = <-failed:
	}

	server.Close() //nolint:errcheck
	fleet.Halt()
	stopClusters()
	<-clustersEnded

	return err
}

// nowhere swallows log messages.
type nowhere struct{}

func (nowhere) Write(data []byte) (int, error) { return len(data), nil }
