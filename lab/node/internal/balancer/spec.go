// Package balancer is the lab's load balancers: each listens at its public loopback address, checks the health of its
// targets and carries connections to those that are healthy.
package balancer

import (
	"net/netip"
	"slices"
	"strconv"

	"github.com/oxide-lab/node/internal/hardware"
)

// Algorithms of choosing a target.
const (
	RoundRobin       = "round_robin"
	LeastConnections = "least_connections"
)

// Spec is the declared state of one load balancer.
type Spec struct {
	ID   int    `json:"id"`
	Name string `json:"name"`
	// PublicIPv4 is empty while the public interface is off.
	PublicIPv4 string                `json:"public_ipv4"`
	Private    []hardware.PrivateNet `json:"private"`
	Algorithm  string                `json:"algorithm"`
	Services   []Service             `json:"services"`
	Targets    []Target              `json:"targets"`
}

// Service is a port that the load balancer listens to.
type Service struct {
	Protocol        string      `json:"protocol"`
	ListenPort      int         `json:"listen_port"`
	DestinationPort int         `json:"destination_port"`
	ProxyProtocol   bool        `json:"proxyprotocol"`
	HealthCheck     HealthCheck `json:"health_check"`
}

// HealthCheck says how a target is asked whether it serves; times are in seconds.
type HealthCheck struct {
	Protocol string     `json:"protocol"`
	Port     int        `json:"port"`
	Interval int        `json:"interval"`
	Timeout  int        `json:"timeout"`
	Retries  int        `json:"retries"`
	HTTP     *HTTPCheck `json:"http"`
}

// HTTPCheck is the request of a health check and the answer that it must get.
type HTTPCheck struct {
	Domain      string   `json:"domain"`
	Path        string   `json:"path"`
	Response    string   `json:"response"`
	StatusCodes []string `json:"status_codes"`
	TLS         bool     `json:"tls"`
}

// Target is a server, at its private or its public address, or a bare address.
type Target struct {
	Server  int    `json:"server,omitempty"`
	Private bool   `json:"private,omitempty"`
	IP      string `json:"ip,omitempty"`
}

func (t Target) String() string {
	if t.IP != "" {
		return t.IP
	}

	return "server " + strconv.Itoa(t.Server)
}

// source is the load balancer as the sender of traffic.
func (s Spec) source() hardware.Server {
	return hardware.Server{Name: s.Name, PublicIPv4: s.PublicIPv4, Private: s.Private}
}

func (s Spec) service(port int) (Service, bool) {
	index := slices.IndexFunc(s.Services, func(service Service) bool { return service.ListenPort == port })
	if index < 0 {
		return Service{}, false
	}

	return s.Services[index], true
}

// address is where the load balancer sends what is for a target, given the target's hardware.
func (s Spec) address(target Target, server *hardware.Server) (netip.Addr, bool) {
	if target.IP != "" {
		addr, err := netip.ParseAddr(target.IP)

		return addr, err == nil
	}

	if server == nil {
		return netip.Addr{}, false
	}

	if !target.Private {
		return server.Public(), server.Public().IsValid()
	}

	for _, own := range s.Private {
		for _, net := range server.Private {
			if addr, err := netip.ParseAddr(net.IP); err == nil && net.NetworkID == own.NetworkID {
				return addr, true
			}
		}
	}

	return netip.Addr{}, false
}
