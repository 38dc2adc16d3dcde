// Package hardware describes servers as the cloud sees them: addresses, size, power and user data, without any
// notion of what runs on them.
package hardware

import (
	"net/netip"
	"strconv"
	"strings"
)

// Server is the declared state of one server.
type Server struct {
	ID           int               `json:"id"`
	Name         string            `json:"name"`
	UserData     string            `json:"user_data"`
	Image        Image             `json:"image"`
	Architecture string            `json:"architecture"`
	ServerType   ServerType        `json:"server_type"`
	Location     string            `json:"location"`
	PublicIPv4   string            `json:"public_ipv4"`
	PublicIPv6   string            `json:"public_ipv6"`
	Private      []PrivateNet      `json:"private"`
	Firewall     []FirewallRule    `json:"firewall"`
	Power        string            `json:"power"`
	Labels       map[string]string `json:"labels"`
}

// Image is the system that a new disk starts with.
type Image struct {
	OS           string `json:"os"`
	TalosVersion string `json:"talos_version"`
}

// ServerType is the size of a server.
type ServerType struct {
	Name     string  `json:"name"`
	Cores    int     `json:"cores"`
	MemoryGB float64 `json:"memory_gb"`
	DiskGB   int     `json:"disk_gb"`
}

// PrivateNet is an attachment to a private network.
type PrivateNet struct {
	NetworkID   int    `json:"network_id"`
	NetworkCIDR string `json:"network_cidr"`
	IP          string `json:"ip"`
	// Gateway is where the network's default route goes; empty without one.
	Gateway string `json:"gateway"`
	MAC     string `json:"mac"`
}

// FirewallRule is one rule of the firewalls that are attached to a server. Only inbound rules matter here.
type FirewallRule struct {
	Direction string   `json:"direction"`
	Protocol  string   `json:"protocol"`
	Port      string   `json:"port"`
	SourceIPs []string `json:"source_ips"`
}

// On and Off are the positions of a server's power switch.
const (
	On  = "on"
	Off = "off"
)

// PrivateAddrs returns the private addresses in ascending order of attachment.
func (s Server) PrivateAddrs() []netip.Addr {
	var addrs []netip.Addr

	for _, net := range s.Private {
		if addr, err := netip.ParseAddr(net.IP); err == nil {
			addrs = append(addrs, addr)
		}
	}

	return addrs
}

// Public returns the public IPv4 address; the zero Addr if there is none.
func (s Server) Public() netip.Addr {
	addr, _ := netip.ParseAddr(s.PublicIPv4)

	return addr
}

// Network returns the private network in which the server owns addr.
func (s Server) Network(addr netip.Addr) (id int, ok bool) {
	for _, net := range s.Private {
		if own, err := netip.ParseAddr(net.IP); err == nil && own == addr {
			return net.NetworkID, true
		}
	}

	return 0, false
}

// InNetwork tells whether the server is attached to a private network.
func (s Server) InNetwork(id int) bool {
	for _, net := range s.Private {
		if net.NetworkID == id {
			return true
		}
	}

	return false
}

// Admits tells whether the firewall lets a TCP connection from source in. Without a firewall (nil rules) everything
// is let in; with one, only what an inbound rule allows.
func (s Server) Admits(source netip.Addr, port int) bool {
	if s.Firewall == nil {
		return true
	}

	source = source.Unmap()

	for _, rule := range s.Firewall {
		if rule.Direction != "" && rule.Direction != "in" || rule.Protocol != "tcp" || !portMatches(rule.Port, port) {
			continue
		}

		for _, cidr := range rule.SourceIPs {
			if prefix, err := netip.ParsePrefix(cidr); err == nil && prefix.Contains(source) {
				return true
			}
		}
	}

	return false
}

func portMatches(spec string, port int) bool {
	if spec == "" || spec == "any" {
		return true
	}

	low, high, isRange := strings.Cut(spec, "-")
	if !isRange {
		high = low
	}

	from, errFrom := strconv.Atoi(strings.TrimSpace(low))
	to, errTo := strconv.Atoi(strings.TrimSpace(high))

	return errFrom == nil && errTo == nil && from <= port && port <= to
}
