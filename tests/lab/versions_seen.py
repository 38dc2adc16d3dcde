"""What upgrades have done to the nodes of a stack, from three sides: the events, the cluster, the state."""

import re
from collections.abc import Collection
from typing import Any

from . import node_events
from .stacks import NODE, Stack

_TOUCHES = ("apply", "cordon", "upgrade-begin", "reboot-begin", "shutdown-begin", "reset-begin")


def rebooted(stack: Stack, after: int) -> list[str]:
    """Names of the nodes that were asked to restart, in order."""
    return [event.node for event in node_events.of_stack(stack, "reboot-begin", after=after)]


def touched(stack: Stack, after: int) -> set[str]:
    """Names of the nodes to which anything was done."""
    return {event.node for event in node_events.of_stack(stack, *_TOUCHES, after=after)}


def running(stack: Stack) -> dict[str, str]:
    """Talos version that each node has last reported."""
    found = {}
    for name, node in stack.nodes().items():
        match = re.fullmatch(r"Talos \((.+)\)", node["status"]["nodeInfo"]["osImage"])
        assert match, node["status"]["nodeInfo"]
        found[name] = match[1]
    return found


def recorded(stack: Stack) -> dict[str, str]:
    """Talos version of each node in the state."""
    return {node["node_name"]: node["talos_version"] for node in _nodes(stack)}


def unfinished(stack: Stack) -> list[str]:
    """Names of the nodes that the state holds for unfinished, sorted."""
    return sorted(node["node_name"] for node in _nodes(stack) if node["pending"])


def cordoned(stack: Stack) -> list[str]:
    """Names of the nodes that take no pods, sorted."""
    return sorted(n for n, node in stack.nodes().items() if node["spec"].get("unschedulable"))


def said(text: str, resource: str) -> str:
    """What a command's closing list of messages says under one resource, in one line; empty for nothing."""
    _, _, messages = text.partition("Diagnostics:")
    found = re.search(rf"\({re.escape(resource)}\):\n(.+?)(\n\n|\Z)", messages, re.DOTALL)
    return " ".join(found[1].split()) if found else ""


def assert_one_at_a_time(stack: Stack, names: Collection[str], after: int) -> None:
    """These nodes have restarted in this order, once each, and each was back before the next one was touched."""
    events = node_events.of_stack(stack, after=after)
    assert [e.node for e in events if e.kind == "upgrade-begin"] == list(names)
    assert [e.node for e in events if e.kind == "reboot-begin"] == list(names)
    away = ""
    for event in events:
        if event.kind == "upgrade-begin":
            assert away == "", f"{event.node} was touched while {away} was away"
            away = event.node
        elif event.kind == "reboot-end":
            assert event.node == away
            away = ""
    assert away == ""


def _nodes(stack: Stack) -> list[dict[str, Any]]:
    return [r["outputs"] for r in stack.resources() if r["type"] == NODE]
