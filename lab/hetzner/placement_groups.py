"""/placement_groups: servers that must not share a host."""

from __future__ import annotations

from typing import Any

from lab.hetzner.actions import now
from lab.hetzner.api import Call, Reply, Route
from lab.hetzner.bodies import NAME
from lab.hetzner.errors import refused
from lab.hetzner.store import Record, Store

MOST_SERVERS = 10
"""Servers in a spread group."""


def view(store: Store, group: Record) -> dict[str, Any]:
    """The group as the API shows it."""
    servers = [server["id"] for server in store.where("server", placement_group=group["id"])]
    return {**group, "servers": servers}


def require_room(store: Store, group: Record) -> None:
    """Raise `placement_error` if the group is full."""
    if len(view(store, group)["servers"]) >= MOST_SERVERS:
        message = f"placement group {group['id']} has {MOST_SERVERS} servers, which is the limit"
        raise refused("placement_error", message)


def _list(call: Call) -> Reply:
    groups = call.store.all("placement_group")
    return call.listing(
        "placement_groups", groups, lambda group: view(call.store, group), exact=("type",)
    )


def _create(call: Call) -> Reply:
    body = call.body()
    name = body.text("name", required=True, pattern=NAME)
    kind = body.text("type", required=True, choices=("spread",))
    labels = body.labels()
    body.check()
    call.store.require_free_name("placement_group", name)
    fields = {"name": name, "labels": labels or {}, "type": kind, "created": now()}
    group = call.store.add("placement_group", fields)
    return Reply(201, {"placement_group": view(call.store, group), "action": None})


def _get(call: Call) -> Reply:
    return Reply(200, {"placement_group": view(call.store, call.target("placement_group"))})


def _update(call: Call) -> Reply:
    group, body = call.target("placement_group"), call.body()
    call.rename("placement_group", group, body, body.text("name", pattern=NAME))
    return Reply(200, {"placement_group": view(call.store, group)})


def _delete(call: Call) -> Reply:
    group = call.target("placement_group")
    if view(call.store, group)["servers"]:
        raise refused("resource_in_use", f"placement group {group['id']} still has servers")
    call.store.remove("placement_group", group["id"])
    return Reply(204)


ROUTES = [
    Route("GET", "/placement_groups", _list),
    Route("POST", "/placement_groups", _create),
    Route("GET", "/placement_groups/{id:int}", _get),
    Route("PUT", "/placement_groups/{id:int}", _update),
    Route("DELETE", "/placement_groups/{id:int}", _delete),
]
