"""A stack's configuration: read once, checked completely, then plain frozen values."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Protocol

from .addressing import AddressPlan
from .catalogue import Hetzner, Wanted
from .catalogue_rules import check_catalogue
from .cilium_modes import CiliumModes
from .config_access import MetadataAccess
from .config_addons import Addons
from .config_exposure import NO_LOAD_BALANCER, PUBLIC
from .config_firewall import ExtraRule
from .config_pools import Taint, WorkerPoolConfig
from .config_reader import Reader
from .config_rules import read
from .config_schema import SETTINGS
from .errors import ConfigError, Problem
from .hetzner import Architecture, server_type_architecture
from .object_storage import Bucket

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
    control_plane_locations: tuple[str, ...]
    """Locations that control planes take in turn, at least one."""
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
    cilium_timeout: int
    """Seconds that Helm may wait for Cilium."""
    cilium_modes: CiliumModes
    ipsec_key_id: int
    """Number of the IPsec key; another one means another key."""
    gateway_api_manifest: str | None
    """Path or pinned address of the Gateway API's definitions; None means the official ones."""
    admin_cidrs: tuple[str, ...] | None
    """
    Ranges that reach the Talos and Kubernetes APIs; None means that the operator's address is detected. Empty where no node
    has a public address.
    """
    allow_public_api: bool
    api_hostname: str | None
    worker_ingress_ports: tuple[int, ...]
    extra_firewall_rules: tuple[ExtraRule, ...]
    access: str
    """public or private: whether control planes, and workers at most, have public addresses."""
    worker_access: str
    """public or private: whether workers have public addresses."""
    ipv6: bool
    """Whether public nodes get an IPv6 network, too."""
    api_load_balancer: str
    """none, private or public."""
    api_load_balancer_type: str
    """Hetzner load balancer type, such as lb11."""
    existing_nat_route: bool
    """Whether the existing network is said to have a default route."""
    nat_gateway: IPv4Address | None
    """Where the network's default route goes; None makes no route."""
    rdns: str | None
    """Template of reverse DNS entries, with {name} for the server's name; None leaves Hetzner's."""
    network_id: int | None
    """Id of the existing network that the cluster lives in; None makes one."""
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
    etcd_snapshot_bucket: Bucket | None
    """Where snapshots of etcd are uploaded; None for nowhere."""
    restore_from: str | None
    """Snapshot that etcd starts from when the cluster is founded; None starts an empty one."""
    addons: Addons
    delete_volumes: bool
    """Whether a destroy deletes the volumes that the cluster's claims have made."""
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
            native_routing=self.cilium_modes.routing_mode == "native",
        )

    @property
    def workers(self) -> int:
        """Number of workers over all pools; 0 makes the control planes take pods."""
        return sum(pool.count for pool in self.worker_pools)

    @property
    def untainted_workers(self) -> int:
        """Workers that take any pod, which is what cluster services with few tolerations can count on."""
        return sum(pool.count for pool in self.worker_pools if pool.takes_any_pod)

    @property
    def public_nodes(self) -> bool:
        """Whether any node has a public address, so that there is something for a firewall to protect."""
        return PUBLIC in (self.access, self.worker_access)

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
            hetzner=_hetzner(),
        )

    @classmethod
    def parse(
        cls,
        values: Mapping[str, str],
        *,
        secret_keys: Collection[str] = (),
        stack: str = "oxide",
        namespace: str = "oxide",
        hetzner: Hetzner | None = None,
    ) -> ClusterConfig:
        """Checks raw values, structures as JSON, as Pulumi hands them to a program.

        Args:
            secret_keys: Keys whose values are stored encrypted; messages never show them.
            stack: Name of the stack, which is the cluster's name unless `clusterName` is set.
            namespace: Namespace of the keys in messages.
            hetzner: Access to Hetzner, whose offers the values are then checked against, too.

        Raises ConfigError with every problem at once.
        """
        reader = Reader(values, secret_keys)
        fields, warnings = read(reader, stack)
        warnings += _offers(reader, fields, hetzner)
        if reader.problems:
            raise ConfigError(problem.text(namespace) for problem in reader.problems)
        return cls(
            **fields,
            secret_keys=frozenset(secret_keys),
            warnings=tuple(warning.text(namespace) for warning in warnings),
        )


def _offers(reader: Reader, fields: dict[str, Any], hetzner: Hetzner | None) -> list[Problem]:
    """Warnings about what Hetzner offers; problems stay in the reader."""
    # A name that is none cannot be asked for.
    if hetzner is None or not reader.ok("clusterName"):
        return []
    wanted = Wanted(
        cluster_name=fields["cluster_name"],
        network_id=fields["network_id"] if reader.ok("networkId") else None,
        image_id=fields["image_id"] if reader.ok("imageId") else None,
        load_balancer=fields["api_load_balancer"] != NO_LOAD_BALANCER,
    )
    catalogue = hetzner.look(wanted)
    if catalogue is None:
        return [
            Problem(
                setting="location",
                value=fields["location"],
                reason="could not be checked, nor any server type: Hetzner does not answer",
                way_out="check hcloud:token and the connection",
            )
        ]
    return check_catalogue(reader, fields, catalogue)


def _hetzner() -> Hetzner | None:
    """Access with the stack's own token; None where the provider gets its token in another way."""
    import pulumi

    config = pulumi.Config("hcloud")
    token = config.get("token") or os.environ.get("HCLOUD_TOKEN")
    endpoint = config.get("endpoint") or os.environ.get("HCLOUD_ENDPOINT")
    return Hetzner(token=token, endpoint=endpoint) if token else None


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
