"""Changes of living nodes: in order, behind gates, only where they concern. The tests build on each other."""

import re
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest

from lab.api import clear_faults, plan_fault

from . import node_events
from .availability import run_application, watched
from .stacks import TRACEBACK, Stack

BUDGET = 3
NEEDS_REBOOT = 'machine: {udev: {rules: ["SUBSYSTEM==\\"block\\""]}}'
CONTROL_PLANES = ["live-cp-1", "live-cp-2", "live-cp-3"]
WORKERS = ["live-worker-1", "live-worker-2", "live-worker-3"]


@pytest.fixture(scope="module")
def live(new_stack: Callable[..., Stack]) -> Iterator[Stack]:
    """Three control planes, three workers, and an application that has a budget for disruptions."""
    stack = new_stack("live", controlPlanes="3", workers="3", nodeTimeout="120")
    stack.up()
    run_application(stack, replicas=BUDGET + 1, budget=BUDGET)
    yield stack
    clear_faults(stack.lab)
    stack.discard()


def test_the_preview_says_what_happens_to_which_node_and_no_value(live: Stack) -> None:
    live.set("configPatches[0]", NEEDS_REBOOT)
    text = live.ok("preview").text

    for name in (*CONTROL_PLANES, *WORKERS):
        row = f"config-{name} update drains and reboots for machine.udev.rules"
        assert row in re.sub(r"\s+", " ", text)
    assert "SUBSYSTEM" not in text
    assert live.planned() == {("update", "pulumi-python:dynamic/oxide:NodeConfig"): 6}


def test_a_change_that_needs_a_reboot_is_rolled_one_by_one_while_the_api_serves(
    live: Stack,
) -> None:
    before = node_events.last_order(live.lab)
    with watched(live, BUDGET) as seen:
        live.up()

    events = node_events.of_stack(live, after=before)
    spans = node_events.spans(events, "reboot")
    assert [name for name, _, _ in spans] == [*CONTROL_PLANES, *WORKERS]
    for (_, _, end), (name, begin, _) in pairwise(spans):
        assert end is not None
        assert end < begin, f"{name} went down before the node ahead was back"
    for name, begin, _ in spans:
        assert "cordon" in [e.kind for e in events if e.node == name and e.time < begin], name
    assert seen.answers > 50
    assert seen.shortages == []
    assert not any(node["spec"].get("unschedulable") for node in live.nodes().values())
    assert live.up().changes == {}


def test_labels_and_taints_of_one_pool_reach_its_nodes_and_nobody_else(live: Stack) -> None:
    for key, value in {"name": "extra", "count": "1", "labels.tier": "one"}.items():
        live.set(f"workerPools[0].{key}", value)
    live.up()
    before = node_events.last_order(live.lab)
    live.set("workerPools[0].labels.tier", "two")
    live.set("workerPools[0].labels.more", "yes")
    live.set("workerPools[0].taints[0].key", "keep")
    live.set("workerPools[0].taints[0].effect", "NoSchedule")
    run = live.up()

    assert run.changes == {"updated": 1}
    node = live.nodes()["live-extra-1"]
    assert (node["metadata"]["labels"]["tier"], node["metadata"]["labels"]["more"]) == (
        "two",
        "yes",
    )
    assert [t["key"] for t in node["spec"]["taints"]] == ["keep"]
    applied = node_events.of_stack(live, "apply", "reboot-begin", after=before)
    assert {(e.node, e.kind) for e in applied} == {("live-extra-1", "apply")}


def test_a_failing_node_stops_the_roll_out_and_the_next_run_goes_on_there(live: Stack) -> None:
    plan_fault(live.lab, {"kind": "apply_fails", "server": "live-worker-2", "count": 0})
    live.set("workerConfigPatches[0]", "machine: {sysctls: {vm.max_map_count: '262144'}}")
    before = node_events.last_order(live.lab)
    run = live.run("up", "--yes", "--skip-preview")

    assert run.code != 0
    assert "planned fault" in run.text
    assert "No node after it is touched" in run.text
    assert TRACEBACK not in run.text
    assert _applied(live, before) == ["live-worker-1"]

    clear_faults(live.lab)
    before = node_events.last_order(live.lab)
    live.up()
    assert _applied(live, before) == ["live-worker-2", "live-worker-3", "live-extra-1"]
    assert live.up().changes == {}


def test_taking_a_setting_back_that_broke_a_node_repairs_the_node(live: Stack) -> None:
    live.set("nodeTimeout", "40")
    live.set("controlPlaneConfigPatches[0]", "cluster: {scheduler: {extraArgs: {no-such-flag: x}}}")
    run = live.run("up", "--yes", "--skip-preview")
    assert run.code != 0
    assert "live-cp-1: not within 40 s" in run.text

    live.set("nodeTimeout", "120")
    live.unset("controlPlaneConfigPatches")
    before = node_events.last_order(live.lab)
    live.up()
    assert _applied(live, before) == ["live-cp-1"]
    assert live.up().changes == {}


def test_a_dead_node_that_is_skipped_does_not_hold_up_the_others(live: Stack) -> None:
    dead = live.cloud.servers.get_by_name("live-worker-3")
    assert dead is not None
    dead.power_off().wait_until_finished()
    live.set("skipNodes[0]", "live-worker-3")
    live.set("workerConfigPatches[0]", "machine: {sysctls: {vm.max_map_count: '262145'}}")
    before = node_events.last_order(live.lab)
    run = live.up()

    assert "live-worker-3" in run.text
    assert _applied(live, before) == ["live-worker-1", "live-worker-2", "live-extra-1"]

    dead.power_on().wait_until_finished()
    live.unset("skipNodes")
    before = node_events.last_order(live.lab)
    live.up()
    assert _applied(live, before) == ["live-worker-3"]
    assert live.up().changes == {}


def test_a_new_server_type_is_changed_one_node_at_a_time_and_keeps_the_servers(live: Stack) -> None:
    ids = {server.name: server.id for server in live.cloud.servers.get_all()}
    live.set("workerPools[0].serverType", "cpx32")
    assert "cpx32: drained, shut down, changed with its disk kept" in live.ok("preview").text
    live.up()

    server = live.cloud.servers.get_by_name("live-extra-1")
    assert server is not None
    assert (server.server_type.name, server.status) == ("cpx32", "running")
    assert {server.name: server.id for server in live.cloud.servers.get_all()} == ids
    assert len(live.ready_nodes()) == 7
    assert live.up().changes == {}


def test_a_pool_moves_by_a_new_generation_whose_workers_come_first(live: Stack) -> None:
    live.set("workerPools[0].location", "hel1")
    refused = live.run("preview")
    assert refused.code != 0
    assert "cannot move to hel1" in refused.text
    assert "generation" in refused.text

    live.set("workerPools[0].generation", "2")
    before = node_events.last_order(live.lab)
    live.up()

    events = node_events.of_stack(live, after=before)
    joined = next(e for e in events if e.node == "live-extra-g2-1" and "Ready is True" in e.detail)
    left = next(e for e in events if e.node == "live-extra-1" and e.kind == "cordon")
    assert joined.order < left.order
    assert live.ready_nodes() == [*CONTROL_PLANES, "live-extra-g2-1", *WORKERS]
    assert live.cloud_objects()["servers"] == live.ready_nodes()
    assert live.up().changes == {}


def _applied(stack: Stack, after: int) -> list[str]:
    """Names of the nodes that took a config, in order."""
    events = node_events.of_stack(stack, "apply", after=after)
    return [event.node for event in events if "refused" not in event.detail]
