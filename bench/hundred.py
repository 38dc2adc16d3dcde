"""What a large cluster costs to create, against the same raw resources in a flat program: wall time, and requests to Hetzner."""

import os
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any

import requests

from lab.instance import Lab
from tests.lab.stacks import Stack, make_stack

from .slow_lab import slow_lab, times

NODES = 100
"""Nodes of the cluster: what a Hetzner network can hold. BENCH_NODES sets another number."""

WALL_LIMIT = 1.25
"""Ratio of wall times that an `up` is meant to stay within."""

REQUEST_LIMIT = 1.2
"""Ratio of requests that an `up` is meant to stay within."""

BUDGET = 3600
"""Requests that Hetzner lets a project make within an hour."""

_CONTROL_PLANES = 3
_LOOK_UPS = {
    f"GET /{kind}"
    for kind in ("images", "locations", "server_types", "load_balancer_types", "servers")
}
_OWN = ("pulumi:", "oxide:", "pulumi-python:dynamic/oxide:", "talos:machine/bootstrap:")
"""Types that are not compared: the engine's own, Oxide's components and life cycle, and the call that Oxide makes by itself."""


def measure(directory: Path) -> str:
    """
    Create the cluster with Oxide, then with the flat program, each on an empty project of one lab.

    Oxide goes first, so that whatever the machine keeps from the first run helps the other one. The flat program ends when Helm
    is done; Oxide ends when every node is Ready as well.
    """
    nodes = int(os.environ.get("BENCH_NODES", NODES))
    with slow_lab(directory) as lab:
        oxide, flat = (_stack(lab, directory, name, nodes) for name in ("oxide", "flat"))
        shutil.copy(Path(__file__).with_name("flat.py"), flat.project / "__main__.py")
        ours = _Run(lab, oxide)
        if len(oxide.ready_nodes()) != nodes:
            raise RuntimeError(f"not all of {nodes} nodes are Ready: {oxide.ready_nodes()}")
        raw = _raw(oxide)
        again = _Run(lab, oxide)
        destroyed = _counted(lab, oxide.destroy)
        theirs = _Run(lab, flat)
        if raw != _raw(flat):
            raise RuntimeError(f"other raw resources: {raw - _raw(flat)} {_raw(flat) - raw}")
        flat.destroy()
    return _report(nodes, ours, theirs, again, destroyed)


class _Run:
    """One `pulumi up`: its wall time in seconds, and its requests by method and path."""

    def __init__(self, lab: Lab, stack: Stack) -> None:
        begin = time.monotonic()
        self.requests = _counted(lab, stack.up)
        self.wall = time.monotonic() - begin


def _stack(lab: Lab, directory: Path, name: str, nodes: int) -> Stack:
    project = directory / name
    project.mkdir()
    return make_stack(
        lab,
        project,
        name,
        clusterName="bench",
        controlPlanes=str(_CONTROL_PLANES),
        workers=str(nodes - _CONTROL_PLANES),
        podCidr="10.0.128.0/17",
        # With one at a time, an upgrade of so many would take half a day.
        maxUnavailable="3",
    )


def _counted(lab: Lab, work: Any) -> Counter[str]:
    """Requests that Hetzner answers while something works."""
    url = f"{lab.endpoint.removesuffix('/v1')}/_lab/requests"
    requests.delete(url, timeout=30)
    work()
    summary = requests.get(url, timeout=30).json()
    if "429" in summary["statuses"]:
        raise RuntimeError(f"beyond Hetzner's rate limit: {summary['statuses']}")
    return Counter(summary["requests"])


def _raw(stack: Stack) -> Counter[str]:
    """How many raw resources of each type the stack holds."""
    return Counter(
        resource["type"] for resource in stack.resources() if not resource["type"].startswith(_OWN)
    )


def _report(nodes: int, ours: _Run, theirs: _Run, again: _Run, destroyed: Counter[str]) -> str:
    wall, requests = ours.wall / theirs.wall, ours.requests.total() / theirs.requests.total()
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(again.requests.items()))
    only = "only look-ups" if _LOOK_UPS.issuperset(again.requests) else "MORE THAN LOOK-UPS"
    hour = ours.requests.total() + again.requests.total() + destroyed.total()
    return "\n  ".join(
        [
            f"{nodes} nodes, {times()}",
            f"up {ours.wall:.0f} s, flat program {theirs.wall:.0f} s: {wall:.2f} x, {_verdict(wall, WALL_LIMIT)} {WALL_LIMIT} x",
            f"{ours.requests.total()} requests, flat program {theirs.requests.total()}: {requests:.2f} x, "
            f"{_verdict(requests, REQUEST_LIMIT)} {REQUEST_LIMIT} x",
            f"unchanged up {again.wall:.0f} s, {only}: {kinds}",
            f"up, unchanged up and destroy within one hour: {hour} requests, {_verdict(hour, BUDGET)} {BUDGET}",
        ]
    )


def _verdict(found: float, limit: float) -> str:
    return "within" if found <= limit else "ABOVE"
