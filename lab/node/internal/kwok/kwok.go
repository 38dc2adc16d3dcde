// Package kwok runs one kwok per cluster: it plays the containers of all pods whose node's kubelet let them start.
package kwok

import (
	"context"
	_ "embed"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	siderox509 "github.com/siderolabs/crypto/x509"

	"github.com/oxide-lab/node/internal/controlplane"
	"github.com/oxide-lab/node/internal/process"
)

//go:embed kwok.yaml
var stages []byte

// Cluster is what kwok needs to know of a cluster.
type Cluster struct {
	// Dir holds kubeconfig and stages.
	Dir     string
	LogFile string
	Binary  string
	CA      *siderox509.PEMEncodedCertificateAndKey
	PodCIDR string
	// Dial connects to any live kube-apiserver of the cluster.
	Dial func(ctx context.Context) (net.Conn, error)
}

// Run keeps kwok running until ctx ends.
func Run(ctx context.Context, cluster Cluster) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}

	context.AfterFunc(ctx, func() { listener.Close() }) //nolint:errcheck

	go balance(ctx, listener, cluster.Dial)

	if err := os.MkdirAll(cluster.Dir, 0o700); err != nil {
		return err
	}

	client, err := controlplane.AdminCertificate(cluster.CA, "kwok")
	if err != nil {
		return err
	}

	kubeconfig, err := controlplane.Kubeconfig("https://"+listener.Addr().String(), "localhost", cluster.CA.Crt, client)
	if err != nil {
		return err
	}

	config := filepath.Join(cluster.Dir, "kwok.yaml")
	access := filepath.Join(cluster.Dir, "kubeconfig")

	if err := os.WriteFile(config, stages, 0o600); err != nil {
		return err
	}

	if err := os.WriteFile(access, kubeconfig, 0o600); err != nil {
		return err
	}

	for ctx.Err() == nil {
		p, err := process.Start(process.Spec{
			Path: cluster.Binary,
			Args: []string{
				"--config=" + config, "--kubeconfig=" + access, "--manage-all-nodes=true", "--node-lease-duration-seconds=0",
				"--cidr=" + cluster.PodCIDR, "--server-address=", "--node-port=0",
			},
			// kwok reads settings from a home directory; it must not find somebody else's.
			Env:     []string{"HOME=" + cluster.Dir, "KWOK_WORKDIR=" + cluster.Dir},
			LogFile: cluster.LogFile,
		})
		if err != nil {
			return err
		}

		select {
		case <-p.Done():
		case <-ctx.Done():
			p.Stop(time.Second)

			return nil
		}

		select {
		case <-time.After(3 * time.Second):
		case <-ctx.Done():
		}
	}

	return nil
}

func balance(ctx context.Context, listener net.Listener, dial func(context.Context) (net.Conn, error)) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}

		go func() {
			defer conn.Close() //nolint:errcheck

			upstream, err := dial(ctx)
			if err != nil {
				return
			}
			defer upstream.Close() //nolint:errcheck

			Pipe(ctx, conn, upstream)
		}()
	}
}

// Pipe copies between two connections until one ends or ctx does; both are closed then.
func Pipe(ctx context.Context, a, b net.Conn) {
	closeBoth := sync.OnceFunc(func() {
		a.Close() //nolint:errcheck
		b.Close() //nolint:errcheck
	})
	defer closeBoth()

	stop := context.AfterFunc(ctx, closeBoth)
	defer stop()

	var group sync.WaitGroup

	for _, pair := range [][2]net.Conn{{a, b}, {b, a}} {
		group.Go(func() {
			defer closeBoth()

			buffer := make([]byte, 32<<10)

			for {
				n, err := pair[0].Read(buffer)
				if n > 0 {
					if _, werr := pair[1].Write(buffer[:n]); werr != nil {
						return
					}
				}

				if err != nil {
					return
				}
			}
		})
	}

	group.Wait()
}
