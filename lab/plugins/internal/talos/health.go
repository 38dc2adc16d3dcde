package talos

import (
	"context"
	"errors"
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	machineapi "github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/client"

	"oxide.lab/plugins/internal/provider"
	"oxide.lab/plugins/internal/schema"
)

func healthFunction() *provider.Function {
	return &provider.Function{
		Framework: true,
		Inputs: schema.Properties{
			"clientConfiguration":  schema.Req(schema.Object).With(clientConfiguration(schema.Req)),
			"endpoints":            schema.Req(schema.List).OfStrings(),
			"controlPlaneNodes":    schema.Req(schema.List).OfStrings(),
			"workerNodes":          schema.Opt(schema.List).OfStrings(),
			"skipKubernetesChecks": schema.Opt(schema.Bool),
			"timeouts":             timeouts("read"),
		},
		Outputs: schema.Properties{
			"clientConfiguration": schema.Out(schema.Object).With(clientConfiguration(schema.Out)),
		},
		Call: func(ctx context.Context, args schema.Values) (resource.PropertyMap, error) {
			credentials, _ := args.Object("clientConfiguration")
			config, err := talosconfig("dynamic", credentials)
			if err != nil {
				return nil, failed("failed to generate talos config", err)
			}
			c, err := client.New(ctx, client.WithConfig(config), client.WithEndpoints(args.Strs("endpoints")...))
			if err != nil {
				return nil, failed("failed to create talos client", err)
			}
			defer c.Close() //nolint:errcheck
			err = persist(ctx, timeout(args, "read"), func(ctx context.Context) error { return healthy(ctx, c, args) })
			if err != nil {
				return nil, failed("cluster health check failed", err)
			}
			return resource.PropertyMap{"id": schema.Text("cluster_health")}, nil
		},
	}
}

// healthy checks that every node answers and that every control plane is a member of etcd. It sees
// less than the official function, which also checks Kubernetes.
func healthy(ctx context.Context, c *client.Client, args schema.Values) error {
	planes := args.Strs("controlPlaneNodes")
	for _, name := range append(planes, args.Strs("workerNodes")...) {
		if _, err := c.Version(client.WithNode(ctx, name)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if len(planes) == 0 {
		return errors.New("no control plane nodes")
	}
	resp, err := c.EtcdMemberList(client.WithNode(ctx, planes[0]), &machineapi.EtcdMemberListRequest{})
	if err != nil {
		return err
	}
	members := 0
	for _, message := range resp.GetMessages() {
		members += len(message.GetMembers())
	}
	if members != len(planes) {
		return fmt.Errorf("etcd has %d members, expected %d", members, len(planes))
	}
	return nil
}
