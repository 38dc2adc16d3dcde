package talos

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/siderolabs/crypto/x509"
	"github.com/siderolabs/talos/pkg/machinery/client"
	clientconfig "github.com/siderolabs/talos/pkg/machinery/client/config"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"oxide.lab/plugins/internal/schema"
)

const defaultTimeout = 10 * time.Minute

func checkDuration(value resource.PropertyValue) error {
	_, err := time.ParseDuration(value.StringValue())
	return err
}

func timeout(values schema.Values, key string) time.Duration {
	if limits, ok := values.Object("timeouts"); ok {
		if limit, err := time.ParseDuration(limits.Str(key)); err == nil {
			return limit
		}
	}
	return defaultTimeout
}

// talosconfig makes a client configuration out of base64 certificates.
func talosconfig(cluster string, values schema.Values) (*clientconfig.Config, error) {
	var parts [3][]byte
	for i, key := range []string{"caCertificate", "clientCertificate", "clientKey"} {
		decoded, err := base64.StdEncoding.DecodeString(values.Str(key))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		parts[i] = decoded
	}
	return clientconfig.NewConfig(cluster, nil, parts[0],
		&x509.PEMEncodedCertificateAndKey{Crt: parts[1], Key: parts[2]}), nil
}

// node is a machine and how to reach it.
type node struct {
	endpoint string
	name     string
	config   *clientconfig.Config
}

func nodeOf(values, credentials schema.Values) (node, error) {
	found, ok := credentials.Object("clientConfigurationWo")
	if !ok {
		found, _ = credentials.Object("clientConfiguration")
	}
	config, err := talosconfig("dynamic", found)
	if err != nil {
		return node{}, failed("Error converting config to talos client config", err)
	}
	endpoint := values.Str("endpoint")
	if endpoint == "" {
		endpoint = values.Str("node")
	}
	return node{endpoint: endpoint, name: values.Str("node"), config: config}, nil
}

// do calls the node's API: in maintenance mode, where it asks for no certificate, or else with ours.
func (n node) do(ctx context.Context, call func(context.Context, *client.Client) error) error {
	ctx = client.WithNode(ctx, n.name)
	c, err := n.maintenance(ctx)
	if err != nil {
		if c, err = client.New(ctx, client.WithConfig(n.config), client.WithEndpoints(n.endpoint)); err != nil {
			return err
		}
	}
	defer c.Close() //nolint:errcheck
	return call(ctx, c)
}

// maintenance connects to a node that has no configuration yet.
func (n node) maintenance(ctx context.Context) (*client.Client, error) {
	c, err := client.New(ctx, client.WithTLSConfig(&tls.Config{InsecureSkipVerify: true}), //nolint:gosec // no CA yet
		client.WithEndpoints(n.endpoint))
	if err != nil {
		return nil, err
	}
	if _, err := c.Disks(ctx); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// persist repeats the call until it succeeds, is refused for good, or the time is up.
func persist(ctx context.Context, limit time.Duration, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	pause := 500 * time.Millisecond
	var last error
	for {
		err := call(ctx)
		if err == nil || status.Code(err) == codes.InvalidArgument {
			return err
		}
		if last == nil || ctx.Err() == nil {
			last = err // what the end of the time does to a call says nothing about the node
		}
		select {
		case <-ctx.Done():
			return last
		case <-time.After(pause):
		}
		pause = min(2*pause, 10*time.Second)
	}
}
