package machine

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"github.com/oxide-lab/node/internal/hardware"
)

// PublicListener accepts connections on a server's public address as far as its firewall lets them in; others are
// closed without an answer.
type PublicListener struct {
	net.Listener

	port    int
	machine *Machine
}

// ListenPublic opens a port of the node's public address.
func (b *Boot) ListenPublic(port int) (*PublicListener, error) {
	address := net.JoinHostPort(b.machine.Hardware().Public().String(), strconv.Itoa(port))

	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", address, err)
	}

	return &PublicListener{Listener: listener, port: port, machine: b.machine}, nil
}

// Accept implements net.Listener.
func (l *PublicListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}

		source, err := netip.ParseAddrPort(conn.RemoteAddr().String())
		hw := l.machine.Hardware()

		if err == nil && hw.Power == hardware.On && hw.Admits(source.Addr(), l.port) {
			return conn, nil
		}

		conn.Close() //nolint:errcheck
	}
}
