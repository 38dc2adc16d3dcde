"""Nodes that leave a living cluster: pods keep their budget, quorum holds, nothing is left behind. The tests build on each other."""

import time
from collections.abc import Callable, Iterator

import pytest

from .availability import disruption_budget, run_application, watched
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
    run_application(stack, replicas=REPLICAS, budget=REPLICAS)
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
    down.apply(disruption_budget(BUDGET))
    with watched(down, BUDGET) as seen:
        down.up()

    assert seen.answers > 10
    assert seen.shortages == []
    assert down.agreed() == [
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
    with watched(down, BUDGET) as seen:
        run = down.up()

    assert time.monotonic() - started < 240
    assert "down-spare-1 does not answer" in run.text
    assert seen.shortages == []
    assert down.agreed() == ["down-cp-1", "down-worker-1"]
    assert down.up().changes == {}
