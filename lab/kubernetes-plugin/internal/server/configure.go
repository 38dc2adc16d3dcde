package server

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/protobuf/types/known/structpb"
	"helm.sh/helm/v3/pkg/cli"

	"github.com/oxide-lab/kubernetes-plugin/internal/cluster"
	"github.com/oxide-lab/kubernetes-plugin/internal/object"
	"github.com/oxide-lab/kubernetes-plugin/internal/release"
)

// decodeConfig reads provider inputs without secret wrappers: a value that became secret is the same
// value.
func decodeConfig(what string, wire *structpb.Struct) (resource.PropertyMap, error) {
	decoded, err := plugin.UnmarshalProperties(wire, plugin.MarshalOptions{Label: what, KeepUnknowns: true})
	if err != nil {
		return nil, fmt.Errorf("malformed %s: %w", what, err)
	}
	return decoded, nil
}

// settings reads one configuration: each value from the provider's inputs, else from an environment
// variable.
type settings map[string]string

func (s settings) text(name string) string { return s["kubernetes:config:"+name] }

func (s settings) flag(name, variable string, otherwise bool) bool {
	if value, has := s["kubernetes:config:"+name]; has {
		return value == "true"
	}
	if value, has := os.LookupEnv(variable); has {
		return value == "true"
	}
	return otherwise
}

func (s settings) decode(name string, target any) error {
	if value := s.text(name); value != "" {
		if err := json.Unmarshal([]byte(value), target); err != nil {
			return fmt.Errorf("failed to unmarshal %s option: %w", name, err)
		}
	}
	return nil
}

// Configure connects to the cluster. Whether the cluster is reachable is decided here, once; an
// unreachable cluster only fails the operations that need it.
func (s *Server) Configure(
	_ context.Context, request *pulumirpc.ConfigureRequest,
) (*pulumirpc.ConfigureResponse, error) {
	given := settings(request.GetVariables())
	options := cluster.Options{
		Kubeconfig: given.text("kubeconfig"),
		Context:    given.text("context"),
		Cluster:    given.text("cluster"),
		Namespace:  given.text("namespace"),
	}
	if err := given.tune(&options); err != nil {
		return nil, err
	}
	helm, driver, err := given.helm()
	if err != nil {
		return nil, err
	}
	connected := cluster.Connect(options)

	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.cluster = connected
	s.deleteUnreachable = given.flag("deleteUnreachable", "PULUMI_K8S_DELETE_UNREACHABLE", false)
	s.skipUpdateUnreachable = given.flag("skipUpdateUnreachable", "PULUMI_K8S_SKIP_UPDATE_UNREACHABLE", false)
	s.objects = &object.Provider{
		Cluster:           connected,
		Engine:            s.engine,
		Context:           s.context,
		KeepSecrets:       request.GetAcceptSecrets(),
		ServerSideApply:   given.flag("enableServerSideApply", "PULUMI_K8S_ENABLE_SERVER_SIDE_APPLY", true),
		PatchForce:        given.flag("enablePatchForce", "PULUMI_K8S_ENABLE_PATCH_FORCE", false),
		Upsert:            given.flag("upsertExistingObjects", "PULUMI_K8S_UPSERT_EXISTING_OBJECTS", false),
		MutableConfigMaps: given.flag("enableConfigMapMutable", "PULUMI_K8S_ENABLE_CONFIGMAP_MUTABLE", false),
		MutableSecrets:    given.flag("enableSecretMutable", "PULUMI_K8S_ENABLE_SECRET_MUTABLE", false),
		DeleteUnreachable: s.deleteUnreachable,
	}
	s.releases = &release.Provider{
		Cluster:     connected,
		Engine:      s.engine,
		Context:     s.context,
		Settings:    helm,
		Driver:      driver,
		KeepSecrets: request.GetAcceptSecrets(),
	}
	return &pulumirpc.ConfigureResponse{
		AcceptSecrets: true, SupportsPreview: true, SupportsAutonamingConfiguration: true,
	}, nil
}

// tune reads kubeClientSettings: 50 queries a second, bursts of 120 and no timeout by default.
func (s settings) tune(options *cluster.Options) error {
	var given struct {
		Burst   *int     `json:"burst"`
		QPS     *float64 `json:"qps"`
		Timeout *int     `json:"timeout"`
	}
	if err := s.decode("kubeClientSettings", &given); err != nil {
		return err
	}
	options.Burst, options.QPS = 120, 50
	if given.Burst != nil {
		options.Burst = *given.Burst
	} else if err := number("PULUMI_K8S_CLIENT_BURST", func(value float64) { options.Burst = int(value) }); err != nil {
		return err
	}
	if given.QPS != nil {
		options.QPS = float32(*given.QPS)
	} else if err := number("PULUMI_K8S_CLIENT_QPS", func(value float64) { options.QPS = float32(value) }); err != nil {
		return err
	}
	seconds := func(value float64) { options.Timeout = time.Duration(value * float64(time.Second)) }
	if given.Timeout != nil {
		seconds(float64(*given.Timeout))
		return nil
	}
	return number("PULUMI_K8S_CLIENT_TIMEOUT", seconds)
}

func number(variable string, use func(float64)) error {
	text := os.Getenv(variable)
	if text == "" {
		return nil
	}
	value, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return fmt.Errorf("invalid value specified for %s: %w", variable, err)
	}
	use(value)
	return nil
}

// helm reads helmReleaseSettings over Helm's own environment. Everything Helm writes follows the
// HELM_* variables where they are set.
func (s settings) helm() (*cli.EnvSettings, string, error) {
	var given struct {
		Driver               *string `json:"driver"`
		PluginsPath          *string `json:"pluginsPath"`
		RegistryConfigPath   *string `json:"registryConfigPath"`
		RepositoryCache      *string `json:"repositoryCache"`
		RepositoryConfigPath *string `json:"repositoryConfigPath"`
	}
	if err := s.decode("helmReleaseSettings", &given); err != nil {
		return nil, "", err
	}
	helm := cli.New()
	choose(&helm.PluginsDirectory, given.PluginsPath, "PULUMI_K8S_HELM_PLUGINS_PATH")
	choose(&helm.RegistryConfig, given.RegistryConfigPath, "PULUMI_K8S_HELM_REGISTRY_CONFIG_PATH")
	choose(&helm.RepositoryCache, given.RepositoryCache, "PULUMI_K8S_HELM_REPOSITORY_CACHE")
	choose(&helm.RepositoryConfig, given.RepositoryConfigPath, "PULUMI_K8S_HELM_REPOSITORY_CONFIG_PATH")
	driver := "secret"
	choose(&driver, given.Driver, "PULUMI_K8S_HELM_DRIVER")
	return helm, driver, nil
}

func choose(target *string, given *string, variable string) {
	if given != nil {
		*target = *given
	} else if value, has := os.LookupEnv(variable); has {
		*target = value
	}
}
