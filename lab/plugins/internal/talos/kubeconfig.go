package talos

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/siderolabs/talos/pkg/machinery/client"
	"go.yaml.in/yaml/v4"

	"oxide.lab/plugins/internal/provider"
	"oxide.lab/plugins/internal/schema"
)

func kubernetesClient() schema.Properties {
	fields := clientConfiguration(schema.Out)
	fields["host"] = schema.Out(schema.String)
	return fields
}

func kubeconfigResource() *provider.Resource {
	return &provider.Resource{
		Framework: true,
		Properties: schema.Properties{
			"node":                          schema.Req(schema.String),
			"endpoint":                      schema.OptOut(schema.String).Renewed(),
			"clientConfiguration":           schema.Req(schema.Object).With(clientConfiguration(schema.Req)),
			"kubeconfigRaw":                 schema.Out(schema.String).AsSecret(),
			"kubernetesClientConfiguration": schema.Out(schema.Object).With(kubernetesClient()),
			"certificateRenewalDuration":    schema.OptOut(schema.String).Else("720h"),
			"timeouts":                      timeouts("create", "update"),
		},
		Plan: planKubeconfig,
		Create: func(ctx context.Context, op *provider.Operation) (string, resource.PropertyMap, error) {
			id, fetched, err := fetchKubeconfig(ctx, op.Plan, timeout(op.Plan, "create"))
			if err != nil {
				return "", nil, err
			}
			outputs := maps.Clone(op.Plan.Map)
			maps.Copy(outputs, fetched)
			return id, outputs, nil
		},
		Read: unchanged,
		Update: func(ctx context.Context, _ string, op *provider.Operation) (resource.PropertyMap, error) {
			outputs := maps.Clone(op.Plan.Map)
			due, err := renewalDue(op.State, op.Plan)
			if err != nil || !due {
				return outputs, err
			}
			_, fetched, err := fetchKubeconfig(ctx, op.Plan, timeout(op.Plan, "update"))
			maps.Copy(outputs, fetched)
			return outputs, err
		},
		Delete: keepNothing,
	}
}

// planKubeconfig fetches the kubeconfig anew only when its certificate is about to expire: a changed
// endpoint of the cluster goes unnoticed.
func planKubeconfig(_ context.Context, plan *provider.Planned) error {
	if plan.Inputs["endpoint"].IsComputed() || plan.Inputs["node"].IsComputed() {
		return nil
	}
	planEndpoint(plan)
	if plan.State == nil {
		return nil
	}
	due, err := renewalDue(schema.Values{Map: plan.State}, schema.Values{Map: plan.Plan})
	if due {
		plan.Plan["kubeconfigRaw"], plan.Plan["kubernetesClientConfiguration"] = schema.Unknown, schema.Unknown
	}
	return err
}

func renewalDue(state, plan schema.Values) (bool, error) {
	recorded, ok := state.Object("kubernetesClientConfiguration")
	if !ok || !recorded.Known("clientCertificate") {
		return false, nil
	}
	expires, err := expiry(recorded.Str("clientCertificate"))
	if err != nil {
		return false, failed("failed to decode kubernetes client certificate", err)
	}
	ahead, err := time.ParseDuration(plan.Str("certificateRenewalDuration"))
	if err != nil {
		return false, failed("failed to parse certificate renewal duration in plan", err)
	}
	return expires.Before(now().Add(ahead)), nil
}

// kubeconfig is the part of a kubeconfig file that the outputs repeat.
type kubeconfig struct {
	CurrentContext string `yaml:"current-context"`
	Contexts       []struct {
		Name    string `yaml:"name"`
		Context struct {
			Cluster string `yaml:"cluster"`
			User    string `yaml:"user"`
		} `yaml:"context"`
	} `yaml:"contexts"`
	Clusters []struct {
		Name    string `yaml:"name"`
		Cluster struct {
			Server string `yaml:"server"`
			CA     string `yaml:"certificate-authority-data"`
		} `yaml:"cluster"`
	} `yaml:"clusters"`
	Users []struct {
		Name string `yaml:"name"`
		User struct {
			Certificate string `yaml:"client-certificate-data"`
			Key         string `yaml:"client-key-data"`
		} `yaml:"user"`
	} `yaml:"users"`
}

// current returns the name of the cluster of the current context, and how to reach it.
func (k *kubeconfig) current() (string, resource.PropertyMap, error) {
	for _, context := range k.Contexts {
		if context.Name != k.CurrentContext {
			continue
		}
		out := resource.PropertyMap{}
		for _, cluster := range k.Clusters {
			if cluster.Name == context.Context.Cluster {
				out["host"], out["caCertificate"] = schema.Text(cluster.Cluster.Server), schema.Text(cluster.Cluster.CA)
			}
		}
		for _, user := range k.Users {
			if user.Name == context.Context.User {
				out["clientCertificate"], out["clientKey"] = schema.Text(user.User.Certificate), schema.Text(user.User.Key)
			}
		}
		return context.Context.Cluster, out, nil
	}
	return "", nil, errors.New("the kubeconfig has no current context")
}

func fetchKubeconfig(ctx context.Context, values schema.Values, limit time.Duration) (string, resource.PropertyMap, error) {
	target, err := nodeOf(values, values)
	if err != nil {
		return "", nil, err
	}
	var raw []byte
	err = persist(ctx, limit, func(ctx context.Context) error {
		return target.do(ctx, func(ctx context.Context, c *client.Client) (err error) {
			raw, err = c.Kubeconfig(ctx)
			return err
		})
	})
	if err != nil {
		return "", nil, failed("failed to retrieve kubeconfig", err)
	}
	var parsed kubeconfig
	if err := yaml.Unmarshal(raw, &parsed); err != nil {
		return "", nil, failed("failed to parse kubeconfig", err)
	}
	cluster, access, err := parsed.current()
	if err != nil {
		return "", nil, failed("failed to parse kubeconfig", err)
	}
	return cluster, resource.PropertyMap{
		"kubeconfigRaw":                 schema.Text(string(raw)),
		"kubernetesClientConfiguration": resource.NewProperty(access),
	}, nil
}

func kubeconfigFunction() *provider.Function {
	return &provider.Function{
		Framework: true,
		Inputs: schema.Properties{
			"node":                schema.Req(schema.String),
			"endpoint":            schema.Opt(schema.String),
			"clientConfiguration": schema.Req(schema.Object).With(clientConfiguration(schema.Req)),
			"wait":                schema.Opt(schema.Bool),
			"timeouts":            timeouts("read"),
		},
		Outputs: schema.Properties{
			"clientConfiguration":           schema.Out(schema.Object).With(clientConfiguration(schema.Out)),
			"kubeconfigRaw":                 schema.Out(schema.String).AsSecret(),
			"kubernetesClientConfiguration": schema.Out(schema.Object).With(kubernetesClient()),
		},
		Call: func(ctx context.Context, args schema.Values) (resource.PropertyMap, error) {
			id, out, err := fetchKubeconfig(ctx, args, timeout(args, "read"))
			if err != nil {
				return nil, err
			}
			out["id"], out["endpoint"] = schema.Text(id), schema.Text(args.Str("endpoint"))
			if !args.Known("endpoint") {
				out["endpoint"] = schema.Text(args.Str("node"))
			}
			return out, nil
		},
	}
}
