"""Steps that most tests of the Hetzner emulator need."""

from __future__ import annotations

from typing import Any

import pytest
from hcloud import APIException, Client
from hcloud.actions import BoundAction
from hcloud.images import BoundImage
from hcloud.locations import Location
from hcloud.networks import BoundNetwork, NetworkSubnet
from hcloud.server_types import ServerType
from hcloud.servers import BoundServer

from lab.hetzner.testing import TOKEN

LABELS = {"cluster": "lab", "role": "worker"}


def client(root: str) -> Client:
    """The official client on an emulator."""
    return Client(TOKEN, api_endpoint=f"{root}/v1", poll_interval=0.01)


def finish(*actions: BoundAction | None) -> None:
    """Wait until the actions have succeeded."""
    for action in actions:
        if action is not None:
            action.wait_until_finished()


def talos(cloud: Client, architecture: str = "x86") -> BoundImage:
    """The Talos snapshot of the architecture."""
    return cloud.images.get_all(label_selector="os=talos", architecture=[architecture])[0]


def new_server(cloud: Client, name: str, **options: Any) -> BoundServer:
    """A server that has been started."""
    options = {"location": Location("nbg1"), "labels": LABELS, "image": talos(cloud), **options}
    created = cloud.servers.create(name, ServerType("cx33"), **options)
    finish(created.action, *created.next_actions)
    return cloud.servers.get_by_id(created.server.id)


def new_network(cloud: Client, *subnets: str, ip_range: str = "10.0.0.0/21") -> BoundNetwork:
    """A network with these subnets."""
    network = cloud.networks.create("lab", ip_range)
    for subnet in subnets:
        finish(network.add_subnet(NetworkSubnet(subnet, "cloud", "eu-central")))
    return cloud.networks.get_by_id(network.id)


def refusal(call: Any, *args: Any, **options: Any) -> str:
    """The code of the error that the call must end with."""
    with pytest.raises(APIException) as caught:
        call(*args, **options)
    return str(caught.value.code)
