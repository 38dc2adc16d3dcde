"""The departure: workers that others have replaced leave, once those others are Ready."""

from typing import Any

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, Resource, UpdateResult

from .dynamic_provider import LifecycleProvider
from .rollout import Rollout
from .roster import Roster, let_leave
from .urn import child_urn


class DepartureProvider(LifecycleProvider):
    """Lets the nodes leave that the roster calls superseded. Servers are deleted after every update has succeeded."""

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """Other nodes are to leave."""
        return DiffResult(changes=olds.get("nodes") != news.get("nodes"))

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Let the nodes leave; a first run has none, unless it was cut off and gone on with."""
        let_leave(props["nodes"] or [], recorded=props, props=props)
        return CreateResult(props["cluster_name"], dict(props))

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Let the nodes leave."""
        let_leave(news["nodes"] or [], recorded=news, props=news)
        return UpdateResult(dict(news))


class Departure(Resource, module="oxide", name="Departure"):
    """Workers that have to leave after the others are there."""

    def __init__(
        self,
        name: str,
        *,
        roster: Roster,
        rollout: Rollout,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        properties = {
            "cluster_name": rollout["cluster_name"],
            "nodes": roster.superseded,
            "control_planes": [dict(one) for one in rollout["control_planes"]],
            "talosconfig": pulumi.Output.secret(rollout["talosconfig"]),
            "drain_timeout": rollout["drain_timeout"],
            "urn": child_urn(name, "Departure", opts),
        }
        super().__init__(DepartureProvider(), name, properties, opts)
