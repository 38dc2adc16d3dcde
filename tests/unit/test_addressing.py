"""The address plan: fixed addresses, capacities and proofs hold for every set of ranges."""

from ipaddress import IPv4Address, IPv4Network
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oxide_components.addressing import AddressPlan


def plan(**ranges: Any) -> AddressPlan:
    defaults: dict[str, Any] = {
        "network": "10.0.0.0/21",
        "control_subnet": "10.0.0.0/24",
        "worker_subnet": "10.0.1.0/24",
        "pods": "10.0.16.0/20",
        "services": "10.0.8.0/21",
        "node_cidr_mask_size": 25,
    }
    values = defaults | ranges
    mask = values.pop("node_cidr_mask_size")
    return AddressPlan(
        **{key: IPv4Network(str(value)) for key, value in values.items()}, node_cidr_mask_size=mask
    )


@st.composite
def networks(draw: st.DrawFn, shortest: int = 8, longest: int = 28) -> IPv4Network:
    """Ranges inside 10.0.0.0/8."""
    prefix = draw(st.integers(shortest, longest))
    index = draw(st.integers(0, 2 ** (prefix - 8) - 1))
    return IPv4Network(((10 << 24) + (index << (32 - prefix)), prefix))


@st.composite
def plans(draw: st.DrawFn) -> AddressPlan:
    """Plans of any shape, most of them impossible in some way."""
    return plan(
        network=draw(networks(8, 24)),
        control_subnet=draw(networks(16, 30)),
        worker_subnet=draw(networks(16, 30)),
        pods=draw(networks()),
        services=draw(networks()),
        node_cidr_mask_size=draw(st.integers(16, 30)),
    )


@st.composite
def possible_plans(draw: st.DrawFn) -> AddressPlan:
    """Plans cut out of one /12 so that nothing overlaps."""
    base = draw(networks(8, 12))
    nets, pods, services, _ = base.subnets(prefixlen_diff=2)
    network = next(nets.subnets(new_prefix=draw(st.integers(max(nets.prefixlen, 16), 23))))
    control, workers = list(network.subnets(new_prefix=24))[:2]
    return plan(
        network=network,
        control_subnet=control,
        worker_subnet=workers,
        pods=pods,
        services=next(
            services.subnets(new_prefix=draw(st.integers(max(12, services.prefixlen), 24)))
        ),
        node_cidr_mask_size=draw(st.integers(pods.prefixlen + 8, min(28, pods.prefixlen + 16))),
    )


def test_the_documented_addresses() -> None:
    default = plan()
    assert default.gateway == IPv4Address("10.0.0.1")
    assert default.control_plane_addresses(3) == tuple(
        map(IPv4Address, ("10.0.0.11", "10.0.0.12", "10.0.0.13"))
    )
    assert default.load_balancer_address == IPv4Address("10.0.0.254")
    assert default.worker_capacity == 254
    assert default.pod_node_capacity == 32
    assert default.pods_per_node == 126
    assert default.problems(control_planes=9, workers=23) == []


@pytest.mark.parametrize(
    ("workers", "problems", "warnings"), [(12, 0, 0), (13, 0, 1), (29, 0, 1), (30, 1, 0)]
)
def test_pod_room_is_warned_of_from_half_and_refused_beyond(
    workers: int, problems: int, warnings: int
) -> None:
    default = plan()
    assert len(default.problems(control_planes=3, workers=workers)) == problems
    assert len(default.warnings(control_planes=3, workers=workers)) == warnings


def test_the_gateway_takes_an_address_from_the_subnet_it_falls_into() -> None:
    assert plan(control_subnet="10.0.1.0/24", worker_subnet="10.0.0.0/24").worker_capacity == 253


@pytest.mark.parametrize("index", [0, -1])
def test_control_planes_count_from_one(index: int) -> None:
    with pytest.raises(ValueError, match="count from 1"):
        plan().control_plane_address(index)


@given(possible_plans(), st.integers(1, 9), st.integers(0, 91))
def test_disjoint_ranges_have_no_problem(
    plan: AddressPlan, control_planes: int, workers: int
) -> None:
    assert plan.problems(control_planes=control_planes, workers=workers) == []


@given(plans(), st.integers(1, 9), st.integers(0, 100))
def test_a_plan_without_problems_keeps_every_promise(
    plan: AddressPlan, control_planes: int, workers: int
) -> None:
    if plan.problems(control_planes=control_planes, workers=workers):
        return
    fixed = plan.control_plane_addresses(control_planes)
    assert len({*fixed, plan.gateway, plan.load_balancer_address}) == control_planes + 2
    assert all(address in plan.control_subnet for address in (*fixed, plan.load_balancer_address))
    assert all(address not in plan.worker_subnet for address in fixed)
    assert plan.gateway in plan.network
    for subnet in (plan.control_subnet, plan.worker_subnet):
        assert subnet.subnet_of(plan.network)
    ranges = (plan.network, plan.pods, plan.services)
    assert not any(a.overlaps(b) for i, a in enumerate(ranges) for b in ranges[i + 1 :])
    assert (
        len(list(plan.pods.subnets(new_prefix=plan.node_cidr_mask_size)))
        >= control_planes + workers
    )


@given(plans(), st.integers(1, 9), st.integers(0, 100))
def test_overlaps_are_always_reported(plan: AddressPlan, control_planes: int, workers: int) -> None:
    reported = {
        (p.setting, p.value) for p in plan.problems(control_planes=control_planes, workers=workers)
    }
    if plan.pods.overlaps(plan.services):
        assert ("serviceCidr", str(plan.services)) in reported
    if plan.pods.overlaps(plan.network):
        assert ("podCidr", str(plan.pods)) in reported
    if plan.control_subnet.overlaps(plan.worker_subnet):
        assert ("workerSubnetCidr", str(plan.worker_subnet)) in reported


@given(plans(), st.integers(1, 9), st.integers(0, 100))
def test_a_smaller_cluster_never_has_more_problems(
    plan: AddressPlan, control_planes: int, workers: int
) -> None:
    larger = {p.setting for p in plan.problems(control_planes=control_planes, workers=workers)}
    smaller = {p.setting for p in plan.problems(control_planes=1, workers=0)}
    assert smaller <= larger


@given(networks(16, 28), st.integers(1, 50))
def test_control_plane_addresses_follow_each_other(subnet: IPv4Network, count: int) -> None:
    addresses = plan(control_subnet=subnet).control_plane_addresses(count)
    assert addresses[0] == subnet.network_address + 11
    assert all(b == a + 1 for a, b in pairwise(addresses))


@given(plans())
def test_problems_and_warnings_are_complete_sentences(plan: AddressPlan) -> None:
    found = plan.problems(control_planes=3, workers=10) + plan.warnings(
        control_planes=3, workers=10
    )
    assert all(p.setting and p.value and p.reason and p.way_out for p in found)
