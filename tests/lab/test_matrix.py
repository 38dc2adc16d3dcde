"""
Stacks that combine what a cluster can be: each comes up as promised, a second `up` is empty, a destroy leaves nothing.

A few are drawn. OXIDE_MATRIX_SEED draws others, OXIDE_MATRIX=all takes every row, OXIDE_MATRIX=m03,m07 takes these.
"""

import os
import time
from collections.abc import Callable, Iterator

import pytest
from hcloud import Client
from hcloud.networks import NetworkRoute, NetworkSubnet
from hcloud.servers import BoundServer

from lab import vpn

from . import matrix, matrix_promises
from .addons import deploy_web, switch_on
from .cilium_agents import gateway_manifest
from .matrix import Row
from .nat_gateway import nat_gateway, up_with_gateway
from .stacks import TRACEBACK, Stack

SEED = int(os.environ.get("OXIDE_MATRIX_SEED", "1"))
ROWS = matrix.select(os.environ.get("OXIDE_MATRIX", ""), SEED)


@pytest.fixture(params=ROWS, ids=lambda row: row["id"])
def row(request: pytest.FixtureRequest) -> Row:
    """One row of the matrix."""
    chosen: Row = request.param
    print(f"OXIDE_MATRIX_SEED={SEED}: {', '.join(f'{k} {v}' for k, v in chosen.items())}")
    return chosen


@pytest.fixture
def stack(row: Row, new_stack: Callable[..., Stack]) -> Iterator[Stack]:
    """The row's stack before its first `up`, in its network if that was there before, for somebody who reaches its API."""
    stack = new_stack(row["id"])
    network_id = _given_network(stack, row) if row["network"] == "given" else None
    values = matrix.settings(row, network_id, gateway_manifest(stack.project))
    switch_on(stack, *values.pop("addons"))
    for key, value in values.items():
        stack.set(key, value)
    if row["access"] == "private":
        stack.unset("adminCidrs")
        vpn.connect(stack.lab)
    yield stack
    vpn.disconnect(stack.lab)
    stack.discard()
    # Load balancers that are left would hold addresses that the next cluster has, too.
    for left in (*stack.cloud.load_balancers.get_all(), *stack.cloud.volumes.get_all()):
        left.delete()


def test_a_stack_comes_up_as_promised_stays_as_it_is_and_leaves_nothing(
    row: Row, stack: Stack
) -> None:
    before = _everything(stack.cloud)
    gateways: list[BoundServer] = []
    if matrix.needs_gateway(row) and row["network"] == "own":
        seconds = {"up": _timed(lambda: gateways.append(up_with_gateway(stack, matrix.NAT["own"])))}
    else:
        seconds = {"up": _timed(stack.up)}
    if row["hostname"] == "yes":
        # Its DNS entry has yet to be made.
        stack.kubectl("config", "use-context", f"admin@{stack.name}-cp-1")

    assert stack.agreed() == matrix.nodes(row)
    for promise in matrix_promises.ALL:
        promise(row, stack)

    names = matrix.ADDONS[row["addons"]]
    balancer, volume = "cloudController" in names, "csi" in names
    if balancer or volume:
        deploy_web(stack, balancer=balancer, volume=volume)
        matrix_promises.the_application_has_what_it_asked_for(row, stack)
    again = stack.up()
    assert again.changes == {}, again.text
    assert TRACEBACK not in stack.log

    kept = set()
    if volume and row["deleteVolumes"] != "yes":
        kept = {f"volume {one.id} {one.name}" for one in stack.cloud.volumes.get_all()} - before
        assert kept
    for gateway in gateways:
        gateway.delete()
    seconds["destroy"] = _timed(stack.destroy)
    assert _everything(stack.cloud) == before | kept
    assert stack.resources() == []
    assert TRACEBACK not in stack.log
    print(", ".join(f"{what} {took:.0f} s" for what, took in seconds.items()))


def _given_network(stack: Stack, row: Row) -> int:
    """Id of a company's network with something of its own in it."""
    network = stack.cloud.networks.create(
        name=matrix.network_name(row),
        ip_range=matrix.network_range(row),
        subnets=[NetworkSubnet(type="cloud", network_zone="eu-central", ip_range="10.0.4.0/24")],
    )
    if matrix.route_was_there(row):
        default = NetworkRoute("0.0.0.0/0", matrix.NAT["given"])
        network.add_route(default).wait_until_finished()
    if matrix.needs_gateway(row):
        nat_gateway(stack.cloud, network, matrix.NAT["given"])
    return int(network.id)


def _everything(cloud: Client) -> set[str]:
    """Whatever there is in the project, whoever made it."""
    kinds = {
        "server": cloud.servers,
        "network": cloud.networks,
        "firewall": cloud.firewalls,
        "primary IP": cloud.primary_ips,
        "floating IP": cloud.floating_ips,
        "placement group": cloud.placement_groups,
        "load balancer": cloud.load_balancers,
        "certificate": cloud.certificates,
        "volume": cloud.volumes,
        "SSH key": cloud.ssh_keys,
    }
    found = {
        f"{kind} {one.id} {one.name}"
        for kind, listing in kinds.items()
        for one in listing.get_all()
    }
    for network in cloud.networks.get_all():
        found |= {f"subnet {one.ip_range} of {network.name}" for one in network.subnets or ()}
        found |= {f"route to {one.destination} of {network.name}" for one in network.routes or ()}
    return found


def _timed(action: Callable[[], object]) -> float:
    started = time.monotonic()
    action()
    return time.monotonic() - started
