"""Where a load balancer sends traffic."""

from __future__ import annotations

from typing import Any

from lab.hetzner import catalog
from lab.hetzner.addresses import parse_address
from lab.hetzner.api import Call, Reply, Route
from lab.hetzner.balancers import selected
from lab.hetzner.bodies import Body
from lab.hetzner.errors import limit_exceeded, refused
from lab.hetzner.labels import parse_selector
from lab.hetzner.primary_ips import of_server
from lab.hetzner.project import Project
from lab.hetzner.store import Record, Store

KINDS = ("server", "label_selector", "ip")


def read_target(body: Body) -> Record:
    """A target as a request names it; problems are noted in the body."""
    kind = body.text("type", required=True, choices=KINDS)
    private = body.flag("use_private_ip", False)
    if kind is None:
        return {"type": None}
    inner = body.child(kind)
    if inner is None:
        body.fail(kind, "Missing data for required field.")
        return {"type": kind}
    if kind == "server":
        key = inner.integer("id", required=True)
        return {"type": kind, "server": {"id": key}, "use_private_ip": private}
    if kind == "ip":
        ip = inner.text("ip", required=True)
        if ip is not None and parse_address(ip) is None:
            inner.fail("ip", "is not an IPv4 address")
        return {"type": kind, "ip": {"ip": ip}, "use_private_ip": False}
    selector = inner.text("selector", required=True)
    try:
        parse_selector(selector or "x")
    except ValueError as error:
        inner.fail("selector", str(error))
    return {"type": kind, "label_selector": {"selector": selector}, "use_private_ip": private}


def _key(target: Record) -> tuple[str, Any]:
    return target["type"], target[target["type"]]


def add(store: Store, balancer: Record, target: Record) -> None:
    """Add the target, if the load balancer can reach it.

    Raises:
        ApiError: the documented refusals of add_target.
    """
    kind = catalog.LOAD_BALANCER_TYPES[balancer["load_balancer_type"]]
    if _key(target) in [_key(other) for other in balancer["targets"]]:
        raise refused("target_already_defined", "target is already defined")
    if len(balancer["targets"]) >= kind["max_targets"]:
        message = (
            f"a load balancer of type {kind['name']} has at most {kind['max_targets']} targets"
        )
        raise limit_exceeded(["load_balancer_targets"], message)
    if target["use_private_ip"] and not balancer["private_net"]:
        message = "the load balancer is not attached to a network"
        raise refused("load_balancer_not_attached_to_network", message)
    if target["type"] == "server":
        _require_reachable(store, balancer, target)
    elif target["type"] == "ip":
        _require_foreign(store, target["ip"]["ip"])
    balancer["targets"].append(target)


def _require_reachable(store: Store, balancer: Record, target: Record) -> None:
    server = store.find("server", target["server"]["id"])
    if target["use_private_ip"]:
        networks = {attachment["network"] for attachment in server["private_net"]}
        if not networks & {attachment["network"] for attachment in balancer["private_net"]}:
            message = f"server {server['id']} is not in the load balancer's network"
            raise refused("server_not_attached_to_network", message)
    elif of_server(store, server["id"], "ipv4") is None:
        message = f"server {server['id']} has no public IPv4 address"
        raise refused("missing_ipv4", message)


def _require_foreign(store: Store, ip: str) -> None:
    kinds = (("primary_ip", "ip"), ("floating_ip", "ip"), ("load_balancer", "ipv4"))
    if any(next(store.where(kind, **{field: ip}), None) for kind, field in kinds):
        message = f"IP {ip} belongs to a Hetzner Cloud resource"
        raise refused("cloud_resource_ip_not_allowed", message)


def drop_private(balancer: Record) -> None:
    """Remove the targets that are only reachable through the private network."""
    balancer["targets"] = [t for t in balancer["targets"] if not t["use_private_ip"]]


def view(project: Project, balancer: Record, target: Record) -> dict[str, Any]:
    """The target as the API shows it."""
    health, private = project.balancers.health, target["use_private_ip"]
    if target["type"] != "label_selector":
        where = target["ip"]["ip"] if target["type"] == "ip" else target["server"]["id"]
        return {**target, "health_status": health(balancer, where, private)}
    chosen = [
        {
            "type": "server",
            "server": {"id": key},
            "use_private_ip": private,
            "health_status": health(balancer, key, private),
        }
        for key in selected(project.store, target)
    ]
    return {**target, "targets": chosen}


def _target(call: Call) -> Record:
    balancer = call.target("load_balancer")
    call.project.require_unlocked("load_balancer", balancer["id"])
    return balancer


def _done(call: Call, command: str, balancer: Record) -> Reply:
    subject, work = ("load_balancer", balancer["id"]), call.project.balancers.sync
    return call.started(call.begin(command, subject, work=work))


def _add(call: Call) -> Reply:
    balancer, body = _target(call), call.body()
    target = read_target(body)
    body.check()
    add(call.store, balancer, target)
    return _done(call, "add_target", balancer)


def _remove(call: Call) -> Reply:
    balancer, body = _target(call), call.body()
    target = read_target(body)
    body.check()
    kept = [other for other in balancer["targets"] if _key(other) != _key(target)]
    if len(kept) == len(balancer["targets"]):
        raise refused("load_balancer_target_not_found", "target not found", 404)
    balancer["targets"] = kept
    return _done(call, "remove_target", balancer)


ROUTES = [
    Route("POST", "/load_balancers/{id:int}/actions/add_target", _add),
    Route("POST", "/load_balancers/{id:int}/actions/remove_target", _remove),
]
