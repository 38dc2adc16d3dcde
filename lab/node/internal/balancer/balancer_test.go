package balancer_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oxide-lab/node/internal/balancer"
	"github.com/oxide-lab/node/internal/fabric"
	"github.com/oxide-lab/node/internal/hardware"
)

const (
	public   = "127.251.9.9"
	patience = 20 * time.Second
	// fast makes an interval of 3 seconds 30 ms.
	fast = 0.01
)

// backend is a server of the test's own that answers with its name.
type backend struct {
	target balancer.Target
	port   int
	status atomic.Int32
	server *httptest.Server
}

func start(t *testing.T, number, port int) *backend {
	t.Helper()

	ip := "127.252.9." + strconv.Itoa(number)

	listener, err := net.Listen("tcp", net.JoinHostPort(ip, strconv.Itoa(port)))
	if err != nil {
		t.Fatal(err)
	}

	b := &backend{target: balancer.Target{IP: ip}, port: listener.Addr().(*net.TCPAddr).Port} //nolint:forcetypeassert
	b.status.Store(http.StatusUnauthorized)
	b.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(int(b.status.Load()))
		fmt.Fprintf(w, "%d of %s", number, r.Host) //nolint:errcheck
	}))
	b.server.Listener.Close() //nolint:errcheck
	b.server.Listener = listener
	b.server.StartTLS()
	t.Cleanup(b.server.Close)

	return b
}

func service(port int) balancer.Service {
	return balancer.Service{
		Protocol: "tcp", ListenPort: freePort, DestinationPort: port,
		HealthCheck: balancer.HealthCheck{
			Protocol: "http", Port: port, Interval: 3, Timeout: 2, Retries: 2,
			HTTP: &balancer.HTTPCheck{Path: "/version", StatusCodes: []string{"4?1"}, TLS: true, Domain: "api.test", Response: "of api.test"},
		},
	}
}

const freePort = 17443

func create(t *testing.T, file string) *balancer.Set {
	t.Helper()

	set, err := balancer.NewSet(fabric.New("127.253"), file, fast)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(set.Close)

	return set
}

func declare(t *testing.T, set *balancer.Set, spec balancer.Spec) {
	t.Helper()

	if err := set.Declare(spec); err != nil {
		t.Fatal(err)
	}
}

// eventually waits until the health of the targets reads as wanted.
func eventually(t *testing.T, set *balancer.Set, wanted ...string) {
	t.Helper()

	var seen []string

	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		seen = nil
		for _, target := range set.Statuses()[0].Targets {
			seen = append(seen, target.Health[strconv.Itoa(freePort)])
		}

		if fmt.Sprint(seen) == fmt.Sprint(wanted) {
			return
		}
	}

	t.Fatalf("targets are %v, not %v", seen, wanted)
}

// answers asks through the load balancer, on a connection of its own each time.
func answers(t *testing.T, count int) map[string]int {
	t.Helper()

	found := map[string]int{}

	for range count {
		found[ask(t)]++
	}

	return found
}

func ask(t *testing.T) string {
	t.Helper()

	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert
	transport.DisableKeepAlives = true
	transport.TLSClientConfig.InsecureSkipVerify = true
	client := &http.Client{Transport: transport, Timeout: patience}

	answer, err := client.Get("https://" + net.JoinHostPort(public, strconv.Itoa(freePort)))
	if err != nil {
		return "no answer"
	}
	defer answer.Body.Close() //nolint:errcheck

	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}

	number, _, _ := strings.Cut(string(text), " ")

	return number
}

func TestConnectionsGoRoundHealthyTargetsOnly(t *testing.T) {
	one := start(t, 1, 0)
	two, three := start(t, 2, one.port), start(t, 3, one.port)
	set := create(t, filepath.Join(t.TempDir(), "state.json"))
	spec := balancer.Spec{
		ID: 1, Name: "api", PublicIPv4: public, Algorithm: balancer.RoundRobin, Services: []balancer.Service{service(one.port)},
		Targets: []balancer.Target{one.target, two.target, three.target},
	}
	declare(t, set, spec)
	eventually(t, set, balancer.Healthy, balancer.Healthy, balancer.Healthy)

	if found := answers(t, 6); found["1"] != 2 || found["2"] != 2 || found["3"] != 2 {
		t.Error("not evenly spread:", found)
	}

	one.status.Store(http.StatusInternalServerError)
	two.server.Close()
	eventually(t, set, balancer.Unhealthy, balancer.Unhealthy, balancer.Healthy)

	if found := answers(t, 4); found["3"] != 4 {
		t.Error("traffic went to unhealthy targets:", found)
	}

	one.status.Store(http.StatusUnauthorized)
	eventually(t, set, balancer.Healthy, balancer.Unhealthy, balancer.Healthy)

	spec.Targets = spec.Targets[:1]
	declare(t, set, spec)

	if found := answers(t, 2); found["1"] != 2 {
		t.Error("a removed target still gets traffic, or the one that stayed lost its health:", found)
	}

	one.status.Store(http.StatusOK)
	eventually(t, set, balancer.Unhealthy)

	if found := answers(t, 1); found["no answer"] != 1 {
		t.Error("without a healthy target somebody answered:", found)
	}
}

func TestLeastConnectionsPrefersIdleTargets(t *testing.T) {
	one := start(t, 1, 0)
	two := start(t, 2, one.port)
	set := create(t, filepath.Join(t.TempDir(), "state.json"))
	declare(t, set, balancer.Spec{
		ID: 1, Name: "api", PublicIPv4: public, Algorithm: balancer.LeastConnections, Services: []balancer.Service{service(one.port)},
		Targets: []balancer.Target{one.target, two.target},
	})
	eventually(t, set, balancer.Healthy, balancer.Healthy)

	held, err := net.Dial("tcp", net.JoinHostPort(public, strconv.Itoa(freePort)))
	if err != nil {
		t.Fatal(err)
	}

	// settled waits until the held connection is the only one, and finds its target.
	settled := func() int {
		var open []int

		for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			open = nil
			for _, target := range set.Statuses()[0].Targets {
				open = append(open, target.Connections)
			}

			if open[0]+open[1] == 1 {
				return open[1]
			}
		}

		t.Fatal("connections are", open)

		return 0
	}

	idle := []string{"2", "1"}[settled()]

	for range 4 {
		if found := ask(t); found != idle {
			t.Errorf("%s answered although %s has no connection", found, idle)
		}

		settled()
	}

	held.Close() //nolint:errcheck
}

func TestOnlyAnOpenPublicInterfaceListensAndARestartKeepsIt(t *testing.T) {
	one := start(t, 1, 0)
	file := filepath.Join(t.TempDir(), "state.json")
	set := create(t, file)
	spec := balancer.Spec{
		ID: 1, Name: "api", Algorithm: balancer.RoundRobin, Services: []balancer.Service{service(one.port)}, Targets: []balancer.Target{one.target},
	}
	declare(t, set, spec)
	eventually(t, set, balancer.Healthy)

	if found := ask(t); found != "no answer" {
		t.Error("a load balancer without public interface answered as", found)
	}

	spec.PublicIPv4 = public
	declare(t, set, spec)

	if found := ask(t); found != "1" {
		t.Error("after enabling the public interface:", found)
	}

	set.Close()

	if found := ask(t); found != "no answer" {
		t.Error("an ended daemon answered as", found)
	}

	again := create(t, file)
	eventually(t, again, balancer.Healthy)

	if found := ask(t); found != "1" {
		t.Error("after a restart:", found)
	}

	if err := again.Delete(1); err != nil {
		t.Fatal(err)
	}

	if found := ask(t); found != "no answer" || len(again.Statuses()) != 0 {
		t.Error("a deleted load balancer is still there:", found, again.Statuses())
	}
}

func TestTheProxyProtocolNamesTheClient(t *testing.T) {
	listener, err := net.Listen("tcp", "127.252.9.7:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() //nolint:errcheck

	port := listener.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert
	lines := make(chan string, 100)

	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}

			go func() {
				line, err := bufio.NewReader(conn).ReadString('\n')
				if err == nil {
					lines <- line
				}

				conn.Close() //nolint:errcheck
			}()
		}
	}()

	set := create(t, filepath.Join(t.TempDir(), "state.json"))
	declare(t, set, balancer.Spec{
		ID: 1, Name: "api", PublicIPv4: public, Algorithm: balancer.RoundRobin, Targets: []balancer.Target{{IP: "127.252.9.7"}},
		Services: []balancer.Service{{
			Protocol: "tcp", ListenPort: freePort, DestinationPort: port, ProxyProtocol: true,
			HealthCheck: balancer.HealthCheck{Protocol: "tcp", Port: port, Interval: 3, Timeout: 2, Retries: 1},
		}},
	})
	eventually(t, set, balancer.Healthy)

	conn, err := net.Dial("tcp", net.JoinHostPort(public, strconv.Itoa(freePort)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck

	select {
	case line := <-lines:
		wanted := fmt.Sprintf("PROXY TCP4 127.0.0.1 127.252.9.7 %d %d\r\n", conn.LocalAddr().(*net.TCPAddr).Port, port) //nolint:forcetypeassert
		if line != wanted {
			t.Errorf("%q, not %q", line, wanted)
		}
	case <-time.After(patience):
		t.Error("the target got no header")
	}
}

// host is a server on the emulated network that listens on its wire address.
type host struct {
	hardware.Server

	port int
}

func (h *host) Hardware() hardware.Server { return h.Server }
func (h *host) Listening(port int) bool   { return port == h.port }

func TestServersAreReachedAsTheirNetworksAndFirewallsAllow(t *testing.T) {
	f := fabric.New("127.253")
	// Id 2316 is the wire address 127.253.9.12.
	server := hardware.Server{
		ID: 2316, Name: "cp", PublicIPv4: "127.251.9.12", Power: hardware.On, Firewall: []hardware.FirewallRule{},
		Private: []hardware.PrivateNet{{NetworkID: 4, IP: "10.0.0.11"}},
	}

	listener, err := net.Listen("tcp", "127.253.9.12:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() //nolint:errcheck

	port := listener.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert
	machine := &host{server, port}
	f.Attach(server.ID, machine)

	set, err := balancer.NewSet(f, filepath.Join(t.TempDir(), "state.json"), fast)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()

	spec := balancer.Spec{
		ID: 1, Name: "api", Algorithm: balancer.RoundRobin, PublicIPv4: public,
		Private: []hardware.PrivateNet{{NetworkID: 4, IP: "10.0.0.250"}},
		Targets: []balancer.Target{{Server: server.ID, Private: true}, {Server: server.ID}, {Server: 99}},
		Services: []balancer.Service{{
			Protocol: "tcp", ListenPort: freePort, DestinationPort: port,
			HealthCheck: balancer.HealthCheck{Protocol: "tcp", Port: port, Interval: 3, Timeout: 2, Retries: 1},
		}},
	}
	declare(t, set, spec)
	eventually(t, set, balancer.Healthy, balancer.Unhealthy, balancer.Unhealthy)

	inside, err := f.Inside(0, netip.MustParseAddr("10.0.0.250"))
	if err != nil {
		t.Fatal(err)
	}

	conn, err := f.Dial(context.Background(), inside, netip.MustParseAddr("10.0.0.250"), freePort)
	if err != nil {
		t.Fatal("from inside the network:", err)
	}

	conn.Close() //nolint:errcheck

	elsewhere := hardware.Server{ID: 1, Private: []hardware.PrivateNet{{NetworkID: 5, IP: "10.0.0.11"}}}
	if _, err := f.Dial(context.Background(), elsewhere, netip.MustParseAddr("10.0.0.250"), freePort); err == nil {
		t.Error("another network reaches the load balancer's private address")
	}

	spec.Private[0].NetworkID = 5
	declare(t, set, spec)
	eventually(t, set, balancer.Unhealthy, balancer.Unhealthy, balancer.Unhealthy)
}
