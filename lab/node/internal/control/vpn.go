package control

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/oxide-lab/node/internal/fabric"
	"github.com/oxide-lab/node/internal/kwok"
)

// vpnTimeout is how long a connection into a network may take.
const vpnTimeout = 10 * time.Second

// VPN is an HTTP proxy that stands in the private networks, as a bastion does. The user of the proxy's address is the id
// of the network, for addresses that several networks have.
type VPN struct{ Fabric *fabric.Fabric }

// ServeHTTP carries CONNECT requests: to private addresses over the emulated network, elsewhere directly.
func (v *VPN) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		http.Error(w, "only CONNECT", http.StatusMethodNotAllowed)

		return
	}

	ctx, cancel := context.WithTimeout(r.Context(), vpnTimeout)
	defer cancel()

	upstream, err := v.dial(ctx, r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)

		return
	}

	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		upstream.Close() //nolint:errcheck

		return
	}

	if _, err := io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		conn.Close()     //nolint:errcheck
		upstream.Close() //nolint:errcheck

		return
	}

	// A client may have sent its first bytes along with the request.
	kwok.Pipe(context.Background(), &early{conn, buffered.Reader}, upstream)
}

func (v *VPN) dial(ctx context.Context, r *http.Request) (net.Conn, error) {
	host, portText, err := net.SplitHostPort(r.Host)
	if err != nil {
		return nil, err
	}

	addr, err := netip.ParseAddr(host)
	if err != nil || !addr.IsPrivate() {
		return (&net.Dialer{}).DialContext(ctx, "tcp", r.Host)
	}

	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return nil, err
	}

	network, err := namedNetwork(r.Header.Get("Proxy-Authorization"))
	if err != nil {
		return nil, err
	}

	from, err := v.Fabric.Inside(network, addr)
	if err != nil {
		return nil, err
	}

	return v.Fabric.Dial(ctx, from, addr, int(port))
}

// namedNetwork is the network that the user of the proxy's address names; 0 without one.
func namedNetwork(authorization string) (int, error) {
	encoded, found := strings.CutPrefix(authorization, "Basic ")
	if !found {
		return 0, nil
	}

	decoded, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return 0, err
	}

	user, _, _ := strings.Cut(string(decoded), ":")

	network, err := strconv.Atoi(user)
	if err != nil {
		return 0, fmt.Errorf("%q is not the id of a network", user)
	}

	return network, nil
}

// early reads what was buffered before the connection itself.
type early struct {
	net.Conn

	reader io.Reader
}

func (e *early) Read(data []byte) (int, error) { return e.reader.Read(data) }
