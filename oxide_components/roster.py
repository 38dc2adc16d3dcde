"""The roster: which nodes a cluster is meant to have. Whoever is struck off it leaves before any server is deleted."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict

import pulumi
from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    CreateResult,
    DiffResult,
    Resource,
    UpdateResult,
)

from . import etcd, naming
from .dynamic_provider import LifecycleProvider, cluster_lock, log_info, log_warning
from .errors import OxideError
from .kubeconfig import people_kubeconfig
from .kubernetes_api import ApiUnavailableError, KubernetesApi
from .leaving import Leaver, Leaving, leaving_order
from .talosctl import Talosctl, TalosError
from .urn import child_urn

DRAIN_TIMEOUT = 600
"""Seconds that the drain of one node may take."""

_MOST_AT_ONCE = 2


class RosterNode(TypedDict):
    """One node that the cluster is meant to have. All values are plain: the preview compares them."""

    name: str
    """Server name."""
    role: str
    """control-plane or worker."""
    pool: str
    """Name of the pool."""
    index: int
    """Place in the pool, from 1; the highest leaves first."""


class RosterControlPlane(TypedDict):
    """One control plane, as the way into the cluster. Nothing of it may depend on a server."""

    name: str
    """Server name."""
    private_address: str
    """Fixed address in the cluster's network."""
    public_address: pulumi.Input[str]
    """Address that takes Talos and Kubernetes API calls."""


class RosterProvider(LifecycleProvider):
    """Records the nodes; an update lets those that are missing leave, one by one."""

    def check(self, olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        """Refuse what would cost the quorum, in the preview already."""
        refusal = _refusal(_nodes(olds), _nodes(news))
        return CheckResult(news, [CheckFailure("", refusal)] if refusal else [])

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """A change of the nodes, or of the way to them; leavers are announced."""
        for node in leaving_order(_leavers(olds, news)):
            from_etcd = "leaves etcd, " if node["role"] == naming.ROLE_CONTROL_PLANE else ""
            log_info(
                news.get("urn"),
                f"{node['name']} leaves: drained, {from_etcd}reset, removed from Kubernetes, then its server is deleted",
            )
        same = (
            _by_name(_nodes(olds)) == _by_name(_nodes(news))
            and _by_name(olds.get("control_planes")) == _by_name(news.get("control_planes"))
            # Deleted nodes are reached with recorded credentials, so new ones have to be recorded.
            and olds.get("talosconfig") == news.get("talosconfig")
        )
        return DiffResult(changes=not same)

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Record the nodes."""
        return CreateResult(props["cluster_name"], dict(props))

    def update(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Let nodes leave that are no longer wanted, then record the others."""
        leavers = _leavers(olds, news)
        if leavers:
            with (
                cluster_lock(
                    f"{news['cluster_name']} {news['control_planes'][0]['public_address']}"
                ),
                Talosctl(news["talosconfig"]) as talosctl,
            ):
                _let_leave(talosctl, leavers, olds, news)
        return UpdateResult(dict(news))


class Roster(Resource, module="oxide", name="Roster"):
    """
    The nodes that a cluster is meant to have.

    There is one per cluster and every server depends on it, so that nodes leave before servers are deleted, also those
    whose server was never recorded.
    """

    def __init__(
        self,
        name: str,
        *,
        cluster_name: str,
        nodes: Sequence[RosterNode],
        control_planes: Sequence[RosterControlPlane],
        talosconfig: pulumi.Input[str],
        drain_timeout: int = DRAIN_TIMEOUT,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """
        Declare the roster.

        Args:
            nodes: All nodes of all pools.
            control_planes: Those of them that are control planes.
            talosconfig: Talos credentials (secret); they may not depend on any server.
            drain_timeout: Seconds that the drain of one node may take.
        """
        properties = {
            "cluster_name": cluster_name,
            "nodes": [dict(node) for node in nodes],
            "control_planes": [dict(node) for node in control_planes],
            "talosconfig": pulumi.Output.secret(talosconfig),
            "drain_timeout": drain_timeout,
            "urn": child_urn(name, "Roster", opts),
        }
        super().__init__(RosterProvider(), name, properties, opts)


def _let_leave(
    talosctl: Talosctl, leavers: Sequence[Leaver], olds: dict[str, Any], news: dict[str, Any]
) -> None:
    recorded = {node["name"] for node in _nodes(olds)}
    # A control plane that is yet to be made can carry nothing.
    staying = [node for node in news["control_planes"] if node["name"] in recorded]
    reachable, reasons = _answering(talosctl, staying)
    if not reachable:
        raise OxideError(
            f"{_names(leavers)} cannot leave, no control plane that stays answers: {'; '.join(reasons)}. Nothing was "
            "touched. Check that your address is in adminCidrs and that the control planes run, then run `pulumi up` again. "
            "If the cluster never came up, set the old number back, or take it down with `pulumi destroy`"
        )
    if len(reachable) == len(staying) and not _is_founded(talosctl, reachable):
        names = " ".join(node["name"] for node in leaving_order(leavers))
        log_warning(
            news.get("urn"),
            "the cluster was never bootstrapped, so nobody leaves it. A server may still join before it is deleted; if "
            f"Node objects remain: kubectl delete node --ignore-not-found {names}",
        )
        return
    api = _kubernetes_api(talosctl, reachable, news["cluster_name"], leavers)
    takes_control_planes = any(node["role"] == naming.ROLE_CONTROL_PLANE for node in leavers)
    failures = Leaving(
        talosctl=talosctl,
        api=api,
        # etcd can spare a member only where every one that stays is there.
        staying=[*reachable, *(node for node in staying if node not in reachable)]
        if takes_control_planes
        else reachable,
        leavers=leavers,
        drain_timeout=float(news.get("drain_timeout") or DRAIN_TIMEOUT),
        urn=news.get("urn"),
    ).run()
    if failures:
        raise OxideError(_failure(failures, len(leavers)))


def _is_founded(talosctl: Talosctl, control_planes: Sequence[etcd.ControlPlane]) -> bool:
    try:
        return any(etcd.holds_data(talosctl, node) for node in control_planes)
    except TalosError:
        # Who cannot tell is taken for a member.
        return True


def _kubernetes_api(
    talosctl: Talosctl,
    control_planes: Sequence[etcd.ControlPlane],
    cluster_name: str,
    leavers: Sequence[Leaver],
) -> KubernetesApi:
    """Client with fresh credentials, so that neither an old nor a missing kubeconfig gets in the way."""
    first = control_planes[0]
    try:
        raw = talosctl.run(
            "kubeconfig", "-", node=first["private_address"], endpoint=first["public_address"]
        )
        api = KubernetesApi(
            people_kubeconfig(
                raw,
                cluster_name,
                [(node["name"], node["public_address"]) for node in control_planes],
                None,
            )
        )
        api.items("/api/v1/nodes?limit=1")
    except (ApiUnavailableError, TalosError) as error:
        raise OxideError(
            f"{_names(leavers)} cannot leave, the Kubernetes API does not answer: {error}. Nothing was touched. Check the "
            "control planes (`talosctl service`, `talosctl etcd status`), then run `pulumi up` again"
        ) from None
    return api


def _refusal(olds: Sequence[Leaver], news: Sequence[Leaver]) -> str | None:
    before, after = _control_planes(olds), _control_planes(news)
    gone = before - after
    if not before or len(gone) == 0:
        return None
    if not before & after:
        return (
            f"All {len(before)} control planes would leave ({', '.join(sorted(gone))}), and the cluster with them. "
            "Keep at least one; to take the whole cluster down run `pulumi destroy`."
        )
    if len(gone) > _MOST_AT_ONCE:
        steps = range(len(before), len(after), -_MOST_AT_ONCE)
        way = " -> ".join(str(step) for step in [*steps, len(after)])
        return (
            f"{len(gone)} of {len(before)} control planes would leave at once ({', '.join(sorted(gone))}), more than the "
            f"quorum of etcd can spare. Go {way} in separate runs of `pulumi up`."
        )
    return None


def _failure(failures: Mapping[str, str], wanted: int) -> str:
    return "\n  ".join(
        [
            f"{len(failures)} of {wanted} nodes did not leave; no server was deleted:",
            *(f"{name}: {reason}" for name, reason in failures.items()),
            "Remove what blocks and run `pulumi up` again, which goes on from here. To keep a node instead, set the old "
            "number back and run `kubectl uncordon` on it.",
        ]
    )


def _leavers(olds: dict[str, Any], news: dict[str, Any]) -> list[Leaver]:
    """Nodes that are recorded and no longer wanted; control planes with their address."""
    wanted = {node["name"] for node in _nodes(news)}
    addresses = {node["name"]: node["private_address"] for node in olds.get("control_planes") or ()}
    return [
        {**node, "private_address": addresses.get(node["name"], "")}
        for node in _nodes(olds)
        if node["name"] not in wanted
    ]


def _nodes(props: Mapping[str, Any]) -> list[Leaver]:
    nodes = props.get("nodes")
    return list(nodes) if isinstance(nodes, list) else []


def _by_name(nodes: Any) -> Any:
    return sorted(nodes, key=lambda node: str(node["name"])) if isinstance(nodes, list) else nodes


def _control_planes(nodes: Iterable[Leaver]) -> set[str]:
    return {node["name"] for node in nodes if node["role"] == naming.ROLE_CONTROL_PLANE}


def _names(nodes: Sequence[Leaver]) -> str:
    return ", ".join(node["name"] for node in leaving_order(nodes))


def _answering(
    talosctl: Talosctl, control_planes: Sequence[etcd.ControlPlane]
) -> tuple[list[etcd.ControlPlane], list[str]]:
    """Control planes that answer, and why each other one does not."""
    found, reasons = [], []
    for node in control_planes:
        try:
            talosctl.run(
                "version",
                node=node["private_address"],
                endpoint=node["public_address"],
                timeout=15,
            )
        except TalosError as error:
            reasons.append(f"{node['name']}: {error}")
        else:
            found.append(node)
    return found, reasons
