"""What control plane and worker pools of one cluster must agree on."""

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import NotRequired, TypedDict

import pulumi

from . import talos_api
from .addressing import LONGEST_NODE_MASK
from .component_args import Arguments, is_address
from .config_exposure import check_rdns
from .config_pools import check_server_type
from .config_rules import check_schematic
from .machine_config import ClusterSettings, Document, cluster_endpoint, to_patch
from .naming import is_dns_name
from .talos_api import MachineSecrets
from .versions import (
    DEFAULT_KUBERNETES_VERSION,
    DEFAULT_TALOS_VERSION,
    contract_problem,
    installer_image,
    parse_talos,
    version_problem,
)


class ClusterArgs(TypedDict):
    """Facts of a cluster that go into the machine config of every node."""

    name: str
    """Name of the cluster: prefix of server names, part of the endpoint's name."""
    control_plane_addresses: Sequence[str]
    """Private addresses of the control planes, in index order."""
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
    talos_version: str
    """Talos version that nodes are to run, for example v1.13.9."""
    kubernetes_version: str
    """Kubernetes version without v, for example 1.35.4."""
    schematic_id: str
    """Image Factory schematic of the nodes."""
    config_contract: pulumi.Input[str]
    """Talos config contract, pinned when the cluster was created."""
    machine_secrets: pulumi.Input[MachineSecrets]
    """Machine secrets, as TalosSecrets returns them."""
    api_hostname: NotRequired[str | None]
    """Public DNS name of the Kubernetes API, for its certificates. Default: none."""
    network_gateway: NotRequired[str]
    """Gateway of the network, its first address; needed by nodes without public addresses. Default: none."""
    schedulable_control_planes: NotRequired[bool]
    """Let control planes take ordinary pods. Default: false."""
    external_cloud_provider: NotRequired[bool]
    """Let a cloud controller initialise the nodes; without one they take no pods. Default: false."""
    kubelet_serving_certificates: NotRequired[bool]
    """Let kubelets ask for serving certificates, which somebody has to approve. Default: false."""
    config_patches: NotRequired[Sequence[str]]
    """Strategic merge patches for all nodes, as YAML. Default: none."""


def _check_cluster(found: Arguments) -> None:
    """Reports what is wrong with the argument `cluster` of a component."""
    reader = found.reader
    found.check_label("cluster", "name")
    ranges = {
        key: found.check_range("cluster", key)
        for key in ("control_subnet_cidr", "worker_subnet_cidr", "pod_cidr", "service_cidr")
    }
    found.check_addresses("cluster", "control_plane_addresses")
    found.check_addresses("cluster", "network_gateway")
    found.check_integer("cluster", "node_cidr_mask_size", least=1, most=LONGEST_NODE_MASK)
    _check_control_planes(found, ranges["control_subnet_cidr"])
    for key, example in (
        ("talos_version", DEFAULT_TALOS_VERSION),
        ("kubernetes_version", DEFAULT_KUBERNETES_VERSION),
    ):
        if (text := found.known("cluster", key)) is not None:
            problem = version_problem(f"cluster.{key}", text, example)
            reader.add_all([problem] if problem else [])
    if (schematic := found.known("cluster", "schematic_id")) is not None:
        check_schematic(reader, "cluster.schematic_id", schematic)
    contract = found.known("cluster", "config_contract")
    talos = parse_talos(found.known("cluster", "talos_version") or "")
    if contract is not None and talos and (problem := contract_problem(contract, talos)):
        reader.add_all([replace(problem, setting="cluster.config_contract")])
    hostname = found.known("cluster", "api_hostname")
    if hostname is not None and not is_dns_name(hostname):
        reader.add(
            "cluster.api_hostname",
            hostname,
            "is not a DNS name",
            "write one like api.example.com, without scheme or port",
        )
    _check_patches(found, "cluster", "config_patches")


def check_nodes(found: Arguments) -> None:
    """Reports what is wrong with the arguments that every component with nodes has."""
    _check_cluster(found)
    _check_exposure(found)
    if (server_type := found.known("server_type")) is not None:
        check_server_type(found.reader, "server_type", server_type)
    _check_patches(found, "config_patches")


def _check_patches(found: Arguments, *path: str) -> None:
    """Reports what is wrong with machine config patches of a component that has the argument `cluster`."""
    name = found.known("cluster", "name")
    if name is not None:
        found.check_patches(*path, cluster_name=name)


def _check_exposure(found: Arguments) -> None:
    """Reports nodes without public addresses that nobody tells the way out, and reverse DNS names that are none."""
    if found.known("public") is False and not found.given("cluster", "network_gateway"):
        found.reader.add(
            "public",
            False,
            "leaves nodes without a route, because cluster.network_gateway is not given",
            "set it to the first address of the network, such as 10.0.0.1",
        )
    if found.known("cluster", "name") is not None:
        check_rdns(found.reader, found.known("rdns") or None, found.known("cluster", "name"))


def _check_control_planes(found: Arguments, subnet: IPv4Network | None) -> None:
    path = "cluster.control_plane_addresses"
    addresses = found.known("cluster", "control_plane_addresses")
    if addresses == []:
        found.reader.add(path, [], "names no control plane", "list their private addresses")
    for index, address in enumerate(addresses or ()):
        if subnet is not None and is_address(address) and IPv4Address(address) not in subnet:
            found.reader.add(
                f"{path}[{index}]",
                address,
                f"is not in control_subnet_cidr {subnet}",
                "list the private addresses of the control planes",
            )


def cluster_settings(args: ClusterArgs) -> ClusterSettings:
    """The same facts for the pure functions that write machine configs."""
    return ClusterSettings(
        name=args["name"],
        control_plane_addresses=tuple(args["control_plane_addresses"]),
        control_subnet_cidr=args["control_subnet_cidr"],
        worker_subnet_cidr=args["worker_subnet_cidr"],
        pod_cidr=args["pod_cidr"],
        service_cidr=args["service_cidr"],
        # Served to other languages, whole numbers arrive as floats.
        node_cidr_mask_size=int(args["node_cidr_mask_size"]),
        install_image=installer_image(args["schematic_id"], args["talos_version"]),
        network_gateway=args.get("network_gateway", ""),
        api_hostname=args.get("api_hostname"),
        schedulable_control_planes=args.get("schedulable_control_planes", False),
        external_cloud_provider=args.get("external_cloud_provider", False),
        kubelet_serving_certificates=args.get("kubelet_serving_certificates", False),
    )


def machine_configuration(
    machine_type: str,
    cluster: ClusterArgs,
    *,
    documents: Sequence[Document],
    patches: Sequence[pulumi.Input[str]],
    parent: pulumi.Resource,
) -> pulumi.Output[str]:
    """
    The whole machine config of one node (secret).

    Args:
        machine_type: controlplane or worker.
        documents: What Oxide adds to the generated config.
        patches: Patches of the role or pool, merged after those of the cluster.
        parent: Component whose provider is used.
    """
    return talos_api.machine_configuration(
        machine_type=machine_type,
        cluster_name=cluster["name"],
        cluster_endpoint=cluster_endpoint(cluster["name"]),
        machine_secrets=cluster["machine_secrets"],
        config_contract=cluster["config_contract"],
        kubernetes_version=cluster["kubernetes_version"],
        patches=[to_patch(documents), *cluster.get("config_patches", ()), *patches],
        parent=parent,
    )
