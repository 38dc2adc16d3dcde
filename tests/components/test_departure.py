"""The departure: replaced workers leave after the others, before any server is deleted."""

from pathlib import Path
from typing import Any

import pytest

from oxide_components.departure import DepartureProvider
from oxide_components.errors import OxideError

from .fake_cluster import FakeCluster, address_of
from .leaving_cluster import leaving_cluster


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    return leaving_cluster(monkeypatch, tmp_path, control_planes=1, workers=3)


def _props(*leavers: int) -> dict[str, Any]:
    return {
        "cluster_name": "demo",
        "nodes": [
            {"name": f"demo-worker-{i}", "role": "worker", "pool": "worker", "index": float(i)}
            for i in leavers
        ],
        "control_planes": [
            {
                "name": "demo-cp-1",
                "private_address": address_of(1),
                "public_address": "192.0.2.1",
            }
        ],
        "talosconfig": "planted-talosconfig",
        "drain_timeout": 0.01,
        "urn": "",
    }


def test_replaced_workers_leave_one_by_one(cluster: FakeCluster) -> None:
    outs = DepartureProvider().update("demo", _props(), _props(1, 2)).outs

    assert outs == _props(1, 2)
    assert cluster.done == [
        *("reset demo-worker-2 graceful", "delete demo-worker-2"),
        *("reset demo-worker-1 graceful", "delete demo-worker-1"),
    ]


@pytest.mark.parametrize("nodes", [[], None])
def test_a_first_run_without_leavers_makes_no_call(
    cluster: FakeCluster, nodes: list[Any] | None
) -> None:
    cluster.alive.clear()

    DepartureProvider().create({**_props(), "nodes": nodes})


def test_a_first_run_that_goes_on_after_a_cut_lets_them_leave(cluster: FakeCluster) -> None:
    DepartureProvider().create(_props(1))

    assert cluster.done == ["reset demo-worker-1 graceful", "delete demo-worker-1"]


def test_only_other_leavers_are_a_change(cluster: FakeCluster) -> None:
    provider = DepartureProvider()

    assert provider.diff("demo", _props(1), {**_props(1), "talosconfig": "new"}).changes is False
    assert provider.diff("demo", _props(1), _props(2)).changes is True
    # What the preview does not know yet.
    assert provider.diff("demo", _props(), {**_props(), "nodes": None}).changes is True


def test_a_worker_that_cannot_leave_fails_before_servers_are_deleted(cluster: FakeCluster) -> None:
    cluster.blocked = {"demo-worker-1"}

    with pytest.raises(OxideError, match=r"no server was deleted.*\n.*demo-worker-1: not drained"):
        DepartureProvider().update("demo", _props(), _props(1, 2))

    assert cluster.done == ["reset demo-worker-2 graceful", "delete demo-worker-2"]
