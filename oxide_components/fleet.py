"""
All workers of a cluster at one look, for runs that make many of them.

New nodes are waited for one after another, although there is nothing to do for most of them. What one look shows of all serves every
one of them; whoever is not well in it, or may not be well, is looked at on its own.
"""

import json
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from . import hetzner_api, naming
from .kubernetes_api import (
    CORDONED,
    KubernetesApi,
    boot_id,
    internal_address,
    node_not_ready_reason,
    talos_version,
)
from .packed import unpack
from .talosctl import Talosctl

FRESH = 10.0
"""Seconds that a look at the Node objects serves: kubelets report no more often, and silence counts only after four times that."""

CONFIG_TIMEOUT = 120.0
"""Seconds that the machine configs of all workers may take, which talosctl fetches one after another."""

_ISO = "%Y-%m-%dT%H:%M:%SZ"
"""How Kubernetes writes a time."""


@dataclass
class _Cluster:
    """What this process has seen of one cluster."""

    nodes: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    looked_at: float = float("-inf")
    made: Mapping[str, datetime] = field(default_factory=dict)
    configs: Mapping[str, str] | None = None
    well: dict[tuple[str, str], str] = field(default_factory=dict)


_clusters: defaultdict[str, _Cluster] = defaultdict(_Cluster)
"""By the address of the first control plane. One run of Pulumi is one process."""

_lock = threading.Lock()


def found_well(props: Mapping[str, Any], boot: str) -> None:
    """Remember with which boot a node was found well."""
    _cluster(props).well[_identity(props)] = boot


def well_boot(props: Mapping[str, Any]) -> str | None:
    """Boot with which this run has found the node well; None if it has not."""
    return _cluster(props).well.get(_identity(props))


def is_well_newcomer(props: Mapping[str, Any]) -> bool:
    """
    Whether a worker that was just made is as it is meant to be: on the type and the version, Ready, and nobody has it in hands.

    Its Node object has to be younger than its server. Then it is no predecessor's, and all that it shows is of this server.
    """
    if props["role"] != naming.ROLE_WORKER or props["made_as"] != props["server_type"]:
        return False
    with _lock:
        node = _node(props)
        if node is None or talos_version(node) != props["talos_version"]:
            return False
        registered = node["metadata"].get("creationTimestamp")
        made = _made(props) if registered else None
    if made is None or datetime.strptime(registered, _ISO).replace(tzinfo=UTC) <= made:
        return False
    found_well(props, boot_id(node))
    return True


def has_config(props: Mapping[str, Any]) -> bool:
    """Whether a worker that this run has found well is so still, and runs with exactly this config."""
    boot = well_boot(props)
    if props["role"] != naming.ROLE_WORKER or boot is None:
        return False
    with _lock:
        node = _node(props)
        if node is None or boot_id(node) != boot:
            return False
        config = _configs(props).get(props["private_address"])
    return config is not None and config == unpack(props["machine_configuration"])


def _cluster(props: Mapping[str, Any]) -> _Cluster:
    return _clusters[props["control_planes"][0]["public_address"]]


def _identity(props: Mapping[str, Any]) -> tuple[str, str]:
    return str(props["node_name"]), str(props["server_id"])


def _node(props: Mapping[str, Any]) -> dict[str, Any] | None:
    """The Node object of a node that is Ready and that nobody has in hands."""
    cluster = _cluster(props)
    if time.monotonic() - cluster.looked_at > FRESH:
        try:
            found = KubernetesApi(props["kubeconfig"]).items("/api/v1/nodes")
        except Exception:
            # Each node's own look says why.
            found = []
        cluster.nodes = {node["metadata"]["name"]: node for node in found}
        cluster.looked_at = time.monotonic()
    node = cluster.nodes.get(props["node_name"])
    if node is None or node_not_ready_reason(node) is not None:
        return None
    in_hands = CORDONED in (node["metadata"].get("annotations") or {})
    return None if in_hands else node


def _made(props: Mapping[str, Any]) -> datetime | None:
    """When the node's server was made, as Hetzner knows it."""
    cluster = _cluster(props)
    if props["server_id"] not in cluster.made:
        label = f"{naming.LABEL_CLUSTER}={props['cluster_name']}"
        try:
            servers = hetzner_api.client().servers.get_all(label_selector=label)
            cluster.made = {str(server.id): server.created for server in servers}
        except Exception:
            return None
    return cluster.made.get(props["server_id"])


def _configs(props: Mapping[str, Any]) -> Mapping[str, str]:
    """Machine configs of all workers that this run has found well, by address. In a run, each changes with its own resource only."""
    cluster = _cluster(props)
    if cluster.configs is None:
        names = {name for name, _ in cluster.well}
        addresses = [
            internal_address(node) for name, node in cluster.nodes.items() if name in names
        ]
        try:
            with Talosctl(props["talosconfig"]) as talosctl:
                answer = talosctl.run(
                    *("get", "machineconfig", "v1alpha1", "-o", "json"),
                    node=",".join(addresses),
                    endpoint=props["control_planes"][0]["public_address"],
                    timeout=CONFIG_TIMEOUT,
                )
            cluster.configs = _parsed(answer)
        except Exception:
            cluster.configs = {}
    return cluster.configs


def _parsed(answer: str) -> dict[str, str]:
    """One JSON document after another."""
    found, decoder, position = {}, json.JSONDecoder(), 0
    while position < len(answer):
        document, position = decoder.raw_decode(answer, position)
        found[str(document["node"])] = str(document["spec"])
        while position < len(answer) and answer[position].isspace():
            position += 1
    return found
