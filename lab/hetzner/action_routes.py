"""Actions, of all objects and of one."""

from __future__ import annotations

from collections.abc import Sequence

from lab.hetzner.api import Call, Handler, Reply, Route
from lab.hetzner.errors import ApiError, not_found
from lab.hetzner.store import Record

SORT = ("id", "command", "status", "started", "finished")

KINDS = {
    "certificates": "certificate",
    "firewalls": "firewall",
    "floating_ips": "floating_ip",
    "images": "image",
    "load_balancers": "load_balancer",
    "networks": "network",
    "primary_ips": "primary_ip",
    "servers": "server",
    "volumes": "volume",
}
"""Collections whose objects have actions, and the kind of those objects."""


def _listing(call: Call, actions: Sequence[Record]) -> Reply:
    board = call.project.board
    return call.listing("actions", actions, board.view, sort=SORT, exact=("id", "status"))


def _one(call: Call, key: int) -> Reply:
    action = call.store.find("action", key)
    return Reply(200, {"action": call.project.board.view(action)})


def _all(call: Call) -> Reply:
    if not call.query.getlist("id"):
        announcement = "https://docs.hetzner.cloud/changelog#2023-06-29-deprecate-actions-endpoint"
        details = {"announcement": announcement}
        message = "listing arbitrary actions was removed, ask for their IDs"
        raise ApiError(410, "deprecated_api_endpoint", message, details)
    return _listing(call, call.store.all("action"))


def _of_kind(kind: str) -> Handler:
    def handler(call: Call) -> Reply:
        actions = call.store.all("action")
        return _listing(call, [a for a in actions if kind in {r["type"] for r in a["resources"]}])

    return handler


def _of_object(kind: str) -> Handler:
    def handler(call: Call) -> Reply:
        subject = {"id": call.target(kind)["id"], "type": kind}
        return _listing(call, [a for a in call.store.all("action") if subject in a["resources"]])

    return handler


def _one_of_object(kind: str) -> Handler:
    def handler(call: Call) -> Reply:
        action = call.store.find("action", call.params["action"])
        if {"id": call.params["id"], "type": kind} not in action["resources"]:
            raise not_found("action", action["id"])
        return _one(call, action["id"])

    return handler


def _by_id(call: Call) -> Reply:
    return _one(call, call.params["id"])


ROUTES = [
    Route("GET", "/actions", _all),
    Route("GET", "/actions/{id:int}", _by_id),
]
for _collection, _kind in KINDS.items():
    ROUTES += [
        Route("GET", f"/{_collection}/actions", _of_kind(_kind)),
        Route("GET", f"/{_collection}/actions/{{id:int}}", _by_id),
        Route("GET", f"/{_collection}/{{id:int}}/actions", _of_object(_kind)),
        Route("GET", f"/{_collection}/{{id:int}}/actions/{{action:int}}", _one_of_object(_kind)),
    ]
