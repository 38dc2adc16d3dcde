"""A NAT gateway as users have one: a server in the network, with a public address, that the default route goes to."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Network

from hcloud import Client
from hcloud.images import Image
from hcloud.locations import Location
from hcloud.networks import BoundNetwork, NetworkSubnet
from hcloud.server_types import ServerType
from hcloud.servers import BoundServer

from .hetzner_support import finish
from .stacks import Stack
from .talos_support import eventually


def own_network(stack: Stack, subnets: int) -> BoundNetwork:
    """The network that a stack makes itself, once it has this many subnets."""

    def found() -> BoundNetwork | None:
        network = stack.cloud.networks.get_by_name(stack.name)
        return network if network and len(network.subnets or ()) == subnets else None

    return eventually("the network is there", found, 60)


def up_with_gateway(stack: Stack, address: str) -> BoundServer:
    """`up` of a private cluster in a network of its own: its nodes go on as soon as the gateway is there."""
    with ThreadPoolExecutor() as beside:
        gateway = beside.submit(lambda: nat_gateway(stack.cloud, own_network(stack, 2), address))
        stack.up()
    return gateway.result()


def nat_gateway(cloud: Client, network: BoundNetwork, address: str) -> BoundServer:
    """
    Put a NAT gateway into a network.

    Args:
        address: Its address; a subnet for it is made unless there is one.
    """
    subnet = IPv4Network(f"{address}/24", strict=False)
    if str(subnet) not in {found.ip_range for found in network.subnets or ()}:
        finish(network.add_subnet(NetworkSubnet(str(subnet), "cloud", "eu-central")))
    created = cloud.servers.create(
        f"nat-{network.name}",
        ServerType("cx33"),
        Image(name="ubuntu-24.04"),
        location=Location("nbg1"),
    )
    finish(created.action, *created.next_actions)
    server = cloud.servers.get_by_id(created.server.id)
    finish(server.attach_to_network(network, ip=address))
    return server
