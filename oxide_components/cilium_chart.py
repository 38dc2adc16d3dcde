"""What Cilium is told: Helm values that fit Talos at Hetzner, with the user's over them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .cilium_modes import CiliumModes, mode_values
from .kubeprism import KUBEPRISM_HOST, KUBEPRISM_PORT
from .machine_config import PRIVATE_NETWORK_MTU

_AGENT_CAPABILITIES: Final = (
    "CHOWN",
    "KILL",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "SYS_ADMIN",
    "SYS_RESOURCE",
    "DAC_OVERRIDE",
    "FOWNER",
    "SETGID",
    "SETUID",
)
_CLEAN_STATE_CAPABILITIES: Final = ("NET_ADMIN", "SYS_ADMIN", "SYS_RESOURCE")


def cilium_values(
    *,
    control_plane_count: int,
    worker_count: int,
    network_cidr: str,
    pod_cidr: str,
    modes: CiliumModes,
    kubeprism_host: str = KUBEPRISM_HOST,
    kubeprism_port: int = KUBEPRISM_PORT,
    user_values: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Helm values for the Cilium chart.

    Args:
        worker_count: Workers that the operator may run on; those with taints of their own do not count.
        network_cidr: Range of the Hetzner network.
        pod_cidr: Range of all pods.
        modes: What the network does beyond connecting pods.
        user_values: Merged over everything else, mapping by mapping; lists are replaced whole.
    """
    values: dict[str, Any] = {
        "ipam": {"mode": "kubernetes"},
        "k8s": {"requireIPv4PodCIDR": True},
        "kubeProxyReplacement": True,
        "k8sServiceHost": kubeprism_host,
        "k8sServicePort": kubeprism_port,
        # Detection looks at the public interface, whose packets are larger than the private network's.
        "MTU": PRIVATE_NETWORK_MTU,
        "bpf": {
            "masquerade": True,
            # Packets that the kernel encrypts have to pass its own stack.
            **({"hostLegacyRouting": True} if modes.encryption == "ipsec" else {}),
        },
        # Native acceleration fails where the network card lacks XDP.
        "loadBalancer": {"acceleration": "best-effort"},
        # Talos mounts cgroups itself and lets no container load kernel modules.
        "cgroup": {"autoMount": {"enabled": False}, "hostRoot": "/sys/fs/cgroup"},
        "securityContext": {
            "capabilities": {
                "ciliumAgent": list(_AGENT_CAPABILITIES),
                "cleanCiliumState": list(_CLEAN_STATE_CAPABILITIES),
            }
        },
        "operator": {
            # Two replicas never share a node, so on a single one the second would stay pending.
            "replicas": 2 if control_plane_count + worker_count >= 2 else 1,
            "rollOutPods": True,
            "prometheus": {"enabled": True},
        },
        "prometheus": {"enabled": True},
        "envoy": {"rollOutPods": True},
        # Agents read their configuration at start only.
        "rollOutCiliumPods": True,
        **mode_values(modes, network_cidr=network_cidr, pod_cidr=pod_cidr),
    }
    return merge(values, user_values or {})


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Two value trees as one; where both have a mapping they are merged, elsewhere `over` wins."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            merged[key] = merge(below, value)
        else:
            merged[key] = value
    return merged
