"""Names, labels and type tokens, in one place because users, state files and the cloud all hold on to them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, TypeVar

_Value = TypeVar("_Value")

TYPE_CLUSTER_IDENTITY: Final = "oxide:index:ClusterIdentity"
TYPE_TALOS_SECRETS: Final = "oxide:index:TalosSecrets"
TYPE_NETWORK: Final = "oxide:index:Network"
TYPE_FIREWALL: Final = "oxide:index:Firewall"
TYPE_API_LOAD_BALANCER: Final = "oxide:index:ApiLoadBalancer"
TYPE_CONTROL_PLANE: Final = "oxide:index:ControlPlane"
TYPE_WORKER_POOL: Final = "oxide:index:WorkerPool"
TYPE_CILIUM_RELEASE: Final = "oxide:index:CiliumRelease"
TYPE_HCLOUD_CREDENTIALS: Final = "oxide:index:HcloudCredentials"
TYPE_HCLOUD_CLOUD_CONTROLLER: Final = "oxide:index:HcloudCloudController"
TYPE_HCLOUD_CSI: Final = "oxide:index:HcloudCsi"
TYPE_CERTIFICATE_APPROVER: Final = "oxide:index:CertificateApprover"
TYPE_METRICS_SERVER: Final = "oxide:index:MetricsServer"

CONTROL_PLANE_POOL: Final = "cp"
"""Pool name of the control planes; no worker pool may use it."""

DEFAULT_WORKER_POOL: Final = "worker"
"""Pool that `workers` and `workerServerType` describe."""

ROLE_CONTROL_PLANE: Final = "control-plane"
ROLE_WORKER: Final = "worker"

LABEL_CLUSTER: Final = "cluster"
LABEL_ROLE: Final = "role"
LABEL_POOL: Final = "pool"
LABEL_INDEX: Final = "index"
LABEL_NETWORK: Final = "network"
"""On volumes: id of the network of the cluster that made them, because a later cluster may have the same name."""
LABEL_MANAGED_BY: Final = "managed-by"
MANAGED_BY: Final = "oxide"

SERVERS_PER_PLACEMENT_GROUP: Final = 10
"""Hetzner's limit for a placement group of type spread."""

MAX_HOSTNAME_LENGTH: Final = 63
"""Length of an RFC 1123 label; a server's name is its host name and its Kubernetes node name."""

_DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


def is_dns_label(name: str) -> bool:
    """Whether a name is an RFC 1123 label: lower-case letters, digits and inner hyphens, at most 63 characters."""
    return len(name) <= MAX_HOSTNAME_LENGTH and _DNS_LABEL.fullmatch(name) is not None


def is_dns_name(name: str) -> bool:
    """Whether a name is a fully qualified DNS name: two or more labels, at most 253 characters, not an IP address."""
    labels = name.split(".")
    return (
        len(name) <= 253
        and len(labels) > 1
        and all(map(is_dns_label, labels))
        and not labels[-1].isdigit()
    )


def generation_name(pool: str, generation: int = 1) -> str:
    """Pool's part of names: the pool's name, and from the second generation on that with the generation's number."""
    return pool if generation == 1 else f"{pool}-g{generation}"


def server_name(cluster: str, pool: str, index: int, generation: int = 1) -> str:
    """Name of a server, which is also its host name and node name. Indices start at 1 in each generation."""
    return f"{cluster}-{generation_name(pool, generation)}-{index}"


def api_hostname(cluster: str) -> str:
    """Name under which nodes reach the Kubernetes API; it exists on the nodes only and never changes."""
    return f"api.{cluster}.internal"


def api_load_balancer_name(cluster: str) -> str:
    """Name of the API's load balancer, and of its cluster entry in kubeconfigs."""
    return f"{cluster}-api"


def in_turn(values: Sequence[_Value], index: int) -> _Value:
    """What member `index` of a pool, counted from 1, gets of the values that are given out in turn."""
    return values[(index - 1) % len(values)]


def group_index(index: int) -> int:
    """Number of the placement group that holds server `index`; both count from 1, ten servers to a group."""
    return (index - 1) // SERVERS_PER_PLACEMENT_GROUP + 1


def group_count(servers: int) -> int:
    """How many placement groups a pool of that many servers needs."""
    return group_index(servers) if servers > 0 else 0


def placement_group_name(cluster: str, pool: str, group: int, generation: int = 1) -> str:
    """Name of a pool's placement group; groups count from 1 in each generation."""
    return f"{cluster}-{generation_name(pool, generation)}-{group}"


def labels(
    cluster: str, *, role: str | None = None, pool: str | None = None, index: int | None = None
) -> dict[str, str]:
    """Labels of a Hetzner Cloud object; servers carry role, pool and index as well."""
    optional = {
        LABEL_ROLE: role,
        LABEL_POOL: pool,
        LABEL_INDEX: None if index is None else str(index),
    }
    return {
        LABEL_CLUSTER: cluster,
        LABEL_MANAGED_BY: MANAGED_BY,
        **{key: value for key, value in optional.items() if value is not None},
    }
