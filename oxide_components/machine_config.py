"""
Machine-config documents: what Oxide adds to the configuration that Talos generates.

Pure functions that return documents. `to_patch` turns them into one strategic merge patch;
JSON patches are no option, because Talos generates several documents since 1.12.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from .kubeprism import KUBEPRISM_PORT
from .naming import api_hostname

Document = dict[str, Any]

POOL_NODE_LABEL = "oxide/pool"
"""Kubernetes node label that names the pool of a node."""

USER_DATA_LIMIT = 32 * 1024
"""Hetzner's limit for user_data in bytes."""

METADATA_ROUTE = {"destination": "169.254.169.254/32", "gateway": "172.31.1.1"}
"""Keeps Hetzner's metadata service on the public link; the private one must never capture it."""

PRIVATE_NETWORK_MTU = 1450
"""Hetzner's private networks carry 1450 bytes a packet."""

RESOLVERS = ("185.12.64.1", "185.12.64.2")
"""Hetzner's own recursive name servers."""

_NOT_A_LOAD_BALANCER_TARGET = "node.kubernetes.io/exclude-from-external-load-balancers"


@dataclass(frozen=True, kw_only=True)
class ClusterSettings:
    """What every machine config of one cluster has in common."""

    name: str
    control_plane_addresses: tuple[str, ...]
    """Private addresses of the control planes, in index order."""
    control_subnet_cidr: str
    worker_subnet_cidr: str
    pod_cidr: str
    service_cidr: str
    node_cidr_mask_size: int
    install_image: str
    """Installer image of the wanted Talos version and schematic."""
    network_gateway: str = ""
    """Gateway of the private network, through which nodes without public addresses reach everything else."""
    api_hostname: str | None = None
    """Public name of the Kubernetes API, added to its certificates."""
    schedulable_control_planes: bool = False
    """True where no worker takes pods."""
    external_cloud_provider: bool = False
    """True where a cloud controller initialises the nodes."""
    kubelet_serving_certificates: bool = False
    """True where somebody approves the serving certificates that kubelets ask for."""


@dataclass(frozen=True, kw_only=True)
class NodeSettings:
    """What one node adds."""

    name: str
    """Server name, hostname and Kubernetes node name."""
    pool: str
    public: bool = True
    """Whether it has public addresses."""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    taints: Sequence[Mapping[str, str]] = ()
    """Each with key, value and effect."""


def cluster_endpoint(cluster_name: str) -> str:
    """Cluster endpoint in every machine config: token issuer and certificates hang on it."""
    return f"https://{api_hostname(cluster_name)}:6443"


def control_plane_documents(cluster: ClusterSettings, node: NodeSettings) -> list[Document]:
    """Documents for one control plane, the main one first."""
    machine = _machine(cluster, node)
    labels = machine["nodeLabels"]
    if cluster.schedulable_control_planes:
        # The only nodes there are: load balancers must be allowed to send traffic to them.
        labels[_NOT_A_LOAD_BALANCER_TARGET] = {"$patch": "delete"}
    if node.taints:
        machine["nodeTaints"] = {
            taint["key"]: f"{taint['value']}:{taint['effect']}"
            if taint.get("value")
            else taint["effect"]
            for taint in node.taints
        }
    main = {
        "machine": machine,
        "cluster": {
            "allowSchedulingOnControlPlanes": cluster.schedulable_control_planes,
            "network": _cluster_network(cluster),
            "proxy": {"disabled": True},
            "controllerManager": {
                "extraArgs": {"node-cidr-mask-size": str(cluster.node_cidr_mask_size)}
            },
            # The firewall drops node-to-node traffic on public addresses.
            "etcd": {"advertisedSubnets": [cluster.control_subnet_cidr]},
            "apiServer": {"certSANs": _certificate_names(cluster)},
            **_cloud_provider(cluster),
        },
    }
    return [main, *_network_documents(cluster, node)]


def api_certificate_patch(names: Sequence[str]) -> str:
    """Patch that adds names and addresses to the certificate of the Kubernetes API."""
    return to_patch([{"cluster": {"apiServer": {"certSANs": list(names)}}}])


def worker_documents(cluster: ClusterSettings, node: NodeSettings) -> list[Document]:
    """Documents for one worker, the main one first."""
    machine = _machine(cluster, node)
    if node.taints:
        # A worker's kubelet may set taints only while it registers (NodeRestriction).
        machine["kubelet"]["extraConfig"] = {
            "registerWithTaints": [dict(taint) for taint in node.taints]
        }
    main = {
        "machine": machine,
        "cluster": {"network": _cluster_network(cluster), **_cloud_provider(cluster)},
    }
    return [main, *_network_documents(cluster, node)]


def to_patch(documents: Sequence[Document]) -> str:
    """One strategic merge patch of all documents; the same documents give the same text."""
    return yaml.safe_dump_all(documents, sort_keys=True, default_flow_style=False)


def _machine(cluster: ClusterSettings, node: NodeSettings) -> dict[str, Any]:
    machine: dict[str, Any] = {
        "certSANs": _certificate_names(cluster),
        "install": {"image": cluster.install_image},
        "kubelet": {
            # Without it a kubelet may register the public address, which its peers cannot reach.
            "nodeIP": {"validSubnets": [cluster.control_subnet_cidr, cluster.worker_subnet_cidr]}
        },
        "nodeLabels": {POOL_NODE_LABEL: node.pool, **node.labels},
        "features": {
            "kubePrism": {"enabled": True, "port": KUBEPRISM_PORT},
            # Forwarding to the host breaks CoreDNS behind Cilium's BPF masquerade.
            "hostDNS": {"enabled": True, "forwardKubeDNSToHost": False},
        },
    }
    if cluster.kubelet_serving_certificates:
        machine["kubelet"]["extraArgs"] = {"rotate-server-certificates": "true"}
    if node.annotations:
        machine["nodeAnnotations"] = dict(node.annotations)
    return machine


def _cluster_network(cluster: ClusterSettings) -> dict[str, Any]:
    return {
        "cni": {"name": "none"},
        "podSubnets": [cluster.pod_cidr],
        "serviceSubnets": [cluster.service_cidr],
    }


def _cloud_provider(cluster: ClusterSettings) -> dict[str, Any]:
    # Talos gives the flag to kubelets and to the controller manager.
    return {"externalCloudProvider": {"enabled": True}} if cluster.external_cloud_provider else {}


def _certificate_names(cluster: ClusterSettings) -> list[str]:
    # Talos adds each node's own addresses; these are the names that no node carries.
    names = [api_hostname(cluster.name)]
    if cluster.api_hostname:
        names.append(cluster.api_hostname)
    return names


def _network_documents(cluster: ClusterSettings, node: NodeSettings) -> list[Document]:
    # One explicit link document switches Talos' default DHCP off for every link, so all are given.
    links = [
        _document("LinkConfig", name="eth0", up=True, routes=[METADATA_ROUTE]),
        _document("DHCPv4Config", name="eth0"),
        _document("LinkConfig", name="eth1", up=True, mtu=PRIVATE_NETWORK_MTU),
        _document("DHCPv4Config", name="eth1"),
    ]
    if not node.public:
        links = [
            _document(
                "LinkConfig",
                name="eth0",
                up=True,
                mtu=PRIVATE_NETWORK_MTU,
                routes=[{"gateway": cluster.network_gateway}],
            ),
            _document("DHCPv4Config", name="eth0"),
            # Hetzner names resolvers on public interfaces only.
            _document("ResolverConfig", nameservers=[{"address": one} for one in RESOLVERS]),
        ]
    return [
        _document("HostnameConfig", auto="off", hostname=node.name),
        *(
            _document("StaticHostConfig", name=address, hostnames=[api_hostname(cluster.name)])
            for address in cluster.control_plane_addresses
        ),
        *links,
    ]


def _document(kind: str, **fields: Any) -> Document:
    return {"apiVersion": "v1alpha1", "kind": kind, **fields}
