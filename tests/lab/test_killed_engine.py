"""
An engine killed anywhere in a cluster's life: `recover` finishes what was begun, makes nothing twice and loses nothing.

OXIDE_KILL_POINTS=30 kills at 30 points instead of 3, OXIDE_KILL_SEED chooses others.
"""

import json
import os
import random
import re
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .availability import run_application
from .stacks import TRACEBACK, Stack

ROUNDS = int(os.environ.get("OXIDE_KILL_POINTS", "3")) // 3
SEED = int(os.environ.get("OXIDE_KILL_SEED", "4"))

GONE_WITHIN = 10.0
"""Seconds in which our own helpers notice that their engine is gone: they look every second."""

_CERTAIN = frozenset({"create", "delete"})
"""Steps that a preview announces and the run makes. Of the updates in a preview some turn out to be none."""
_ROSTER = "pulumi-python:dynamic/oxide:Roster"
_HAS_LEFT_STEP = re.compile(r"(wiping its disk|has left)$")
"""What the roster says of each leaver: its update is one step for the engine and many for the cluster."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """When an engine is killed."""

    fraction: float
    """Part of the run's progress that it sees, from 0 to 1."""
    delay: float
    """Seconds after that."""


@dataclass(frozen=True, kw_only=True)
class Round:
    """One cluster's life with three killed engines."""

    create: Point
    grow: Point
    shrink: Point


def _rounds() -> list[Round]:
    """Points that together are spread evenly over each of the three runs."""
    choice = random.Random(SEED)  # noqa: S311

    def spread(longest_delay: float) -> list[Point]:
        points = [
            Point(
                fraction=(step + choice.random()) / ROUNDS,
                delay=choice.uniform(0, longest_delay),
            )
            for step in range(ROUNDS)
        ]
        choice.shuffle(points)
        return points

    # The steps of a living cluster take longer than those of the engine.
    return [
        Round(create=create, grow=grow, shrink=shrink)
        for create, grow, shrink in zip(spread(0.4), spread(1.5), spread(1.5), strict=True)
    ]


class Events:
    """What an engine tells of its run, from a file that grows."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._read = 0
        self._rest = b""
        self.progress = 0
        """Begun and finished steps so far."""
        self.said: list[str] = []
        """Warnings and errors so far."""

    def follow(self) -> int:
        """Read what is new and return the progress."""
        with self._file.open("rb") as stream:
            stream.seek(self._read)
            new = stream.read()
        self._read += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        events = [json.loads(line) for line in lines if line.startswith(b"{")]
        self.progress += sum(map(_is_progress, events))
        self.said += [
            event["diagnosticEvent"]["message"].strip()
            for event in events
            if event.get("diagnosticEvent", {}).get("severity") in ("warning", "error")
        ]
        return self.progress


def _is_progress(event: dict[str, dict[str, object]]) -> bool:
    for kind in ("resourcePreEvent", "resOutputsEvent"):
        if kind in event:
            metadata = event[kind]["metadata"]
            assert isinstance(metadata, dict)
            return _counts(str(metadata["op"]), str(metadata["type"]))
    message = str(event.get("diagnosticEvent", {}).get("message", ""))
    return _HAS_LEFT_STEP.search(message.strip()) is not None


def _counts(operation: str, kind: str) -> bool:
    return operation in _CERTAIN or (operation == "update" and kind == _ROSTER)


@pytest.fixture
def new_cluster(new_stack: Callable[..., Stack]) -> Iterator[Callable[..., Stack]]:
    """Makes stacks that have never been up and ends their servers."""
    made: list[Stack] = []

    def make(name: str, **settings: object) -> Stack:
        made.append(new_stack(name, **settings))
        return made[-1]

    yield make
    for stack in made:
        stack.discard()


def _progress_of(stack: Stack, leavers: int) -> int:
    """Progress of a whole run: each step begins and ends, each leaver is wiped and has left."""
    steps = sum(number for step, number in stack.planned().items() if _counts(*step))
    return 2 * steps + 2 * leavers


def _interrupt(
    stack: Stack, end: Callable[[int], None], progress: int, delay: float = 0, last: int = 1000
) -> int:
    """
    Run `up` and end it; its exit code.

    Args:
        end: Called with the process id when it is time.
        progress: Steps to wait for.
        delay: Seconds to wait after them.
        last: Steps at which the delay is over in any case.
    """
    file = stack.project / "events.json"
    with file.open("w") as output:
        process = stack.start("up", "--yes", "--skip-preview", "--json", output=output)
        events = Events(file)
        deadline = time.monotonic() + 300
        while events.follow() < progress:
            assert process.poll() is None, f"ended before step {progress}: {events.said}"
            assert time.monotonic() < deadline, f"step {events.progress} after 300 s"
            time.sleep(0.01)
        delayed = time.monotonic() + delay
        while time.monotonic() < delayed and events.follow() < last:
            time.sleep(0.01)
        end(process.pid)
        code = process.wait(timeout=300)
    stack.log += (said := file.read_text())
    assert TRACEBACK not in said
    return code


def _kill(stack: Stack, point: Point, leavers: int = 0) -> str:
    """Kill an `up` at this point, recover, and say how that went."""
    whole = _progress_of(stack, leavers)
    # With its last steps the run itself is over.
    last = whole - 2
    progress = 1 + int(point.fraction * last)
    code = _interrupt(stack, lambda pid: os.kill(pid, signal.SIGKILL), progress, point.delay, last)
    assert code == -signal.SIGKILL, f"the run had ended before it was killed at step {progress}"
    # The official plugins wait some minutes for their engine; recover ends them.
    ours = [one for one in stack.helpers_left(GONE_WITHIN) if "dynamic" in one or "talosctl" in one]
    assert ours == []
    started = time.monotonic()
    run = stack.recover()
    seconds = time.monotonic() - started
    where = f"step {progress} of {whole} + {point.delay:.2f} s"

    assert run.code == 0, f"{where}:\n{run.text}"
    assert TRACEBACK not in run.text, where
    assert "is not in the stack's state" not in run.text, where
    assert stack.helpers_left(within=2) == [], where
    fates = {fate: run.text.count(f": {fate}") for fate in ("taken over", "forgotten")}
    return f"{where}: recovered in {seconds:.0f} s, {fates}"


def _assert_whole(stack: Stack, control_planes: int, workers: int) -> dict[str, int]:
    """The cluster agrees with itself and a second `up` finds nothing to do; ids of its servers."""
    assert stack.agreed() == [
        *(f"{stack.name}-cp-{index}" for index in range(1, control_planes + 1)),
        *(f"{stack.name}-worker-{index}" for index in range(1, workers + 1)),
    ]
    objects = stack.cloud_objects()
    assert len(objects["primary IPs"]) == control_planes
    assert objects["networks"] == [stack.name]
    assert len(objects["firewalls"]) == len(objects["placement groups"]) == 2
    assert not json.loads(stack.state())["deployment"].get("pending_operations")
    assert stack.up().changes == {}
    return {
        server.name: server.id
        for server in stack.cloud.servers.get_all(label_selector=f"cluster={stack.name}")
    }


@pytest.mark.parametrize(
    ("number", "points"), list(enumerate(_rounds(), start=1)), ids=lambda value: str(value)[:3]
)
def test_recover_finishes_what_killed_engines_began(
    new_cluster: Callable[..., Stack], number: int, points: Round
) -> None:
    stack = new_cluster(f"kill{number}", controlPlanes="1", workers="1")
    print(f"create {_kill(stack, points.create)}")
    born = _assert_whole(stack, 1, 1)
    stack.kubectl("create", "configmap", "kept")
    run_application(stack, replicas=3, budget=2)

    stack.set("controlPlanes", "3")
    stack.set("workers", "2")
    print(f"grow   {_kill(stack, points.grow)}")
    grown = _assert_whole(stack, 3, 2)
    assert {name: grown[name] for name in born} == born
    stack.kubectl("rollout", "restart", "deployment/web")
    stack.kubectl("rollout", "status", "deployment/web", "--timeout=60s")

    stack.set("controlPlanes", "1")
    stack.set("workers", "1")
    print(f"shrink {_kill(stack, points.shrink, leavers=3)}")
    assert _assert_whole(stack, 1, 1) == born
    assert "kept" in stack.kubectl("get", "configmaps", "-o", "name")
    stack.destroy()
    assert stack.cloud_objects() == {}


def test_after_an_interrupted_scale_down_a_plain_up_goes_on(
    new_cluster: Callable[..., Stack],
) -> None:
    stack = new_cluster("halt", controlPlanes="3", workers="2")
    stack.up()
    stack.set("controlPlanes", "1")
    # The first of two control planes is being wiped then.
    assert _interrupt(stack, lambda pid: os.kill(pid, signal.SIGTERM), progress=2) != 0
    assert stack.helpers_left(GONE_WITHIN) == []
    stack.up()
    _assert_whole(stack, 1, 2)

    stack.set("workers", "1")
    assert _interrupt(stack, lambda pid: os.killpg(pid, signal.SIGINT), progress=2) != 0
    assert stack.helpers_left(GONE_WITHIN) == []
    stack.up()
    _assert_whole(stack, 1, 1)
