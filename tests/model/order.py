"""Whether what was done to nodes one after another had to come one after another: the engine runs the rest side by side."""

import itertools
from collections.abc import Collection, Sequence

from .program import DYNAMIC, Goal
from .wish import CLUSTER

CHANGES = {
    "config applied": "NodeConfig",
    "reboot": "NodeConfig",
    "shut down": "Node",
    "upgrade": "Node",
}
"""What takes something out of service for a moment, and the resource that does it."""


def unordered(
    goals: Sequence[Goal], done: Collection[tuple[str, str]], workers_at_once: int
) -> str | None:
    """
    Names of nodes that could have been changed at the same time although they must not.

    Control planes change alone. Of the workers no more than `workers_at_once` may change at a time.
    """
    urns = {(goal.type, goal.name): goal.urn for goal in goals}
    before = _ancestors(goals)
    changed: dict[str, str] = {}
    for name, what in done:
        if what not in CHANGES:
            continue
        kind = CHANGES[what]
        prefix = "config" if kind == "NodeConfig" else "node"
        urn = urns.get((f"{DYNAMIC}{kind}", f"{prefix}-{name}"))
        # Workers serve nobody's API: a config that needs no reboot takes nothing away.
        if urn is not None and (what != "config applied" or _is_control_plane(name)):
            changed[urn] = name
    beside = {
        frozenset((a, b))
        for a, b in itertools.combinations(changed, 2)
        if a not in before[b] and b not in before[a]
    }
    for a, b in beside:
        if _is_control_plane(changed[a]) or _is_control_plane(changed[b]):
            return f"{changed[a]} and {changed[b]}"
    workers = sorted({urn for pair in beside for urn in pair})
    for group in itertools.combinations(workers, workers_at_once + 1):
        if all(frozenset(pair) in beside for pair in itertools.combinations(group, 2)):
            return " and ".join(changed[urn] for urn in group)
    return None


def _ancestors(goals: Sequence[Goal]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for goal in goals:
        found[goal.urn] = set(goal.dependencies).union(*(found[d] for d in goal.dependencies))
    return found


def _is_control_plane(name: str) -> bool:
    return name.startswith(f"{CLUSTER}-cp-")
