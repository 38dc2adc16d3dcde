"""A node of the cluster, as opposed to the server it runs on: Ready, serving if it is a control plane, of the wanted server type."""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, Resource, UpdateResult

from . import etcd, hetzner_api, server_type
from .dynamic_provider import LifecycleProvider, log_info, log_warning, wait_until
from .errors import OxideError
from .node_info import NodeInfo
from .recorded_failure import record_failure
from .rollout import NODE_TIMEOUT, Rollout, Site, failure, is_skipped, node_properties, site
from .talosctl import TalosError
from .urn import child_urn

_PENDING = "pending"
"""Recorded for a node that is not yet what it is meant to be."""


class NodeProvider(LifecycleProvider):
    """Brings the node into the cluster, on every new server that carries its name, and onto the wanted server type."""

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """A new server under the same name is a new node; another server type is a change of the old one."""
        what = _announced(olds, news)
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

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Wait for the node."""
        return CreateResult(props["node_name"], _made_so(props, olds={}))

    def update(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Wait for the node on its new server, or change its server's type."""
        return UpdateResult(_made_so(news, olds=olds))


class Node(Resource, module="oxide", name="Node"):
    """One node that has joined and is Ready."""

    def __init__(
        self,
        name: str,
        node: NodeInfo,
        rollout: Rollout,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        properties = {
            **node_properties(node, rollout),
            "server_type": node["server_type"],
            "made_as": node["server"].server_type,
            "urn": child_urn(name, "Node", opts),
        }
        super().__init__(NodeProvider(), name, properties, opts)


def _announced(olds: dict[str, Any], news: dict[str, Any]) -> str:
    if olds.get("server_id") != news.get("server_id"):
        return "a new server joins under this name"
    before, after = olds.get("server_type"), news.get("server_type")
    if before != after:
        return f"{before} -> {after}: drained, shut down, changed with its disk kept, started"
    return ""


def _made_so(props: dict[str, Any], *, olds: dict[str, Any]) -> dict[str, Any]:
    if is_skipped(props):
        return {**props, _PENDING: True}
    try:
        with site(props) as here:
            if here.is_control_plane and olds.get("server_id") != props["server_id"]:
                _clear_stale_member(here, props)
            # A new server has been made with the wanted type, and spares the question.
            if olds or props["made_as"] != props["server_type"]:
                server_type.ensure(
                    here, hetzner_api.client(), props["server_id"], props["server_type"]
                )
            here.finish()
    except OxideError as error:
        record_failure(props["node_name"], {**props, _PENDING: True}, failure(error))
        raise
    return {**props, _PENDING: False}


def _clear_stale_member(here: Site, props: Mapping[str, Any]) -> None:
    """Remove what an earlier server of this name has left in etcd; the new one cannot join beside it."""
    me = {key: props[key] for key in ("private_address", "public_address")} | {"name": here.name}
    others = [node for node in here.control_planes if node["name"] != here.name]
    skipped = props.get("skip_nodes") or ()
    others = [node for node in others if node["name"] not in skipped]

    def reason() -> str | None:
        try:
            # In this order: who is found as a member first and has no data then, cannot have joined in between.
            member = next((m for m in _members(here, others) if m.name == here.name), None)
            if member is None or etcd.holds_data(here.talosctl, me):
                return None
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
        wait_until(f"{here.name} to join etcd", here.urn, NODE_TIMEOUT, reason)


def _members(here: Site, control_planes: Sequence[Mapping[str, str]]) -> list[etcd.Member]:
    for node in control_planes:
        with contextlib.suppress(TalosError):
            return etcd.members(here.talosctl, node)
    raise TalosError("no control plane to ask for the members of etcd")
