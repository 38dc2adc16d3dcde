package cluster

import (
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
)

// Getter hands the cluster to Helm with a namespace for objects that name none.
type Getter struct {
	cluster   *Cluster
	namespace string
}

// Getter gives Helm's view of the cluster.
func (c *Cluster) Getter(namespace string) *Getter {
	return &Getter{cluster: c, namespace: namespace}
}

// ToRESTConfig gives a copy of the client configuration, or the reason why there is none.
func (g *Getter) ToRESTConfig() (*rest.Config, error) {
	if g.cluster.config == nil {
		return nil, &UnreachableError{Reason: g.cluster.Unreachable}
	}
	return rest.CopyConfig(g.cluster.config), nil
}

// ToDiscoveryClient gives a fresh discovery: a chart may install definitions and use them at once.
func (g *Getter) ToDiscoveryClient() (discovery.CachedDiscoveryInterface, error) {
	config, err := g.ToRESTConfig()
	if err != nil {
		return nil, err
	}
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	return memory.NewMemCacheClient(client), nil
}

// ToRESTMapper maps kinds and their short names.
func (g *Getter) ToRESTMapper() (meta.RESTMapper, error) {
	client, err := g.ToDiscoveryClient()
	if err != nil {
		return nil, err
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(client)
	return restmapper.NewShortcutExpander(mapper, client, nil), nil
}

// ToRawKubeConfigLoader gives the kubeconfig with the namespace applied.
func (g *Getter) ToRawKubeConfigLoader() clientcmd.ClientConfig {
	overrides := g.cluster.overrides
	overrides.Context.Namespace = g.namespace
	return g.cluster.clientConfig(overrides)
}

// UnreachableError says that the cluster could not be reached when the provider was configured.
type UnreachableError struct{ Reason string }

func (e *UnreachableError) Error() string {
	return "configured Kubernetes cluster is unreachable: " + e.Reason
}
