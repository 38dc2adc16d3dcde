"""Worker pools in a stack's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from . import kubernetes_syntax as syntax
from .config_patches import patch_problems, patch_text
from .config_reader import Reader
from .config_schema import POOL_KEYS, TAINT_KEYS
from .hetzner import (
    MAX_SERVERS_PER_NETWORK,
    RETIRED_SERVER_TYPES,
    Architecture,
    is_server_type,
    server_type_architecture,
)
from .machine_config import POOL_NODE_LABEL
from .naming import CONTROL_PLANE_POOL, DEFAULT_WORKER_POOL, is_dns_label

MAX_GENERATION: Final = 999
"""Bounds what a generation adds to the names of servers."""


@dataclass(frozen=True, kw_only=True)
class Taint:
    """Keeps pods without a matching toleration off a pool's nodes."""

    key: str
    value: str
    """May be empty."""
    effect: str
    """NoSchedule, PreferNoSchedule or NoExecute."""


@dataclass(frozen=True, kw_only=True)
class WorkerPoolConfig:
    """Workers that are alike."""

    name: str
    """Part of the servers' names; unique in the cluster."""
    count: int
    """Number of nodes; 0 keeps the pool without any."""
    server_type: str
    location: str
    generation: int = 1
    """Part of the servers' names from 2 on; a raised one replaces the pool's servers by new ones."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Kubernetes labels of the nodes."""
    taints: tuple[Taint, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    """Kubernetes annotations of the nodes."""
    config_patches: tuple[str, ...] = ()
    """Talos strategic merge patches as YAML texts, applied after those for all workers."""

    @property
    def architecture(self) -> Architecture:
        """Architecture of the pool's servers."""
        return server_type_architecture(self.server_type)

    @property
    def takes_any_pod(self) -> bool:
        """Whether its nodes take pods without tolerations, be it as the last choice."""
        return all(taint.effect == "PreferNoSchedule" for taint in self.taints)


def read_pools(reader: Reader, cluster_name: str, location: str) -> tuple[WorkerPoolConfig, ...]:
    """The default pool `worker` and then the entries of `workerPools`."""
    default = WorkerPoolConfig(
        name=DEFAULT_WORKER_POOL,
        count=reader.integer("workers", 0, MAX_SERVERS_PER_NETWORK),
        server_type=reader.text("workerServerType"),
        location=location,
        generation=reader.integer("workersGeneration", 1, MAX_GENERATION),
    )
    check_server_type(reader, "workerServerType", default.server_type)
    pools = [default]
    for index, value in enumerate(reader.array("workerPools")):
        path = f"workerPools[{index}]"
        entry = reader.entry(path, value, POOL_KEYS)
        if entry is not None:
            pools.append(_read_pool(reader, path, entry, cluster_name, pools))
    return tuple(pools)


def read_patches(reader: Reader, path: str, value: object, cluster_name: str) -> tuple[str, ...]:
    """Machine config patches of one setting as YAML texts."""
    if value is None:
        return ()
    if not isinstance(value, list):
        reader.add(path, value, "is not a list", "put the patch into a list")
        return ()
    for index, patch in enumerate(value):
        for problem in patch_problems(patch, cluster_name):
            where = f" {problem.path}" if problem.path else ""
            reader.add_shown(
                f"{path}[{index}]{where}", problem.value, problem.reason, problem.way_out
            )
    return tuple(text for patch in value if (text := patch_text(patch)) is not None)


def check_server_type(reader: Reader, path: str, server_type: str) -> None:
    """Reports a text that is no server type, and types that can no longer be ordered."""
    if not is_server_type(server_type):
        reader.add(
            path, server_type, "is not a Hetzner server type", "use one like cx33, cax21 or ccx13"
        )
    elif server_type in RETIRED_SERVER_TYPES:
        reader.add(
            path,
            server_type,
            "can no longer be ordered at Hetzner",
            f"use {RETIRED_SERVER_TYPES[server_type]}",
        )


def _read_pool(
    reader: Reader,
    path: str,
    entry: Mapping[str, Any],
    cluster_name: str,
    others: list[WorkerPoolConfig],
) -> WorkerPoolConfig:
    default = others[0]
    pool = WorkerPoolConfig(
        name=reader.entry_text(path, entry, "name"),
        count=reader.entry_integer(path, entry, "count", 0, MAX_SERVERS_PER_NETWORK),
        server_type=reader.entry_text(path, entry, "serverType", default.server_type),
        location=reader.entry_text(path, entry, "location", default.location),
        generation=reader.entry_integer(path, entry, "generation", 1, MAX_GENERATION, default=1),
        labels=reader.text_map(f"{path}.labels", entry.get("labels")),
        taints=read_taints(reader, f"{path}.taints", entry.get("taints")),
        annotations=reader.text_map(f"{path}.annotations", entry.get("annotations")),
        config_patches=read_patches(
            reader, f"{path}.configPatches", entry.get("configPatches"), cluster_name
        ),
    )
    check_pool_name(reader, f"{path}.name", entry, pool.name, {other.name for other in others})
    if "serverType" in entry:
        check_server_type(reader, f"{path}.serverType", pool.server_type)
    check_labels(reader, f"{path}.labels", pool.labels)
    check_annotations(reader, f"{path}.annotations", pool.annotations)
    return pool


def check_pool_name(
    reader: Reader, path: str, entry: Mapping[str, Any], name: str, taken: set[str]
) -> None:
    """Reports a name that is no part of host names, or that is taken."""
    if "name" not in entry:
        reader.add(path, None, "is missing", "give the pool a name")
    elif not isinstance(entry["name"], str):
        return
    elif not is_dns_label(name):
        reader.add(
            path,
            name,
            "is not part of a host name",
            "use lower-case letters, digits and inner hyphens",
        )
    elif name == CONTROL_PLANE_POOL:
        reader.add(path, name, "is the name of the control planes", "use another name")
    elif name in taken:
        way_out = "use another name"
        if name == DEFAULT_WORKER_POOL:
            way_out += "; workers and workerServerType describe this pool"
        reader.add(path, name, "is already a pool of this cluster", way_out)


def check_labels(reader: Reader, path: str, labels: Mapping[str, str]) -> None:
    """Reports labels that Kubernetes refuses, and those that kubelets must not set."""
    for key, value in labels.items():
        name_problem = syntax.qualified_name_problem(key)
        reserved = syntax.node_label_problem(key)
        if name_problem:
            reader.add(f"{path}[{key}]", key, name_problem, "rename the label")
        elif reserved:
            reader.add(
                f"{path}[{key}]",
                value,
                reserved,
                "use a label of your own domain, or node.kubernetes.io/...; roles that only `kubectl get nodes` shows "
                "can be set with `kubectl label`",
            )
        elif key == POOL_NODE_LABEL:
            reader.add(f"{path}[{key}]", value, "is set from the pool's name", "remove it")
        if value_problem := syntax.label_value_problem(value):
            reader.add(
                f"{path}[{key}]", value, value_problem, "change the value, or use an annotation"
            )


def check_annotations(reader: Reader, path: str, annotations: Mapping[str, str]) -> None:
    """Reports annotations that Kubernetes refuses."""
    for key in annotations:
        if name_problem := syntax.qualified_name_problem(key):
            reader.add(f"{path}[{key}]", key, name_problem, "rename the annotation")
    size = sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items())
    if size > syntax.MAX_ANNOTATIONS_BYTES:
        reader.add(
            path,
            f"{size} bytes",
            f"is more than the {syntax.MAX_ANNOTATIONS_BYTES} of a node",
            "shorten it",
        )


def read_taints(reader: Reader, path: str, value: object) -> tuple[Taint, ...]:
    """A list of taints as the setting has it; what Kubernetes refuses is reported."""
    if value is None:
        return ()
    if not isinstance(value, list):
        reader.add(path, value, "is not a list", "write a list of key, value and effect")
        return ()
    taints: list[Taint] = []
    for index, item in enumerate(value):
        here = f"{path}[{index}]"
        entry = reader.entry(here, item, TAINT_KEYS)
        if entry is None:
            continue
        taint = Taint(**{key: reader.entry_text(here, entry, key) for key in TAINT_KEYS})
        if any(isinstance(entry.get(key, ""), str) is False for key in TAINT_KEYS):
            continue
        _check_taint(reader, here, taint, taints)
        taints.append(taint)
    return tuple(taints)


def _check_taint(reader: Reader, path: str, taint: Taint, others: list[Taint]) -> None:
    if problem := syntax.qualified_name_problem(taint.key):
        reader.add(f"{path}.key", taint.key, problem, "rename the taint")
    if problem := syntax.label_value_problem(taint.value):
        reader.add(f"{path}.value", taint.value, problem, "change the value")
    if problem := syntax.taint_effect_problem(taint.effect):
        reader.add(f"{path}.effect", taint.effect, problem, "use NoSchedule, or another of them")
    if any((other.key, other.effect) == (taint.key, taint.effect) for other in others):
        reader.add(
            path, taint.key, "has the same key and effect as another taint", "remove one of them"
        )
