"""What happened to the nodes of a lab, in the order in which it happened.

`of_stack(stack)` is for tests of whole stacks; `lab-node` keeps the events of deleted servers too.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lab.instance import Lab

    from .stacks import Stack

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Event:
    """One thing that happened to a node."""

    order: int
    """Grows over all nodes of a lab."""
    time: datetime
    """When, in UTC."""
    node: str
    """Name of the server."""
    kind: str
    """What, for example `apply`, `cordon`, `reboot-begin`; docs/lab.md lists the kinds."""
    detail: str
    """More about it, for people and for `in`."""

    def __str__(self) -> str:
        return f"{self.order} {self.time:%H:%M:%S.%f} {self.node} {self.kind}: {self.detail}"


def parse(entries: Iterable[dict[str, Any]]) -> list[Event]:
    """Events from the daemon's JSON, oldest first."""
    found = [
        Event(e["order"], datetime.fromisoformat(e["time"]), e["server"], e["event"], e["detail"])
        for e in entries
    ]
    return sorted(found, key=lambda event: event.order)


def of_lab(lab: Lab, after: int = 0) -> list[Event]:
    """All events of a lab whose order is higher than `after`."""
    url = f"http://127.0.0.1:{lab.settings.node_port}/events?after={after}"
    with _opener.open(url, timeout=30) as response:
        return parse(json.load(response))


def of_stack(stack: Stack, *kinds: str, after: int = 0) -> list[Event]:
    """
    Events of the nodes of a stack, oldest first.

    Args:
        stack: Its cluster has the stack's name, so its servers' names begin with that.
        kinds: Only these kinds; all without any.
        after: Leave out events up to this order, for example those of the creation.
    """
    return [
        event
        for event in of_lab(stack.lab, after)
        if event.node.startswith(f"{stack.name}-") and (not kinds or event.kind in kinds)
    ]


def last_order(lab: Lab) -> int:
    """Order of the newest event: what comes later has `after=` this."""
    return max((event.order for event in of_lab(lab)), default=0)


def spans(events: Iterable[Event], what: str) -> list[tuple[str, datetime, datetime | None]]:
    """
    Node, begin and end of all `what`, for example "reboot", in the order of their begins.

    The end is None for one that has not ended.
    """
    open_spans: dict[str, int] = {}
    found: list[tuple[str, datetime, datetime | None]] = []
    for event in events:
        if event.kind == f"{what}-begin":
            open_spans[event.node] = len(found)
            found.append((event.node, event.time, None))
        elif event.kind == f"{what}-end" and event.node in open_spans:
            index = open_spans.pop(event.node)
            found[index] = (event.node, found[index][1], event.time)
    return found
