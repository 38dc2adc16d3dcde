"""What keeps an add-on from being switched off."""

from collections.abc import Mapping
from typing import Any

import pytest

from oxide_components import addon_guard
from oxide_components.addon_guard import switch_off_refusals
from oxide_components.api_gate import ApiGateProvider
from oxide_components.kubernetes_api import ApiUnavailableError

VOLUME = {
    "metadata": {"name": "pv-1"},
    "spec": {"csi": {"driver": "csi.hetzner.cloud"}},
}
FOREIGN_VOLUME = {"metadata": {"name": "pv-2"}, "spec": {"csi": {"driver": "nfs.csi.k8s.io"}}}
LOCAL_VOLUME = {"metadata": {"name": "pv-3"}, "spec": {"hostPath": {"path": "/x"}}}


def service(name: str, kind: str, **spec: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "shop"}, "spec": {"type": kind, **spec}}


class Cluster:
    """Answers look-ups with fixed lists."""

    def __init__(self, lists: Mapping[str, list[dict[str, Any]]]) -> None:
        self.lists = lists
        self.asked: list[str] = []

    def __call__(self, _kubeconfig: str, timeout: float) -> "Cluster":
        assert timeout < 10, "a preview waits for it"
        return self

    def items(self, path: str) -> list[dict[str, Any]]:
        self.asked.append(path)
        if path not in self.lists:
            raise ApiUnavailableError("https://192.0.2.1:6443: timed out")
        return self.lists[path]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster({})
    monkeypatch.setattr(addon_guard, "KubernetesApi", made)
    return made


def test_csi_stays_while_volumes_of_its_driver_exist(cluster: Cluster) -> None:
    cluster.lists = {"/api/v1/persistentvolumes": [VOLUME, FOREIGN_VOLUME, LOCAL_VOLUME]}

    (refusal,) = switch_off_refusals(["csi"], [], "kubeconfig")

    assert "oxide:addons.csi cannot be switched off" in refusal
    assert "1 PersistentVolume " in refusal
    assert "(pv-1)" in refusal
    assert "kubectl get pvc -A" in refusal


def test_the_controller_stays_while_it_keeps_load_balancers(cluster: Cluster) -> None:
    cluster.lists = {
        "/api/v1/services": [
            service("web", "LoadBalancer"),
            service("inner", "ClusterIP"),
            service("own", "LoadBalancer", loadBalancerClass="io.cilium/node"),
        ]
    }

    (refusal,) = switch_off_refusals(["cloudController"], [], "kubeconfig")

    assert "oxide:addons.cloudController cannot be switched off" in refusal
    assert "(shop/web)" in refusal


def test_what_nothing_needs_can_go(cluster: Cluster) -> None:
    cluster.lists = {
        "/api/v1/services": [service("inner", "ClusterIP")],
        "/api/v1/persistentvolumes": [FOREIGN_VOLUME],
    }

    assert switch_off_refusals(["cloudController", "csi"], [], "kubeconfig") == []


def test_a_silent_cluster_refuses_and_says_so(cluster: Cluster) -> None:
    (refusal,) = switch_off_refusals(["csi"], [], "kubeconfig")

    assert "does not answer: https://192.0.2.1:6443: timed out" in refusal


def test_many_users_are_counted_and_some_named(cluster: Cluster) -> None:
    cluster.lists = {
        "/api/v1/services": [service(f"web-{number}", "LoadBalancer") for number in range(8)]
    }

    (refusal,) = switch_off_refusals(["cloudController"], ["csi"], "kubeconfig")

    assert "8 Services" in refusal
    assert "shop/web-4 and 3 more" in refusal


@pytest.mark.parametrize("after", [["csi"], ["csi", "cloudController"]])
def test_nobody_is_asked_while_nothing_is_switched_off(cluster: Cluster, after: list[str]) -> None:
    assert switch_off_refusals(["csi"], after, "kubeconfig") == []
    assert cluster.asked == []


def test_the_gate_refuses_in_the_preview_and_records_what_is_on(cluster: Cluster) -> None:
    gate = ApiGateProvider()
    cluster.lists = {"/api/v1/persistentvolumes": [VOLUME]}
    olds = {"kubeconfig": "old", "addons": ["csi"]}

    assert len(gate.check(olds, {"kubeconfig": "new", "addons": []}).failures) == 1
    # Before the first `up` there is no cluster to ask.
    assert gate.check({}, {"kubeconfig": object(), "addons": []}).failures == []
    assert gate.diff("x", {"kubeconfig": "old"}, {"kubeconfig": "new", "addons": ["csi"]}).changes
    assert not gate.diff("x", {"kubeconfig": "old"}, {"kubeconfig": "new", "addons": []}).changes
