package machine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oxide-lab/node/internal/fabric"
	"github.com/oxide-lab/node/internal/machineconfig"
)

// Hostname is the node's own name.
func (b *Boot) Hostname() string {
	name := b.machine.Hardware().Name

	return machineconfig.Hostname(b.Config(), name, name)
}

// Wire is the loopback address at which the node really is.
func (b *Boot) Wire() string { return b.env.Fabric.Wire(b.machine.Hardware().ID) }

// Addresses are the node's addresses in Talos' order.
func (b *Boot) Addresses() []netip.Addr {
	hw := b.machine.Hardware()
	addrs := hw.PrivateAddrs()

	if hw.Public().IsValid() {
		addrs = append(addrs, hw.Public())
	}

	if addr, err := netip.ParseAddr(hw.PublicIPv6); err == nil {
		addrs = append(addrs, addr)
	}

	slices.SortFunc(addrs, netip.Addr.Compare)

	return addrs
}

// IsLocal tells whether a target of an API call is this node.
func (b *Boot) IsLocal(target string) bool {
	if target == b.Hostname() {
		return true
	}

	addr, err := netip.ParseAddr(target)

	return err == nil && slices.Contains(b.Addresses(), addr)
}

// NodeIP is the address under which the node registers in Kubernetes.
func (b *Boot) NodeIP() (netip.Addr, error) {
	subnets := b.Config().Machine().Kubelet().NodeIP().ValidSubnets()
	// Addresses of pods and services are never a node's.
	for _, cidr := range append(b.Config().Cluster().Network().PodCIDRs(), b.Config().Cluster().Network().ServiceCIDRs()...) {
		subnets = append(subnets, "!"+cidr)
	}

	addrs := machineconfig.FilterAddrs(b.Addresses(), subnets)
	if len(addrs) == 0 {
		return netip.Addr{}, fmt.Errorf("no suitable node IP found, please make sure .machine.kubelet.nodeIP filters and pod/service subnets "+
			"are set up correctly (addresses %v, validSubnets %v)", b.Addresses(), b.Config().Machine().Kubelet().NodeIP().ValidSubnets())
	}

	return addrs[0], nil
}

// Resolve finds the addresses of a name as the node's resolver does: through the static hosts of its config.
func (b *Boot) Resolve(name string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(name); err == nil {
		return []netip.Addr{addr}, nil
	}

	addrs := machineconfig.StaticHosts(b.Config(), name)
	if len(addrs) == 0 {
		return nil, fmt.Errorf("lookup %s: no such host (no StaticHostConfig document or extraHostEntries names it)", name)
	}

	return addrs, nil
}

// HostsFile is the node's /etc/hosts.
func (b *Boot) HostsFile() string {
	cfg := b.Config()
	if cfg == nil {
		return ""
	}

	lines := []string{"127.0.0.1 localhost"}
	if address, err := b.NodeIP(); err == nil {
		lines = append(lines, address.String()+" "+b.Hostname())
	}

	for _, host := range cfg.NetworkStaticHostConfig() {
		lines = append(lines, host.IP()+" "+strings.Join(host.Aliases(), " "))
	}

	return strings.Join(lines, "\n") + "\n"
}

// Route finds the machine behind an address and a port.
func (b *Boot) Route(addr netip.Addr, port int) (*Machine, error) {
	host, err := b.env.Fabric.Route(b.machine.Hardware(), addr, port)
	if err != nil {
		return nil, err
	}

	return host.(*Machine), nil //nolint:forcetypeassert // all hosts are machines
}

// routes finds all machines behind the cluster endpoint that listen on a port, and the reason if there is none.
func (b *Boot) routes(port int) ([]*Machine, error) {
	addrs, err := b.Resolve(b.Config().Cluster().Endpoint().Hostname())
	if err != nil {
		return nil, err
	}

	addrs, failure := b.behind(addrs)

	var machines []*Machine

	for _, addr := range addrs {
		m, err := b.Route(addr, port)
		if err != nil {
			if failure == nil {
				failure = err
			}

			continue
		}

		if !slices.Contains(machines, m) {
			machines = append(machines, m)
		}
	}

	if len(machines) == 0 {
		return nil, failure
	}

	return machines, nil
}

// behind replaces load balancers by the control planes that the Kubernetes API behind them names; the reason if one
// cannot be asked.
func (b *Boot) behind(addrs []netip.Addr) (found []netip.Addr, failure error) {
	for _, addr := range addrs {
		if b.env.Fabric.BalancerAt(b.machine.Hardware(), addr) == nil {
			found = append(found, addr)

			continue
		}

		ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
		conn, err := b.env.Fabric.Dial(ctx, b.machine.Hardware(), addr, fabric.PortKubernetes)

		cancel()

		if err != nil {
			failure = err

			continue
		}

		conn.Close() //nolint:errcheck

		found = append(found, b.controlPlaneAddresses()...)
	}

	return found, failure
}

// dial connects to a Kubernetes API server as the node's kubelet does: to the cluster endpoint, and with KubePrism to
// every control plane that it has learned of since it joined.
func (b *Boot) dial(ctx context.Context, _, address string) (net.Conn, error) {
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}

	port, err := strconv.Atoi(portText)
	if err != nil {
		return nil, err
	}

	addrs, failure := b.Resolve(host)

	if prism := b.Config().Machine().Features().KubePrism(); prism.Enabled() && b.hasJoined() {
		addrs = append(addrs, b.controlPlaneAddresses()...)
	}

	for _, addr := range addrs {
		conn, err := b.env.Fabric.Dial(ctx, b.machine.Hardware(), addr, port)
		if err == nil {
			return conn, nil
		}

		failure = errors.Join(failure, err)
	}

	return nil, firstLine(failure)
}

// firstLine keeps the first of joined errors: one reason is enough in a message.
func firstLine(err error) error {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		if all := joined.Unwrap(); len(all) > 0 {
			return firstLine(all[0])
		}
	}

	return err
}

func (b *Boot) hasJoined() bool {
	b.mu.Lock()
	defer b.mu.Unlock()

	return b.joined
}

// controlPlaneAddresses are the addresses of the live control planes of the same Kubernetes cluster.
func (b *Boot) controlPlaneAddresses() []netip.Addr {
	var addrs []netip.Addr

	for _, peer := range b.env.Clusters.boots() {
		cfg := peer.Config()
		if cfg == nil || !machineconfig.IsControlPlane(cfg) || clusterKey(cfg) != clusterKey(b.Config()) {
			continue
		}

		if addr, err := peer.NodeIP(); err == nil {
			addrs = append(addrs, addr)
		}
	}

	return addrs
}

// listening tells whether the node answers on a port.
func (b *Boot) listening(port int) bool {
	b.mu.Lock()
	serving, configured := b.serving, b.config != nil
	b.mu.Unlock()

	switch port {
	case fabric.PortAPI:
		return serving
	case fabric.PortTrustd:
		return configured && machineconfig.IsControlPlane(b.Config())
	case fabric.PortKubernetes:
		return b.plane.isRunning()
	case fabric.PortEtcd:
		return b.etcd.isRunning()
	default:
		return false
	}
}
