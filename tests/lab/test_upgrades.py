"""Upgrades of a living cluster as changed settings. The tests build on each other."""

import json
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest

from lab.api import clear_faults, plan_fault

from . import node_events
from .availability import run_application, watched
from .stacks import TRACEBACK, Stack

BUDGET = 2
NODES = ["up-cp-1", "up-cp-2", "up-cp-3", "up-worker-1", "up-worker-2"]


@pytest.fixture(scope="module")
def up(new_stack: Callable[..., Stack]) -> Iterator[Stack]:
    """Three control planes and two workers with an older Kubernetes, and an application that has a budget for disruptions."""
    stack = new_stack(
        "up", controlPlanes="3", workers="2", kubernetesVersion="1.34.4", nodeTimeout="180"
    )
    stack.up()
    run_application(stack, replicas=BUDGET + 1, budget=BUDGET)
    yield stack
    clear_faults(stack.lab)
    stack.discard()


@pytest.mark.parametrize(
    ("key", "value", "way"),
    [
        ("kubernetesVersion", "1.33.9", "cannot go back to 1.33.9"),
        ("kubernetesVersion", "1.29.1", "1.29"),
        ("talosVersion", "v1.9.0", "v1.9.0"),
    ],
)
def test_a_step_that_cannot_be_taken_is_refused_in_the_preview(
    up: Stack, key: str, value: str, way: str
) -> None:
    before = up.ok("config", "get", key).text.strip() if key == "kubernetesVersion" else None
    up.set(key, value)
    try:
        run = up.run("preview")
    finally:
        up.set(key, before) if before else up.unset(key)

    assert run.code != 0
    assert way in run.text
    assert TRACEBACK not in run.text


def test_an_upgrade_that_falls_back_stops_the_roll_out_and_the_next_run_goes_on(up: Stack) -> None:
    plan_fault(up.lab, {"kind": "upgrade_falls_back", "server": "up-cp-2", "count": 0})
    up.set("talosVersion", "v1.13.8")
    before = node_events.last_order(up.lab)
    run = up.run("up", "--yes", "--skip-preview")

    assert run.code != 0
    assert "up-cp-2 did not boot Talos v1.13.8 and has gone back to v1.13.9" in run.text
    assert _rebooted(up, before) == ["up-cp-1", "up-cp-2"]
    assert not any(node["spec"].get("unschedulable") for node in up.nodes().values())

    clear_faults(up.lab)
    before = node_events.last_order(up.lab)
    with watched(up) as available:
        up.up()
    assert _rebooted(up, before) == NODES[1:]
    assert _systems(up) == {"Talos (v1.13.8)"}
    assert min(available) >= BUDGET
    assert up.up().changes == {}


def test_talos_and_kubernetes_move_in_one_run_in_this_order(up: Stack) -> None:
    secrets = _authorities(up)
    up.set("talosVersion", "v1.13.9")
    up.set("kubernetesVersion", "1.35.4")
    preview = up.ok("preview").text
    assert "v1.13.8 -> v1.13.9, drains, reboots" in preview
    assert "1.34.4 -> 1.35.4" in preview
    before = node_events.last_order(up.lab)
    with watched(up) as available:
        up.up()

    assert min(available) >= BUDGET
    events = node_events.of_stack(up, after=before)
    spans = node_events.spans(events, "reboot")
    assert [name for name, _, _ in spans] == NODES
    for (_, _, end), (name, begin, _) in pairwise(spans):
        assert end is not None
        assert end < begin, f"{name} went down before the node ahead was back"
    (_, _, last) = spans[-1]
    first = next(e.time for e in events if e.kind == "static-pod" and "restarts" in e.detail)
    assert last is not None
    assert last < first
    assert _systems(up) == {"Talos (v1.13.9)"}
    assert {n["status"]["nodeInfo"]["kubeletVersion"] for n in up.nodes().values()} == {"v1.35.4"}
    assert _authorities(up) == secrets
    assert up.up().changes == {}


def test_every_run_that_upgraded_a_control_plane_has_kept_a_snapshot(up: Stack) -> None:
    snapshots = sorted((up.project / "etcd-snapshots").iterdir())

    assert len(snapshots) == 3
    assert all(file.stat().st_mode & 0o077 == 0 for file in snapshots)
    assert all(file.stat().st_size > 20_000 for file in snapshots)


def _rebooted(stack: Stack, after: int) -> list[str]:
    """Names of the nodes that restarted, in order."""
    return [e.node for e in node_events.of_stack(stack, "reboot-begin", after=after)]


def _systems(stack: Stack) -> set[str]:
    return {node["status"]["nodeInfo"]["osImage"] for node in stack.nodes().values()}


def _authorities(stack: Stack) -> object:
    resources = json.loads(stack.state(plain=True))["deployment"]["resources"]
    (secrets,) = (r for r in resources if r["type"] == "talos:machine/secrets:Secrets")
    return secrets["outputs"]["machineSecrets"]
