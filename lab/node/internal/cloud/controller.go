package cloud

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hetznercloud/hcloud-go/v2/hcloud"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	cloudprovider "k8s.io/cloud-provider"
	"k8s.io/cloud-provider/controllers/node"
	"k8s.io/cloud-provider/controllers/nodelifecycle"
	"k8s.io/cloud-provider/controllers/route"
	"k8s.io/cloud-provider/controllers/service"
	"k8s.io/component-base/featuregate"
	controllersmetrics "k8s.io/component-base/metrics/prometheus/controllers"

	// The route controller asks for its feature gate.
	_ "k8s.io/controller-manager/pkg/features/register"
)

const (
	scheme = "hcloud"
	// idPrefix leads the id of a server in a Node's spec.
	idPrefix = scheme + "://"
	// checkInterval is how often the controllers compare what no event tells them.
	checkInterval = 5 * time.Second
)

// metrics register themselves once for the process.
var metrics = sync.OnceValue(func() *controllersmetrics.ControllerManagerMetrics {
	return controllersmetrics.NewControllerManagerMetrics("lab")
})

// hetzner is the cloud as Kubernetes' controllers see it.
type hetzner struct {
	client  *hcloud.Client
	network *hcloud.Network
	env     environment
	nodes   informers.SharedInformerFactory
}

func newClient(env environment) *hcloud.Client {
	options := []hcloud.ClientOption{
		hcloud.WithToken(env["HCLOUD_TOKEN"]),
		hcloud.WithPollOpts(hcloud.PollOpts{BackoffFunc: hcloud.ConstantBackoff(500 * time.Millisecond)}),
	}
	if endpoint := env["HCLOUD_ENDPOINT"]; endpoint != "" {
		options = append(options, hcloud.WithEndpoint(endpoint))
	}

	return hcloud.NewClient(options...)
}

// runController is the cloud controller manager. As the real one it ends when its settings are wrong, and is started again.
func runController(ctx context.Context, client kubernetes.Interface, env environment) error {
	if env["HCLOUD_ENDPOINT"] == "" {
		return errors.New("HCLOUD_ENDPOINT is not set, and there is no other Hetzner here")
	}

	api := newClient(env)

	network, _, err := api.Network.Get(ctx, env["HCLOUD_NETWORK"])
	if err != nil {
		return err
	}

	if network == nil {
		return fmt.Errorf("network %q does not exist", env["HCLOUD_NETWORK"])
	}

	factory := informers.NewSharedInformerFactory(client, time.Minute)
	cloud := &hetzner{client: api, network: network, env: env, nodes: factory}
	nodes, services := factory.Core().V1().Nodes(), factory.Core().V1().Services()

	var group sync.WaitGroup
	defer group.Wait()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	initialiser, err := node.NewCloudNodeController(nodes, client, cloud, checkInterval, 1)
	if err != nil {
		return err
	}

	group.Go(func() { initialiser.RunWithContext(ctx, metrics()) })

	lifecycle, err := nodelifecycle.NewCloudNodeLifecycleController(nodes, client, cloud, checkInterval)
	if err != nil {
		return err
	}

	group.Go(func() { lifecycle.Run(ctx, metrics()) })

	balancers, err := service.New(cloud, client, services, nodes, "kubernetes", featuregate.NewFeatureGate())
	if err != nil {
		return err
	}

	group.Go(func() { balancers.Run(ctx, 1, metrics()) })

	if cloud.flag("HCLOUD_NETWORK_ROUTES_ENABLED", true) {
		_, pods, err := net.ParseCIDR(env["--cluster-cidr"])
		if err != nil {
			return err
		}

		routes, err := route.New(cloud, client, nodes, "kubernetes", []*net.IPNet{pods})
		if err != nil {
			return err
		}

		group.Go(func() { routes.Run(ctx, checkInterval, metrics()) })
	}

	factory.Start(ctx.Done())
	<-ctx.Done()
	factory.Shutdown()

	return nil
}

func (h *hetzner) flag(name string, otherwise bool) bool {
	if value, err := strconv.ParseBool(h.env[name]); err == nil {
		return value
	}

	return otherwise
}

// server returns the server of a Node; nil if there is none.
func (h *hetzner) server(ctx context.Context, node *corev1.Node) (*hcloud.Server, error) {
	if id, found := strings.CutPrefix(node.Spec.ProviderID, idPrefix); found {
		number, err := strconv.ParseInt(id, 10, 64)
		if err != nil {
			return nil, err
		}

		server, _, err := h.client.Server.GetByID(ctx, number)

		return server, err
	}

	server, _, err := h.client.Server.GetByName(ctx, node.Name)

	return server, err
}

// InstanceExists is false for a Node whose server is gone.
func (h *hetzner) InstanceExists(ctx context.Context, node *corev1.Node) (bool, error) {
	server, err := h.server(ctx, node)

	return server != nil, err
}

// InstanceShutdown is true for a Node whose server is off.
func (h *hetzner) InstanceShutdown(ctx context.Context, node *corev1.Node) (bool, error) {
	server, err := h.server(ctx, node)
	if err != nil || server == nil {
		return false, errors.Join(err, cloudprovider.InstanceNotFound)
	}

	return server.Status == hcloud.ServerStatusOff, nil
}

// InstanceMetadata is what a Node gets to know of its server.
func (h *hetzner) InstanceMetadata(ctx context.Context, node *corev1.Node) (*cloudprovider.InstanceMetadata, error) {
	server, err := h.server(ctx, node)
	if err != nil {
		return nil, err
	}

	if server == nil {
		return nil, cloudprovider.InstanceNotFound
	}

	addresses := []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: server.Name}}
	if !server.PublicNet.IPv4.IsUnspecified() {
		addresses = append(addresses, corev1.NodeAddress{Type: corev1.NodeExternalIP, Address: server.PublicNet.IPv4.IP.String()})
	}

	if private := server.PrivateNetFor(h.network); private != nil {
		addresses = append(addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: private.IP.String()})
	}

	return &cloudprovider.InstanceMetadata{
		ProviderID:       idPrefix + strconv.FormatInt(server.ID, 10),
		InstanceType:     server.ServerType.Name,
		NodeAddresses:    addresses,
		Region:           server.Location.Name,
		AdditionalLabels: map[string]string{"instance.hetzner.cloud/provided-by": "cloud"},
	}, nil
}

// ListRoutes returns the network's routes.
func (h *hetzner) ListRoutes(ctx context.Context, _ string) ([]*cloudprovider.Route, error) {
	network, _, err := h.client.Network.GetByID(ctx, h.network.ID)
	if err != nil || network == nil {
		return nil, errors.Join(err, errors.New("the network's routes are unknown"))
	}

	servers, err := h.client.Server.All(ctx)
	if err != nil {
		return nil, err
	}

	routes := []*cloudprovider.Route{}

	for _, one := range network.Routes {
		found := &cloudprovider.Route{
			Name: one.Gateway.String() + "-" + one.Destination.String(), DestinationCIDR: one.Destination.String(), Blackhole: true,
		}

		for _, server := range servers {
			if private := server.PrivateNetFor(network); private != nil && private.IP.Equal(one.Gateway) {
				found.TargetNode, found.Blackhole = nodeName(server), false
			}
		}

		routes = append(routes, found)
	}

	return routes, nil
}

// CreateRoute leads a Node's pod range to its private address.
func (h *hetzner) CreateRoute(ctx context.Context, _, _ string, route *cloudprovider.Route) error {
	_, destination, err := net.ParseCIDR(route.DestinationCIDR)
	if err != nil {
		return err
	}

	for _, address := range route.TargetNodeAddresses {
		if address.Type != corev1.NodeInternalIP {
			continue
		}

		action, _, err := h.client.Network.AddRoute(ctx, h.network, hcloud.NetworkAddRouteOpts{
			Route: hcloud.NetworkRoute{Destination: destination, Gateway: net.ParseIP(address.Address)},
		})
		if err != nil {
			return err
		}

		return h.client.Action.WaitFor(ctx, action)
	}

	return fmt.Errorf("node %s has no internal address", route.TargetNode)
}

// DeleteRoute takes a route out of the network.
func (h *hetzner) DeleteRoute(ctx context.Context, _ string, route *cloudprovider.Route) error {
	_, destination, err := net.ParseCIDR(route.DestinationCIDR)
	if err != nil {
		return err
	}

	gateway, _, _ := strings.Cut(route.Name, "-")

	action, _, err := h.client.Network.DeleteRoute(ctx, h.network, hcloud.NetworkDeleteRouteOpts{
		Route: hcloud.NetworkRoute{Destination: destination, Gateway: net.ParseIP(gateway)},
	})
	if err != nil {
		return err
	}

	return h.client.Action.WaitFor(ctx, action)
}
