package balancer

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/oxide-lab/node/internal/fabric"
	"github.com/oxide-lab/node/internal/kwok"
)

// dialTimeout bounds how long a target may take to accept a connection.
const dialTimeout = 5 * time.Second

// Balancer is one load balancer.
type Balancer struct {
	fabric *fabric.Fabric
	scale  float64

	ctx    context.Context //nolint:containedctx // the life of the load balancer
	cancel context.CancelFunc

	mu        sync.Mutex
	spec      Spec
	listeners map[string]net.Listener
	checks    map[checkKey]*running
	open      map[Target]int
	turn      map[int]int
	problems  map[string]string
}

type checkKey struct {
	port   int
	target Target
}

type running struct {
	*checker

	cancel context.CancelFunc
}

// New makes a load balancer that does nothing before Apply. scale is the length of a second between health checks.
func New(f *fabric.Fabric, scale float64) *Balancer {
	b := &Balancer{
		fabric: f, scale: scale, listeners: map[string]net.Listener{}, checks: map[checkKey]*running{},
		open: map[Target]int{}, turn: map[int]int{}, problems: map[string]string{},
	}
	b.ctx, b.cancel = context.WithCancel(context.Background())

	return b
}

// Spec is the declared state.
func (b *Balancer) Spec() Spec {
	b.mu.Lock()
	defer b.mu.Unlock()

	return b.spec
}

// Apply takes a new declaration. Listeners, checks and connections that it leaves alone go on.
func (b *Balancer) Apply(spec Spec) {
	b.mu.Lock()
	defer b.mu.Unlock()

	b.spec = spec
	b.applyListeners()
	b.applyChecks()
}

func (b *Balancer) applyListeners() {
	wanted := map[string]int{}

	for _, service := range b.spec.Services {
		// Nobody has the certificate that such a service would show.
		if b.spec.PublicIPv4 != "" && service.Protocol != "https" {
			wanted[fabric.JoinPort(b.spec.PublicIPv4, service.ListenPort)] = service.ListenPort
		}
	}

	for address, listener := range b.listeners {
		if _, stays := wanted[address]; !stays {
			listener.Close() //nolint:errcheck
			delete(b.listeners, address)
		}
	}

	clear(b.problems)

	for address, port := range wanted {
		if b.listeners[address] != nil {
			continue
		}

		listener, err := net.Listen("tcp", address)
		if err != nil {
			b.problems[address] = err.Error()
			note(b.spec.Name, "%s", err)

			continue
		}

		b.listeners[address] = listener

		go b.accept(listener, port)
	}
}

func (b *Balancer) applyChecks() {
	wanted := map[checkKey]HealthCheck{}

	for _, service := range b.spec.Services {
		for _, target := range b.spec.Targets {
			wanted[checkKey{service.ListenPort, target}] = service.HealthCheck
		}
	}

	for key, check := range b.checks {
		if again, stays := wanted[key]; !stays || !reflect.DeepEqual(again, check.check) {
			check.cancel()
			delete(b.checks, key)
		}
	}

	for key, check := range wanted {
		if b.checks[key] != nil {
			continue
		}

		ctx, cancel := context.WithCancel(b.ctx)
		target, name := key.target, b.spec.Name
		checker := &checker{
			check: check, status: Unknown,
			dial: func(ctx context.Context, port int) (net.Conn, error) { return b.reach(ctx, target, port) },
			changed: func(status, reason string) {
				note(name, "port %d: %s is %s %s", key.port, target, status, reason)
			},
		}
		b.checks[key] = &running{checker, cancel}

		go checker.run(ctx, b.scale)
	}
}

func note(name, format string, args ...any) {
	log.Printf("load balancer %s: %s", name, strings.TrimSpace(fmt.Sprintf(format, args...)))
}

// reach connects to a port of a target the way the load balancer's traffic goes.
func (b *Balancer) reach(ctx context.Context, target Target, port int) (net.Conn, error) {
	spec := b.Spec()

	addr, found := spec.address(target, b.fabric.Server(target.Server))
	if !found {
		return nil, fmt.Errorf("%s has no address that the load balancer reaches", target)
	}

	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()

	return b.fabric.Dial(ctx, spec.source(), addr, port)
}

func (b *Balancer) accept(listener net.Listener, port int) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}

		go func() {
			upstream, err := b.connect(b.ctx, port, conn.RemoteAddr())
			if err != nil {
				conn.Close() //nolint:errcheck

				return
			}

			kwok.Pipe(b.ctx, conn, upstream)
		}()
	}
}

// Dial implements fabric.Balancer: a connection through the load balancer for somebody in its network.
func (b *Balancer) Dial(ctx context.Context, from netip.Addr, port int) (net.Conn, error) {
	return b.connect(ctx, port, net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0)))
}

// Has implements fabric.Balancer.
func (b *Balancer) Has(network int, addr netip.Addr) bool {
	id, found := b.Spec().source().Network(addr)

	return found && id == network
}

// Public implements fabric.Balancer.
func (b *Balancer) Public() netip.Addr { return b.Spec().source().Public() }

// connect takes a connection to the healthy target whose turn it is.
func (b *Balancer) connect(ctx context.Context, port int, from net.Addr) (net.Conn, error) {
	service, found := b.Spec().service(port)
	if !found || service.Protocol == "https" {
		return nil, &fabric.UnreachableError{Address: fabric.JoinPort(b.Spec().Name, port), Reason: "connection refused"}
	}

	target, found := b.choose(port)
	if !found {
		return nil, &fabric.UnreachableError{Address: fabric.JoinPort(b.Spec().Name, port), Reason: "no healthy target"}
	}

	conn, err := b.reach(ctx, target, service.DestinationPort)
	if err == nil && service.ProxyProtocol {
		_, err = conn.Write(proxyHeader(from, conn.RemoteAddr()))
	}

	if err != nil {
		b.count(target, -1)

		return nil, err
	}

	return &counted{Conn: conn, done: sync.OnceFunc(func() { b.count(target, -1) })}, nil
}

// choose takes the target whose turn it is and counts it as in use.
func (b *Balancer) choose(port int) (Target, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()

	var healthy []Target

	for _, target := range b.spec.Targets {
		if check := b.checks[checkKey{port, target}]; check != nil && check.Status() == Healthy {
			healthy = append(healthy, target)
		}
	}

	if len(healthy) == 0 {
		return Target{}, false
	}

	turn := b.turn[port]
	b.turn[port]++
	chosen := healthy[turn%len(healthy)]

	if b.spec.Algorithm == LeastConnections {
		for i := range healthy {
			if other := healthy[(turn+i)%len(healthy)]; b.open[other] < b.open[chosen] {
				chosen = other
			}
		}
	}

	b.open[chosen]++

	return chosen, true
}

func (b *Balancer) count(target Target, change int) {
	b.mu.Lock()
	defer b.mu.Unlock()

	if b.open[target] += change; b.open[target] == 0 {
		delete(b.open, target)
	}
}

// Close ends the load balancer with its connections.
func (b *Balancer) Close() {
	b.cancel()

	b.mu.Lock()
	defer b.mu.Unlock()

	for _, listener := range b.listeners {
		listener.Close() //nolint:errcheck
	}
}

// counted is a connection that counts until it is closed.
type counted struct {
	net.Conn

	done func()
}

func (c *counted) Close() error {
	c.done()

	return c.Conn.Close()
}

// proxyHeader is the first line of a connection whose service has the PROXY protocol on, version 1.
func proxyHeader(from, to net.Addr) []byte {
	host, port, err := net.SplitHostPort(from.String())
	if err != nil {
		return []byte("PROXY UNKNOWN\r\n")
	}

	own, ownPort, err := net.SplitHostPort(to.String())
	if err != nil {
		return []byte("PROXY UNKNOWN\r\n")
	}

	return []byte("PROXY TCP4 " + strings.Join([]string{host, own, port, ownPort}, " ") + "\r\n")
}

// Status is what the control API shows.
type Status struct {
	ID      int            `json:"id"`
	Targets []TargetStatus `json:"targets"`
	// Problems are addresses at which the load balancer cannot listen.
	Problems map[string]string `json:"problems"`
}

// TargetStatus is a target with its health by listening port.
type TargetStatus struct {
	Target

	Health      map[string]string `json:"health"`
	Connections int               `json:"connections"`
}

// Status returns the health of all targets.
func (b *Balancer) Status() Status {
	b.mu.Lock()
	defer b.mu.Unlock()

	status := Status{ID: b.spec.ID, Targets: []TargetStatus{}, Problems: map[string]string{}}
	for address, problem := range b.problems {
		status.Problems[address] = problem
	}

	for _, target := range b.spec.Targets {
		shown := TargetStatus{Target: target, Health: map[string]string{}, Connections: b.open[target]}

		for _, service := range b.spec.Services {
			if check := b.checks[checkKey{service.ListenPort, target}]; check != nil {
				shown.Health[strconv.Itoa(service.ListenPort)] = check.Status()
			}
		}

		status.Targets = append(status.Targets, shown)
	}

	return status
}
