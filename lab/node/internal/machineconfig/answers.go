package machineconfig

import (
	"net/netip"
	"strings"

	siderox509 "github.com/siderolabs/crypto/x509"
	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/machine"
)

// IsControlPlane tells whether the config makes a control plane node.
func IsControlPlane(cfg config.Config) bool {
	if cfg == nil || cfg.Machine() == nil {
		return false
	}

	switch cfg.Machine().Type() {
	case machine.TypeControlPlane, machine.TypeInit:
		return true
	case machine.TypeWorker, machine.TypeUnknown:
		return false
	default:
		return false
	}
}

// Hostname is the name a node gives itself: the config's if it names one, else a stable one from its identity if the
// config asks for that, else the cloud's.
func Hostname(cfg config.Config, cloudName, stableName string) string {
	if cfg == nil || cfg.NetworkHostnameConfig() == nil {
		return cloudName
	}

	if name := cfg.NetworkHostnameConfig().Hostname(); name != "" {
		short, _, _ := strings.Cut(name, ".")

		return short
	}

	// The platform's name lies in a higher layer than the stable default, so the cloud's name wins when there is one.
	if cloudName == "" {
		return stableName
	}

	return cloudName
}

// StaticHosts returns the addresses that the config's static host entries give to a name.
func StaticHosts(cfg config.Config, name string) []netip.Addr {
	var addrs []netip.Addr

	for _, host := range cfg.NetworkStaticHostConfig() {
		addr, err := netip.ParseAddr(host.IP())
		if err != nil {
			continue
		}

		for _, alias := range host.Aliases() {
			if strings.EqualFold(alias, name) {
				addrs = append(addrs, addr)
			}
		}
	}

	return addrs
}

// Tag is the version part of an image reference: "v1.35.4" of "registry.k8s.io/kube-apiserver:v1.35.4@sha256:...".
func Tag(image string) string {
	image, _, _ = strings.Cut(image, "@")

	colon := strings.LastIndex(image, ":")
	if colon < strings.LastIndex(image, "/") {
		return ""
	}

	return image[colon+1:]
}

// FilterAddrs keeps the addresses that lie in one of the subnets; a subnet that starts with "!" excludes. Without
// subnets all addresses stay.
func FilterAddrs(addrs []netip.Addr, subnets []string) []netip.Addr {
	var kept []netip.Addr

	for _, addr := range addrs {
		included, positives := false, 0

		excluded := false

		for _, subnet := range subnets {
			text, negative := strings.CutPrefix(subnet, "!")
			if !negative {
				positives++
			}

			prefix, err := netip.ParsePrefix(text)
			if err != nil || !prefix.Contains(addr) {
				continue
			}

			if negative {
				excluded = true
			} else {
				included = true
			}
		}

		if !excluded && (included || positives == 0) {
			kept = append(kept, addr)
		}
	}

	return kept
}

// HasKey tells whether a CA of the config carries its private key, which only control planes have.
func HasKey(ca *siderox509.PEMEncodedCertificateAndKey) bool {
	return ca != nil && len(ca.Crt) > 0 && len(ca.Key) > 0
}

// AcceptedCAs is the bundle of CAs that the Talos API trusts.
func AcceptedCAs(cfg config.Config) []byte {
	var bundle []byte

	if ca := cfg.Machine().Security().IssuingCA(); ca != nil {
		bundle = append(bundle, ca.Crt...)
	}

	for _, ca := range cfg.Machine().Security().AcceptedCAs() {
		bundle = append(bundle, '\n')
		bundle = append(bundle, ca.Crt...)
	}

	return bundle
}

// ClusterCAs is the bundle of CAs that a kubelet trusts.
func ClusterCAs(cfg config.Config) []byte {
	var bundle []byte

	if ca := cfg.Cluster().IssuingCA(); ca != nil {
		bundle = append(bundle, ca.Crt...)
	}

	for _, ca := range cfg.Cluster().AcceptedCAs() {
		bundle = append(bundle, '\n')
		bundle = append(bundle, ca.Crt...)
	}

	return bundle
}
