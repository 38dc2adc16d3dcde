"""A stack's configuration: read once, checked completely, then plain frozen values."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any, Protocol

from .addressing import AddressPlan
from .config_access import MetadataAccess
from .config_pools import Taint, WorkerPoolConfig
from .config_reader import Reader
from .config_rules import read
from .config_schema import SETTINGS
from .errors import ConfigError
from .hetzner import Architecture, server_type_architecture

__all__ = ["ClusterConfig", "ConfigSource", "MetadataAccess", "Taint", "WorkerPoolConfig"]


class ConfigSource(Protocol):
    """What `ClusterConfig.load` needs of a `pulumi.Config`."""

    name: str
    """Namespace of the settings: the project's name."""

    def get(self, key: str, /) -> str | None:
        """Raw value of a setting, structures as JSON, or None if it is not set."""


@dataclass(frozen=True, kw_only=True)
class ClusterConfig:
    """Everything that a stack says about its cluster. docs/configuration.md describes each setting."""

    cluster_name: str
    location: str
    network_zone: str
    network_cidr: IPv4Network
    control_subnet_cidr: IPv4Network
    worker_subnet_cidr: IPv4Network
    pod_cidr: IPv4Network
    service_cidr: IPv4Network
    node_cidr_mask_size: int
    control_planes: int
    control_plane_server_type: str
    worker_pools: tuple[WorkerPoolConfig, ...]
    """The default pool `worker` first, even with count 0, then `workerPools` in order."""
    talos_version: str
    """Wanted Talos version with `v`, such as v1.13.9."""
    kubernetes_version: str
    """Wanted Kubernetes version without `v`, such as 1.35.4."""
    cilium_version: str
    config_contract: str | None
    """Config contract such as v1.13; None means that of the Talos version at creation."""
    schematic_id: str
    cilium_values: Mapping[str, Any]
    """Helm values of the user, merged over Oxide's."""
    cilium_chart: str
    """Chart name in the repository, a path, or an oci:// reference."""
    cilium_repository: str | None
    """Repository address; None where the chart is a path or an oci:// reference."""
    admin_cidrs: tuple[str, ...] | None
    """Ranges that reach the Talos and Kubernetes APIs; None means that the operator's address is detected."""
    allow_public_api: bool
    api_hostname: str | None
    worker_ingress_ports: tuple[int, ...]
    image_id: int | None
    image_selector: str
    """Label selector of the Talos snapshot; not used where `image_id` is given."""
    config_patches: tuple[str, ...]
    control_plane_config_patches: tuple[str, ...]
    worker_config_patches: tuple[str, ...]
    metadata_access: tuple[MetadataAccess, ...]
    max_unavailable: int
    """Workers of a pool that may be changed at the same time; control planes are changed one at a time."""
    skip_nodes: tuple[str, ...]
    """Names of broken nodes that every change leaves alone."""
    drain_timeout: int
    """Seconds that the drain of one node may take."""
    node_timeout: int
    """Seconds that a node may take to be well after it was made, changed or restarted."""
    upgrade_canary: tuple[str, ...]
    """Nodes and pools that alone get another Talos version as long as any is named; the pool `cp` means the control planes."""
    upgrade_pause: bool
    """Whether all nodes keep their Talos and Kubernetes versions."""
    etcd_snapshot_directory: str
    """Where snapshots of etcd are kept, relative to the project; empty for none."""
    restore_from: str | None
    """Snapshot that etcd starts from when the cluster is founded; None starts an empty one."""
    deletion_protection: bool
    secret_keys: frozenset[str] = frozenset()
    """Keys that the stack stores encrypted; what is made from their values must be secret too."""
    warnings: tuple[str, ...] = ()
    """What works but deserves attention, one line each."""

    @property
    def address_plan(self) -> AddressPlan:
        """The ranges with the addresses that follow from them."""
        return AddressPlan(
            network=self.network_cidr,
            control_subnet=self.control_subnet_cidr,
            worker_subnet=self.worker_subnet_cidr,
            pods=self.pod_cidr,
            services=self.service_cidr,
            node_cidr_mask_size=self.node_cidr_mask_size,
        )

    @property
    def workers(self) -> int:
        """Number of workers over all pools; 0 makes the control planes take pods."""
        return sum(pool.count for pool in self.worker_pools)

    @property
    def untainted_workers(self) -> int:
        """Workers that take any pod, which is what cluster services with few tolerations can count on."""
        return sum(pool.count for pool in self.worker_pools if not pool.taints)

    @property
    def control_plane_architecture(self) -> Architecture:
        """Architecture of the control planes."""
        return server_type_architecture(self.control_plane_server_type)

    @classmethod
    def load(cls, source: ConfigSource) -> ClusterConfig:
        """Reads the running Pulumi program's configuration.

        Raises ConfigError with every problem at once, misspelt keys of the stack file included.
        """
        import pulumi

        keys, secret_keys = _runtime_keys(source.name)
        keys |= {setting.key for setting in SETTINGS}
        values = {key: value for key in sorted(keys) if (value := source.get(key)) is not None}
        return cls.parse(
            values,
            secret_keys=secret_keys,
            stack=pulumi.get_stack(),
            namespace=source.name,
        )

    @classmethod
    def parse(
        cls,
        values: Mapping[str, str],
        *,
        secret_keys: Collection[str] = (),
        stack: str = "oxide",
        namespace: str = "oxide",
    ) -> ClusterConfig:
        """Checks raw values, structures as JSON, as Pulumi hands them to a program.

        Args:
            secret_keys: Keys whose values are stored encrypted; messages never show them.
            stack: Name of the stack, which is the cluster's name unless `clusterName` is set.
            namespace: Namespace of the keys in messages.

        Raises ConfigError with every problem at once.
        """
        reader = Reader(values, secret_keys)
        fields, warnings = read(reader, stack)
        if reader.problems:
            raise ConfigError(problem.text(namespace) for problem in reader.problems)
        return cls(
            **fields,
            secret_keys=frozenset(secret_keys),
            warnings=tuple(warning.text(namespace) for warning in warnings),
        )


def _runtime_keys(namespace: str) -> tuple[set[str], set[str]]:
    """Keys that the engine handed to this program, and those of them that are secrets."""
    from pulumi.runtime import config as runtime

    prefix = f"{namespace}:"
    everything = {*runtime.CONFIG.get(), *json.loads(os.environ.get("PULUMI_CONFIG") or "{}")}
    secrets = set(json.loads(os.environ.get("PULUMI_CONFIG_SECRET_KEYS") or "[]"))
    keys = {name.removeprefix(prefix) for name in everything if name.startswith(prefix)}
    return keys, {
        key
        for key in keys
        if f"{prefix}{key}" in secrets or runtime.is_config_secret(f"{prefix}{key}")
    }
