"""How a stack wants changes to reach its live nodes: how many at a time, which not at all, and how long a drain may take."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from typing import Any, Final

from .config_reader import Reader
from .naming import CONTROL_PLANE_POOL, server_name

MAX_UNAVAILABLE: Final = 3
"""The engine's plugin for dynamic resources has four worker threads, and one stays free."""


def read_rollout(reader: Reader, fields: dict[str, Any]) -> None:
    """Reads the settings of roll-outs; the fields of the nodes must be there already."""
    fields["max_unavailable"] = reader.integer("maxUnavailable", 1, MAX_UNAVAILABLE)
    fields["skip_nodes"] = read_names(reader, "skipNodes", wanted_nodes(reader, fields), "node")
    fields["drain_timeout"] = reader.integer("drainTimeout", 1, 86400)
    fields["node_timeout"] = reader.integer("nodeTimeout", 1, 86400)


def read_names(
    reader: Reader, key: str, known: Collection[str] | None, noun: str
) -> tuple[str, ...]:
    """A list of names of this cluster, each at most once.

    Args:
        known: The names that exist; None accepts any.
        noun: What a name stands for, as in "is no node of this cluster".
    """
    names: list[str] = []
    for index, name in enumerate(reader.array(key)):
        path = f"{key}[{index}]"
        if not isinstance(name, str):
            reader.add(path, name, "is not text", f"write the name of a {noun}")
        elif name in names:
            reader.add(path, name, "is listed twice", "remove one of them")
        else:
            names.append(name)
            if known is not None and name not in known:
                nearest = difflib.get_close_matches(name, known, n=1)
                reader.add(
                    path,
                    name,
                    f"is no {noun} of this cluster",
                    f"did you mean {nearest[0]}? If not, remove it" if nearest else "remove it",
                )
    return tuple(names)


def wanted_nodes(reader: Reader, fields: dict[str, Any]) -> list[str] | None:
    """Names of all nodes; None where the size cannot be read, so that nobody knows them."""
    counted = reader.ok(
        "clusterName", "controlPlanes", "workers", "workersGeneration", "workerPools"
    )
    return _node_names(fields) if counted else None


def _node_names(fields: dict[str, Any]) -> list[str]:
    cluster = fields["cluster_name"]
    sizes = [(CONTROL_PLANE_POOL, fields["control_planes"], 1)]
    sizes += [(pool.name, pool.count, pool.generation) for pool in fields["worker_pools"]]
    return [
        server_name(cluster, pool, index, generation)
        for pool, count, generation in sizes
        for index in range(1, count + 1)
    ]
