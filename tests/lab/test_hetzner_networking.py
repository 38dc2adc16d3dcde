"""The Hetzner emulator: networks, addresses, firewalls, load balancers."""

from __future__ import annotations

from typing import Any

from hcloud import Client
from hcloud.firewalls import FirewallResource, FirewallResourceLabelSelector, FirewallRule
from hcloud.load_balancer_types import LoadBalancerType
from hcloud.load_balancers import LoadBalancerService, LoadBalancerTarget
from hcloud.locations import Location
from hcloud.networks import NetworkRoute, NetworkSubnet
from hcloud.servers import ServerCreatePublicNetwork

from lab.hetzner.testing import ask
from tests.lab.hetzner_support import finish, new_network, new_server, refusal

pytest_plugins = ["tests.lab.hetzner_fixtures"]


def test_addresses_are_freed_with_a_server_unless_they_were_the_user_s(cloud: Client) -> None:
    ip = cloud.primary_ips.create("ipv4", "kept", Location("nbg1")).primary_ip
    server = new_server(cloud, "a", public_net=ServerCreatePublicNetwork(ipv4=ip))
    assert len(cloud.primary_ips.get_all()) == 2
    assert ip.assignee_type == "unassigned"
    finish(server.delete())
    assert [(left.id, left.assignee_id) for left in cloud.primary_ips.get_all()] == [(ip.id, None)]


def test_a_primary_ip_moves_only_between_stopped_servers(cloud: Client) -> None:
    server = new_server(cloud, "a", public_net=ServerCreatePublicNetwork(enable_ipv4=False))
    ip = cloud.primary_ips.create("ipv4", "x", Location("nbg1")).primary_ip
    assert refusal(ip.assign, server.id, "server") == "server_not_stopped"
    finish(server.power_off())
    finish(ip.assign(server.id, "server"))
    assert cloud.servers.get_by_id(server.id).public_net.ipv4.ip == ip.ip
    assert refusal(ip.assign, server.id, "server") == "primary_ip_already_assigned"
    finish(ip.unassign())
    assert cloud.servers.get_by_id(server.id).public_net.ipv4 is None


def test_attachments_land_in_the_chosen_subnet_or_in_the_last(cloud: Client) -> None:
    network = new_network(cloud, "10.0.1.0/24", "10.0.0.0/24")
    placed = {}
    choices: dict[str, dict[str, Any]] = {
        "any": {},
        "first": {"ip_range": "10.0.0.0/24"},
        "fixed": {"ip": "10.0.0.11", "alias_ips": ["10.0.0.12"]},
    }
    for name, options in choices.items():
        server = new_server(cloud, name)
        finish(server.attach_to_network(network, **options))
        server.reload()
        placed[name] = server.private_net[0].ip
    assert placed == {"any": "10.0.1.2", "first": "10.0.0.2", "fixed": "10.0.0.11"}
    late = new_server(cloud, "late")
    for taken in ("10.0.0.11", "10.0.0.12", "10.0.0.1"):
        assert refusal(late.attach_to_network, network, ip=taken) == "ip_not_available"
    assert refusal(late.attach_to_network, network, ip="10.0.9.1") == "invalid_input"
    assert refusal(server.attach_to_network, network) == "server_already_attached"
    other = new_server(cloud, "us", location=Location("nbg1"))
    empty = cloud.networks.create("empty", "192.168.0.0/16")
    assert refusal(other.attach_to_network, empty) == "no_subnet_available"


def test_firewalls_follow_label_selectors_and_keep_their_limits(cloud: Client) -> None:
    rule = FirewallRule("in", "tcp", ["0.0.0.0/0", "::/0"], port="80-85")
    selector = FirewallResource(
        "label_selector", label_selector=FirewallResourceLabelSelector("role=worker")
    )
    firewall = cloud.firewalls.create("w", [rule], resources=[selector]).firewall
    server = new_server(cloud, "a")
    assert server.public_net.firewalls[0].firewall.id == firewall.id
    server = server.update(labels={})
    assert server.public_net.firewalls == []
    finish(*firewall.set_rules([]))
    assert cloud.firewalls.get_by_id(firewall.id).rules == []
    assert refusal(firewall.set_rules, [rule] * 51) == "invalid_input"
    for bad in (
        FirewallRule("in", "tcp", ["0.0.0.0/0"]),
        FirewallRule("in", "icmp", ["0.0.0.0/0"], port="1"),
        FirewallRule("in", "tcp", [], port="80"),
        FirewallRule("in", "tcp", ["10.0.0.1/24"], port="80"),
        FirewallRule("in", "tcp", ["10.0.0.0/24"], port="90-80"),
    ):
        assert refusal(firewall.set_rules, [bad]) == "invalid_input"
    private = new_server(
        cloud,
        "p",
        start_after_create=False,
        public_net=ServerCreatePublicNetwork(enable_ipv4=False, enable_ipv6=False),
    )
    resource = FirewallResource("server", server=private)
    assert refusal(firewall.apply_to_resources, [resource]) == "private_net_only_server"
    assert refusal(private.power_on) == "service_error"


def test_networks_check_their_ranges(cloud: Client) -> None:
    network = new_network(cloud, "10.0.0.0/24")
    for bad in ("10.0.0.128/25", "10.0.8.0/24", "10.0.1.0/31", "10.0.1.1/24"):
        subnet = NetworkSubnet(bad, "cloud", "eu-central")
        assert refusal(network.add_subnet, subnet) == "invalid_input"
    assert refusal(cloud.networks.create, "x", "8.8.8.0/24") == "invalid_input"
    assert refusal(cloud.networks.create, "lab", "10.0.0.0/16") == "uniqueness_error"
    finish(network.add_route(NetworkRoute("10.0.16.0/25", "10.0.0.11")))
    finish(network.change_ip_range("10.0.0.0/20"))
    network.reload()
    assert (network.ip_range, network.routes[0].gateway) == ("10.0.0.0/20", "10.0.0.11")
    assert network.subnets[0].gateway == "10.0.0.1"
    network.add_subnet(NetworkSubnet("10.0.1.0/24", "cloud", "eu-central"))
    status, body, _ = ask(
        "POST",
        f"{cloud._client._endpoint}/networks/{network.id}/actions/add_subnet",
        {"type": "cloud", "ip_range": "10.0.2.0/24", "network_zone": "eu-central"},
    )
    assert (status, body["error"]["code"]) == (409, "conflict")


def test_a_load_balancer_serves_targets_in_its_network(cloud: Client) -> None:
    network = new_network(cloud, "10.0.0.0/24")
    server = new_server(cloud, "a")
    created = cloud.load_balancers.create(
        "api", LoadBalancerType("lb11"), location=Location("nbg1")
    )
    finish(created.action)
    balancer = created.load_balancer
    target = LoadBalancerTarget("server", server=server, use_private_ip=True)
    assert refusal(balancer.add_target, target) == "load_balancer_not_attached_to_network"
    assert refusal(balancer.disable_public_interface) == "load_balancer_not_attached_to_network"
    finish(balancer.attach_to_network(network, ip="10.0.0.254"))
    assert refusal(balancer.add_target, target) == "server_not_attached_to_network"
    finish(server.attach_to_network(network))
    finish(balancer.add_target(target))
    service = LoadBalancerService("tcp", 6443, 6443, proxyprotocol=False)
    finish(balancer.add_service(service))
    assert refusal(balancer.add_service, service) == "source_port_already_used"
    finish(balancer.disable_public_interface())
    balancer.reload()
    assert balancer.private_net[0].ip == "10.0.0.254"
    assert balancer.targets[0].server.id == server.id
    assert balancer.services[0].health_check.port == 6443
    assert balancer.public_net.enabled is False
    finish(server.delete())
    assert cloud.load_balancers.get_by_id(balancer.id).targets == []
    finish(balancer.delete().action)
    assert cloud.load_balancers.get_all() == []
