"""The guarded bootstrap: founds etcd on the first control plane, exactly once in a cluster's life."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import pulumi
from pulumi.dynamic import CreateResult, Resource

from .dynamic_provider import LifecycleProvider, cluster_lock, log_progress, wait_until
from .errors import OxideError
from .talosctl import Talosctl, TalosError
from .urn import child_urn

BOOT_TIMEOUT = 900.0
"""Seconds until every planned control plane must answer: Hetzner's slow days and Talos' first boot together."""

ETCD_TIMEOUT = 600.0
"""Seconds that etcd may take to start once it is bootstrapped: it pulls its image first."""

_SERVICE_STATE = re.compile(r"^STATE\s+(\w+)", re.MULTILINE)
_ALREADY = re.compile(r"AlreadyExists|already bootstrapped|etcd data directory is not empty")
_NOT_FOUNDED = frozenset({"Initialized", "Preparing", "Waiting", "Skipped"})
"""States of the etcd service on a control plane that waits to be bootstrapped or to join."""


class BootstrapNode(TypedDict):
    """One planned control plane."""

    name: str
    """Server name."""
    private_address: pulumi.Input[str]
    """Address in the cluster's network."""
    public_address: pulumi.Input[str]
    """Address that takes Talos API calls."""


class BootstrapProvider(LifecycleProvider):
    """
    Asks every planned control plane for its etcd before the one call that founds a cluster.

    A member anywhere is success without a call; a control plane that does not answer is a refusal. So a replaced
    first control plane can never found a second cluster beside the living one.
    """

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Bootstrap the cluster unless it is."""
        nodes: Sequence[Mapping[str, str]] = props["control_planes"]
        urn = props.get("urn")
        first = nodes[0]
        with (
            cluster_lock(f"{props['cluster_name']} {first['public_address']}"),
            Talosctl(props["talosconfig"]) as talosctl,
        ):
            for node in nodes:
                wait_until(
                    f"control plane {node['name']}",
                    urn,
                    BOOT_TIMEOUT,
                    lambda node=node: _silent_reason(talosctl, node),
                )
            states = {node["name"]: _etcd_state(talosctl, node) for node in nodes}
            if all(state in _NOT_FOUNDED for state in states.values()):
                log_progress(urn, f"bootstrapping etcd on {first['name']}")
                _bootstrap(talosctl, first)
            wait_until("etcd", urn, ETCD_TIMEOUT, lambda: _no_member_reason(talosctl, nodes))
        return CreateResult(props["cluster_name"], dict(props))


class Bootstrap(Resource, module="oxide", name="Bootstrap"):
    """The one bootstrap of a cluster."""

    def __init__(
        self,
        name: str,
        *,
        cluster_name: str,
        talosconfig: pulumi.Input[str],
        control_planes: Sequence[BootstrapNode],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        properties = {
            "cluster_name": cluster_name,
            "talosconfig": pulumi.Output.secret(talosconfig),
            "control_planes": [dict(node) for node in control_planes],
            "urn": child_urn(name, "Bootstrap", opts),
        }
        super().__init__(BootstrapProvider(), name, properties, opts)


def _silent_reason(talosctl: Talosctl, node: Mapping[str, str]) -> str | None:
    try:
        _call(talosctl, node, "version", timeout=15)
    except TalosError as error:
        return str(error)
    return None


def _etcd_state(talosctl: Talosctl, node: Mapping[str, str]) -> str:
    output = _call(talosctl, node, "service", "etcd")
    match = _SERVICE_STATE.search(output)
    if match is None:
        raise OxideError(
            f"{node['name']}: talosctl service etcd says no state; nothing was bootstrapped"
        )
    return match[1]


def _bootstrap(talosctl: Talosctl, node: Mapping[str, str]) -> None:
    try:
        _call(talosctl, node, "bootstrap", timeout=60)
    except TalosError as error:
        # A lost answer to an earlier call looks like this.
        if not _ALREADY.search(str(error) + error.output):
            raise


def _no_member_reason(talosctl: Talosctl, nodes: Sequence[Mapping[str, str]]) -> str | None:
    reason = None
    for node in nodes:
        try:
            _call(talosctl, node, "etcd", "members", timeout=15)
        except TalosError as error:
            reason = reason or str(error)
        else:
            return None
    return reason


def _call(talosctl: Talosctl, node: Mapping[str, str], *args: str, timeout: float = 30) -> str:
    return talosctl.run(
        *args, node=node["private_address"], endpoint=node["public_address"], timeout=timeout
    )
