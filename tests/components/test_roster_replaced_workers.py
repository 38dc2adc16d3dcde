"""Workers that others replace, nodes that stay after all, and locations that servers cannot change."""

import json
from pathlib import Path
from typing import Any

import pytest

from oxide_components import roster
from oxide_components.errors import OxideError
from oxide_components.roster import RosterProvider

from .fake_cluster import FakeCluster
from .leaving_cluster import leaving_cluster, roster_props, update_roster


@pytest.fixture
def announced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []
    monkeypatch.setattr(roster, "log_info", lambda _urn, text: said.append(text))
    return said


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    return leaving_cluster(monkeypatch, tmp_path, control_planes=3, workers=3)


def _refusals(olds: dict[str, Any], news: dict[str, Any]) -> list[str]:
    return [failure.reason for failure in RosterProvider().check(olds, news).failures]


def _generation(props: dict[str, Any], generation: int, location: str = "fsn1") -> dict[str, Any]:
    """The same cluster with its workers in another generation or location."""
    changed = json.loads(json.dumps(props))
    for node in changed["nodes"]:
        node["location"] = "fsn1" if node["role"] == "control-plane" else location
        if node["role"] == "worker" and generation > 1:
            node["name"] = node["name"].replace("worker", f"worker-g{generation}")
    return dict(changed)


def _names(nodes: list[dict[str, Any]]) -> list[str]:
    return [node["name"] for node in nodes]


def test_replaced_workers_stay_until_the_new_ones_are_there(
    cluster: FakeCluster, announced: list[str]
) -> None:
    olds, news = _generation(roster_props(3, 2), 1), _generation(roster_props(3, 2), 2)
    assert RosterProvider().diff("demo", olds, news).changes is True
    outs = update_roster(olds, news)

    assert cluster.done == []
    assert cluster.cordoned() == []
    assert _names(outs["superseded"]) == ["demo-worker-1", "demo-worker-2"]
    assert [text.partition(": ")[0] for text in announced] == [
        f"demo-worker-{i} leaves once the new workers are Ready" for i in (2, 1)
    ]


def test_control_planes_leave_at_once_also_where_workers_are_replaced(
    cluster: FakeCluster,
) -> None:
    outs = update_roster(_generation(roster_props(3, 2), 1), _generation(roster_props(1, 2), 2))

    assert [entry for entry in cluster.done if entry.startswith("delete")] == [
        *("delete demo-cp-3", "delete demo-cp-2"),
    ]
    assert _names(outs["superseded"]) == ["demo-worker-1", "demo-worker-2"]


def test_workers_that_were_replaced_earlier_and_are_still_there_leave_with_the_next_change(
    cluster: FakeCluster, announced: list[str]
) -> None:
    second = update_roster(_generation(roster_props(3, 1), 1), _generation(roster_props(3, 1), 2))
    assert cluster.done == []
    third = _generation(roster_props(3, 1), 3)

    RosterProvider().diff("demo", second, third)
    outs = update_roster(second, third)

    assert cluster.done == ["reset demo-worker-1 graceful", "delete demo-worker-1"]
    assert _names(outs["superseded"]) == ["demo-worker-g2-1"]
    assert [text.split(" leaves")[0] for text in announced] == ["demo-worker-1", "demo-worker-g2-1"]


def test_workers_that_are_wanted_again_take_pods_again(cluster: FakeCluster) -> None:
    first = _generation(roster_props(3, 2), 1)
    second = update_roster(first, _generation(roster_props(3, 2), 2))
    cluster.set_unschedulable("demo-worker-1", True)
    cluster.nodes["demo-worker-2"]["spec"]["unschedulable"] = True

    outs = update_roster(second, first)

    # The second is a person's.
    assert cluster.cordoned() == ["demo-worker-2"]
    assert cluster.done == []
    assert _names(outs["superseded"]) == ["demo-worker-g2-1", "demo-worker-g2-2"]


def _failed(olds: dict[str, Any], news: dict[str, Any], cluster: FakeCluster) -> dict[str, Any]:
    """A run in which a worker cannot leave; what the engine records of it."""
    cluster.blocked = {"demo-worker-1"}
    with pytest.raises(OxideError, match="demo-worker-1: not drained"):
        update_roster(olds, news)
    cluster.blocked = set()
    cluster.done.clear()
    return cluster.recorded[-1]


def test_nodes_that_have_left_come_back_where_the_old_number_is_set_back(
    cluster: FakeCluster, announced: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    warned: list[str] = []
    monkeypatch.setattr(roster, "log_warning", lambda _urn, text: warned.append(text))
    before = roster_props(3, 3)
    recorded = _failed(before, roster_props(3, 0), cluster)
    RosterProvider().diff("demo", recorded, before)
    assert sorted(text.split(" stays")[0] for text in announced) == [
        f"demo-worker-{i}" for i in (1, 2, 3)
    ]

    outs = update_roster(recorded, before)

    assert sorted(cluster.done) == ["power on demo-worker-2", "power on demo-worker-3"]
    assert sorted(cluster.nodes) == sorted(node["name"] for node in before["nodes"])
    assert cluster.cordoned() == []
    assert outs["leaving"] == []
    # They boot from what their servers were made with.
    assert sorted(text.split(" has left")[0] for text in warned) == [
        "demo-worker-2",
        "demo-worker-3",
    ]
    assert all("`pulumi up --refresh`" in text for text in warned)


def test_only_those_that_stay_come_back(cluster: FakeCluster) -> None:
    recorded = _failed(roster_props(3, 3), roster_props(3, 0), cluster)
    update_roster(recorded, roster_props(3, 2))

    assert cluster.done == ["power on demo-worker-2"]
    assert cluster.cordoned() == []
    assert "demo-worker-3" not in cluster.nodes


def test_a_failed_run_is_gone_on_with(cluster: FakeCluster) -> None:
    recorded = _failed(roster_props(3, 3), roster_props(3, 0), cluster)
    assert RosterProvider().diff("demo", recorded, roster_props(3, 0)).changes is True
    outs = update_roster(recorded, roster_props(3, 0))

    assert cluster.done == ["reset demo-worker-1 graceful", "delete demo-worker-1"]
    assert outs["leaving"] == []


def test_too_many_control_planes_are_refused_after_a_failed_run_as_well(
    cluster: FakeCluster,
) -> None:
    with pytest.raises(OxideError, match="4 of 5 control planes would leave at once"):
        update_roster(roster_props(5, 1), roster_props(1, 1))

    assert cluster.done == []


def test_another_location_is_refused_with_the_generation_as_the_way() -> None:
    here, there = _generation(roster_props(3, 2), 1), _generation(roster_props(3, 2), 1, "nbg1")
    (reason,) = _refusals(here, there)

    assert "pool worker run in fsn1" in reason
    assert "cannot move to nbg1" in reason
    assert "Raise workersGeneration by one" in reason
    assert _refusals(here, _generation(roster_props(3, 2), 2, "nbg1")) == []


def test_the_location_of_another_pool_names_its_own_setting() -> None:
    here, there = _generation(roster_props(3, 1), 1), _generation(roster_props(3, 1), 1, "nbg1")
    for props in (here, there):
        props["nodes"][-1]["pool"] = "db"
    (reason,) = _refusals(here, there)

    assert "generation of pool db in workerPools" in reason


def test_control_planes_cannot_move_and_the_way_out_is_told() -> None:
    here = _generation(roster_props(3, 1), 1)
    there = json.loads(json.dumps(here))
    for node in there["nodes"]:
        node["location"] = "nbg1"
    (reason,) = _refusals(here, there)

    assert "Control plane demo-cp-1 runs in fsn1 and cannot move to nbg1" in reason
    assert "Set controlPlaneLocations so that it has fsn1 again" in reason
    assert "or location where that is not set" in reason


def test_control_planes_to_come_may_stand_elsewhere() -> None:
    here = _generation(roster_props(1, 1), 1)
    there = _generation(roster_props(3, 1), 1)
    for node, location in zip(there["nodes"], ("fsn1", "nbg1", "hel1"), strict=False):
        node["location"] = location

    assert _refusals(here, there) == []
    # The last one would move.
    (reason,) = _refusals(there, _generation(roster_props(3, 1), 1))
    assert "demo-cp-2 runs in nbg1 and cannot move to fsn1" in reason


def test_locations_that_are_not_known_yet_are_no_move() -> None:
    here = _generation(roster_props(3, 1), 1)
    there = json.loads(json.dumps(here))
    for node in there["nodes"]:
        node["location"] = None

    assert _refusals(here, there) == []
    assert _refusals(there, here) == []
