"""The roster, against a cluster of our own that stands in for talosctl and the Kubernetes API."""

import json
from pathlib import Path
from typing import Any

import pytest

from oxide_components import leaving, roster
from oxide_components.errors import OxideError
from oxide_components.roster import RosterProvider

from .fake_cluster import FakeCluster, address_of
from .leaving_cluster import leaving_cluster, roster_props, update_roster


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []
    monkeypatch.setattr(leaving, "log_warning", lambda _urn, text: said.append(text))
    return said


@pytest.fixture
def announced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []
    monkeypatch.setattr(roster, "log_info", lambda _urn, text: said.append(text))
    return said


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warnings: list[str]) -> FakeCluster:
    return leaving_cluster(monkeypatch, tmp_path, control_planes=3, workers=3)


class _Unknown:
    """Stands for a value that a preview does not know; equal to nothing."""


def test_nodes_leave_one_by_one_workers_first_and_the_highest_index_first(
    cluster: FakeCluster,
) -> None:
    assert update_roster(roster_props(3, 3), roster_props(1, 1)) == {
        **roster_props(1, 1),
        "superseded": [],
        "leaving": [],
    }

    assert cluster.done == [
        *("reset demo-worker-3 graceful", "delete demo-worker-3"),
        *("reset demo-worker-2 graceful", "delete demo-worker-2"),
        *("leave demo-cp-3", "reset demo-cp-3 hard", "delete demo-cp-3"),
        *("leave demo-cp-2", "reset demo-cp-2 hard", "delete demo-cp-2"),
    ]
    assert cluster.cordoned() == []


def test_a_larger_cluster_is_recorded_without_a_call(cluster: FakeCluster) -> None:
    assert update_roster(roster_props(1, 1), roster_props(3, 3)) == {
        **roster_props(3, 3),
        "superseded": [],
        "leaving": [],
    }
    assert cluster.done == []


def test_a_blocked_worker_is_named_with_its_pod_and_the_others_leave(cluster: FakeCluster) -> None:
    cluster.blocked = {"demo-worker-3"}

    with pytest.raises(OxideError) as caught:
        update_roster(roster_props(3, 3), roster_props(3, 1))

    text = str(caught.value)
    assert "1 of 2 nodes did not leave; no server was deleted" in text
    assert "demo-worker-3: not drained" in text
    assert "pod default/pod-on-demo-worker-3 (The disruption budget web needs 3" in text
    assert "stays cordoned" in text
    assert "planted" not in text
    assert cluster.done == ["reset demo-worker-2 graceful", "delete demo-worker-2"]


def test_the_next_run_goes_on_where_a_failed_one_stopped(cluster: FakeCluster) -> None:
    cluster.blocked = {"demo-worker-3"}
    with pytest.raises(OxideError):
        update_roster(roster_props(3, 3), roster_props(3, 1))
    cluster.blocked, cluster.done = set(), []
    update_roster(roster_props(3, 3), roster_props(3, 1))

    assert cluster.done == ["reset demo-worker-3 graceful", "delete demo-worker-3"]


@pytest.mark.parametrize("steps", range(10))
def test_a_run_that_was_cut_anywhere_is_finished_by_the_next(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    class Cut(BaseException):
        pass

    class Breaking(list[str]):
        def append(self, entry: str) -> None:
            if len(self) == steps:
                raise Cut
            super().append(entry)

    cluster.done = Breaking()
    with pytest.raises(Cut):
        update_roster(roster_props(3, 3), roster_props(1, 1))
    cluster.done = []
    update_roster(roster_props(3, 3), roster_props(1, 1))

    assert set(cluster.nodes) == {"demo-cp-1", "demo-worker-1"}
    assert set(cluster.members) == {"demo-cp-1"}


def test_a_dead_worker_is_taken_out_of_kubernetes_with_a_warning(
    cluster: FakeCluster, warnings: list[str]
) -> None:
    cluster.kill("demo-worker-3")
    cluster.blocked = {"demo-worker-3"}
    update_roster(roster_props(3, 3), roster_props(3, 2))

    assert cluster.done == ["delete demo-worker-3"]
    assert any("demo-worker-3 does not answer" in text for text in warnings)


def test_a_silent_node_whose_kubelet_still_reports_is_drained(cluster: FakeCluster) -> None:
    cluster.kill("demo-worker-3")
    cluster.reporting = cluster.blocked = {"demo-worker-3"}

    with pytest.raises(OxideError, match="pod-on-demo-worker-3"):
        update_roster(roster_props(3, 3), roster_props(3, 2))

    assert cluster.done == []


def test_a_dead_control_plane_leaves_first_by_its_member_id(cluster: FakeCluster) -> None:
    cluster.kill("demo-cp-2")
    update_roster(roster_props(3, 3), roster_props(1, 3))

    assert cluster.done == [
        *("remove demo-cp-2", "delete demo-cp-2"),
        *("leave demo-cp-3", "reset demo-cp-3 hard", "delete demo-cp-3"),
    ]


def test_a_member_that_cannot_leave_by_itself_is_removed(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.leave_refused = True
    monkeypatch.setattr(leaving, "ETCD_TIMEOUT", 5.0)
    update_roster(roster_props(3, 3), roster_props(2, 3))

    assert cluster.done == [
        *("remove demo-cp-3", "reset demo-cp-3 hard", "delete demo-cp-3"),
    ]


def test_a_node_that_never_joined_needs_nothing(cluster: FakeCluster) -> None:
    update_roster(roster_props(5, 5), roster_props(3, 3))

    assert cluster.done == []


def test_a_member_that_was_added_and_never_started_is_removed(cluster: FakeCluster) -> None:
    cluster.members["demo-cp-4"] = address_of(4)
    update_roster(roster_props(5, 3), roster_props(3, 3))

    assert cluster.done == ["remove demo-cp-4"]


def test_a_sick_control_plane_that_stays_is_named_and_nothing_is_touched(
    cluster: FakeCluster,
) -> None:
    cluster.sick = {"demo-cp-2"}

    with pytest.raises(OxideError, match=r"demo-cp-2: unwell.*Nothing was touched"):
        update_roster(roster_props(3, 3), roster_props(2, 1))

    assert cluster.done == []
    assert cluster.cordoned() == []


def test_a_dead_control_plane_that_stays_keeps_the_others_from_leaving(
    cluster: FakeCluster,
) -> None:
    cluster.kill("demo-cp-2")

    with pytest.raises(OxideError, match=r"demo-cp-3 cannot leave.*demo-cp-2"):
        update_roster(roster_props(3, 3), roster_props(2, 3))

    assert cluster.cordoned() == []


def test_a_machine_that_got_the_address_of_a_lost_worker_is_not_reset(
    cluster: FakeCluster, warnings: list[str]
) -> None:
    (address,) = (a for a, name in cluster.alive.items() if name == "demo-worker-3")
    cluster.alive[address] = "demo-worker-2"
    cluster.boots["demo-worker-2"] = 7
    update_roster(roster_props(3, 3), roster_props(3, 2))

    assert cluster.done == ["delete demo-worker-3"]
    assert any("another machine has the address of demo-worker-3" in text for text in warnings)


def test_workers_leave_although_a_control_plane_is_dead(cluster: FakeCluster) -> None:
    cluster.kill("demo-cp-1")
    update_roster(roster_props(3, 3), roster_props(3, 2))

    assert cluster.done == ["reset demo-worker-3 graceful", "delete demo-worker-3"]


def test_after_a_control_plane_that_fails_no_other_is_tried(cluster: FakeCluster) -> None:
    cluster.blocked = {"demo-cp-3"}
    for name in ("demo-cp-1", "demo-cp-2", "demo-cp-3"):
        cluster.nodes[name]["spec"]["taints"] = [{"key": "cp", "effect": "NoSchedule"}]

    with pytest.raises(OxideError) as caught:
        update_roster(roster_props(3, 3), roster_props(1, 3))

    assert "demo-cp-2: not tried, because demo-cp-3 did not leave" in str(caught.value)
    assert cluster.done == []
    assert cluster.cordoned() == ["demo-cp-3"]


def test_without_a_refuge_the_drain_is_skipped_with_a_warning(
    cluster: FakeCluster, warnings: list[str]
) -> None:
    for name in ("demo-cp-1", "demo-cp-2", "demo-cp-3"):
        cluster.nodes[name]["spec"]["taints"] = [{"key": "cp", "effect": "NoSchedule"}]
    cluster.blocked = {"demo-worker-1"}
    update_roster(roster_props(3, 3), roster_props(3, 0))

    assert cluster.done[-2:] == ["reset demo-worker-1 hard", "delete demo-worker-1"]
    assert any("demo-worker-1 is not drained" in text for text in warnings)


def test_a_silent_cluster_fails_with_the_way_out(cluster: FakeCluster) -> None:
    cluster.alive.clear()

    with pytest.raises(OxideError, match=r"demo-worker-3 cannot leave.*adminCidrs"):
        update_roster(roster_props(3, 3), roster_props(3, 2))


def test_nobody_leaves_a_cluster_that_was_never_bootstrapped_nor_joins_it_later(
    cluster: FakeCluster,
) -> None:
    cluster.members.clear()
    cluster.api_down = True

    update_roster(roster_props(3, 3), roster_props(3, 2))

    assert cluster.done == ["power off demo-worker-3"]


def test_a_cluster_whose_last_control_plane_is_new_and_empty_is_not_taken_for_one_that_never_was(
    cluster: FakeCluster,
) -> None:
    cluster.no_data = {"demo-cp-1"}
    cluster.sick = {"demo-cp-1"}

    with pytest.raises(OxideError, match=r"etcd would lose its quorum.*Nothing was touched"):
        update_roster(roster_props(3, 1), roster_props(1, 1))

    assert cluster.done == []


def test_control_planes_that_were_never_made_leave_a_cluster_that_never_was(
    cluster: FakeCluster,
) -> None:
    cluster.members.clear()
    cluster.api_down = True
    cluster.kill("demo-cp-3")
    del cluster.addresses["demo-cp-3"]

    update_roster(roster_props(3, 1), roster_props(1, 1))

    assert cluster.done == ["power off demo-cp-2"]


def test_a_server_that_has_not_joined_yet_cannot_do_so_after_it_has_left(
    cluster: FakeCluster,
) -> None:
    del cluster.nodes["demo-worker-3"]
    update_roster(roster_props(3, 3), roster_props(3, 2))

    assert cluster.done == ["power off demo-worker-3"]


def test_an_empty_control_plane_beside_a_silent_one_proves_nothing(cluster: FakeCluster) -> None:
    cluster.members.clear()
    cluster.api_down = True
    cluster.kill("demo-cp-2")

    with pytest.raises(OxideError, match="Kubernetes API does not answer"):
        update_roster(roster_props(3, 3), roster_props(3, 2))


def test_a_silent_kubernetes_api_fails_before_anything_is_touched(cluster: FakeCluster) -> None:
    cluster.api_down = True

    with pytest.raises(OxideError, match=r"Kubernetes API does not answer.*Nothing was touched"):
        update_roster(roster_props(3, 3), roster_props(3, 2))

    assert cluster.done == []


def _refusals(olds: dict[str, Any], news: dict[str, Any]) -> list[str]:
    return [failure.reason for failure in RosterProvider().check(olds, news).failures]


@pytest.mark.parametrize("after", [1, 3])
def test_two_control_planes_may_leave_in_one_run(after: int) -> None:
    assert _refusals(roster_props(after + 2, 3), roster_props(after, 3)) == []


def test_more_than_two_are_refused_with_the_steps_to_take() -> None:
    (reason,) = _refusals(roster_props(7, 3), roster_props(1, 3))

    assert "6 of 7 control planes" in reason
    assert "Go 7 -> 5 -> 3 -> 1" in reason


def test_a_cluster_without_any_of_its_control_planes_is_refused() -> None:
    (reason,) = _refusals(roster_props(1, 1), roster_props(0, 1))

    assert "pulumi destroy" in reason


def test_what_is_not_recorded_yet_is_no_loss() -> None:
    assert _refusals({}, roster_props(3, 3)) == []
    assert _refusals({"nodes": None}, roster_props(1, 1)) == []


def test_the_order_of_nodes_is_no_change(announced: list[str]) -> None:
    news = json.loads(json.dumps(roster_props(3, 3)))
    news["nodes"].reverse()
    news["control_planes"].reverse()

    assert RosterProvider().diff("demo", roster_props(3, 3), news).changes is False
    assert announced == []


@pytest.mark.parametrize(
    "changed",
    [{"talosconfig": "renewed"}, {"talosconfig": _Unknown()}, {"control_planes": _Unknown()}],
)
def test_new_credentials_or_addresses_are_recorded(changed: dict[str, Any]) -> None:
    assert (
        RosterProvider().diff("demo", roster_props(3, 3), {**roster_props(3, 3), **changed}).changes
        is True
    )


def test_leavers_are_announced_in_the_order_of_leaving(announced: list[str]) -> None:
    assert RosterProvider().diff("demo", roster_props(3, 2), roster_props(1, 1)).changes is True

    assert [text.partition(" leaves: ")[0] for text in announced] == [
        *("demo-worker-2", "demo-cp-3", "demo-cp-2"),
    ]
    assert "leaves etcd" in announced[-1]
    assert "leaves etcd" not in announced[0]


def test_destroying_makes_no_call(cluster: FakeCluster) -> None:
    RosterProvider().delete("demo", roster_props(3, 3))

    assert cluster.done == []
