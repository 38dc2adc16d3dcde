"""Nodes get known to the cloud controller, new ones and old ones."""

from typing import Any

import pytest

from oxide_components import cloud_nodes
from oxide_components.cloud_nodes import UNINITIALISED, CloudNodesProvider
from oxide_components.errors import OxideError

MARK = {"key": UNINITIALISED, "value": "true", "effect": "NoSchedule"}
DEDICATED = {"key": "dedicated", "value": "db", "effect": "NoSchedule"}


class Cluster:
    """Nodes, and a controller that initialises one with each look at it."""

    def __init__(self) -> None:
        self.nodes: dict[str, dict[str, Any]] = {}
        self.patched: list[str] = []
        self.controller_runs = True

    def add(self, name: str, provider_id: str = "", *taints: dict[str, str]) -> None:
        self.nodes[name] = {
            "metadata": {"name": name, "resourceVersion": "5"},
            "spec": {"providerID": provider_id, "taints": list(taints)},
        }

    def node(self, name: str) -> dict[str, Any] | None:
        node = self.nodes.get(name)
        if node and MARK in node["spec"]["taints"] and self.controller_runs:
            node["spec"]["taints"].remove(MARK)
            node["spec"]["providerID"] = "hcloud://1"
        return node

    def patch_node(self, name: str, patch: dict[str, Any]) -> bool:
        assert patch["metadata"]["resourceVersion"] == "5"
        self.patched.append(name)
        self.nodes[name]["spec"]["taints"] = patch["spec"]["taints"]
        return True


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster()
    monkeypatch.setattr(cloud_nodes, "KubernetesApi", lambda _: made)
    monkeypatch.setattr(cloud_nodes, "TIMEOUT", 0.0)
    return made


def ensure(*names: str) -> None:
    CloudNodesProvider().create(
        {"cluster_name": "demo", "nodes": list(names), "kubeconfig": "k", "urn": None}
    )


def test_a_node_from_before_the_controller_is_marked_as_new_and_keeps_its_taints(
    cluster: Cluster,
) -> None:
    cluster.add("old", "", DEDICATED)
    cluster.add("known", "hcloud://2")

    ensure("old", "known", "missing")

    assert cluster.patched == ["old"]
    assert cluster.nodes["old"]["spec"] == {"providerID": "hcloud://1", "taints": [DEDICATED]}


def test_a_controller_that_does_nothing_is_reported_with_the_place_to_look(
    cluster: Cluster,
) -> None:
    cluster.add("new", "", MARK)
    cluster.controller_runs = False

    with pytest.raises(OxideError, match=r"hcloud-cloud-controller-manager\).*carries the taint"):
        ensure("new")

    assert cluster.patched == []


def test_other_nodes_are_looked_at_and_the_same_ones_are_not() -> None:
    provider = CloudNodesProvider()

    assert provider.diff("x", {"nodes": ["a"]}, {"nodes": ["a", "b"]}).changes
    assert not provider.diff("x", {"nodes": ["b", "a"]}, {"nodes": ["a", "b"]}).changes
