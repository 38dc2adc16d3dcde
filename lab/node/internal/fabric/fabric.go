// Package fabric is the network between the emulated machines. Private addresses exist only here: every machine is
// really reached at a loopback address of its own, its wire address, and the fabric decides who may reach whom.
package fabric

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync"

	"github.com/oxide-lab/node/internal/hardware"
)

// Ports that machines offer to each other.
const (
	PortAPI        = 50000
	PortTrustd     = 50001
	PortKubernetes = 6443
	PortEtcd       = 2379
)

// Host is a machine's presence on the network.
type Host interface {
	// Hardware returns the server as it is declared now.
	Hardware() hardware.Server
	// Listening tells whether something answers on a port.
	Listening(port int) bool
}

// Fabric knows all hosts.
type Fabric struct {
	prefix string

	mu        sync.RWMutex
	hosts     map[int]Host
	balancers map[int]Balancer
	// advertised keeps the address that a wire address stood for after its machine is gone, because etcd still lists
	// the member then.
	advertised map[string]string
	// Changed is called after Advertise recorded something new.
	Changed func()
}

// New makes a fabric whose wire addresses are prefix.x.y, for example 127.17.x.y.
func New(prefix string) *Fabric {
	return &Fabric{prefix: prefix, hosts: map[int]Host{}, balancers: map[int]Balancer{}, advertised: map[string]string{}}
}

// Wire is the loopback address at which the machine with this id really is.
func (f *Fabric) Wire(id int) string {
	id &= 0xffff

	return fmt.Sprintf("%s.%d.%d", f.prefix, id>>8, id&255)
}

// Attach adds a host.
func (f *Fabric) Attach(id int, host Host) {
	f.mu.Lock()
	defer f.mu.Unlock()

	f.hosts[id] = host
}

// Detach removes a host.
func (f *Fabric) Detach(id int) {
	f.mu.Lock()
	defer f.mu.Unlock()

	delete(f.hosts, id)
}

// Hosts returns all hosts.
func (f *Fabric) Hosts() []Host {
	f.mu.RLock()
	defer f.mu.RUnlock()

	hosts := make([]Host, 0, len(f.hosts))
	for _, host := range f.hosts {
		hosts = append(hosts, host)
	}

	return hosts
}

// UnreachableError says why an address cannot be reached, in the words of a dialer.
type UnreachableError struct {
	Address string
	Reason  string
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("dial tcp %s: connect: %s", e.Address, e.Reason)
}

// Route finds the host that a machine reaches under an address and port: in one of its private networks, or over the
// public one, where the target's firewall applies.
func (f *Fabric) Route(from hardware.Server, to netip.Addr, port int) (Host, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()

	address := netip.AddrPortFrom(to, uint16(port)).String()
	loopback := to.IsLoopback() && f.owner(to) == nil

	for _, host := range f.hosts {
		hw := host.Hardware()

		switch network, private := hw.Network(to); {
		case loopback && hw.ID == from.ID:
		case private && (hw.ID == from.ID || from.InNetwork(network)):
		case hw.Public().IsValid() && hw.Public() == to:
			if hw.ID != from.ID && (!from.Public().IsValid() || !hw.Admits(from.Public(), port)) {
				return nil, &UnreachableError{address, "connection timed out"}
			}
		default:
			continue
		}

		if hw.Power != hardware.On {
			return nil, &UnreachableError{address, "no route to host"}
		}

		if !host.Listening(port) {
			return nil, &UnreachableError{address, "connection refused"}
		}

		return host, nil
	}

	return nil, &UnreachableError{address, "no route to host"}
}

// Internet returns nil if a machine reaches the internet over IPv4, which registries need: with an address of its own, or
// through a private network whose default route goes to a running server that has one. Everything else is silence.
func (f *Fabric) Internet(from hardware.Server) error {
	f.mu.RLock()
	defer f.mu.RUnlock()

	if from.Public().IsValid() {
		return nil
	}

	reason := "no public IPv4 address and no default route in its networks"

	for _, net := range from.Private {
		gateway, err := netip.ParseAddr(net.Gateway)
		if err != nil {
			continue
		}

		reason = "the default route goes to " + net.Gateway + ", where no running server with a public IPv4 address is"

		for _, host := range f.hosts {
			hw := host.Hardware()
			id, inside := hw.Network(gateway)

			if inside && id == net.NetworkID && hw.ID != from.ID && hw.Power == hardware.On && hw.Public().IsValid() {
				return nil
			}
		}
	}

	return fmt.Errorf("i/o timeout (%s)", reason)
}

// owner finds the host with a public address; loopback addresses of the lab's own range are public ones there.
func (f *Fabric) owner(addr netip.Addr) Host {
	for _, host := range f.hosts {
		if hw := host.Hardware(); hw.Public() == addr {
			return host
		}
	}

	return nil
}

// Advertise records which address of the emulated network a wire address stands for.
func (f *Fabric) Advertise(wire, address string) {
	f.mu.Lock()
	known := f.advertised[wire] == address
	f.advertised[wire] = address
	f.mu.Unlock()

	if !known && f.Changed != nil {
		f.Changed()
	}
}

// Advertised is all that Advertise recorded; to be kept across restarts.
func (f *Fabric) Advertised() map[string]string {
	f.mu.RLock()
	defer f.mu.RUnlock()

	all := make(map[string]string, len(f.advertised))
	for wire, address := range f.advertised {
		all[wire] = address
	}

	return all
}

// Emulated replaces a wire address in a URL by the address that it stands for.
func (f *Fabric) Emulated(url string) string {
	scheme, rest, found := strings.Cut(url, "://")
	if !found {
		return url
	}

	host, port, found := strings.Cut(rest, ":")
	if !found {
		return url
	}

	f.mu.RLock()
	defer f.mu.RUnlock()

	if address, known := f.advertised[host]; known {
		return scheme + "://" + address + ":" + port
	}

	return url
}

// JoinPort is host:port.
func JoinPort(host string, port int) string {
	return host + ":" + strconv.Itoa(port)
}
