"""What control plane and worker pools of one cluster must agree on."""

from collections.abc import Sequence
from typing import NotRequired, TypedDict

import pulumi

from . import talos_api
from .machine_config import ClusterSettings, Document, cluster_endpoint, to_patch
from .talos_api import MachineSecrets
from .versions import installer_image


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
