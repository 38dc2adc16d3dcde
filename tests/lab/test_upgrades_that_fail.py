"""
An upgrade that goes wrong on the second control plane, in three ways one after another: nobody else is touched, the cluster
serves, the state tells the truth, and after the repair `up` goes on with exactly the rest. The tests build on each other.
"""

from collections.abc import Callable, Iterator

import pytest

from lab.api import clear_faults, plan_fault

from . import node_events
from .availability import run_application, watched
from .stacks import TRACEBACK, Run, Stack
from .versions_seen import (
    assert_one_at_a_time,
    cordoned,
    rebooted,
    recorded,
    running,
    touched,
    unfinished,
)

BUDGET = 2
GRACE = 50
"""Seconds of silence after which Kubernetes calls a node not Ready (`--node-monitor-grace-period`)."""
OLD, NEW = "v1.13.9", "v1.13.8"
FIRST, SECOND, REST = "fail-cp-1", "fail-cp-2", ["fail-cp-3", "fail-worker-1", "fail-worker-2"]
STOPPED = {FIRST: NEW, **dict.fromkeys([SECOND, *REST], OLD)}


@pytest.fixture(scope="module")
def fail(new_stack: Callable[..., Stack]) -> Iterator[Stack]:
    """Three control planes and two workers, and an application that has a budget for disruptions."""
    stack = new_stack("fail", controlPlanes="3", workers="2", nodeTimeout="300")
    stack.up()
    run_application(stack, replicas=BUDGET + 1, budget=BUDGET)
    yield stack
    clear_faults(stack.lab)
    stack.discard()


def test_an_image_that_is_not_found_leaves_the_node_as_it_was(fail: Stack) -> None:
    plan_fault(fail.lab, {"kind": "image_not_found", "server": SECOND, "count": 0})
    fail.set("talosVersion", NEW)
    before = node_events.last_order(fail.lab)
    run = _failed(fail)

    assert f"{SECOND} keeps Talos {OLD}" in run.text
    assert "not found" in run.text
    assert_one_at_a_time(fail, [FIRST], before)
    assert touched(fail, before) == {FIRST, SECOND}
    assert recorded(fail) == running(fail) == STOPPED
    assert unfinished(fail) == [SECOND]
    assert cordoned(fail) == []


def test_a_system_that_falls_back_leaves_the_node_in_service(fail: Stack) -> None:
    clear_faults(fail.lab)
    plan_fault(fail.lab, {"kind": "upgrade_falls_back", "server": SECOND, "count": 0})
    before = node_events.last_order(fail.lab)
    run = _failed(fail)

    assert f"{SECOND} did not boot Talos {NEW} and has gone back to {OLD}" in run.text
    assert rebooted(fail, before) == [SECOND]
    assert touched(fail, before) == {SECOND}
    assert recorded(fail) == running(fail) == STOPPED
    assert unfinished(fail) == [SECOND]
    assert cordoned(fail) == []


def test_a_node_that_never_returns_stays_out_of_service_and_the_cluster_serves(
    fail: Stack,
) -> None:
    clear_faults(fail.lab)
    plan_fault(fail.lab, {"kind": "reboot_never_returns", "server": SECOND, "count": 1})
    # No node has to be back in this time: the first one that is touched hangs.
    fail.set("nodeTimeout", "15")
    before = node_events.last_order(fail.lab)
    with watched(fail, BUDGET) as seen:
        run = _failed(fail)

    assert f"{SECOND} to boot: not within 15 s" in run.text
    for way in (f"hcloud server reset {SECOND}", "replaced", "skipNodes", "pulumi up"):
        assert way in run.text
    assert seen.shortages == []
    assert rebooted(fail, before) == [SECOND]
    assert touched(fail, before) == {SECOND}
    assert recorded(fail) == STOPPED
    assert unfinished(fail) == [SECOND]
    assert cordoned(fail) == [SECOND]


def test_beside_a_dead_control_plane_that_is_skipped_no_other_goes_down(fail: Stack) -> None:
    fail.set("skipNodes[0]", SECOND)
    before = node_events.last_order(fail.lab)
    run = _failed(fail)
    fail.unset("skipNodes")

    assert "etcd needs 2 of its 3 members without this one and has 1" in run.text
    assert f"skipNodes leaves out {SECOND}" in run.text
    assert touched(fail, before) == set()
    assert recorded(fail) == STOPPED


def test_after_the_repair_up_goes_on_with_the_rest(fail: Stack) -> None:
    server = fail.cloud.servers.get_by_name(SECOND)
    assert server is not None
    server.reset().wait_until_finished()
    fail.set("nodeTimeout", "300")
    # So long that Kubernetes taints the node, and goes on so for seconds after it is Ready: the next one has pods for it.
    slow = {"kind": "slow_boot", "server": "fail-worker-1", "seconds": GRACE + 10, "count": 1}
    plan_fault(fail.lab, slow)
    before = node_events.last_order(fail.lab)
    with watched(fail, BUDGET) as seen:
        run = fail.up()

    assert "is not drained" not in run.text
    # The reset has brought the second one up with the system that was installed before.
    assert_one_at_a_time(fail, REST, before)
    assert seen.shortages == []
    assert recorded(fail) == running(fail) == dict.fromkeys(STOPPED, NEW)
    assert unfinished(fail) == []
    assert fail.agreed() == sorted(STOPPED)
    assert fail.up().changes == {}


def _failed(stack: Stack) -> Run:
    run = stack.run("up", "--yes", "--skip-preview")
    assert run.code != 0
    assert "No node after it is touched" in run.text
    assert TRACEBACK not in run.text
    return run
