"""A cluster that nodes leave: the roster's view of it, and its inputs."""

from pathlib import Path
from typing import Any

import pytest

from oxide_components import leaving, roster
from oxide_components.roster import RosterProvider

from .fake_cluster import FakeCluster, address_of


def leaving_cluster(
    monkeypatch: pytest.MonkeyPatch, directory: Path, *, control_planes: int, workers: int
) -> FakeCluster:
    """A cluster that the roster reaches, without any waiting."""
    cluster = FakeCluster(control_planes=control_planes, workers=workers)
    # The lock of another run of these tests is not meant.
    monkeypatch.setattr("tempfile.tempdir", str(directory))
    monkeypatch.setattr(leaving, "SILENCE", 0.0)
    monkeypatch.setattr(leaving, "ETCD_TIMEOUT", 0.0)
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    monkeypatch.setattr(roster, "Talosctl", lambda _talosconfig: cluster)
    monkeypatch.setattr(roster, "power", cluster.power)
    monkeypatch.setattr(roster, "server_id", cluster.server_id)
    monkeypatch.setattr(
        roster, "record_failure", lambda _id, outs, _reason: cluster.recorded.append(outs)
    )
    monkeypatch.setattr(roster, "people_kubeconfig", lambda *_: "kubeconfig")
    monkeypatch.setattr(roster, "KubernetesApi", lambda _kubeconfig: cluster)
    return cluster


def roster_props(control_planes: int, workers: int) -> dict[str, Any]:
    """Inputs of the roster of a cluster of this size."""
    nodes = [
        {"name": f"demo-{pool}-{i}", "role": role, "pool": pool, "index": float(i)}
        for pool, role, count in (
            ("cp", "control-plane", control_planes),
            ("worker", "worker", workers),
        )
        for i in range(1, count + 1)
    ]
    return {
        "cluster_name": "demo",
        "nodes": nodes,
        "control_planes": [
            {
                "name": f"demo-cp-{i}",
                "private_address": address_of(i),
                "public_address": f"192.0.2.{i}",
            }
            for i in range(1, control_planes + 1)
        ],
        "talosconfig": "planted-talosconfig",
        "drain_timeout": 0.01,
        "urn": "",
    }


def update_roster(olds: dict[str, Any], news: dict[str, Any]) -> dict[str, Any]:
    """Change the roster as the engine does; what is recorded then."""
    return RosterProvider().update("demo", olds, news).outs or {}
