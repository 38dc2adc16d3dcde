// Package cluster reaches a Kubernetes cluster through a kubeconfig and maps type tokens to its API.
package cluster

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// ParseKubeconfig reads a kubeconfig given as YAML, as JSON or as the path of a file. An empty text
// gives an empty configuration.
func ParseKubeconfig(pathOrContents string) (*api.Config, error) {
	if pathOrContents == "" {
		return api.NewConfig(), nil
	}
	path := pathOrContents
	if path == "~" || strings.HasPrefix(path, "~/") {
		if home, err := os.UserHomeDir(); err == nil {
			path = filepath.Join(home, path[1:])
		}
	}
	contents := []byte(pathOrContents)
	if _, err := os.Stat(path); err == nil {
		if contents, err = os.ReadFile(path); err != nil {
			return nil, err
		}
	}
	return clientcmd.Load(contents)
}

// ParseKubeconfigProperty reads a kubeconfig input, which may also be an object.
func ParseKubeconfigProperty(value resource.PropertyValue) (*api.Config, error) {
	var text string
	switch {
	case value.IsNull():
	case value.IsString():
		text = value.StringValue()
	case value.IsObject():
		encoded, err := json.Marshal(value.ObjectValue().Mappable())
		if err != nil {
			return nil, fmt.Errorf("failed to unmarshal kubeconfig: %w", err)
		}
		text = string(encoded)
	default:
		return nil, fmt.Errorf("unexpected kubeconfig format, type: %v", value.TypeString())
	}
	config, err := ParseKubeconfig(text)
	if err != nil {
		return nil, fmt.Errorf("failed to parse kubeconfig: %w", err)
	}
	return config, nil
}

// ActiveCluster finds the cluster a kubeconfig points to. contextName and clusterName override the
// kubeconfig's own choice unless empty; without a match the result is nil.
func ActiveCluster(config *api.Config, contextName, clusterName string) *api.Cluster {
	if contextName == "" {
		contextName = config.CurrentContext
	}
	active := config.Contexts[contextName]
	if active == nil {
		return nil
	}
	if clusterName == "" {
		clusterName = active.Cluster
	}
	return config.Clusters[clusterName]
}
