"""/floating_ips: addresses that can move between servers; no traffic flows."""

from __future__ import annotations

from typing import Any

from lab.hetzner import addresses, catalog
from lab.hetzner.actions import now
from lab.hetzner.api import Call, Reply, Route
from lab.hetzner.bodies import NAME
from lab.hetzner.errors import protected
from lab.hetzner.primary_ips import TYPES, set_dns_ptr
from lab.hetzner.store import Record


def view(record: Record) -> dict[str, Any]:
    """The address as the API shows it."""
    return {**record, "home_location": catalog.LOCATIONS[record["home_location"]]}


def _list(call: Call) -> Reply:
    return call.listing("floating_ips", call.store.all("floating_ip"), view)


def _create(call: Call) -> Reply:
    body, project = call.body(), call.project
    version = body.text("type", required=True, choices=TYPES) or ""
    name, description = body.text("name", pattern=NAME), body.text("description") or ""
    labels, server_id = body.labels(), body.integer("server")
    home = body.reference("home_location", required=server_id is None)
    place = catalog.lookup(catalog.LOCATIONS, home) if home else None
    if home and place is None:
        body.fail("home_location", f"'{home}' does not exist")
    body.check()
    call.store.require_free_name("floating_ip", name)
    server = call.store.find("server", server_id) if server_id else None
    ip = project.new_public_ipv4() if version == "ipv4" else project.new_public_ipv6()
    dns = [{"ip": ip, "dns_ptr": addresses.reverse_name(ip)}] if version == "ipv4" else []
    fields: Record = {
        "name": name or f"floating-ip-{ip}",
        "description": description,
        "created": now(),
        "ip": ip,
        "type": version,
        "server": server_id,
        "dns_ptr": dns,
        "home_location": place["name"] if place else server["location"] if server else "",
        "blocked": False,
        "protection": {"delete": False},
        "labels": labels or {},
    }
    record = call.store.add("floating_ip", fields)
    subjects = [("floating_ip", record["id"]), ("server", server_id or 0)]
    action = call.begin("assign_floating_ip", *subjects) if server else None
    return Reply(201, {"floating_ip": view(record), "action": action})


def _get(call: Call) -> Reply:
    return Reply(200, {"floating_ip": view(call.target("floating_ip"))})


def _update(call: Call) -> Reply:
    record, body = call.target("floating_ip"), call.body()
    description = body.text("description")
    call.rename("floating_ip", record, body, body.text("name", pattern=NAME))
    if description is not None:
        record["description"] = description
    return Reply(200, {"floating_ip": view(record)})


def _delete(call: Call) -> Reply:
    record = call.target("floating_ip")
    if record["protection"]["delete"]:
        raise protected("floating_ip")
    call.store.remove("floating_ip", record["id"])
    return Reply(204)


def _done(call: Call, command: str, record: Record) -> Reply:
    return call.started(call.begin(command, ("floating_ip", record["id"])))


def _assign(call: Call) -> Reply:
    record, body = call.target("floating_ip"), call.body()
    key = body.integer("server", required=True)
    body.check()
    record["server"] = call.store.find("server", key or 0)["id"]
    return _done(call, "assign_floating_ip", record)


def _unassign(call: Call) -> Reply:
    record = call.target("floating_ip")
    record["server"] = None
    return _done(call, "unassign_floating_ip", record)


def _protect(call: Call) -> Reply:
    record, body = call.target("floating_ip"), call.body()
    delete = body.flag("delete", record["protection"]["delete"])
    body.check()
    record["protection"] = {"delete": delete}
    return _done(call, "change_protection", record)


def _change_dns_ptr(call: Call) -> Reply:
    record, body = call.target("floating_ip"), call.body()
    ip, name = body.text("ip", required=True) or "", body.text("dns_ptr")
    body.check()
    set_dns_ptr(record, ip, name)
    return _done(call, "change_dns_ptr", record)


ROUTES = [
    Route("GET", "/floating_ips", _list),
    Route("POST", "/floating_ips", _create),
    Route("GET", "/floating_ips/{id:int}", _get),
    Route("PUT", "/floating_ips/{id:int}", _update),
    Route("DELETE", "/floating_ips/{id:int}", _delete),
    Route("POST", "/floating_ips/{id:int}/actions/assign", _assign),
    Route("POST", "/floating_ips/{id:int}/actions/unassign", _unassign),
    Route("POST", "/floating_ips/{id:int}/actions/change_protection", _protect),
    Route("POST", "/floating_ips/{id:int}/actions/change_dns_ptr", _change_dns_ptr),
]
