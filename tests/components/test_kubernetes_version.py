"""Kubernetes' own upgrade: what keeps it from beginning."""

from typing import Any

import pytest

from oxide_components import kubernetes_version
from oxide_components.errors import OxideError
from oxide_components.kubernetes_version import KubernetesVersionProvider

from .living import Living


def test_a_dead_node_that_is_left_out_is_named_before_talosctl_stumbles_over_it(
    living: Living, monkeypatch: pytest.MonkeyPatch
) -> None:
    fakes: Any = living.cluster
    monkeypatch.setattr(kubernetes_version, "KubernetesApi", lambda _kubeconfig: fakes)
    living.cluster.kill("demo-worker-2")
    props = living.props(
        "demo-cp-1",
        version="1.36.0",
        cilium_version="1.19.6",
        skip_nodes=["demo-worker-2"],
    )

    with pytest.raises(OxideError, match=r"demo-worker-2 \(skipNodes\).*kubectl delete node"):
        KubernetesVersionProvider().update("demo", {**props, "version": "1.35.4"}, props)

    assert living.cluster.calls == []


@pytest.mark.parametrize(("skipped", "pending"), [([], True), (["demo-worker-2"], None)])
def test_a_refresh_finds_a_node_that_has_come_back_with_an_older_version(
    living: Living, monkeypatch: pytest.MonkeyPatch, skipped: list[str], pending: bool | None
) -> None:
    fakes: Any = living.cluster
    monkeypatch.setattr(kubernetes_version, "KubernetesApi", lambda *_, **__: fakes)
    monkeypatch.setattr(
        kubernetes_version, "_others", lambda _api, _version, _nodes: ["demo-worker-2"]
    )
    props = living.props("demo-cp-1", version="1.35.4", skip_nodes=skipped)

    outs = KubernetesVersionProvider().read("demo", props).outs

    assert outs.get("pending") is pending


def test_a_refresh_of_a_silent_cluster_changes_nothing(living: Living) -> None:
    props = living.props("demo-cp-1", version="1.35.4", kubeconfig="no kubeconfig")

    assert KubernetesVersionProvider().read("demo", props).outs == props
