package hardware

import (
	"net/netip"
	"testing"
)

func TestFirewallAdmitsWhatARuleAllows(t *testing.T) {
	source := netip.MustParseAddr("127.0.0.1")
	rule := func(port string, cidr string) []FirewallRule {
		return []FirewallRule{{Direction: "in", Protocol: "tcp", Port: port, SourceIPs: []string{cidr}}}
	}

	for name, c := range map[string]struct {
		rules []FirewallRule
		want  bool
	}{
		"no firewall":      {nil, true},
		"no rules":         {[]FirewallRule{}, false},
		"exact port":       {rule("6443", "127.0.0.0/8"), true},
		"other port":       {rule("50000", "127.0.0.0/8"), false},
		"range":            {rule("6000-7000", "127.0.0.1/32"), true},
		"any port":         {rule("any", "0.0.0.0/0"), true},
		"other source":     {rule("6443", "10.0.0.0/8"), false},
		"other protocol":   {[]FirewallRule{{Direction: "in", Protocol: "udp", Port: "6443", SourceIPs: []string{"0.0.0.0/0"}}}, false},
		"outgoing is none": {[]FirewallRule{{Direction: "out", Protocol: "tcp", Port: "6443", SourceIPs: []string{"0.0.0.0/0"}}}, false},
	} {
		if got := (Server{Firewall: c.rules}).Admits(source, 6443); got != c.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}
