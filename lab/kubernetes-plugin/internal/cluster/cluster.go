package cluster

import (
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// Options say which cluster to reach and how.
type Options struct {
	// Kubeconfig is a path or the contents; empty means KUBECONFIG and the usual places.
	Kubeconfig string
	// Context, Cluster and Namespace override the kubeconfig's own choice unless empty.
	Context, Cluster, Namespace string
	// QPS, Burst and Timeout tune the client; a zero Timeout means none.
	QPS     float32
	Burst   int
	Timeout time.Duration
}

// Cluster is a Kubernetes cluster as it was found when the provider was configured.
type Cluster struct {
	// Unreachable is why the cluster could not be reached, or empty. It is decided once.
	Unreachable string
	// Namespace is where namespaced objects go that name none.
	Namespace string
	// Version is the API server's version, such as v1.35.4, or empty.
	Version string

	kubeconfig *api.Config
	overrides  clientcmd.ConfigOverrides
	config     *rest.Config
	client     dynamic.Interface
	discovery  discovery.CachedDiscoveryInterface
	mapper     *restmapper.DeferredDiscoveryRESTMapper

	mutex   sync.Mutex
	planned map[schema.GroupKind]bool
}

// Connect reads the kubeconfig and asks the API server for its schema once. A failure is recorded in
// Unreachable instead of returned, so that previews work before the cluster exists.
func Connect(options Options) *Cluster {
	c := &Cluster{
		Namespace: options.Namespace,
		overrides: clientcmd.ConfigOverrides{
			Context: api.Context{
				Cluster: options.Cluster, Namespace: options.Namespace,
			},
			CurrentContext: options.Context,
		},
		planned: map[schema.GroupKind]bool{},
	}
	if options.Kubeconfig != "" {
		parsed, err := ParseKubeconfig(options.Kubeconfig)
		if err != nil {
			c.Unreachable = fmt.Sprintf(
				"failed to parse kubeconfig data in `kubernetes:config:kubeconfig`- %v", err)
			return c
		}
		c.kubeconfig = parsed
	}
	if namespace, _, err := c.clientConfig(c.overrides).Namespace(); err == nil {
		c.Namespace = namespace
	}
	if err := c.connect(options); err != nil {
		c.Unreachable = err.Error()
	}
	return c
}

func (c *Cluster) connect(options Options) error {
	config, err := c.clientConfig(c.overrides).ClientConfig()
	if err != nil {
		return fmt.Errorf("unable to load Kubernetes client configuration from kubeconfig file. "+
			"Make sure the provider has a kubeconfig: %w", err)
	}
	config.QPS, config.Burst, config.Timeout = options.QPS, options.Burst, options.Timeout
	config.WarningHandler = rest.NoWarnings{}
	config.UserAgent = "pulumi-kubernetes"
	if c.client, err = dynamic.NewForConfig(config); err != nil {
		return err
	}
	bare, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return err
	}
	c.config = config
	c.discovery = memory.NewMemCacheClient(bare)
	c.mapper = restmapper.NewDeferredDiscoveryRESTMapper(c.discovery)
	if _, err := bare.OpenAPISchema(); err != nil {
		return fmt.Errorf("unable to load schema information from the API server: %w", err)
	}
	if version, err := bare.ServerVersion(); err == nil {
		c.Version = version.GitVersion
	}
	return nil
}

func (c *Cluster) clientConfig(overrides clientcmd.ConfigOverrides) clientcmd.ClientConfig {
	if c.kubeconfig != nil {
		return clientcmd.NewDefaultClientConfig(*c.kubeconfig, &overrides)
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.DefaultClientConfig = &clientcmd.DefaultClientConfig
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &overrides)
}

// Resource gives the API endpoint for an object, in the object's namespace if its kind has one. A
// kind that the API server does not know is a meta.NoKindMatchError.
func (c *Cluster) Resource(object *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	mapping, err := c.mapping(object.GroupVersionKind())
	if err != nil {
		return nil, err
	}
	endpoint := c.client.Resource(mapping.Resource)
	if mapping.Scope.Name() != meta.RESTScopeNameNamespace {
		return endpoint, nil
	}
	namespace := object.GetNamespace()
	if namespace == "" {
		namespace = "default"
	}
	return endpoint.Namespace(namespace), nil
}

func (c *Cluster) mapping(kind schema.GroupVersionKind) (*meta.RESTMapping, error) {
	mapping, err := c.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if meta.IsNoMatchError(err) {
		// A definition may have been installed since the last look, by us or by a chart.
		c.Forget()
		mapping, err = c.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	}
	return mapping, err
}

// Knows reports whether the API server can be reached and serves the kind.
func (c *Cluster) Knows(kind schema.GroupVersionKind) bool {
	if c.Unreachable != "" {
		return false
	}
	_, err := c.mapping(kind)
	return err == nil
}

// Forget drops what is remembered of the API server's kinds.
func (c *Cluster) Forget() {
	if c.mapper != nil {
		c.mapper.Reset()
	}
}
