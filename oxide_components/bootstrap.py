"""The guarded bootstrap: founds etcd on the first control plane, exactly once in a cluster's life."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import pulumi
from pulumi.dynamic import CreateResult, Resource

from . import etcd
from .dynamic_provider import LifecycleProvider, cluster_lock, wait_until
from .talosctl import Talosctl, TalosError
from .urn import child_urn

BOOT_TIMEOUT = 900.0
"""Seconds until every planned control plane must answer: Hetzner's slow days and Talos' first boot together."""

ETCD_TIMEOUT = 600.0
"""Seconds that etcd may take to start once it is bootstrapped: it pulls its image first."""

RESTORE_TIMEOUT = 600.0
"""Seconds that the upload of a snapshot may take."""

_ALREADY = re.compile(r"AlreadyExists|already bootstrapped|etcd data directory is not empty")
_NOT_YET = re.compile(r"FailedPrecondition|Unavailable")
"""Answers of a node that still boots: its clock is not in sync, or its container runtime is not up."""


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
    Looks for etcd's data on every planned control plane before the one call that founds a cluster.

    Data anywhere is success without a call; a control plane that does not answer is a refusal. So a replaced first
    control plane can never found a second cluster beside the living one, not even while that one restarts.
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
            founded = [_holds_etcd_data(talosctl, node, urn) for node in nodes]
            if not any(founded):
                wait_until(
                    f"the bootstrap of {first['name']}",
                    urn,
                    ETCD_TIMEOUT,
                    lambda: _bootstrap_refusal(talosctl, first, props.get("restore_from")),
                )
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
        restore_from: str | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        properties = {
            "cluster_name": cluster_name,
            "talosconfig": pulumi.Output.secret(talosconfig),
            "control_planes": [dict(node) for node in control_planes],
            "restore_from": restore_from,
            "urn": child_urn(name, "Bootstrap", opts),
        }
        super().__init__(BootstrapProvider(), name, properties, opts)


def _holds_etcd_data(talosctl: Talosctl, node: Mapping[str, str], urn: str | None) -> bool:
    """Whether the node's disk holds an etcd member; waits until the node can tell."""
    found: list[bool] = []

    def silent_reason() -> str | None:
        try:
            found.append(etcd.holds_data(talosctl, node))
        except TalosError as error:
            return str(error)
        return None

    wait_until(f"control plane {node['name']}", urn, BOOT_TIMEOUT, silent_reason)
    return found[-1]


def _bootstrap_refusal(
    talosctl: Talosctl, node: Mapping[str, str], snapshot: str | None
) -> str | None:
    """Bootstrap; None when it is done, the reason when the node asks to wait."""
    recover = [f"--recover-from={snapshot}"] if snapshot else []
    try:
        _call(talosctl, node, "bootstrap", *recover, timeout=RESTORE_TIMEOUT if snapshot else 60)
    except TalosError as error:
        said = str(error) + error.output
        # A lost answer to an earlier call looks like this.
        if _ALREADY.search(said):
            return None
        if _NOT_YET.search(said):
            return str(error)
        raise
    return None


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
