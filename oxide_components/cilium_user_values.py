"""Values of the user for the Cilium chart, checked against what Oxide wires together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from .cilium_modes import CiliumModes
from .errors import Problem, show
from .kubeprism import KUBEPRISM_HOST, KUBEPRISM_PORT


def value_problems(values: Mapping[str, Any], modes: CiliumModes) -> list[Problem]:
    """User values that would break what Oxide wires together, or contradict the settings that decide them."""
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
        value = _at(values, path)
        if value is not None and breaks(value):
            problems.append(
                Problem(
                    setting=f"ciliumValues.{path}",
                    value=show(value),
                    reason=reason,
                    way_out=way_out,
                )
            )
    for path, setting, wanted in _DECIDED_BY_SETTINGS:
        value = _at(values, path)
        if value is not None and _same(value) != _same(wanted(modes)):
            problems.append(
                Problem(
                    setting=f"ciliumValues.{path}",
                    value=show(value),
                    reason=f"contradicts {setting}, which also sees to what that needs",
                    way_out=f"remove it and set {setting}",
                )
            )
    return problems


def _at(values: Mapping[str, Any], path: str) -> Any:
    value: Any = values
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _same(value: object) -> str:
    """Text under which a chart takes two values for one: true and "true"."""
    return str(value).lower()


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
        "autoDirectNodeRoutes",
        _is_on,
        "fails at Hetzner, where nodes reach each other through a gateway",
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

_DECIDED_BY_SETTINGS: Final[tuple[tuple[str, str, Callable[[CiliumModes], object]], ...]] = (
    ("routingMode", "routingMode", lambda modes: modes.routing_mode),
    ("encryption.enabled", "encryption", lambda modes: modes.encryption != "none"),
    ("encryption.type", "encryption", lambda modes: modes.encryption),
    ("gatewayAPI.enabled", "gatewayApi", lambda modes: modes.gateway_api),
    ("nodeIPAM.enabled", "nodeIpam", lambda modes: modes.node_ipam),
)
