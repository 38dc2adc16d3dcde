package cloud

import (
	"github.com/hetznercloud/hcloud-go/v2/hcloud"
	"k8s.io/apimachinery/pkg/types"
	cloudprovider "k8s.io/cloud-provider"
)

func nodeName(server *hcloud.Server) types.NodeName { return types.NodeName(server.Name) }

// Initialize has nothing to do.
func (h *hetzner) Initialize(cloudprovider.ControllerClientBuilder, <-chan struct{}) {}

// LoadBalancer is supported.
func (h *hetzner) LoadBalancer() (cloudprovider.LoadBalancer, bool) { return h, true }

// Instances is the interface before InstancesV2.
func (h *hetzner) Instances() (cloudprovider.Instances, bool) { return nil, false }

// InstancesV2 is supported.
func (h *hetzner) InstancesV2() (cloudprovider.InstancesV2, bool) { return h, true }

// Zones is the interface before InstancesV2.
func (h *hetzner) Zones() (cloudprovider.Zones, bool) { return nil, false }

// Clusters is not supported.
func (h *hetzner) Clusters() (cloudprovider.Clusters, bool) { return nil, false }

// Routes is supported.
func (h *hetzner) Routes() (cloudprovider.Routes, bool) { return h, true }

// ProviderName leads provider ids.
func (h *hetzner) ProviderName() string { return scheme }

// HasClusterID is not asked: untagged clouds are allowed.
func (h *hetzner) HasClusterID() bool { return true }
