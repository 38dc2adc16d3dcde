package fabric

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/oxide-lab/node/internal/hardware"
)

// Balancer is a load balancer's presence on the network.
type Balancer interface {
	// Has tells whether an address is the load balancer's in a private network.
	Has(network int, addr netip.Addr) bool
	// Public is the load balancer's public address; the zero Addr while that is off.
	Public() netip.Addr
	// Dial connects to the healthy target whose turn it is.
	Dial(ctx context.Context, from netip.Addr, port int) (net.Conn, error)
}

// AttachBalancer adds a load balancer.
func (f *Fabric) AttachBalancer(id int, balancer Balancer) {
	f.mu.Lock()
	defer f.mu.Unlock()

	f.balancers[id] = balancer
}

// DetachBalancer removes a load balancer.
func (f *Fabric) DetachBalancer(id int) {
	f.mu.Lock()
	defer f.mu.Unlock()

	delete(f.balancers, id)
}

// BalancerAt is the load balancer that a machine reaches at an address; nil if there is none.
func (f *Fabric) BalancerAt(from hardware.Server, to netip.Addr) Balancer {
	f.mu.RLock()
	defer f.mu.RUnlock()

	for _, balancer := range f.balancers {
		if from.Public().IsValid() && balancer.Public() == to {
			return balancer
		}

		for _, own := range from.Private {
			if balancer.Has(own.NetworkID, to) {
				return balancer
			}
		}
	}

	return nil
}

// Server is the hardware with this id; nil if there is none.
func (f *Fabric) Server(id int) *hardware.Server {
	f.mu.RLock()
	defer f.mu.RUnlock()

	if host := f.hosts[id]; host != nil {
		hw := host.Hardware()

		return &hw
	}

	return nil
}

// Dial connects a machine to an address and port of the emulated network.
func (f *Fabric) Dial(ctx context.Context, from hardware.Server, to netip.Addr, port int) (net.Conn, error) {
	if balancer := f.BalancerAt(from, to); balancer != nil {
		return balancer.Dial(ctx, sender(from), port)
	}

	var dialer net.Dialer

	if from.ID == 0 && f.foreign(to) {
		return dialer.DialContext(ctx, "tcp", netip.AddrPortFrom(to, uint16(port)).String())
	}

	host, err := f.Route(from, to, port)
	if err != nil {
		return nil, err
	}

	conn, err := dialer.DialContext(ctx, "tcp", JoinPort(f.Wire(host.Hardware().ID), port))
	if err != nil {
		// The wire address means nothing to anybody.
		return nil, &UnreachableError{netip.AddrPortFrom(to, uint16(port)).String(), "connection refused"}
	}

	return conn, nil
}

// sender is the address that a machine's traffic to its private networks comes from.
func sender(from hardware.Server) netip.Addr {
	for _, addr := range from.PrivateAddrs() {
		return addr
	}

	return netip.IPv4Unspecified()
}

// foreign tells whether an address belongs to this computer but not to the lab: a test's own server.
func (f *Fabric) foreign(addr netip.Addr) bool {
	f.mu.RLock()
	defer f.mu.RUnlock()

	return addr.IsLoopback() && f.owner(addr) == nil
}

// Inside is somebody in the network that holds a private address, or the reason why nobody can be.
func (f *Fabric) Inside(network int, to netip.Addr) (hardware.Server, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()

	var found []int

	for _, host := range f.hosts {
		if id, owns := host.Hardware().Network(to); owns {
			found = append(found, id)
		}
	}

	for _, host := range f.hosts {
		for _, net := range host.Hardware().Private {
			for _, balancer := range f.balancers {
				if balancer.Has(net.NetworkID, to) {
					found = append(found, net.NetworkID)
				}
			}
		}
	}

	slices.Sort(found)
	found = slices.Compact(found)

	switch {
	case network != 0 && slices.Contains(found, network):
	case len(found) == 0 || network != 0:
		return hardware.Server{}, fmt.Errorf("nothing in the private networks has the address %s", to)
	case len(found) > 1:
		return hardware.Server{}, fmt.Errorf("the networks %v have the address %s: name one", found, to)
	default:
		network = found[0]
	}

	return hardware.Server{Private: []hardware.PrivateNet{{NetworkID: network}}}, nil
}
