"""What Cilium is told: Helm values, the user's over Oxide's, and the policy that guards the metadata service."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any, Final

from .errors import Problem, show
from .kubeprism import KUBEPRISM_HOST, KUBEPRISM_PORT
from .machine_config import PRIVATE_NETWORK_MTU

METADATA_ADDRESS: Final = "169.254.169.254/32"
"""Hetzner's metadata service, which hands out a server's machine config with all its secrets."""

METADATA_POLICY_NAME: Final = "oxide-metadata-access"

MAX_METADATA_RULES: Final = 32
"""Rules into which exceptions may unfold; more is a sign of exceptions that should be a namespace."""

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

_NAMESPACE_KEY: Final = "k8s:io.kubernetes.pod.namespace"

Literals = frozenset[tuple[str, str]]


def cilium_values(
    *,
    control_plane_count: int,
    worker_count: int,
    pod_cidr: str,
    kubeprism_host: str = KUBEPRISM_HOST,
    kubeprism_port: int = KUBEPRISM_PORT,
    user_values: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Helm values for the Cilium chart.

    Args:
        worker_count: Workers that the operator may run on; those with taints of their own do not count.
        pod_cidr: Range of all pods; traffic inside it keeps its source address.
        user_values: Merged over everything else, mapping by mapping; lists are replaced whole.
    """
    values: dict[str, Any] = {
        "ipam": {"mode": "kubernetes"},
        "k8s": {"requireIPv4PodCIDR": True},
        "kubeProxyReplacement": True,
        "k8sServiceHost": kubeprism_host,
        "k8sServicePort": kubeprism_port,
        # Hetzner routes a network through its gateway, so pods cannot be routed to neighbours directly.
        "routingMode": "tunnel",
        "tunnelProtocol": "vxlan",
        "autoDirectNodeRoutes": False,
        # Detection looks at the public interface, whose packets are larger than the private network's.
        "MTU": PRIVATE_NETWORK_MTU,
        "bpf": {"masquerade": True},
        "ipv4NativeRoutingCIDR": pod_cidr,
        # Native acceleration fails where the network card lacks XDP.
        "loadBalancer": {"acceleration": "best-effort"},
        # Without a cloud controller no node has an ExternalIP to give to services.
        "nodeIPAM": {"enabled": False},
        "gatewayAPI": {"enabled": False},
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
        "hubble": {
            "enabled": True,
            "metrics": {"enabled": list(_HUBBLE_METRICS), "enableOpenMetrics": True},
            "relay": {"enabled": False, "rollOutPods": True},
            "ui": {"enabled": False, "rollOutPods": True},
        },
        # Agents read their configuration at start only.
        "rollOutCiliumPods": True,
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


def value_problems(values: Mapping[str, Any]) -> list[Problem]:
    """User values that would break what Oxide wires together."""
    problems = [
        Problem(
            setting=f"ciliumValues.{key}",
            value=show(values[key]),
            reason="has a dot in its name, and Helm values are nested",
            way_out=f"write {key.split('.')[0]}: with {key.split('.', 1)[1]} below it",
        )
        for key in values
        if isinstance(key, str) and "." in key
    ]
    for path, breaks, reason, way_out in _OWNED_VALUES:
        value: Any = values
        for part in path.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if value is not None and breaks(value):
            problems.append(
                Problem(
                    setting=f"ciliumValues.{path}",
                    value=show(value),
                    reason=reason,
                    way_out=way_out,
                )
            )
    return problems


def value_warnings(values: Mapping[str, Any]) -> list[Problem]:
    """User values that need something Oxide does not install."""
    gateway = values.get("gatewayAPI")
    if not isinstance(gateway, Mapping) or gateway.get("enabled") is not True:
        return []
    return [
        Problem(
            setting="ciliumValues.gatewayAPI.enabled",
            value="true",
            reason="needs the Gateway API's CustomResourceDefinitions, which Cilium does not install",
            way_out="apply them before or right after the first `pulumi up`, then restart the operator",
        )
    ]


def metadata_policy(exceptions: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """The CiliumClusterwideNetworkPolicy that keeps pods from the metadata service.

    An exception is a mapping with `namespace` and, optionally, `labels` that its pods carry.
    A deny rule beats every allow rule, so pods that may read it are left out by the selectors. Nothing else is denied: the
    policy switches the default deny off, which a policy otherwise brings with it. Pods in the host's network are not covered.
    """
    rules = [
        {
            "description": "Keeps pods from the cloud's metadata service.",
            "endpointSelector": _selector(excluded),
            "enableDefaultDeny": {"egress": False, "ingress": False},
            "egressDeny": [{"toCIDR": [METADATA_ADDRESS]}],
        }
        for excluded in protected_selectors(exceptions)
    ]
    return {
        "apiVersion": "cilium.io/v2",
        "kind": "CiliumClusterwideNetworkPolicy",
        "metadata": {"name": METADATA_POLICY_NAME},
        **({"spec": rules[0]} if len(rules) == 1 else {"specs": rules}),
    }


def protected_selectors(exceptions: Sequence[Mapping[str, Any]]) -> list[Literals]:
    """The pods outside all exceptions, as label pairs to exclude: one selector per element.

    A selector can only say "and". A pod is outside an exception if its namespace or one of its labels differs, so every choice of
    one difference per exception is a selector; choices that contain another choice select nothing new.
    """
    choices = [
        [
            (_NAMESPACE_KEY, str(access["namespace"])),
            *((f"k8s:{key}", str(value)) for key, value in (access.get("labels") or {}).items()),
        ]
        for access in exceptions
    ]
    selectors: set[Literals] = {frozenset(choice) for choice in product(*choices)}
    minimal = [one for one in selectors if not any(other < one for other in selectors)]
    return sorted(minimal, key=sorted)


def _selector(excluded: Literals) -> dict[str, Any]:
    keys = sorted({key for key, _ in excluded})
    if not keys:
        return {}
    return {
        "matchExpressions": [
            {
                "key": key,
                "operator": "NotIn",
                "values": sorted(value for name, value in excluded if name == key),
            }
            for key in keys
        ]
    }


def _is_on(value: object) -> bool:
    return value is True or str(value).lower() == "true"


def _is_off(value: object) -> bool:
    return not _is_on(value)


_OWNED_VALUES: Final[tuple[tuple[str, Callable[[Any], bool], str, str], ...]] = (
    (
        "k8sServiceHost",
        lambda value: value != KUBEPRISM_HOST,
        f"would take Cilium away from KubePrism at {KUBEPRISM_HOST}",
        "remove it",
    ),
    (
        "k8sServicePort",
        lambda value: str(value) != str(KUBEPRISM_PORT),
        f"would take Cilium away from KubePrism on port {KUBEPRISM_PORT}",
        "remove it",
    ),
    (
        "kubeProxyReplacement",
        _is_off,
        "would leave the cluster without a service proxy, because Talos runs no kube-proxy here",
        "remove it",
    ),
    (
        "ipam.mode",
        lambda value: value != "kubernetes",
        "would ignore the pod ranges that Kubernetes gives to nodes",
        "remove it; podCidr and nodeCidrMaskSize decide the ranges",
    ),
    (
        "routingMode",
        lambda value: value != "tunnel",
        "needs a route per node in the Hetzner network, which nothing here makes",
        "remove it; pods talk over VXLAN",
    ),
    (
        "autoDirectNodeRoutes",
        _is_on,
        "fails at Hetzner, where nodes reach each other through a gateway",
        "remove it",
    ),
    (
        "nodeIPAM.enabled",
        _is_on,
        "would give services private addresses, because nothing sets a node's ExternalIP",
        "remove it",
    ),
    (
        "cgroup.autoMount.enabled",
        _is_on,
        "fails on Talos, which mounts cgroups itself",
        "remove it",
    ),
    (
        "ipv6.enabled",
        _is_on,
        "needs IPv6 pod ranges, and podCidr is IPv4",
        "remove it",
    ),
    (
        "securityContext.capabilities.ciliumAgent",
        lambda value: "SYS_MODULE" in str(value),
        "asks for SYS_MODULE, which Talos grants to no container",
        "leave SYS_MODULE out",
    ),
)
