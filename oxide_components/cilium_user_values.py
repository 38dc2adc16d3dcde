"""Values of the user for the Cilium chart, checked against what Oxide wires together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from .cilium_modes import CiliumModes
from .errors import Problem, show
from .kubeprism import KUBEPRISM_HOST, KUBEPRISM_PORT
from .user_values import as_text, find

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
        found = find(values, path)
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


def _differs_from(wanted: object) -> Callable[[Any], bool]:
    return lambda value: as_text(value) != as_text(wanted)


def _is_on(value: object) -> bool:
    return as_text(value) == "true"


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
        "ipv4.enabled",
        _is_off,
        "leaves pods without addresses, because podCidr is IPv4",
        "remove it",
    ),
    (
        "rollOutCiliumPods",
        _is_off,
        "would leave running agents with the configuration that they have started with",
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
    ("hubble.enabled", "hubble", lambda modes: modes.hubble != "off"),
    ("hubble.relay.enabled", "hubble", lambda modes: modes.hubble in ("relay", "ui")),
    ("hubble.ui.enabled", "hubble", lambda modes: modes.hubble == "ui"),
    ("gatewayAPI.enabled", "gatewayApi", lambda modes: modes.gateway_api),
    ("egressGateway.enabled", "egressGateway", lambda modes: modes.egress_gateway),
    ("bandwidthManager.enabled", "bandwidthManager", lambda modes: modes.bandwidth_manager),
    ("nodeIPAM.enabled", "nodeIpam", lambda modes: modes.node_ipam),
)
