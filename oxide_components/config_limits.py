"""Checks of a stack's size: names, servers, placement groups and machine configs against their limits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from .config_pools import WorkerPoolConfig
from .config_reader import Reader
from .errors import Problem
from .hetzner import (
    EUROPEAN_ZONE,
    MAX_PLACEMENT_GROUPS,
    MAX_SERVERS_PER_NETWORK,
    OUTGOING_SERVER_TYPES,
    ZONES,
    is_european_only,
)
from .machine_config import USER_DATA_LIMIT
from .naming import (
    CONTROL_PLANE_POOL,
    MAX_HOSTNAME_LENGTH,
    generation_name,
    group_count,
    server_name,
)

CONTROL_PLANE_CONFIG_BYTES: Final = 14 * 1024
WORKER_CONFIG_BYTES: Final = 6 * 1024
"""Upper estimates of the configs that Oxide makes without any patch of the user."""


def check_limits(reader: Reader, fields: dict[str, Any]) -> None:
    """Reports names that get too long and sizes beyond Hetzner's limits."""
    _check_names(reader, fields["cluster_name"], fields["control_planes"], fields["worker_pools"])
    _check_generations(reader, fields["worker_pools"])
    _check_counts(reader, fields["control_planes"], fields["worker_pools"])
    _check_user_data(reader, fields)


def _check_names(
    reader: Reader, cluster_name: str, control_planes: int, pools: Sequence[WorkerPoolConfig]
) -> None:
    if not reader.ok("clusterName"):
        return
    sized = [("clusterName", CONTROL_PLANE_POOL, control_planes, 1)]
    sized += [
        (
            f"workerPools[{index}].name" if index >= 0 else "clusterName",
            pool.name,
            pool.count,
            pool.generation,
        )
        for index, pool in enumerate(pools, start=-1)
    ]
    for path, pool, count, generation in sized:
        longest = server_name(cluster_name, pool, max(count, 1), generation)
        if not check_name_length(
            reader, path, cluster_name if path == "clusterName" else pool, longest
        ):
            return


def check_name_length(reader: Reader, path: str, value: str, longest: str) -> bool:
    """
    Reports a name that makes servers' names too long; returns whether they are not.

    Args:
        longest: The longest name of a server that it is a part of.
    """
    if len(longest) <= MAX_HOSTNAME_LENGTH:
        return True
    reader.add(
        path,
        value,
        f"makes server names such as {longest} longer than {MAX_HOSTNAME_LENGTH} characters",
        "use a shorter clusterName or pool name",
    )
    return False


def _check_generations(reader: Reader, pools: Sequence[WorkerPoolConfig]) -> None:
    # Whatever the other pool's generation is, servers of its first one may still be there.
    names = {pool.name for pool in pools}
    for index, pool in enumerate(pools, start=-1):
        taken = generation_name(pool.name, pool.generation)
        if pool.generation > 1 and taken in names:
            reader.add(
                f"workerPools[{index}].generation" if index >= 0 else "workersGeneration",
                pool.generation,
                f"gives the servers of pool {pool.name} the names of pool {taken}",
                "use another generation or rename that pool",
            )


def _check_counts(reader: Reader, control_planes: int, pools: Sequence[WorkerPoolConfig]) -> None:
    if not reader.sizes_are_known():
        return
    key = "workerPools" if len(pools) > 1 else "workers"
    servers = control_planes + sum(pool.count for pool in pools)
    if servers > MAX_SERVERS_PER_NETWORK:
        reader.add(
            key,
            f"{servers} servers",
            f"is more than the {MAX_SERVERS_PER_NETWORK} that a Hetzner network takes",
            "use fewer, larger servers",
        )
    groups = group_count(control_planes) + sum(group_count(pool.count) for pool in pools)
    if groups > MAX_PLACEMENT_GROUPS:
        reader.add(
            key,
            f"{groups} placement groups",
            f"is more than the {MAX_PLACEMENT_GROUPS} of a Hetzner project",
            "use fewer pools",
        )


def _check_user_data(reader: Reader, fields: dict[str, Any]) -> None:
    common = _size(fields["config_patches"])
    control = CONTROL_PLANE_CONFIG_BYTES + common + _size(fields["control_plane_config_patches"])
    if control > USER_DATA_LIMIT:
        _refuse_size(reader, "controlPlaneConfigPatches", "a control plane", control)
    worker = WORKER_CONFIG_BYTES + common + _size(fields["worker_config_patches"])
    for index, pool in enumerate(fields["worker_pools"], start=-1):
        size = (
            worker
            + _size(pool.config_patches)
            + _size([*pool.labels.values(), *pool.annotations.values()])
        )
        if size > USER_DATA_LIMIT:
            key = "workerConfigPatches" if index < 0 else f"workerPools[{index}].configPatches"
            _refuse_size(reader, key, f"a worker of pool {pool.name}", size)
            if index < 0:
                return


def _refuse_size(reader: Reader, key: str, node: str, size: int) -> None:
    reader.add_shown(
        key,
        f"{size} bytes",
        f"is what the config of {node} comes to with all patches, and Hetzner takes {USER_DATA_LIMIT}",
        "shorten the patches; large files belong into images or into the cluster",
    )


def _size(texts: Iterable[str]) -> int:
    return sum(len(text.encode()) for text in texts)


def server_type_warnings(fields: dict[str, Any]) -> list[Problem]:
    """Server types that may not be available for new servers."""
    found = []
    used = [
        ("controlPlaneServerType", fields["control_plane_server_type"], location, 1)
        for location in fields["control_plane_locations"]
    ]
    for index, pool in enumerate(fields["worker_pools"], start=-1):
        path = "workerServerType" if index < 0 else f"workerPools[{index}].serverType"
        used.append((path, pool.server_type, pool.location, pool.count))
    for path, server_type, location, count in used:
        if not count:
            continue
        if server_type in OUTGOING_SERVER_TYPES:
            found.append(
                Problem(
                    setting=path,
                    value=server_type,
                    reason="is an outgoing type that Hetzner may refuse for new servers",
                    way_out=f"use {OUTGOING_SERVER_TYPES[server_type]} for new ones",
                )
            )
        if is_european_only(server_type) and ZONES.get(location, EUROPEAN_ZONE) != EUROPEAN_ZONE:
            found.append(
                Problem(
                    setting=path,
                    value=server_type,
                    reason=f"is known to be offered in Europe only, and the location is {location}",
                    way_out="use a cpx or ccx type there",
                )
            )
    return found
