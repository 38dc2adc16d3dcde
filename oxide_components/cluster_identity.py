"""The cluster's identity: what cannot change on a live cluster, recorded once and guarded in every preview."""

from collections.abc import Mapping
from ipaddress import IPv4Network
from typing import Any, NotRequired, TypedDict

import pulumi
from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    CreateResult,
    DiffResult,
    Resource,
    UpdateResult,
)

from .admin_address import detect_admin_cidrs
from .dynamic_provider import LifecycleProvider, log_info
from .urn import child_urn
from .versions import contract_of, parse_contract, parse_talos

_FIXED: Mapping[str, str] = {
    "cluster_name": "clusterName",
    "network_cidr": "networkCidr",
    "control_subnet_cidr": "controlSubnetCidr",
    "worker_subnet_cidr": "workerSubnetCidr",
    "pod_cidr": "podCidr",
    "service_cidr": "serviceCidr",
    "node_cidr_mask_size": "nodeCidrMaskSize",
    "network_zone": "location",
    "routing_mode": "routingMode",
    "contract": "configContract",
    "access": "access",
    "worker_access": "workerAccess",
    "network_id": "networkId",
}
"""Recorded property -> the setting it comes from."""

_BEFORE_RECORDED: Mapping[str, Any] = {
    "routing_mode": "tunnel",
    "access": "public",
    "worker_access": "public",
    "network_id": 0,
}
"""What was so in every cluster that an older release has made without recording it."""


class ClusterIdentityArgs(TypedDict):
    """What a cluster is born with. All values are plain: the preview compares them."""

    cluster_name: str
    """Name of the cluster."""
    network_cidr: str
    """Range of the Hetzner network."""
    control_subnet_cidr: str
    """Subnet of the control planes."""
    worker_subnet_cidr: str
    """Subnet of the workers."""
    pod_cidr: str
    """Range of pod addresses."""
    service_cidr: str
    """Range of service addresses."""
    node_cidr_mask_size: int
    """Prefix length of a node's block of pod addresses."""
    network_zone: str
    """Hetzner network zone of all nodes."""
    routing_mode: NotRequired[str]
    """How pods' packets get from node to node: tunnel or native. Default: tunnel."""
    access: NotRequired[str]
    """public or private: whether control planes have public addresses. Default: public."""
    worker_access: NotRequired[str]
    """public or private: whether workers have public addresses. Default: public."""
    network_id: NotRequired[int]
    """Id of an existing network that the cluster lives in. Default: 0, a network of its own."""
    talos_version: str
    """Talos version at creation; the config contract follows from it unless `contract` is given."""
    contract: NotRequired[str]
    """Config contract, for example v1.13. Default: what is recorded, at creation the minor of `talos_version`."""
    detect_admin_cidrs: NotRequired[bool]
    """Find out and record the operator's own public address. Default: false."""


class ClusterIdentityProvider(LifecycleProvider):
    """Refuses every change of what is recorded. It is never replaced, so it can be the `deleted_with` of others."""

    def check(self, olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        """Fill in the recorded contract and refuse a changed identity."""
        recorded, wanted = olds.get("contract"), news["talos_version"]
        contract = news.get("contract") or recorded or contract_of(news["talos_version"])
        news = {**news, "contract": contract}
        if recorded:
            # An update for its own sake would only show noise in the preview.
            news["talos_version"] = olds["talos_version"]
        known = _as_made(olds, news) if olds else {}
        changed = [
            f"oxide:{setting}: {known[key]} cannot become {news[key]}"
            for key, setting in _FIXED.items()
            # A property that an older release did not record is no change.
            if key in known and known[key] != news[key]
        ]
        failures = [CheckFailure("", _refusal(changed, olds))] if changed else []
        if too_old := _too_old(wanted, contract):
            failures.append(CheckFailure("", too_old))
        return CheckResult(news, failures)

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """Only the recorded admin addresses can come to change."""
        wants_detection = news.get("detect_admin_cidrs") and not olds.get("admin_cidrs")
        new_property = any(key not in olds for key in _FIXED)
        return DiffResult(changes=bool(wants_detection or new_property))

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Record the identity."""
        recorded = _recorded(props, {})
        if recorded["admin_cidrs"]:
            log_info(
                props.get("urn"),
                f"the firewall admits your own address: {', '.join(recorded['admin_cidrs'])}; adminCidrs names others",
            )
        return CreateResult(props["cluster_name"], recorded)

    def update(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Record what was not recorded before."""
        return UpdateResult(_recorded(news, olds))


class ClusterIdentity(Resource, module="oxide", name="ClusterIdentity"):
    """What cannot change on a live cluster; also the sentinel of `deleted_with` for in-cluster resources."""

    contract: pulumi.Output[str]
    """Config contract of all machine configs, pinned at creation."""
    admin_cidrs: pulumi.Output[list[str]]
    """Detected addresses of the operator; empty where none were asked for."""

    def __init__(
        self, name: str, args: ClusterIdentityArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        properties = {
            "contract": None,
            "access": "public",
            "worker_access": "public",
            "network_id": 0,
            "detect_admin_cidrs": False,
            "admin_cidrs": None,
            "routing_mode": "tunnel",
            "urn": child_urn(name, "ClusterIdentity", opts),
            **args,
        }
        super().__init__(ClusterIdentityProvider(), name, properties, opts)


def _as_made(recorded: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """What a cluster was made with, whatever its release has recorded of it."""
    made = {**_BEFORE_RECORDED, **recorded}
    pods, network = IPv4Network(made["pod_cidr"]), IPv4Network(made["network_cidr"])
    # Earlier ones have recorded tunnel for native, too, which alone takes pods into the network.
    if pods.subnet_of(network) and wanted["routing_mode"] == "native":
        made["routing_mode"] = "native"
    return made


def _recorded(props: dict[str, Any], olds: dict[str, Any]) -> dict[str, Any]:
    admin_cidrs = olds.get("admin_cidrs") or []
    if props.get("detect_admin_cidrs") and not admin_cidrs:
        admin_cidrs = detect_admin_cidrs()
    return {**props, "admin_cidrs": admin_cidrs}


def _too_old(talos_version: str, contract: str) -> str | None:
    version, oldest = parse_talos(talos_version), parse_contract(contract)
    if version is None or oldest is None or version.series >= oldest:
        return None
    return (
        f"oxide:talosVersion: {talos_version} cannot read the cluster's machine configs, which follow the contract "
        f"{contract} since its creation; use {contract}.0 or newer"
    )


def _refusal(changed: list[str], olds: dict[str, Any]) -> str:
    name = olds.get("cluster_name", "this cluster")
    return "\n  ".join(
        [
            f"The identity of cluster {name} cannot change while it lives:",
            *changed,
            "Set the old values back, or create a second cluster with the new ones (another stack, another "
            "clusterName) and move the workloads: docs/operations.md, 'Moving to a new cluster'.",
        ]
    )
