package etcd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"github.com/oxide-lab/node/internal/process"
)

// Member is the etcd member of one node.
type Member struct {
	// Name is the node's hostname.
	Name string
	// Wire is the loopback address that the member listens on and advertises.
	Wire    string
	DataDir string
	LogFile string
	Binary  string
	PKI     PKI
	// ExtraArgs are cluster.etcd.extraArgs.
	ExtraArgs map[string][]string
}

// HasData tells whether the node is or was a member: Talos refuses to bootstrap then.
func (m *Member) HasData() bool {
	entries, _ := os.ReadDir(m.DataDir) //nolint:errcheck // a missing directory holds no data

	return len(entries) > 0
}

// ClientURL is where the member serves clients.
func (m *Member) ClientURL() string { return "https://" + m.Wire + ":2379" }

// PeerURL is where the member serves its peers.
func (m *Member) PeerURL() string { return "https://" + m.Wire + ":2380" }

// Start runs the member. initialCluster is empty for one that already has data; state is "new" or "existing".
func (m *Member) Start(initialCluster, state string) (*process.Process, error) {
	args := map[string]string{
		"name":                        m.Name,
		"data-dir":                    m.DataDir,
		"listen-peer-urls":            m.PeerURL(),
		"listen-client-urls":          m.ClientURL(),
		"advertise-client-urls":       m.ClientURL(),
		"initial-advertise-peer-urls": m.PeerURL(),
		"client-cert-auth":            "true",
		"cert-file":                   m.PKI.path("server.crt"),
		"key-file":                    m.PKI.path("server.key"),
		"trusted-ca-file":             m.PKI.CA(),
		"peer-client-cert-auth":       "true",
		"peer-cert-file":              m.PKI.path("peer.crt"),
		"peer-key-file":               m.PKI.path("peer.key"),
		"peer-trusted-ca-file":        m.PKI.CA(),
		// Many members share two cores and one disk here: elections must survive a busy machine, and a killed process
		// loses nothing that it wrote.
		"heartbeat-interval": "400",
		"election-timeout":   "4000",
		"unsafe-no-fsync":    "true",
		"log-level":          "warn",
	}

	if initialCluster != "" {
		args["initial-cluster"] = initialCluster
		args["initial-cluster-state"] = state
	}

	for name, values := range m.ExtraArgs {
		// URLs would name emulated addresses that do not exist on this machine.
		if strings.HasSuffix(name, "-urls") {
			continue
		}

		args[name] = strings.Join(values, ",")
	}

	if err := os.MkdirAll(filepath.Dir(m.DataDir), 0o700); err != nil {
		return nil, err
	}

	flags := make([]string, 0, len(args))
	for name, value := range args {
		flags = append(flags, "--"+name+"="+value)
	}

	return process.Start(process.Spec{Path: m.Binary, Args: flags, LogFile: m.LogFile})
}

// Restore makes the data of a cluster of this member alone from a snapshot. utility is etcdutl.
func (m *Member) Restore(ctx context.Context, utility, snapshot string, skipHash bool) error {
	arguments := []string{
		"snapshot", "restore", snapshot, "--name=" + m.Name, "--data-dir=" + m.DataDir,
		"--initial-cluster=" + m.Name + "=" + m.PeerURL(), "--initial-advertise-peer-urls=" + m.PeerURL(),
	}
	if skipHash {
		arguments = append(arguments, "--skip-hash-check")
	}

	output, err := exec.CommandContext(ctx, utility, arguments...).CombinedOutput()
	if err != nil {
		lines := strings.Split(strings.TrimSpace(string(output)), "\n")

		return errors.Join(fmt.Errorf("%w: %s", err, lines[len(lines)-1]), os.RemoveAll(m.DataDir))
	}

	return nil
}

// Client connects to members by their wire addresses.
func (m *Member) Client(ctx context.Context, wires ...string) (*clientv3.Client, error) {
	config, err := m.PKI.tlsConfig()
	if err != nil {
		return nil, err
	}

	endpoints := make([]string, 0, len(wires))
	for _, wire := range wires {
		endpoints = append(endpoints, "https://"+wire+":2379")
	}

	return clientv3.New(clientv3.Config{
		Endpoints:   endpoints,
		DialTimeout: 5 * time.Second,
		Context:     ctx,
		TLS:         config,
		Logger:      zap.NewNop(),
		DialOptions: []grpc.DialOption{grpc.WithDisableServiceConfig()},
	})
}

// Local connects to the node's own member.
func (m *Member) Local(ctx context.Context) (*clientv3.Client, error) { return m.Client(ctx, m.Wire) }

// Healthy returns nil if the member answers and the cluster has quorum.
func (m *Member) Healthy(ctx context.Context) error {
	client, err := m.Local(ctx)
	if err != nil {
		return err
	}
	defer client.Close() //nolint:errcheck

	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()

	_, err = client.Get(ctx, "health")
	if errors.Is(err, rpctypes.ErrPermissionDenied) {
		return nil
	}

	return err
}

// Join adds the node as a learner to the cluster of a running member and returns what it must be started with. A stale
// member of the same name is removed first, as Talos does.
func (m *Member) Join(ctx context.Context, wires []string) (initialCluster string, id uint64, err error) {
	client, err := m.Client(ctx, wires...)
	if err != nil {
		return "", 0, err
	}
	defer client.Close() //nolint:errcheck

	ctx, cancel := context.WithTimeout(clientv3.WithRequireLeader(ctx), 30*time.Second)
	defer cancel()

	list, err := client.MemberList(ctx)
	if err != nil {
		return "", 0, fmt.Errorf("error getting etcd member list: %w", err)
	}

	for _, member := range list.Members {
		if member.Name != m.Name && (member.Name != "" || member.PeerURLs[0] != m.PeerURL()) {
			continue
		}

		if _, err := client.MemberRemove(ctx, member.ID); err != nil {
			return "", 0, fmt.Errorf("error removing self from the member list: %w", err)
		}
	}

	added, err := client.MemberAddAsLearner(ctx, []string{m.PeerURL()})
	if err != nil {
		return "", 0, fmt.Errorf("error adding member: %w", err)
	}

	var parts []string

	for _, member := range added.Members {
		name := member.Name
		if member.ID == added.Member.ID {
			name = m.Name
		}

		for _, url := range member.PeerURLs {
			parts = append(parts, name+"="+url)
		}
	}

	return strings.Join(parts, ","), added.Member.ID, nil
}

// Promote makes a learner a voting member; it fails until the learner has caught up.
func (m *Member) Promote(ctx context.Context, id uint64, wires []string) error {
	var failure error

	for _, wire := range wires {
		failure = func() error {
			client, err := m.Client(ctx, wire)
			if err != nil {
				return err
			}
			defer client.Close() //nolint:errcheck

			ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
			defer cancel()

			_, err = client.MemberPromote(ctx, id)

			return err
		}()

		if failure == nil || errors.Is(failure, rpctypes.ErrMemberNotLearner) {
			return nil
		}
	}

	return failure
}
