"""Cilium: values that fit Talos at Hetzner, and the user's over them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oxide_components import kubeprism
from oxide_components.cilium_chart import cilium_values, merge
from oxide_components.cilium_modes import CiliumModes
from oxide_components.cilium_user_values import value_problems


def values(**keys: Any) -> dict[str, Any]:
    return cilium_values(
        **{
            "control_plane_count": 3,
            "worker_count": 2,
            "network_cidr": "10.0.0.0/16",
            "pod_cidr": "10.0.16.0/20",
            "modes": CiliumModes(),
            **keys,
        }
    )


def test_cilium_reaches_the_api_through_kubeprism_and_replaces_kube_proxy() -> None:
    made = values()
    assert made["kubeProxyReplacement"] is True
    assert (made["k8sServiceHost"], made["k8sServicePort"]) == ("localhost", 7445)
    assert (kubeprism.KUBEPRISM_HOST, kubeprism.KUBEPRISM_PORT) == ("localhost", 7445)


def test_values_fit_talos_and_hetzner() -> None:
    made = values()
    assert made["ipam"]["mode"] == "kubernetes"
    assert (made["routingMode"], made["tunnelProtocol"], made["MTU"]) == ("tunnel", "vxlan", 1450)
    assert made["loadBalancer"]["acceleration"] == "best-effort"
    assert made["cgroup"] == {"autoMount": {"enabled": False}, "hostRoot": "/sys/fs/cgroup"}
    assert "SYS_MODULE" not in made["securityContext"]["capabilities"]["ciliumAgent"]
    assert made["nodeIPAM"]["enabled"] is False
    assert made["gatewayAPI"]["enabled"] is False
    assert made["rollOutCiliumPods"] is True


@pytest.mark.parametrize(
    ("control_planes", "workers", "replicas"), [(1, 0, 1), (1, 1, 2), (3, 0, 2), (3, 5, 2)]
)
def test_the_operator_has_two_replicas_where_two_nodes_can_run_it(
    control_planes: int, workers: int, replicas: int
) -> None:
    made = values(control_plane_count=control_planes, worker_count=workers)
    assert made["operator"]["replicas"] == replicas


@pytest.mark.parametrize(
    "modes",
    [
        CiliumModes(),
        CiliumModes(routing_mode="native", encryption="ipsec", gateway_api=True, node_ipam=True),
    ],
    ids=["default", "others"],
)
def test_oxides_own_values_have_no_problem(modes: CiliumModes) -> None:
    assert value_problems(values(modes=modes), modes) == []


def test_user_values_are_merged_last_and_deep() -> None:
    made = values(user_values={"hubble": {"ui": {"enabled": True}}, "bpf": {"masquerade": False}})
    assert made["hubble"]["ui"]["enabled"] is True
    assert made["hubble"]["enabled"] is True
    assert made["bpf"] == {"masquerade": False}


trees = st.recursive(
    st.one_of(st.integers(0, 9), st.lists(st.integers(0, 9), max_size=2)),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
mappings = st.dictionaries(st.sampled_from("abc"), trees, max_size=3)


@given(mappings, mappings)
def test_merging_keeps_what_the_user_says_and_changes_no_input(
    base: dict[str, Any], over: dict[str, Any]
) -> None:
    before = repr((base, over))
    merged = merge(base, over)
    assert merge(merged, over) == merged
    assert set(merged) == set(base) | set(over)
    assert repr((base, over)) == before
