"""The roster: which nodes a cluster is meant to have. Whoever is struck off it leaves before any server is deleted."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
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

from . import etcd, load_balancer_targets, naming
from .cordon import put_back
from .dynamic_provider import LifecycleProvider, cluster_lock, log_info, log_warning, wait_until
from .errors import OxideError, UntouchedError
from .hetzner_api import client, power, server_id
from .kubeconfig import people_kubeconfig
from .kubernetes_api import ApiUnavailableError, KubernetesApi, node_not_ready_reason
from .leaving import Leaver, Leaving, leaving_order
from .recorded_failure import record_failure
from .talosctl import Talosctl, TalosError
from .urn import child_urn

DRAIN_TIMEOUT = 600
"""Seconds that the drain of one node may take."""

RETURN_TIMEOUT = 900.0
"""Seconds that a node may take to boot and be Ready again when it is taken back."""

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
    location: pulumi.Input[str]
    """Hetzner location. Plain, a change is refused in the preview, because servers cannot move."""


class RosterControlPlane(TypedDict):
    """One control plane, as the way into the cluster. Nothing of it may depend on a server."""

    name: str
    """Server name."""
    private_address: str
    """Fixed address in the cluster's network."""
    public_address: pulumi.Input[str]
    """Address that takes Talos and Kubernetes API calls."""


class RosterProvider(LifecycleProvider):
    """
    Records the nodes; an update lets those that are missing leave, one by one.

    Workers stay for the time being where the same update brings others: those take over first, then `oxide:Departure` lets
    the old ones leave.
    """

    def check(self, olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        """Refuse what would cost the quorum or move a server, in the preview already."""
        refusal = _refusal(_nodes(olds), _nodes(news)) or _move_refusal(_nodes(olds), _nodes(news))
        return CheckResult(news, [CheckFailure("", refusal)] if refusal else [])

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """A change of the nodes, or of the way to them; leavers are announced."""
        now, later = _leavers(olds, news)
        for node in leaving_order(now):
            from_etcd = "leaves etcd, " if node["role"] == naming.ROLE_CONTROL_PLANE else ""
            log_info(
                news.get("urn"),
                f"{node['name']} leaves: drained, {from_etcd}reset, removed from Kubernetes, then its server is deleted",
            )
        for name in _taken_back(olds, news):
            log_info(news.get("urn"), f"{name} stays: it is started where it has left already")
        for node in leaving_order(later):
            log_info(
                news.get("urn"),
                f"{node['name']} leaves once the new workers are Ready: drained, reset, removed from Kubernetes, then its "
                "server is deleted",
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
        return CreateResult(props["cluster_name"], {**props, "superseded": [], "leaving": []})

    def update(self, id_: str, olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Let nodes leave that are no longer wanted, then record the others."""
        if refusal := _refusal(_nodes(olds), _nodes(news)):
            # After a run that failed, the check compares with what that one wanted.
            raise OxideError(refusal)
        now, later = _leavers(olds, news)
        try:
            _take_back(_taken_back(olds, news), news)
            let_leave(now, recorded=olds, props=news)
        except UntouchedError:
            # Nobody is about to leave, and who sets the old number back needs no cluster that answers.
            raise
        except OxideError as error:
            # Some may have left: whoever sets the old number back gets them back.
            began = {node["name"]: dict(node) for node in [*(olds.get("leaving") or ()), *now]}
            record_failure(id_, {**olds, "leaving": list(began.values())}, str(error))
            raise
        return UpdateResult({**news, "superseded": [dict(node) for node in later], "leaving": []})


class Roster(Resource, module="oxide", name="Roster"):
    """
    The nodes that a cluster is meant to have.

    There is one per cluster and every server depends on it, so that nodes leave before servers are deleted, also those
    whose server was never recorded.
    """

    superseded: pulumi.Output[list[dict[str, Any]]]
    """Workers that are to leave once the others are there."""

    def __init__(
        self,
        name: str,
        *,
        cluster_name: str,
        nodes: Sequence[RosterNode],
        control_planes: Sequence[RosterControlPlane],
        talosconfig: pulumi.Input[str],
        drain_timeout: int = DRAIN_TIMEOUT,
        load_balancer: str = "",
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """
        Declare the roster.

        Args:
            nodes: All nodes of all pools.
            control_planes: Those of them that are control planes.
            talosconfig: Talos credentials (secret); they may not depend on any server.
            drain_timeout: Seconds that the drain of one node may take.
            load_balancer: Name of the load balancer that control planes leave before they go. Empty for none.
        """
        properties = {
            "cluster_name": cluster_name,
            "nodes": [dict(node) for node in nodes],
            "control_planes": [dict(node) for node in control_planes],
            "talosconfig": pulumi.Output.secret(talosconfig),
            "drain_timeout": drain_timeout,
            "load_balancer": load_balancer,
            "superseded": None,
            "leaving": None,
            "urn": child_urn(name, "Roster", opts),
        }
        super().__init__(RosterProvider(), name, properties, opts)


def _taken_back(olds: Mapping[str, Any], news: Mapping[str, Any]) -> list[str]:
    """Names of nodes that were about to leave, or have left, and are wanted after all."""
    wanted = {node["name"] for node in _nodes(news)}
    began = [*(olds.get("superseded") or ()), *(olds.get("leaving") or ())]
    return [node["name"] for node in began if node["name"] in wanted]


def _take_back(names: Sequence[str], props: Mapping[str, Any]) -> None:
    """
    Bring nodes back that were about to leave: one that has left is off, and joins again with its next boot.

    Raises:
        OxideError: The cluster does not answer, or a node has not come back.
    """
    if not names:
        return
    cluster = props["cluster_name"]
    with (
        cluster_lock(f"{cluster} {props['control_planes'][0]['public_address']}"),
        Talosctl(props["talosconfig"]) as talosctl,
    ):
        reachable, reasons = _answering(talosctl, props["control_planes"])
        if not reachable:
            raise OxideError(
                f"{', '.join(names)} cannot be taken back, no control plane answers: {'; '.join(reasons)}"
            )
        api = _kubernetes_api(talosctl, reachable, cluster, ", ".join(names))
        for name in names:
            if power(cluster, name, on=True):
                wait_until(
                    f"node {name} to be Ready again",
                    props.get("urn"),
                    RETURN_TIMEOUT,
                    partial(_absence, api, name),
                )
                # Its disk was wiped, and what Hetzner hands a server never changes.
                log_warning(
                    props.get("urn"),
                    f"{name} has left and is back with the machine config of its first day: run `pulumi up --refresh`, which brings "
                    "it what has changed since",
                )
            put_back(api, name)


def _absence(api: KubernetesApi, name: str) -> str | None:
    try:
        return node_not_ready_reason(api.node(name))
    except ApiUnavailableError as error:
        return str(error)


def let_leave(
    leavers: Sequence[Leaver], *, recorded: Mapping[str, Any], props: Mapping[str, Any]
) -> None:
    """
    Let nodes leave a living cluster.

    Args:
        leavers: The nodes; those that have left already are found so.
        recorded: Inputs of the last run: control planes that are not among them are yet to be made.
        props: Inputs of this run: cluster_name, control_planes, talosconfig, drain_timeout, urn.

    Raises:
        OxideError: Some did not leave; the text names each and why.
    """
    if not leavers:
        return
    with (
        cluster_lock(f"{props['cluster_name']} {props['control_planes'][0]['public_address']}"),
        Talosctl(props["talosconfig"]) as talosctl,
    ):
        _let_leave(talosctl, leavers, recorded, props)


def _let_leave(
    talosctl: Talosctl,
    leavers: Sequence[Leaver],
    recorded: Mapping[str, Any],
    news: Mapping[str, Any],
) -> None:
    cut_power = partial(power, news["cluster_name"], on=False)
    known = {node["name"] for node in recorded.get("control_planes") or ()}
    # A control plane that is yet to be made can carry nothing.
    staying = [node for node in news["control_planes"] if node["name"] in known]
    reachable, reasons = _answering(talosctl, staying)
    if not reachable:
        raise UntouchedError(
            f"{_names(leavers)} cannot leave, no control plane that stays answers: {'; '.join(reasons)}. Nothing was "
            "touched. Check that your address is in adminCidrs and that the control planes run, then run `pulumi up` again. "
            "If the cluster never came up, set the old number back, or take it down with `pulumi destroy`"
        )
    if (
        len(reachable) == len(staying)
        and not _is_founded(talosctl, reachable)
        and not _is_founded(
            talosctl, _leaving_control_planes(recorded, staying, news["cluster_name"])
        )
    ):
        # Nobody can leave what was never founded; off, they cannot join it any more either.
        for node in leavers:
            cut_power(node["name"])
        return
    api = _kubernetes_api(talosctl, reachable, news["cluster_name"], _names(leavers))
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
        power_off=cut_power,
        no_more_requests=partial(
            _leave_load_balancer, news["cluster_name"], news.get("load_balancer") or ""
        ),
        urn=news.get("urn"),
    ).run()
    if failures:
        raise OxideError(_failure(failures, len(leavers)))


def _leave_load_balancer(cluster_name: str, load_balancer: str, server_name: str) -> None:
    if load_balancer and (server := server_id(cluster_name, server_name)) is not None:
        load_balancer_targets.leave(client(), cluster_name, load_balancer, server)


def _leaving_control_planes(
    recorded: Mapping[str, Any], staying: Sequence[etcd.ControlPlane], cluster_name: str
) -> list[etcd.ControlPlane]:
    """Those that have a server: one that stays may be new and empty while these hold all that there is."""
    kept = {node["name"] for node in staying}
    return [
        node
        for node in recorded.get("control_planes") or ()
        if node["name"] not in kept and server_id(cluster_name, node["name"]) is not None
    ]


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
    names: str,
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
        raise UntouchedError(
            f"{names} cannot leave or come back, the Kubernetes API does not answer: {error}. Nothing was touched. Check the "
            "control planes (`talosctl service`, `talosctl etcd status`), then run `pulumi up` again. If the cluster never came "
            "up, set the old number back, or take it down with `pulumi destroy`"
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
            "Remove what blocks and run `pulumi up` again, which goes on from here. To keep the nodes instead, set the old "
            "number back: those that have left are started and join again.",
        ]
    )


def _leavers(olds: Mapping[str, Any], news: Mapping[str, Any]) -> tuple[list[Leaver], list[Leaver]]:
    """
    Nodes that are recorded and no longer wanted, control planes with their address.

    Returns:
        Those that leave now, and the workers that leave once the new ones are Ready.
    """
    wanted = {node["name"] for node in _nodes(news)}
    # Whether the last run got to them is not recorded here; who has left is found so.
    earlier = [node for node in olds.get("superseded") or () if node["name"] not in wanted]
    recorded = {node["name"] for node in [*_nodes(olds), *earlier]}
    addresses = {node["name"]: node["private_address"] for node in olds.get("control_planes") or ()}
    missing: list[Leaver] = [
        {**node, "private_address": addresses.get(node["name"], "")}
        for node in _nodes(olds)
        if node["name"] not in wanted
    ]
    relieved = any(
        node["role"] == naming.ROLE_WORKER and node["name"] not in recorded for node in _nodes(news)
    )
    later = [node for node in missing if relieved and node["role"] == naming.ROLE_WORKER]
    return [*(node for node in missing if node not in later), *earlier], later


def _move_refusal(olds: Sequence[Leaver], news: Sequence[Leaver]) -> str | None:
    before = {node["name"]: node.get("location") for node in olds}
    for node in news:
        here, there = before.get(node["name"]), node.get("location")
        if not (isinstance(here, str) and isinstance(there, str)) or here == there:
            continue
        if node["role"] == naming.ROLE_CONTROL_PLANE:
            return (
                f"Control plane {node['name']} runs in {here} and cannot move to {there}: its address belongs to {here}. Set "
                f"controlPlaneLocations so that it has {here} again (control planes take them in turn), or location where "
                "that is not set; workers elsewhere are a pool of their own with its own location (workerPools). To move the "
                "whole cluster, create a new one there."
            )
        setting = (
            "workersGeneration"
            if node["pool"] == naming.DEFAULT_WORKER_POOL
            else f"the generation of pool {node['pool']} in workerPools"
        )
        return (
            f"The workers of pool {node['pool']} run in {here}, and a server cannot move to {there}. Raise {setting} by one "
            f"in the same change: new workers are made in {there} first, then the old ones leave. Or set the location back."
        )
    return None


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
