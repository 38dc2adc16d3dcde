"""Another Talos version for a living node: what is done in which order, and what is left behind when it fails."""

from typing import Any

import pytest

from oxide_components import hetzner_api, rollout
from oxide_components.errors import OxideError
from oxide_components.node import NodeProvider

from .fake_hetzner import FakeServer
from .living import Living

NEW = {"talos_version": "v1.13.8"}


@pytest.fixture(autouse=True)
def _server(living: Living, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hetzner_api, "client", lambda: FakeServer(living.cluster, "demo-worker-1"))


def _upgrade(living: Living, name: str, olds: dict[str, Any] | None = None, **news: Any) -> Any:
    """What is recorded of the upgrade of a node."""
    update = NodeProvider().update(name, olds or living.props(name), living.props(name, **news))
    return update.outs or {}


def _done(living: Living) -> list[str]:
    return [entry for entry in living.cluster.done if entry != "look up"]


def _failed(living: Living, name: str, olds: dict[str, Any] | None = None, **news: Any) -> Any:
    """What is recorded of an upgrade that fails, and the reason."""
    with pytest.raises(OxideError):
        _upgrade(living, name, olds, **news)
    _, outs, reason = living.recorded[-1]
    return outs, reason


@pytest.mark.parametrize("name", ["demo-cp-2", "demo-worker-1"])
def test_a_node_is_out_of_service_while_it_is_upgraded(living: Living, name: str) -> None:
    outs = _upgrade(living, name, **NEW)

    assert _done(living) == [f"cordon {name}", f"upgrade {name} v1.13.8", f"uncordon {name}"]
    assert (outs["talos_version"], outs["pending"]) == ("v1.13.8", False)


@pytest.mark.parametrize("name", ["demo-cp-2", "demo-worker-1"])
def test_an_older_talosctl_is_named_before_anything_is_done(living: Living, name: str) -> None:
    living.cluster.client = "v1.12.6"
    outs, reason = _failed(living, name, **NEW)

    assert "talosctl v1.12.6 is older than Talos 1.13" in reason
    assert "install talosctl v1.13.8 (https://www.talos.dev/" in reason
    assert _done(living) == []
    assert (outs["talos_version"], outs["pending"]) == ("v1.13.9", True)


def test_an_image_that_is_not_found_leaves_the_node_in_service(living: Living) -> None:
    living.cluster.images_missing = True
    outs, reason = _failed(living, "demo-cp-2", **NEW)

    assert "demo-cp-2 keeps Talos v1.13.9" in reason
    assert "not found" in reason
    assert living.cluster.cordoned() == []
    assert (outs["talos_version"], outs["pending"]) == ("v1.13.9", True)


def test_a_node_that_falls_back_is_in_service_and_recorded_as_it_is(living: Living) -> None:
    living.cluster.falls_back.add("demo-cp-2")
    outs, reason = _failed(living, "demo-cp-2", **NEW)

    assert "demo-cp-2 did not boot Talos v1.13.8 and has gone back to v1.13.9" in reason
    assert living.cluster.cordoned() == []
    assert (outs["talos_version"], outs["pending"]) == ("v1.13.9", True)


def test_a_node_that_never_returns_stays_cordoned_and_the_error_tells_what_to_do(
    living: Living,
) -> None:
    living.cluster.lost.add("demo-cp-2")
    outs, reason = _failed(living, "demo-cp-2", **NEW)

    assert "demo-cp-2 to boot: not within 300 s" in reason
    for way in ("hcloud server reset demo-cp-2", "replaced", "skipNodes", "`pulumi up` again"):
        assert way in reason
    assert living.cluster.cordoned() == ["demo-cp-2"]
    assert (outs["talos_version"], outs["pending"]) == ("v1.13.9", True)


def test_a_node_that_was_brought_back_is_not_upgraded_again(living: Living) -> None:
    living.cluster.lost.add("demo-cp-2")
    outs, _ = _failed(living, "demo-cp-2", **NEW)
    living.cluster.boot("demo-cp-2")
    outs = _upgrade(living, "demo-cp-2", outs, **NEW)

    assert [entry for entry in _done(living) if entry.startswith("upgrade")] == [
        "upgrade demo-cp-2 v1.13.8"
    ]
    assert living.cluster.cordoned() == []
    assert (outs["talos_version"], outs["pending"]) == ("v1.13.8", False)


@pytest.mark.parametrize("name", ["demo-cp-2", "demo-worker-1"])
def test_a_dead_node_that_has_failed_before_is_named_within_two_minutes(
    living: Living, name: str
) -> None:
    living.cluster.lost.add(name)
    outs, _ = _failed(living, name, **NEW)
    start = living.cluster.clock.now
    _, reason = _failed(living, name, outs, **NEW)

    assert f"{name} does not answer and cannot be changed" in reason
    assert f"hcloud server reset {name}" in reason
    assert living.cluster.clock.now - start < 120


@pytest.mark.parametrize("name", ["demo-cp-2", "demo-worker-1"])
def test_a_node_whose_restart_outlasts_a_killed_run_is_waited_for(
    living: Living, name: str
) -> None:
    # As a killed engine leaves it: cordoned and on its way, and the state knows of nothing.
    living.cluster.set_unschedulable(name, True)
    living.cluster.installed[name] = "v1.13.8"
    living.cluster.boot_seconds = 200
    living.cluster.goes_down(name)
    outs = _upgrade(living, name, **NEW)

    assert not [entry for entry in _done(living) if entry.startswith("upgrade")]
    assert living.cluster.cordoned() == []
    assert outs["talos_version"] == "v1.13.8"


def test_a_node_that_nobody_has_touched_gets_no_such_patience(living: Living) -> None:
    living.cluster.kill("demo-worker-1")
    _, reason = _failed(living, "demo-worker-1", **NEW)

    assert "demo-worker-1 does not answer" in reason
    assert living.cluster.clock.now < 120


def test_a_node_back_from_the_restart_of_a_killed_run_has_to_report_first(living: Living) -> None:
    name = "demo-worker-1"
    living.cluster.set_unschedulable(name, True)
    living.cluster.installed[name] = "v1.13.8"
    # Its kubelet reports ten seconds after it answers; until then the Node object looks as Ready as before.
    living.cluster.boot_seconds = 0
    living.cluster.goes_down(name)
    living.cluster.clock.sleep(0)
    _upgrade(living, name, **NEW)

    assert living.cluster.nodes[name]["status"]["nodeInfo"]["bootID"] == "boot-2"
    assert living.cluster.cordoned() == []


def test_a_failed_node_that_is_skipped_stays_recorded_as_it_is(living: Living) -> None:
    living.cluster.falls_back.add("demo-cp-2")
    outs, _ = _failed(living, "demo-cp-2", **NEW)
    # The engine updates whatever has failed, skipped or not.
    outs = _upgrade(living, "demo-cp-2", outs, skip_nodes=["demo-cp-2"], **NEW)

    assert (outs["talos_version"], outs["pending"]) == ("v1.13.9", True)


# What a refresh finds after a run that was cut off


def _refreshed(living: Living, name: str, **recorded: Any) -> dict[str, Any]:
    return NodeProvider().read(name, living.props(name, **recorded)).outs or {}


def test_a_refresh_records_the_version_that_a_node_shows(living: Living) -> None:
    name = "demo-worker-1"
    living.cluster.nodes[name]["status"]["nodeInfo"]["osImage"] = "Talos (v1.13.8)"
    outs = _refreshed(living, name)

    assert outs["talos_version"] == "v1.13.8"
    # The setting that began the upgrade is taken back before anybody has recorded that it happened.
    assert living.preview(NodeProvider(), outs, living.props(name))
    assert living.said == ["v1.13.8 -> v1.13.9, drains, reboots"]


def test_a_refresh_finds_a_node_that_is_still_out_of_service(living: Living) -> None:
    name = "demo-worker-1"
    living.cluster.set_unschedulable(name, True)

    assert living.preview(NodeProvider(), _refreshed(living, name), living.props(name))


@pytest.mark.parametrize("lack", ["node", "image", "skipped", "kubeconfig"])
def test_where_a_refresh_learns_nothing_the_record_stays(living: Living, lack: str) -> None:
    name = "demo-worker-1"
    living.cluster.nodes[name]["status"]["nodeInfo"]["osImage"] = "Talos (v1.13.8)"
    props = living.props(name)
    match lack:
        case "node":
            del living.cluster.nodes[name]
        case "image":
            living.cluster.nodes[name]["status"]["nodeInfo"]["osImage"] = "Some Linux 1.13.8"
        case "skipped":
            props["skip_nodes"] = [name]
        case "kubeconfig":
            del props["kubeconfig"]

    assert NodeProvider().read(name, props).outs == props


def test_who_waits_for_another_lets_that_one_pass(living: Living) -> None:
    """A run that was cut off has left both workers' places to each other; whoever looks first, the other one has to act."""
    cluster = living.cluster
    for index in (1, 2, 3):
        taint = {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}
        cluster.nodes[f"demo-cp-{index}"]["spec"]["taints"] = [taint]
    for name in ("demo-worker-2", "demo-worker-3"):
        cluster.set_unschedulable(name, True)
    passed: list[bool] = []

    def another_turn() -> None:
        passed.append(rollout._one_at_a_time.acquire(blocking=False))
        rollout._one_at_a_time.release()
        cluster.set_unschedulable("demo-worker-2", False)

    cluster.clock.after(20, another_turn)
    before = living.props("demo-worker-1") | {"max_unavailable": 3.0}
    recorded = _upgrade(living, "demo-worker-1", before, **NEW, max_unavailable=3.0)

    assert passed == [True]
    assert recorded["talos_version"] == "v1.13.8"
    assert cluster.cordoned() == ["demo-worker-3"]
