package cloud

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/hetznercloud/hcloud-go/v2/hcloud"
	corev1 "k8s.io/api/core/v1"
	cloudprovider "k8s.io/cloud-provider"
)

// labelService is how a load balancer is found again.
const labelService = "hcloud-ccm/service-uid"

// annotationPrefix leads the annotations with which a Service chooses otherwise than the environment.
const annotationPrefix = "load-balancer.hetzner.cloud/"

func (h *hetzner) balancer(ctx context.Context, service *corev1.Service) (*hcloud.LoadBalancer, error) {
	found, err := h.client.LoadBalancer.AllWithOpts(ctx, hcloud.LoadBalancerListOpts{
		ListOpts: hcloud.ListOpts{LabelSelector: labelService + "=" + string(service.UID)},
	})
	if err != nil || len(found) == 0 {
		return nil, err
	}

	return found[0], nil
}

// choice is what a Service or the environment says about its load balancer.
func (h *hetzner) choice(service *corev1.Service, annotation, variable, otherwise string) string {
	for _, value := range []string{service.Annotations[annotationPrefix+annotation], h.env["HCLOUD_LOAD_BALANCERS_"+variable], otherwise} {
		if value != "" {
			return value
		}
	}

	return ""
}

func (h *hetzner) wish(service *corev1.Service, annotation, variable string) bool {
	value, err := strconv.ParseBool(h.choice(service, annotation, variable, "false"))

	return err == nil && value
}

// GetLoadBalancerName is the name that a new load balancer gets.
func (h *hetzner) GetLoadBalancerName(_ context.Context, _ string, service *corev1.Service) string {
	return h.choice(service, "name", "", cloudprovider.DefaultLoadBalancerName(service))
}

// GetLoadBalancer returns the addresses of a Service's load balancer.
func (h *hetzner) GetLoadBalancer(ctx context.Context, _ string, service *corev1.Service) (*corev1.LoadBalancerStatus, bool, error) {
	balancer, err := h.balancer(ctx, service)
	if err != nil || balancer == nil {
		return nil, false, err
	}

	return h.status(balancer, service), true, nil
}

// EnsureLoadBalancer makes the load balancer, or brings it in line.
func (h *hetzner) EnsureLoadBalancer(ctx context.Context, cluster string, service *corev1.Service, nodes []*corev1.Node) (*corev1.LoadBalancerStatus, error) {
	balancer, err := h.balancer(ctx, service)
	if err == nil && balancer == nil {
		balancer, err = h.create(ctx, h.GetLoadBalancerName(ctx, cluster, service), service)
	}

	if err != nil {
		return nil, err
	}

	if balancer, err = h.attach(ctx, balancer, service); err != nil {
		return nil, err
	}

	if err := h.syncPorts(ctx, balancer, service); err != nil {
		return nil, err
	}

	if err := h.syncTargets(ctx, balancer, service, nodes); err != nil {
		return nil, err
	}

	return h.status(balancer, service), nil
}

// UpdateLoadBalancer brings the targets in line.
func (h *hetzner) UpdateLoadBalancer(ctx context.Context, _ string, service *corev1.Service, nodes []*corev1.Node) error {
	balancer, err := h.balancer(ctx, service)
	if err != nil || balancer == nil {
		return err
	}

	return h.syncTargets(ctx, balancer, service, nodes)
}

// EnsureLoadBalancerDeleted deletes it; one that is gone is fine.
func (h *hetzner) EnsureLoadBalancerDeleted(ctx context.Context, _ string, service *corev1.Service) error {
	balancer, err := h.balancer(ctx, service)
	if err != nil || balancer == nil {
		return err
	}

	_, err = h.client.LoadBalancer.Delete(ctx, balancer)

	return err
}

func (h *hetzner) create(ctx context.Context, name string, service *corev1.Service) (*hcloud.LoadBalancer, error) {
	location := h.choice(service, "location", "LOCATION", "")
	if location == "" {
		return nil, fmt.Errorf("neither %slocation nor HCLOUD_LOAD_BALANCERS_LOCATION is set", annotationPrefix)
	}

	made, _, err := h.client.LoadBalancer.Create(ctx, hcloud.LoadBalancerCreateOpts{
		Name:             name,
		LoadBalancerType: &hcloud.LoadBalancerType{Name: h.choice(service, "type", "TYPE", "lb11")},
		Location:         &hcloud.Location{Name: location},
		Labels:           map[string]string{labelService: string(service.UID)},
		PublicInterface:  new(!h.wish(service, "disable-public-network", "DISABLE_PUBLIC_NETWORK")),
	})
	if err != nil {
		return nil, err
	}

	return made.LoadBalancer, h.client.Action.WaitFor(ctx, made.Action)
}

func (h *hetzner) attach(ctx context.Context, balancer *hcloud.LoadBalancer, service *corev1.Service) (*hcloud.LoadBalancer, error) {
	if slices.ContainsFunc(balancer.PrivateNet, func(n hcloud.LoadBalancerPrivateNet) bool { return n.Network.ID == h.network.ID }) {
		return balancer, nil
	}

	opts := hcloud.LoadBalancerAttachToNetworkOpts{Network: h.network}

	if text := h.choice(service, "private-subnet-ip-range", "PRIVATE_SUBNET_IP_RANGE", ""); text != "" {
		_, subnet, err := net.ParseCIDR(text)
		if err != nil {
			return nil, err
		}

		opts.IPRange = subnet
	}

	action, _, err := h.client.LoadBalancer.AttachToNetwork(ctx, balancer, opts)
	if err == nil {
		err = h.client.Action.WaitFor(ctx, action)
	}

	if err != nil {
		return nil, err
	}

	balancer, _, err = h.client.LoadBalancer.GetByID(ctx, balancer.ID)

	return balancer, err
}

func (h *hetzner) syncPorts(ctx context.Context, balancer *hcloud.LoadBalancer, service *corev1.Service) error {
	wanted := map[int]int{}
	for _, port := range service.Spec.Ports {
		wanted[int(port.Port)] = int(port.NodePort)
	}

	for _, existing := range balancer.Services {
		if wanted[existing.ListenPort] == existing.DestinationPort {
			delete(wanted, existing.ListenPort)

			continue
		}

		action, _, err := h.client.LoadBalancer.DeleteService(ctx, balancer, existing.ListenPort)
		if err == nil {
			err = h.client.Action.WaitFor(ctx, action)
		}

		if err != nil {
			return err
		}
	}

	for port, node := range wanted {
		action, _, err := h.client.LoadBalancer.AddService(ctx, balancer, hcloud.LoadBalancerAddServiceOpts{
			Protocol: hcloud.LoadBalancerServiceProtocolTCP, ListenPort: new(port), DestinationPort: new(node),
		})
		if err == nil {
			err = h.client.Action.WaitFor(ctx, action)
		}

		if err != nil {
			return err
		}
	}

	return nil
}

func (h *hetzner) syncTargets(ctx context.Context, balancer *hcloud.LoadBalancer, service *corev1.Service, nodes []*corev1.Node) error {
	wanted := map[int64]bool{}

	for _, node := range nodes {
		id, found := strings.CutPrefix(node.Spec.ProviderID, idPrefix)
		number, err := strconv.ParseInt(id, 10, 64)

		if !found || err != nil {
			return fmt.Errorf("node %s has no provider id of %s", node.Name, scheme)
		}

		wanted[number] = true
	}

	for _, target := range balancer.Targets {
		if target.Server == nil {
			continue
		}

		server := target.Server.Server
		if wanted[server.ID] {
			delete(wanted, server.ID)

			continue
		}

		action, _, err := h.client.LoadBalancer.RemoveServerTarget(ctx, balancer, server)
		if err == nil {
			err = h.client.Action.WaitFor(ctx, action)
		}

		if err != nil {
			return err
		}
	}

	for id := range wanted {
		action, _, err := h.client.LoadBalancer.AddServerTarget(ctx, balancer, hcloud.LoadBalancerAddServerTargetOpts{
			Server: &hcloud.Server{ID: id}, UsePrivateIP: new(h.wish(service, "use-private-ip", "USE_PRIVATE_IP")),
		})
		if err == nil {
			err = h.client.Action.WaitFor(ctx, action)
		}

		if err != nil {
			return err
		}
	}

	return nil
}

func (h *hetzner) status(balancer *hcloud.LoadBalancer, service *corev1.Service) *corev1.LoadBalancerStatus {
	status := &corev1.LoadBalancerStatus{}
	if balancer.PublicNet.Enabled {
		status.Ingress = append(status.Ingress,
			corev1.LoadBalancerIngress{IP: balancer.PublicNet.IPv4.IP.String()},
			corev1.LoadBalancerIngress{IP: balancer.PublicNet.IPv6.IP.String()})
	}

	if !h.wish(service, "disable-private-ingress", "DISABLE_PRIVATE_INGRESS") {
		for _, private := range balancer.PrivateNet {
			status.Ingress = append(status.Ingress, corev1.LoadBalancerIngress{IP: private.IP.String()})
		}
	}

	return status
}
