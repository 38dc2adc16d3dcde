package hcloud

import (
	"fmt"
	"net"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// normalRange writes an address or range in the form that the API returns.
func normalRange(text string) string {
	ip, ipRange, err := net.ParseCIDR(text)
	if err == nil {
		ipRange.IP = ip
		return ipRange.String()
	}
	switch ip = net.ParseIP(text); {
	case ip == nil:
		return text
	case ip.To4() != nil:
		return ip.String() + "/32"
	default:
		return ip.String() + "/128"
	}
}

func checkRange(value resource.PropertyValue) error {
	text := normalRange(value.StringValue())
	ip, ipRange, err := net.ParseCIDR(text)
	if err != nil {
		return err
	}
	if !ip.Equal(ipRange.IP) {
		return fmt.Errorf("%s is not the start of the cidr block %s", text, ipRange)
	}
	return nil
}

func parseRanges(texts []string) []net.IPNet {
	var out []net.IPNet
	for _, text := range texts {
		if _, ipRange, err := net.ParseCIDR(text); err == nil {
			out = append(out, *ipRange)
		}
	}
	return out
}

func rangeTexts(ranges []net.IPNet) []string {
	out := make([]string, 0, len(ranges))
	for _, ipRange := range ranges {
		out = append(out, ipRange.String())
	}
	return out
}
