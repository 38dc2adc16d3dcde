package fabric

import (
	"strings"
	"testing"

	"github.com/oxide-lab/node/internal/hardware"
)

type host hardware.Server

func (h host) Hardware() hardware.Server { return hardware.Server(h) }
func (h host) Listening(int) bool        { return false }

func private(network int, ip, gateway string) []hardware.PrivateNet {
	return []hardware.PrivateNet{{NetworkID: network, IP: ip, Gateway: gateway}}
}

func TestTheInternetIsReachedThroughAnAddressOrARunningGateway(t *testing.T) {
	nat := host{ID: 1, Power: hardware.On, PublicIPv4: "127.16.1.1", Private: private(7, "10.0.2.2", "10.0.2.2")}

	for name, test := range map[string]struct {
		server  hardware.Server
		gateway host
		reason  string
	}{
		"public":              {hardware.Server{ID: 2, PublicIPv4: "127.16.1.2"}, nat, ""},
		"through the gateway": {hardware.Server{ID: 2, Private: private(7, "10.0.0.3", "10.0.2.2")}, nat, ""},
		"no network":          {hardware.Server{ID: 2}, nat, "no default route"},
		"no route":            {hardware.Server{ID: 2, Private: private(7, "10.0.0.3", "")}, nat, "no default route"},
		"IPv6 alone":          {hardware.Server{ID: 2, PublicIPv6: "2001:db8::1"}, nat, "no public IPv4"},
		"other network":       {hardware.Server{ID: 2, Private: private(8, "10.0.0.3", "10.0.2.2")}, nat, "goes to 10.0.2.2"},
		"nobody there":        {hardware.Server{ID: 2, Private: private(7, "10.0.0.3", "10.0.2.9")}, nat, "goes to 10.0.2.9"},
		"gateway off": {
			hardware.Server{ID: 2, Private: private(7, "10.0.0.3", "10.0.2.2")},
			host{ID: 1, Power: hardware.Off, PublicIPv4: "127.16.1.1", Private: nat.Private}, "goes to 10.0.2.2",
		},
		"gateway without an address of its own": {
			hardware.Server{ID: 2, Private: private(7, "10.0.0.3", "10.0.2.2")},
			host{ID: 1, Power: hardware.On, Private: nat.Private}, "goes to 10.0.2.2",
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := New("127.17")
			f.Attach(1, test.gateway)
			f.Attach(2, host(test.server))

			err := f.Internet(test.server)
			if (err == nil) != (test.reason == "") || err != nil && !strings.Contains(err.Error(), test.reason) {
				t.Errorf("got %v, want %q", err, test.reason)
			}
		})
	}
}
