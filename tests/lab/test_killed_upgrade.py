"""
An engine killed in the middle of a node's upgrade: `recover` finishes it, and no node is upgraded twice or left out of service.

One point of a control plane and one of a worker are drawn. OXIDE_UPGRADE_KILL_POINTS=all takes all of them,
OXIDE_KILL_SEED draws others.
"""

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import pytest

from lab.api import clear_faults, plan_fault

from . import node_events
from .stacks import TRACEBACK, Stack
from .versions_seen import cordoned, recorded, running, unfinished

ALL = os.environ.get("OXIDE_UPGRADE_KILL_POINTS") == "all"
SEED = int(os.environ.get("OXIDE_KILL_SEED", "4"))

VERSIONS = ("v1.13.9", "v1.13.8")
POOLS = {
    "cp": ["cut-cp-1", "cut-cp-2", "cut-cp-3"],
    "worker": ["cut-worker-1", "cut-worker-2"],
}
MOMENTS = {"installs": "upgrade-begin", "has gone down": "power-off", "is back": "reboot-end"}
"""What a node does when the engine is killed -> the event that tells."""

GONE_WITHIN = 30.0
"""Seconds in which our own helpers notice that their engine is gone: they look every second, on an idle machine."""

AWAY = 15.0
"""Seconds that the boot takes longer, so that `recover` meets a node that is away."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """When an engine is killed."""

    pool: str
    """Pool that is upgraded."""
    node: str
    """Node under upgrade."""
    moment: str
    """Key of MOMENTS."""

    def __str__(self) -> str:
        return f"{self.node} {self.moment}".replace(" ", "-")


def _points() -> list[Point]:
    choice = random.Random(SEED)  # noqa: S311
    points = []
    for pool, nodes in POOLS.items():
        every = [Point(pool=pool, node=node, moment=moment) for node in nodes for moment in MOMENTS]
        points += every if ALL else [choice.choice(every)]
    return points


@pytest.fixture(scope="module")
def cut(new_stack: Callable[..., Stack]) -> Iterator[Stack]:
    """Three control planes and two workers."""
    stack = new_stack("cut", controlPlanes="3", workers="2", nodeTimeout="300")
    stack.up()
    yield stack
    clear_faults(stack.lab)
    stack.discard()


@pytest.mark.parametrize("point", _points(), ids=str)
def test_recover_finishes_the_upgrade_that_a_killed_engine_began(cut: Stack, point: Point) -> None:
    nodes = POOLS[point.pool]
    before = recorded(cut)
    (old,) = {before[node] for node in nodes}
    (new,) = set(VERSIONS) - {old}
    cut.set("talosVersion", new)
    # The other pool keeps its version, which saves time.
    cut.set("upgradeCanary[0]", point.pool)
    plan_fault(cut.lab, {"kind": "slow_boot", "server": point.node, "seconds": AWAY, "count": 1})
    start = node_events.last_order(cut.lab)
    _kill_when(cut, point, start)
    run = cut.recover()

    assert run.code == 0, run.text
    assert TRACEBACK not in run.text
    assert cut.helpers_left(within=GONE_WITHIN) == []
    begun = [e.node for e in node_events.of_stack(cut, "upgrade-begin", after=start)]
    if begun.count(point.node) > 1:
        # What was installed and not yet booted is installed once more; nobody can tell how far it got.
        assert point.moment == "installs"
        begun.remove(point.node)
    assert begun == nodes
    events = node_events.of_stack(cut, after=start)
    spans = node_events.spans(events, "reboot")
    assert [node for node, _, end in spans if end] == nodes
    for (_, _, end), (node, begin, _) in pairwise(spans):
        assert end is not None
        assert end < begin, f"{node} went down before the one ahead was back"
    assert cordoned(cut) == []
    assert unfinished(cut) == []
    assert recorded(cut) == running(cut) == {**before, **dict.fromkeys(nodes, new)}
    assert cut.agreed() == sorted(before)
    assert cut.up().changes == {}


def _kill_when(stack: Stack, point: Point, start: int) -> None:
    """Run `up`, and kill it when the node is where the point says."""
    output = stack.project / "killed.log"
    with output.open("w") as stream:
        process = stack.start("up", "--yes", "--skip-preview", output=stream)
        deadline = time.monotonic() + 300
        while point.node not in {
            e.node for e in node_events.of_stack(stack, MOMENTS[point.moment], after=start)
        }:
            assert process.poll() is None, output.read_text()
            assert time.monotonic() < deadline, output.read_text()
            time.sleep(0.02)
        process.kill()
        code = process.wait(timeout=60)
    stack.log += (said := output.read_text())
    assert code == -signal.SIGKILL, said
    assert TRACEBACK not in said
    left = stack.helpers_left(GONE_WITHIN)
    assert [one for one in left if "dynamic" in one or "talosctl" in one] == []
