"""How long an upgrade of Talos takes, against the time that its nodes are away one after another."""

import time
from pathlib import Path

from tests.lab import node_events
from tests.lab.stacks import Stack, make_stack

from .slow_lab import slow_lab, times

LIMIT = 1.15
"""Ratio that the roll-out is meant to stay within."""

_CONTROL_PLANES = 3
_WORKERS = 3


def measure(directory: Path) -> str:
    """
    Upgrade three control planes, then three workers at once.

    The lower bound is the critical path: every control plane from its upgrade's begin until its Node is Ready and its static pods
    run again, and the slowest of the workers. Nothing that checks each node before the next can be faster.
    """
    with slow_lab(directory) as lab:
        project = directory / "project"
        project.mkdir()
        stack = make_stack(
            lab,
            project,
            "bench",
            controlPlanes=str(_CONTROL_PLANES),
            workers=str(_WORKERS),
            maxUnavailable=str(_WORKERS),
        )
        stack.up()
        stack.set("talosVersion", "v1.13.8")
        before = node_events.last_order(lab)
        begin = time.monotonic()
        stack.up()
        wall = time.monotonic() - begin
        away = _away(stack, before)
        stack.destroy()
    control_planes = [seconds for name, seconds in away.items() if "-cp-" in name]
    workers = [seconds for name, seconds in away.items() if "-cp-" not in name]
    if (len(control_planes), len(workers)) != (_CONTROL_PLANES, _WORKERS):
        raise RuntimeError(f"not every node was upgraded: {sorted(away)}")
    path = sum(control_planes) + max(workers)
    verdict = "within" if wall <= LIMIT * path else "ABOVE"
    return (
        f"{wall:.0f} s for a critical path of {path:.0f} s: {wall / path:.2f} x, {verdict} {LIMIT} x"
        f" ({times()})"
    )


def _away(stack: Stack, after: int) -> dict[str, float]:
    """Seconds from the begin of each node's upgrade until it was well on the new system."""
    begins: dict[str, float] = {}
    booted: set[str] = set()
    found: dict[str, float] = {}
    for event in node_events.of_stack(stack, after=after):
        moment = event.time.timestamp()
        if event.kind == "upgrade-begin":
            begins[event.node] = moment
        elif event.kind == "boot-end" and event.node in begins:
            booted.add(event.node)
            found[event.node] = moment - begins[event.node]
        elif event.kind == "uncordon":
            booted.discard(event.node)
        elif event.node in booted and (
            event.kind == "static-pod" or (event.kind == "node" and "True" in event.detail)
        ):
            found[event.node] = moment - begins[event.node]
    return found
