package machineconfig

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"net/netip"
	"testing"
)

func TestUserDataMayBePlainOrBase64OrCompressed(t *testing.T) {
	const config = "version: v1alpha1\n"

	var packed bytes.Buffer

	writer := gzip.NewWriter(&packed)
	writer.Write([]byte(config)) //nolint:errcheck // memory
	writer.Close()               //nolint:errcheck // memory

	for name, userData := range map[string]string{
		"plain":             config,
		"base64":            base64.StdEncoding.EncodeToString([]byte(config)),
		"base64 of gzip":    base64.StdEncoding.EncodeToString(packed.Bytes()),
		"base64 with break": base64.StdEncoding.EncodeToString([]byte(config)) + "\n",
	} {
		decoded, err := DecodeUserData(userData)
		if err != nil || string(decoded) != config {
			t.Errorf("%s: got %q, %v", name, decoded, err)
		}
	}
}

func TestSubnetsSelectAndExcludeAddresses(t *testing.T) {
	addrs := []netip.Addr{netip.MustParseAddr("10.0.0.11"), netip.MustParseAddr("192.0.2.1")}

	for _, c := range []struct {
		subnets []string
		want    int
	}{
		{nil, 2},
		{[]string{"10.0.0.0/24"}, 1},
		{[]string{"!10.0.0.0/24"}, 1},
		{[]string{"10.0.0.0/8", "!10.0.0.0/24"}, 0},
		{[]string{"172.16.0.0/12"}, 0},
	} {
		if got := FilterAddrs(addrs, c.subnets); len(got) != c.want {
			t.Errorf("%v: got %v", c.subnets, got)
		}
	}
}

func TestTagOfAnImage(t *testing.T) {
	for image, want := range map[string]string{
		"registry.k8s.io/kube-apiserver:v1.35.4":            "v1.35.4",
		"registry.k8s.io/kube-apiserver:v1.35.4@sha256:abc": "v1.35.4",
		"localhost:5000/kubelet":                            "",
	} {
		if got := Tag(image); got != want {
			t.Errorf("%s: got %q", image, got)
		}
	}
}
