"""Firewall rules: the APIs for administrators, ingress for everybody, nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oxide_components.errors import OxideError
from oxide_components.firewall_rules import (
    ANYWHERE,
    CLUSTER_PORTS,
    control_plane_rules,
    is_public,
    normalise,
    worker_rules,
)

ADMINS = ["203.0.113.7/32", "2001:db8::/64"]


def test_control_planes_open_both_apis_to_administrators_only() -> None:
    rules = control_plane_rules(ADMINS)
    assert [(r.protocol, r.port, r.source_ips) for r in rules] == [
        ("tcp", "6443", tuple(ADMINS)),
        ("tcp", "50000", tuple(ADMINS)),
    ]


def test_workers_open_the_talos_api_to_administrators_and_ingress_to_everybody() -> None:
    rules = worker_rules(ADMINS, [443, 80])
    assert [(r.port, r.source_ips) for r in rules] == [
        ("50000", tuple(ADMINS)),
        ("80", ANYWHERE),
        ("443", ANYWHERE),
    ]
    assert all(r.direction == "in" and r.description for r in rules)


def test_control_planes_that_take_pods_open_ingress_too() -> None:
    assert [r.port for r in control_plane_rules(ADMINS, [80])] == ["6443", "50000", "80"]


def test_more_rules_than_a_firewall_takes_are_refused() -> None:
    assert len(worker_rules(ADMINS, range(1, 50))) == 50
    with pytest.raises(OxideError, match="50"):
        worker_rules(ADMINS, range(1, 51))


cidrs = st.lists(
    st.one_of(
        st.ip_addresses(v=4).map(str),
        st.integers(0, 255).map(lambda n: f"198.51.{n}.0/24"),
        st.integers(0, 9).map(lambda n: f"2001:db8:{n}::/64"),
    ),
    min_size=1,
    max_size=20,
)


@given(cidrs)
def test_the_order_and_repetition_of_ranges_change_nothing(given_cidrs: list[str]) -> None:
    """Else a reordered setting would show up as a changed firewall."""
    expected = worker_rules(given_cidrs, [80, 443])
    assert worker_rules([*reversed(given_cidrs), *given_cidrs], [443, 80, 80]) == expected
    assert normalise(normalise(given_cidrs)) == normalise(given_cidrs)


@given(cidrs)
def test_the_cluster_ports_are_never_open_to_everybody(given_cidrs: list[str]) -> None:
    for rule in (*control_plane_rules(given_cidrs), *worker_rules(given_cidrs, [80, 443])):
        if int(rule.port) in CLUSTER_PORTS:
            assert rule.source_ips == normalise(given_cidrs)


@pytest.mark.parametrize(
    ("ranges", "public"),
    [
        (["0.0.0.0/0"], True),
        (["::/0"], True),
        (["0.0.0.0/1", "128.0.0.0/2", "192.0.0.0/2"], True),
        (["0.0.0.0/1"], False),
        (["203.0.113.7"], False),
    ],
)
def test_ranges_that_add_up_to_everybody_are_public(ranges: list[str], public: bool) -> None:
    assert is_public(ranges) is public
