"""Values of the user for the Cilium chart, checked against what Oxide wires together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from .cilium_modes import CiliumModes
from .errors import Problem, show
from .kubeprism import KUBEPRISM_HOST, KUBEPRISM_PORT

_Check = tuple[str, Callable[[Any], bool], str, str]
"""Path of a value, whether a value of the user breaks it, the reason and the way out."""


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
    told = {problem.setting for problem in problems}
    for path, breaks, reason, way_out in (*_OWNED_VALUES, *_decided(modes)):
        found = _find(values, path)
        if found is None:
            continue
        place, value = found
        if value is None:
            reason = f"means the chart's own default, and Oxide decides {path}"
        elif place != path:
            reason = f"is not a mapping, and Oxide decides {path} below it"
        elif not breaks(value):
            continue
        setting = f"ciliumValues.{place}"
        # One value may stand in place of several.
        if setting not in told:
            told.add(setting)
            problems.append(
                Problem(setting=setting, value=show(value), reason=reason, way_out=way_out)
            )
    return problems


def _decided(modes: CiliumModes) -> Iterator[_Check]:
    for path, setting, wanted in _DECIDED_BY_SETTINGS:
        yield (
            path,
            _differs_from(wanted(modes)),
            f"contradicts {setting}, which also sees to what that needs",
            f"remove it and set {setting}",
        )


def _find(values: Mapping[str, Any], path: str) -> tuple[str, Any] | None:
    """
    The value at a path, or what stands in place of a mapping above it, with its own path; None where the user says nothing.

    Null says something: to Helm it is the chart's default, in place of whatever Oxide sets.
    """
    value: Any = values
    place: list[str] = []
    for part in path.split("."):
        if not isinstance(value, Mapping):
            break
        if part not in value:
            return None
        value = value[part]
        place.append(part)
    return ".".join(place), value


def _same(value: object) -> str:
    """Text under which a chart takes two values for one: true and "true"."""
    return str(value).lower()


def _differs_from(wanted: object) -> Callable[[Any], bool]:
    return lambda value: _same(value) != _same(wanted)


def _is_on(value: object) -> bool:
    return value is True or str(value).lower() == "true"


def _is_off(value: object) -> bool:
    return not _is_on(value)


_OWNED_VALUES: Final[tuple[_Check, ...]] = (
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
