package hcloud

import (
	"errors"
	"maps"
	"net"
	"strconv"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"oxide.lab/plugins/internal/provider"
)

// errCrash stands for the places where the official provider crashes: what is to be deleted is gone
// already.
var errCrash = errors.New("it is gone already, and there the official provider crashes; run pulumi refresh first")

// number reads a resource id; an id that is no number names nothing that exists.
func number(id string) (int64, error) {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return 0, provider.ErrGone
	}
	return n, nil
}

func idText(n int64) string { return strconv.FormatInt(n, 10) }

// overlay returns the recorded outputs with those that the service reports in their place; null
// removes one.
func overlay(state, reported resource.PropertyMap) resource.PropertyMap {
	out := maps.Clone(state)
	if out == nil {
		out = resource.PropertyMap{}
	}
	for key, value := range reported {
		if value.IsNull() {
			delete(out, key)
		} else {
			out[key] = value
		}
	}
	return out
}

func addresses(texts []string) []net.IP {
	out := make([]net.IP, 0, len(texts))
	for _, text := range texts {
		out = append(out, net.ParseIP(text))
	}
	return out
}

func addressTexts(ips []net.IP) []string {
	out := make([]string, 0, len(ips))
	for _, ip := range ips {
		out = append(out, ip.String())
	}
	return out
}

// missing turns a lookup that found nothing into ErrGone.
func missing[T any](found *T, err error) (*T, error) {
	if err == nil && found == nil {
		return nil, provider.ErrGone
	}
	return found, err
}
