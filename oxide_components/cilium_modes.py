"""The ways in which Cilium can run a cluster's network, and the Helm values of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

RoutingMode = Literal["tunnel", "native"]
Encryption = Literal["none", "wireguard", "ipsec"]
Hubble = Literal["off", "metrics", "relay", "ui"]

ROUTING_MODES: Final[tuple[RoutingMode, ...]] = ("tunnel", "native")
ENCRYPTIONS: Final[tuple[Encryption, ...]] = ("none", "wireguard", "ipsec")
HUBBLES: Final[tuple[Hubble, ...]] = ("off", "metrics", "relay", "ui")

IPSEC_SECRET: Final = "cilium-ipsec-keys"
"""Secret in kube-system with the IPsec keys, under the key `keys`: the chart's default names."""

MAX_IPSEC_KEY_ID: Final = 15
"""Cilium carries the key's id in four bits of a packet's mark; 0 is no key."""

_HUBBLE_METRICS: Final = (
    "dns",
    "drop",
    "tcp",
    "flow",
    "port-distribution",
    "icmp",
    "httpV2:exemplars=true;labelsContext=source_ip,source_namespace,source_workload,destination_ip,"
    "destination_namespace,destination_workload,traffic_direction",
)


@dataclass(frozen=True, kw_only=True)
class CiliumModes:
    """What a cluster's network does beyond connecting pods."""

    routing_mode: RoutingMode = "tunnel"
    """How packets get from node to node: inside VXLAN, or by the routes of the Hetzner network."""
    encryption: Encryption = "none"
    """What keeps packets between pods of two nodes from being read on the way."""
    hubble: Hubble = "metrics"
    """How far flows are observed: not at all, on each node with metrics, over all nodes, in a web interface too."""
    gateway_api: bool = False
    """Whether Cilium serves Gateways; needs their CustomResourceDefinitions."""
    egress_gateway: bool = False
    """Whether pods may leave the cluster through chosen nodes."""
    bandwidth_manager: bool = False
    """Whether pods' bandwidth annotations are obeyed."""
    node_ipam: bool = False
    """Whether services of the class io.cilium/node get the nodes' addresses; needs nodes with an ExternalIP."""


def mode_values(modes: CiliumModes, *, network_cidr: str, pod_cidr: str) -> dict[str, Any]:
    """
    Values of the chart for these modes.

    Args:
        network_cidr: Range of the Hetzner network, which native routing reaches without masquerading.
        pod_cidr: Range of all pods, which a tunnel reaches so.
    """
    native = modes.routing_mode == "native"
    return {
        "routingMode": modes.routing_mode,
        # Hetzner routes a network through its gateway, so pods cannot be routed to neighbours directly.
        "autoDirectNodeRoutes": False,
        "ipv4NativeRoutingCIDR": network_cidr if native else pod_cidr,
        **({} if native else {"tunnelProtocol": "vxlan"}),
        **_encryption(modes.encryption),
        "hubble": _hubble(modes.hubble),
        # With `auto` the class depends on whether Helm has noticed the definitions yet.
        "gatewayAPI": {
            "enabled": modes.gateway_api,
            "gatewayClass": {"create": "true" if modes.gateway_api else "auto"},
        },
        "egressGateway": {"enabled": modes.egress_gateway},
        "bandwidthManager": {"enabled": modes.bandwidth_manager},
        "nodeIPAM": {"enabled": modes.node_ipam},
    }


def _encryption(encryption: Encryption) -> Mapping[str, Any]:
    if encryption == "none":
        return {"encryption": {"enabled": False}}
    if encryption == "wireguard":
        return {"encryption": {"enabled": True, "type": "wireguard"}}
    return {
        "encryption": {
            "enabled": True,
            "type": "ipsec",
            "ipsec": {"secretName": IPSEC_SECRET, "keyFile": "keys"},
        }
    }


def _hubble(hubble: Hubble) -> Mapping[str, Any]:
    if hubble == "off":
        return {"enabled": False, "relay": {"enabled": False}, "ui": {"enabled": False}}
    return {
        "enabled": True,
        "metrics": {"enabled": list(_HUBBLE_METRICS), "enableOpenMetrics": True},
        "relay": {"enabled": hubble in ("relay", "ui"), "rollOutPods": True},
        "ui": {"enabled": hubble == "ui", "rollOutPods": True},
    }
