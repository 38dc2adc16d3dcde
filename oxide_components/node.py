"""A node of the cluster, as opposed to the server it runs on: Ready, serving if it is a control plane, of the wanted server type."""

import time
from collections.abc import Callable, Mapping
from typing import Any, TypedDict

import pulumi
from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    CreateResult,
    DiffResult,
    ReadResult,
    Resource,
    UpdateResult,
)

from . import etcd, fleet, hetzner_api, naming, server_type, talos_upgrade
from .dynamic_provider import LifecycleProvider, log_info, log_warning, wait_until
from .errors import OxideError
from .kubernetes_api import CORDONED, KubernetesApi, talos_version
from .node_info import NodeInfo
from .object_storage import Bucket
from .recorded_failure import record_failure
from .rollout import Rollout, Site, failure, is_skipped, node_properties, site
from .talosctl import TalosError
from .urn import child_urn
from .versions import talos_step_problem

_SYSTEM = ("talos_version", "schematic_id")
_REACHED = ("server_type", *_SYSTEM)
"""What stays recorded as it was until the node has got there."""

BOOT_PATIENCE = 60.0
"""Seconds without an answer after which Hetzner is asked whether a new node's server runs at all: one that has left is off."""

JOIN_PATIENCE = 180.0
"""Seconds that a member may be without a name: etcd knows it, and it is yet to start. After that nobody is going to start it."""

_PENDING = "pending"
"""Recorded for a node that is not yet what it is meant to be."""


class Upgrade(TypedDict):
    """The system that nodes are meant to run."""

    talos_version: str
    """Talos version, such as v1.13.9."""
    schematic_id: str
    """Image Factory schematic."""
    kubernetes_version: str
    """Kubernetes version without v."""
    cilium_version: str
    """Version of Cilium."""
    held: Callable[[NodeInfo | None], str]
    """Setting that makes a node, or without one Kubernetes, wait. Empty for none."""


class NodeProvider(LifecycleProvider):
    """Brings the node into the cluster, on every new server that carries its name, and onto the wanted server type."""

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """A new server under the same name is a new node; another server type is a change of the old one."""
        what = _announced(olds, news)
        if news.get("held") and (waiting := _upgrade(olds, news)):
            log_info(news.get("urn"), f"waits ({news['held']}): {waiting}")
        unfinished = bool(olds.get(_PENDING))
        if is_skipped(news):
            if what or unfinished:
                log_info(news.get("urn"), f"skipped (skipNodes); {what or 'it is not ready'}")
            return DiffResult(changes=False)
        if what or unfinished:
            log_info(
                news.get("urn"), what or "goes on: the last change of this node was not finished"
            )
        return DiffResult(changes=bool(what) or unfinished)

    def check(self, olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        """Refuse a step that Talos cannot take, in the preview already."""
        before, after = olds.get("talos_version"), news.get("talos_version")
        problem = None
        if isinstance(before, str) and isinstance(after, str):
            problem = talos_step_problem(before, after)
        return CheckResult(news, [CheckFailure("", f"talosVersion: {problem}")] if problem else [])

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Wait for the node."""
        return CreateResult(props["node_name"], _made_so(props, olds={}))

    def update(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Wait for the node on its new server, or change its server's type."""
        return UpdateResult(_made_so(news, olds=olds))

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Record the Talos version that the node shows, and whether a run was cut off at it; silent nodes stay as recorded."""
        return ReadResult(id_, {**props, **({} if is_skipped(props) else _shown(props))})


class Node(Resource, module="oxide", name="Node"):
    """One node that has joined and is Ready."""

    def __init__(
        self,
        name: str,
        node: NodeInfo,
        rollout: Rollout,
        upgrade: Upgrade,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        properties = {
            **node_properties(node, rollout),
            "server_type": node["server_type"],
            "made_as": node["server"].server_type,
            "server_urn": node["server"].urn,
            "talos_version": upgrade["talos_version"],
            "schematic_id": upgrade["schematic_id"],
            "held": upgrade["held"](node),
            "etcd_snapshot_bucket": _snapshot_bucket(node, rollout),
            "urn": child_urn(name, "Node", opts),
        }
        super().__init__(NodeProvider(), name, properties, opts)


def _snapshot_bucket(node: NodeInfo, rollout: Rollout) -> pulumi.Output[Bucket] | None:
    bucket = rollout.get("etcd_snapshot_bucket")
    if bucket is None or node["role"] != naming.ROLE_CONTROL_PLANE:
        return None
    return pulumi.Output.secret(bucket)


def _announced(olds: dict[str, Any], news: dict[str, Any]) -> str:
    if olds.get("server_id") != news.get("server_id"):
        return "a new server joins under this name"
    texts = []
    before, after = olds.get("server_type"), news.get("server_type")
    if before != after:
        texts.append(
            f"{before} -> {after}: drained, shut down, changed with its disk kept, started"
        )
    if (what := _upgrade(olds, news)) and not news.get("held"):
        texts.append(what)
    return "; ".join(texts)


def _upgrade(olds: Mapping[str, Any], news: Mapping[str, Any]) -> str:
    before, after = olds.get("talos_version"), news.get("talos_version")
    if before != after:
        return f"{before} -> {after}, drains, reboots"
    if olds.get("schematic_id") != news.get("schematic_id"):
        return f"schematic {str(news.get('schematic_id'))[:8]}..., drains, reboots"
    return ""


def _shown(props: Mapping[str, Any]) -> dict[str, Any]:
    """What the Node object says otherwise than the record."""
    try:
        node = KubernetesApi(props["kubeconfig"], timeout=5).node(props["node_name"]) or {}
        shown: dict[str, Any] = {}
        if version := talos_version(node):
            shown["talos_version"] = version
        if CORDONED in (node.get("metadata", {}).get("annotations") or {}):
            shown[_PENDING] = True
    except Exception:
        # Refreshing must work whatever state the cluster is in.
        return {}
    return shown


def _made_so(props: dict[str, Any], *, olds: dict[str, Any]) -> dict[str, Any]:
    is_new = olds.get("server_id") != props["server_id"]
    kept = {} if is_new else {key: olds[key] for key in _REACHED if key in olds}
    if is_skipped(props):
        return {**props, **kept, _PENDING: True}
    if not olds and fleet.is_well_newcomer(props):
        return {**props, _PENDING: False}
    has_failed = bool(olds.get(_PENDING)) and not is_new
    try:
        with site(props) as here:
            here.is_new, here.has_failed = is_new, has_failed
            if here.is_control_plane and is_new:
                _clear_stale_member(here, props)
            # A new server that answers runs, with the type that it was made with; that spares the question.
            if (
                olds
                or props["made_as"] != props["server_type"]
                or not here.answers_within(BOOT_PATIENCE)
            ):
                server_type.ensure(
                    here, hetzner_api.client(), props["server_id"], props["server_type"]
                )
            if here.is_control_plane and has_failed:
                # A dead node says so here, once its power has been looked at.
                here.wait_answer()
                _clear_stale_member(here, props)
            if is_new:
                # Until the new server reports, the Node object shows how its predecessor was.
                here.wait_first_boot()
            upgraded = _upgraded(here, props, olds, is_new=is_new)
            here.finish()
    except OxideError as error:
        reason = failure(error)
        if is_new:
            reason += (
                ". A server that was made with a wrong config does not see the corrected one; replace it: "
                f"pulumi up --replace '{props['server_urn']}'"
            )
        record_failure(props["node_name"], {**props, **kept, _PENDING: True}, reason)
        raise
    return {**upgraded, _PENDING: False}


def _upgraded(
    here: Site, props: dict[str, Any], olds: Mapping[str, Any], *, is_new: bool
) -> dict[str, Any]:
    """What is to be recorded once the node runs the version that it may run."""
    if props["held"] and not is_new:
        # Recorded as before, so that the upgrade is still to come.
        return {**props, **{key: olds[key] for key in _SYSTEM if key in olds}}
    # A new node keeps the schematic of the image that it was made from, until the setting changes.
    other = not is_new and olds.get("schematic_id") != props["schematic_id"]
    talos_upgrade.ensure(here, props["talos_version"], props["schematic_id"] if other else None)
    return props


def _clear_stale_member(here: Site, props: Mapping[str, Any]) -> None:
    """Remove what an earlier server of this name has left in etcd; the new one cannot join beside it."""
    me = {key: props[key] for key in ("private_address", "public_address")} | {"name": here.name}
    others = [node for node in here.control_planes if node["name"] != here.name]
    skipped = props.get("skip_nodes") or ()
    others = [node for node in others if node["name"] not in skipped]

    joining_until = time.monotonic() + JOIN_PATIENCE

    def reason() -> str | None:
        try:
            # In this order: who is found as a member first and has no data then, cannot have joined in between.
            member = etcd.member_of(etcd.members_of_any(here.talosctl, others), me)
            if member is None or etcd.holds_data(here.talosctl, me):
                return None
            if not member.name and time.monotonic() < joining_until:
                return "its member of etcd has not started"
            if reasons := etcd.unhealthy_reasons(here.talosctl, others):
                return (
                    f"the etcd member of its earlier server cannot be removed: {'; '.join(reasons)}"
                )
            log_warning(here.urn, f"{here.name}: the etcd member of its earlier server is removed")
            etcd.remove_member(here.talosctl, others[0], member)
        except TalosError as error:
            return str(error)
        return None

    if others:
        wait_until(f"{here.name} to join etcd", here.urn, here.timeout, reason)
