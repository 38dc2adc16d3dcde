"""Nodes that leave a living cluster: pods keep their budget, quorum holds, nothing is left behind. The tests build on each other."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from .stacks import TRACEBACK, Stack

REPLICAS = 4
BUDGET = 3
SPARE = {
    "name": "spare",
    "count": 1,
    "taints[0].key": "spare",
    "taints[0].effect": "NoSchedule",
}


@pytest.fixture(scope="module")
def down(new_stack: Callable[..., Stack]) -> Iterator[Stack]:
    """A cluster of three control planes, three workers and an idle one, with an application that has a budget for disruptions."""
    stack = new_stack("down", controlPlanes="3", workers="3", drainTimeout="4")
    for key, value in SPARE.items():
        stack.set(f"workerPools[0].{key}", value)
    stack.up()
    _apply(stack, _deployment(), _budget(REPLICAS))
    stack.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    yield stack
    stack.discard()


def test_the_preview_says_who_leaves_and_how(down: Stack) -> None:
    down.set("workers", "1")
    run = down.ok("preview")

    announced = [line for line in run.text.splitlines() if " leaves: drained, reset" in line]
    third = [number for number, line in enumerate(announced) if "down-worker-3 leaves" in line]
    second = [number for number, line in enumerate(announced) if "down-worker-2 leaves" in line]
    assert third[0] < second[0]
    assert not any("down-worker-1 leaves" in line for line in announced)


def test_a_budget_that_cannot_be_met_fails_the_run_and_costs_no_server(down: Stack) -> None:
    run = down.run("up", "--yes", "--skip-preview")

    assert run.code != 0
    assert "2 of 2 nodes did not leave" in run.text
    assert "pod default/web-" in run.text
    assert "disruption budget web" in run.text
    assert "stays cordoned" in run.text
    assert TRACEBACK not in run.text
    assert len(down.cloud_objects()["servers"]) == 7
    assert len(down.ready_nodes()) == 7


def test_with_the_budget_met_the_next_run_goes_on_and_keeps_it(down: Stack) -> None:
    _apply(down, _budget(BUDGET))
    with _watching(down) as available:
        down.up()

    assert len(available) > 20
    assert min(available) >= BUDGET
    assert _agreed(down) == [
        *("down-cp-1", "down-cp-2", "down-cp-3"),
        *("down-spare-1", "down-worker-1"),
    ]


def test_control_planes_and_a_pool_that_died_leave_while_the_api_serves(down: Stack) -> None:
    dead = down.cloud.servers.get_by_name("down-spare-1")
    assert dead is not None
    dead.power_off().wait_until_finished()
    down.unset("workerPools")
    down.set("controlPlanes", "1")
    started = time.monotonic()
    with _watching(down) as available:
        run = down.up()

    assert time.monotonic() - started < 120
    assert "down-spare-1 does not answer" in run.text
    assert min(available) >= BUDGET
    assert _agreed(down) == ["down-cp-1", "down-worker-1"]
    assert "down-cp-2" not in (members := down.talosctl("-n", "10.0.0.11", "etcd", "members"))
    assert "down-cp-3" not in members
    assert "down-cp-1" in members
    assert down.up().changes == {}


def _agreed(stack: Stack) -> list[str]:
    """Names that Hetzner, Kubernetes and the state agree on."""
    servers = stack.cloud_objects()["servers"]
    recorded = [r for r in stack.resources() if r["type"] == "hcloud:index/server:Server"]
    assert stack.ready_nodes() == servers
    assert sorted(r["outputs"]["name"] for r in recorded) == servers
    return servers


@contextmanager
def _watching(stack: Stack) -> Iterator[list[int]]:
    """Number of available replicas, asked again and again; a silent API counts as none."""
    seen: list[int] = []
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            try:
                text = stack.kubectl(
                    "get", "deployment", "web", "-o", "json", "--request-timeout=5s"
                )
                seen.append(json.loads(text)["status"].get("availableReplicas", 0))
            except AssertionError:
                seen.append(0)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def _apply(stack: Stack, *objects: dict[str, object]) -> None:
    file = stack.project / "objects.json"
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))
    stack.kubectl("apply", "-f", str(file))


def _deployment() -> dict[str, object]:
    labels = {"app": "web"}
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": labels},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": REPLICAS,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "topologySpreadConstraints": [spread],
                    "containers": [{"name": "web", "image": "registry.k8s.io/pause:3.10"}],
                },
            },
        },
    }


def _budget(available: int) -> dict[str, object]:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"minAvailable": available, "selector": {"matchLabels": {"app": "web"}}},
    }
