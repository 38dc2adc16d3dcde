package release

import (
	"context"
	"fmt"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/cli"
	"helm.sh/helm/v3/pkg/registry"

	"github.com/oxide-lab/kubernetes-plugin/internal/cluster"
	"github.com/oxide-lab/kubernetes-plugin/internal/host"
)

// Token is the type token of a release.
const Token = "kubernetes:helm.sh/v3:Release"

// Provider creates, changes and removes Helm releases.
type Provider struct {
	Cluster *cluster.Cluster
	Engine  *host.Engine
	// Context ends when the engine cancels; operations under way then fail.
	Context context.Context
	// Settings say where Helm keeps repositories, caches and credentials.
	Settings *cli.EnvSettings
	// Driver is where Helm stores releases: secret, configmap, memory or sql.
	Driver string
	// KeepSecrets is whether the engine accepts secrets.
	KeepSecrets bool
}

func (p *Provider) configuration(namespace string, progress action.DebugLog) (*action.Configuration, error) {
	configuration := new(action.Configuration)
	err := configuration.Init(p.Cluster.Getter(namespace), namespace, p.Driver, progress)
	if err != nil {
		return nil, err
	}
	configuration.RegistryClient, err = registry.NewClient(
		registry.ClientOptEnableCache(true),
		registry.ClientOptCredentialsFile(p.Settings.RegistryConfig),
	)
	return configuration, err
}

func quiet(string, ...any) {}

// progress shows what Helm waits for. Helm's other messages may hold values and stay unseen.
func (p *Provider) progress(urn string) action.DebugLog {
	return func(format string, arguments ...any) {
		for _, shown := range []string{"is not ready", "beginning wait", "not established"} {
			if strings.Contains(format, shown) {
				p.Engine.Progress(urn, fmt.Sprintf(format, arguments...))
				return
			}
		}
	}
}

func (p *Provider) setDefaults(inputs resource.PropertyMap) {
	if namespace := inputs["namespace"]; isEmpty(namespace) {
		inputs["namespace"] = resource.NewStringProperty(p.Cluster.Namespace)
	}
	skipAwait, has := inputs["skipAwait"]
	if !has || skipAwait.IsNull() || (skipAwait.IsBool() && !skipAwait.BoolValue()) {
		if timeout := inputs["timeout"]; timeout.IsNull() {
			inputs["timeout"] = resource.NewNumberProperty(defaultTimeoutSeconds)
		}
	}
	if verify := inputs["verify"]; verify.IsBool() && verify.BoolValue() {
		if isEmpty(inputs["keyring"]) {
			inputs["keyring"] = resource.NewStringProperty(defaultKeyring())
		}
	}
}

func isEmpty(value resource.PropertyValue) bool {
	return value.IsNull() || (value.IsString() && value.StringValue() == "")
}
