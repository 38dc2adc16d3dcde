"""The guarded bootstrap: founds etcd on the first control plane, empty once in a cluster's life, later from a snapshot only."""

import re
import time
from collections.abc import Collection, Mapping, Sequence
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
from pulumi.output import Unknown
from pulumi.runtime.rpc import UNKNOWN

from . import etcd
from .dynamic_provider import (
    LifecycleProvider,
    cluster_lock,
    log_info,
    log_progress,
    log_warning,
    wait_until,
)
from .errors import OxideError
from .hetzner_api import power, server_id
from .talosctl import Talosctl, TalosError
from .urn import child_urn

BOOT_TIMEOUT = 900.0
"""Seconds until every planned control plane must answer: Hetzner's slow days and Talos' first boot together."""

POWER_PATIENCE = 60.0
"""Seconds of silence after which Hetzner is asked whether a control plane runs at all."""

ETCD_TIMEOUT = 600.0
"""Seconds that etcd may take to start once it is bootstrapped: it pulls its image first."""

RESTORE_TIMEOUT = 600.0
"""Seconds that the upload of a snapshot may take."""

_ALREADY = re.compile(r"AlreadyExists|already bootstrapped|etcd data directory is not empty")
_ALL_LOST = (
    "No control plane keeps its server, so that all of etcd's data is gone. Name a snapshot of etcd in restoreFrom "
    "(docs/operations.md, 'Snapshots and restore'). Without one the cluster's objects are lost: take it down with "
    "`pulumi destroy` and make it anew."
)
_SERVER_OF = "server_of_"
"""Prefix of one property per control plane, so that the engine's questions tell whose server it is about to replace."""

_WAY_TO = "way_to_"
"""Prefix of one property per control plane with its addresses, which do not depend on its server."""

QUORUM_PATIENCE = 30.0
"""Seconds that the other members of etcd may take to be well before one is replaced: an election is no failure."""

_begun: dict[str, set[str]] = {}
"""Control planes that the engine of this process replaces, by cluster."""

_MAYBE_LOCKED_OUT = (
    ". If they run, the firewall may not let this machine in: set adminCidrs to ranges with its public IPv4 address "
    "(docs/operations.md, 'Locked out')"
)
"""Servers that are down and a firewall that drops everything look the same from here."""

_NO_LONGER = "restoreFrom has served: `pulumi config rm restoreFrom`"

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
    server_id: pulumi.Input[str]
    """Id of the server that carries the name: etcd's data is on its disk and goes with it."""


class BootstrapProvider(LifecycleProvider):
    """
    Looks for etcd's data on every planned control plane before the one call that founds a cluster.

    Data anywhere is success without a call; a control plane that does not answer is a refusal. So a replaced first
    control plane can never found a second cluster beside the living one, not even while that one restarts.
    """

    def check(self, olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        """Refuse, in the preview already, to make every control plane anew with nothing to restore."""
        refused = not news.get("restore_from") and _all_new(olds, news)
        return CheckResult(news, [CheckFailure("", _ALL_LOST)] if refused else [])

    def diff(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """
        A snapshot to start from makes every run look for etcd's data; nothing else founds a cluster again.

        Raises:
            OxideError: The engine asks what the replacement of a server would mean, right before it deletes it, and etcd would
                lose its data or its quorum.
        """
        if refusal := _replacement_refusal(news):
            raise OxideError(refusal)
        snapshot = news.get("restore_from")
        if snapshot:
            log_info(
                news.get("urn"),
                f"restoreFrom: if no control plane holds data of etcd, it starts from {snapshot}; otherwise nothing happens",
            )
        return DiffResult(changes=bool(snapshot))

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Bootstrap the cluster unless it is."""
        _bootstrap(props)
        return CreateResult(props["cluster_name"], dict(props))

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Bootstrap the cluster from the snapshot where its data is gone."""
        holder = _bootstrap(news)
        if holder is None:
            log_info(
                news.get("urn"), f"etcd was restored from {news['restore_from']}; {_NO_LONGER}"
            )
        else:
            log_warning(
                news.get("urn"),
                f"nothing was restored by this run, because {holder} holds data of etcd; {_NO_LONGER}",
            )
        return UpdateResult(dict(news))


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
            **{f"{_SERVER_OF}{node['name']}": node["server_id"] for node in control_planes},
            **{
                f"{_WAY_TO}{node['name']}": {
                    key: node[key] for key in ("private_address", "public_address")
                }
                for node in control_planes
            },
            "restore_from": restore_from,
            "urn": child_urn(name, "Bootstrap", opts),
        }
        super().__init__(BootstrapProvider(), name, properties, opts)


def _all_new(olds: Mapping[str, Any], news: Mapping[str, Any]) -> bool:
    """Whether no server of the last run is left; an id that is unknown in the preview is that of a server to be made."""
    before = {node.get("server_id") for node in olds.get("control_planes") or ()} - {None}
    return bool(before) and before.isdisjoint(node["server_id"] for node in news["control_planes"])


def _replacement_refusal(news: Mapping[str, Any]) -> str | None:
    """
    Why a server may not be replaced that the engine is about to delete; None where it may, or where there is none.

    Before it deletes a server that has to go first, the engine asks each dependent for its diff, with every property that
    depends on that server unknown as a whole. In all other diffs the list of control planes is a list.
    """
    if isinstance(news.get("control_planes"), list):
        return None
    servers = {
        key.removeprefix(_SERVER_OF): value
        for key, value in news.items()
        if key.startswith(_SERVER_OF)
    }
    cluster = str(news.get("cluster_name"))
    replaced = {
        name
        for name, id_ in servers.items()
        # The engine asks also for one that it has deleted in a run that was cut off, and only makes again.
        if (isinstance(id_, Unknown) or id_ == UNKNOWN) and _exists(cluster, name)
    }
    if not replaced:
        return None
    if replaced == servers.keys():
        return (
            f"{', '.join(sorted(replaced))} is the only control plane, and etcd's data would go with its server, which was not "
            "touched. Take a snapshot, then go the way of docs/operations.md, 'All control planes are lost'."
        )
    begun = _begun.setdefault(cluster, set())
    if begun - replaced:
        return (
            f"{', '.join(sorted(begun | replaced))} would be replaced in one run, and etcd would lose its quorum. The server of "
            f"{', '.join(sorted(replaced))} was not touched. Replace one control plane, and the next when that run has ended; "
            "if one is gone already, `pulumi up` makes it anew."
        )
    begun |= replaced
    return _quorum_refusal(news, replaced, servers.keys() - replaced)


def _exists(cluster: str, name: str) -> bool:
    try:
        return server_id(cluster, name) is not None
    except OxideError:
        return True


def _quorum_refusal(
    news: Mapping[str, Any], replaced: Collection[str], others: Collection[str]
) -> str | None:
    """Why etcd could not do without the control planes that are about to go; None where it can."""
    nodes = [
        {"name": name, **way}
        for name in sorted(others)
        if isinstance(way := news.get(f"{_WAY_TO}{name}"), Mapping)
        # One that is new has no address yet, and no vote.
        and all(isinstance(value, str) and value != UNKNOWN for value in way.values())
    ]
    names = ", ".join(sorted(replaced))
    if not any(key.startswith(_WAY_TO) for key in news):
        return (
            f"{names} is not replaced before an earlier release's record of the control planes is renewed: run `pulumi up` once "
            "without --replace. Its server was not touched."
        )
    found: list[str] = []
    with Talosctl(str(news["talosconfig"])) as talosctl:

        def reason() -> str | None:
            found[:] = _missing_quorum(talosctl, nodes)
            return "; ".join(found) or None

        try:
            wait_until(f"etcd without {names}", news.get("urn"), QUORUM_PATIENCE, reason)
        except OxideError:
            return (
                f"{names} cannot be replaced, etcd would lose its quorum: {'; '.join(found)}. Its server was not touched. Repair "
                "the other control planes first (`hcloud server reset`, docs/operations.md). If etcd has lost its quorum "
                "already, a snapshot brings the cluster back: docs/operations.md, 'All control planes are lost'."
            )
    return None


def _missing_quorum(talosctl: Talosctl, nodes: Sequence[Mapping[str, str]]) -> list[str]:
    """Why these control planes are no majority of etcd; empty where they are."""
    unwell, well = [], []
    try:
        for node in nodes:
            reasons = etcd.unhealthy_reasons(talosctl, [node])
            unwell += reasons
            if not reasons:
                well.append(node)
        quorum = etcd.quorum_of(etcd.members_of_any(talosctl, well), well)
    except OxideError as error:
        return [*unwell, str(error)]
    if quorum.holds:
        return []
    return [
        f"it needs {quorum.needed} of its {quorum.members} members and would have {quorum.voting}",
        *unwell,
    ]


def _bootstrap(props: Mapping[str, Any]) -> str | None:
    """Found etcd unless a control plane holds data; return its name."""
    nodes: Sequence[Mapping[str, str]] = props["control_planes"]
    urn, snapshot = props.get("urn"), props.get("restore_from")
    first = nodes[0]
    with (
        cluster_lock(f"{props['cluster_name']} {first['public_address']}"),
        Talosctl(props["talosconfig"]) as talosctl,
    ):
        holder = _holder_of_data(talosctl, props["cluster_name"], nodes, urn)
        if holder is None:
            if snapshot:
                log_progress(urn, f"restoring etcd from {snapshot}")
            wait_until(
                f"the bootstrap of {first['name']}",
                urn,
                ETCD_TIMEOUT,
                lambda: _bootstrap_refusal(talosctl, first, snapshot),
            )
        # Data that has lost its quorum stands in the way of a snapshot.
        where = f"etcd with its data on {holder}" if snapshot and holder else "etcd"
        wait_until(where, urn, ETCD_TIMEOUT, lambda: _no_member_reason(talosctl, nodes))
        if snapshot and holder is None:
            # Nobody else waits for control planes that have kept their servers.
            wait_until(
                "the control planes to join etcd",
                urn,
                ETCD_TIMEOUT,
                lambda: "; ".join(etcd.unhealthy_reasons(talosctl, nodes)) or None,
            )
    return holder


def _holder_of_data(
    talosctl: Talosctl, cluster_name: str, nodes: Sequence[Mapping[str, str]], urn: str | None
) -> str | None:
    """A control plane whose disk holds an etcd member; only where there is none, every one has to tell."""
    empty: set[str] = set()
    found: list[str] = []
    looked_at: set[str] = set()
    begin = time.monotonic()

    def silent_reason() -> str | None:
        reason = None
        for node in nodes:
            name = node["name"]
            if name in empty:
                continue
            try:
                if etcd.holds_data(talosctl, node):
                    found.append(name)
                    return None
                empty.add(name)
            except TalosError as error:
                reason = reason or f"{name}: {error}"
                if name not in looked_at and time.monotonic() - begin >= POWER_PATIENCE:
                    looked_at.add(name)
                    # Servers without public addresses start last, so that a killed run may have left one off.
                    if power(cluster_name, name, on=True):
                        log_warning(urn, f"{name} was off and is started")
        return reason

    def hint() -> str:
        public = any(node["public_address"] != node["private_address"] for node in nodes)
        return _MAYBE_LOCKED_OUT if public and not empty else ""

    wait_until("the control planes", urn, BOOT_TIMEOUT, silent_reason, hint=hint)
    return found[0] if found else None


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
