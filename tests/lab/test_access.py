"""Clusters without public addresses, wholly or in part, and in networks that were there before."""

from collections.abc import Callable, Iterator

import pytest
from hcloud.networks import NetworkRoute, NetworkSubnet

from lab import vpn
from lab.instance import Lab

from .hetzner_support import finish
from .nat_gateway import nat_gateway, own_network, up_with_gateway
from .node_events import of_stack
from .stacks import Stack

NAT = "10.0.2.2"


@pytest.fixture
def inside(lab: Lab) -> Iterator[None]:
    """The operator is in the lab's private networks."""
    vpn.connect(lab)
    yield
    vpn.disconnect(lab)


def test_a_private_cluster_lives_behind_a_bastion(
    new_stack: Callable[..., Stack], inside: None
) -> None:
    stack = new_stack(
        "hidden",
        controlPlanes="3",
        workers="1",
        access="private",
        natGateway=NAT,
        apiLoadBalancer="private",
    )
    stack.unset("adminCidrs")
    gateway = up_with_gateway(stack, NAT)

    outputs = stack.outputs()
    assert outputs["endpoint"] == "https://10.0.0.254:6443"
    assert {node["publicAddress"] for node in outputs["nodes"]} == {""}
    assert "127." not in outputs["kubeconfig"] + outputs["talosconfig"]
    assert {"primary IPs", "firewalls"}.isdisjoint(stack.cloud_objects())
    network = stack.cloud.networks.get_by_name("hidden")
    assert network is not None
    assert [(r.destination, r.gateway) for r in network.routes or []] == [("0.0.0.0/0", NAT)]
    assert len(stack.ready_nodes()) == 4
    assert stack.up().changes == {}

    # Every way into the nodes is used: drain, reboot, gates, a new node, one that leaves.
    stack.set("controlPlaneConfigPatches[0]", 'machine: {udev: {rules: ["SUBSYSTEM==\\"net\\""]}}')
    stack.set("workers", "2")
    stack.up()
    stack.set("workers", "1")
    stack.up()
    assert len(stack.agreed()) == 4

    gateway.delete()
    stack.destroy()
    assert stack.cloud_objects() == {}


def test_nodes_without_a_way_to_the_internet_pull_no_images(
    new_stack: Callable[..., Stack],
) -> None:
    stack = new_stack(
        "offline",
        controlPlanes="1",
        workers="1",
        workerAccess="private",
        natGateway=NAT,
        nodeTimeout="20",
    )

    # Nothing is at the gateway's address.
    failed = stack.run("up", "--yes", "--skip-preview")
    assert failed.code != 0
    assert "offline-worker-1: not within 20 s" in failed.text
    assert {event.node for event in of_stack(stack, "join")} == {"offline-cp-1"}
    # What else it waits for meanwhile depends on how fast the control plane is.
    (pulls, *_) = [
        event.detail
        for event in of_stack(stack, "waits")
        if event.node == "offline-worker-1" and "failed to pull image" in event.detail
    ]
    assert f"the default route goes to {NAT}, where no running server" in pulls

    gateway = nat_gateway(stack.cloud, own_network(stack, 2), NAT)
    stack.set("nodeTimeout", "180")
    stack.up()
    assert len(stack.agreed()) == 2

    # What is there goes on without the route; what is new does not get anywhere.
    route = NetworkRoute("0.0.0.0/0", NAT)
    finish(own_network(stack, 3).delete_route(route))
    stack.set("workers", "2")
    stack.set("nodeTimeout", "20")
    failed = stack.run("up", "--yes", "--skip-preview")
    assert failed.code != 0
    assert "offline-worker-2: not within 20 s" in failed.text
    assert stack.ready_nodes() == ["offline-cp-1", "offline-worker-1"]

    stack.set("nodeTimeout", "180")
    stack.ok("refresh", "--yes", "--skip-preview")
    stack.up()
    assert len(stack.agreed()) == 3
    gateway.delete()
    stack.destroy()
    assert stack.cloud_objects() == {}


def test_workers_alone_are_private_in_a_network_that_stays(
    new_stack: Callable[..., Stack],
) -> None:
    stack = new_stack("shared", controlPlanes="1", workers="2", workerAccess="private")
    network = stack.cloud.networks.create(
        name="company",
        ip_range="10.0.0.0/16",
        subnets=[NetworkSubnet(type="cloud", network_zone="eu-central", ip_range="10.0.200.0/24")],
    )
    settings = {
        "networkId": str(network.id),
        "networkCidr": "10.0.0.0/16",
        "podCidr": "10.96.0.0/16",
        "serviceCidr": "10.97.0.0/16",
        "natGateway": "10.0.200.2",
    }
    for key, value in settings.items():
        stack.set(key, value)
    gateway = nat_gateway(stack.cloud, network, "10.0.200.2")
    stack.up()

    addresses = {node["name"]: node["publicAddress"] for node in stack.outputs()["nodes"]}
    assert addresses["shared-cp-1"].startswith("127.")
    assert addresses["shared-worker-1"] == addresses["shared-worker-2"] == ""
    assert len(stack.agreed()) == 3
    assert stack.up().changes == {}

    stack.destroy()
    left = stack.cloud.networks.get_by_name("company")
    assert left is not None
    assert [subnet.ip_range for subnet in left.subnets or []] == ["10.0.200.0/24"]
    assert left.routes == []
    gateway.delete()
    left.delete()


def test_reverse_names_follow_the_template(new_stack: Callable[..., Stack]) -> None:
    stack = new_stack("named", controlPlanes="1", workers="1", rdns="{name}.example.com")
    stack.up()

    for name in ("named-cp-1", "named-worker-1"):
        server = stack.cloud.servers.get_by_name(name)
        assert server is not None
        assert server.public_net is not None
        assert server.public_net.ipv4 is not None
        assert server.public_net.ipv4.dns_ptr == f"{name}.example.com"
        assert server.public_net.ipv6 is not None
        names = [entry["dns_ptr"] for entry in server.public_net.ipv6.dns_ptr or []]
        assert names == [f"{name}.example.com"]
    assert stack.up().changes == {}
    stack.destroy()
    assert stack.cloud_objects() == {}
