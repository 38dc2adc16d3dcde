"""/primary_ips: public addresses that servers use."""

from __future__ import annotations

from typing import Any

from lab.hetzner import addresses, catalog
from lab.hetzner.actions import now
from lab.hetzner.api import Call, Reply, Route
from lab.hetzner.bodies import NAME
from lab.hetzner.errors import invalid_field, protected, refused
from lab.hetzner.project import Project
from lab.hetzner.store import Record, Store

TYPES = ("ipv4", "ipv6")

SHARE = 0.25
"""Length of an assignment, relative to a server creation."""


def view(record: Record) -> dict[str, Any]:
    """The address as the API shows it."""
    return {
        **record,
        "location": catalog.LOCATIONS[record["location"]],
        "assignee_type": "server" if record["assignee_id"] else "unassigned",
    }


def of_server(store: Store, server_id: int, version: str) -> Record | None:
    """The server's address of that type, or None."""
    return next(store.where("primary_ip", assignee_id=server_id, type=version), None)


def new(project: Project, version: str, location: str, **fields: Any) -> Record:
    """Take an address out of the pool.

    Args:
        project: owner of the pool.
        version: ipv4 or ipv6.
        location: where it can be used.
        fields: overrides of the record's other fields.
    """
    ip = project.new_public_ipv4() if version == "ipv4" else project.new_public_ipv6()
    dns = [{"ip": ip, "dns_ptr": addresses.reverse_name(ip)}] if version == "ipv4" else []
    record: Record = {
        "ip": ip,
        "name": f"primary_ip-{project.store.counters.get(f'public_{version}', 0)}",
        "type": version,
        "labels": {},
        "protection": {"delete": False},
        "dns_ptr": dns,
        "assignee_id": None,
        "auto_delete": False,
        "blocked": False,
        "created": now(),
        "location": location,
    }
    return project.store.add("primary_ip", {**record, **fields})


def release(store: Store, record: Record) -> None:
    """What happens to the address when its server is deleted."""
    if record["auto_delete"]:
        store.remove("primary_ip", record["id"])
    else:
        record["assignee_id"] = None


def require_off(server: Record) -> None:
    """Raise `server_not_stopped` unless the server is off."""
    if server["power"] != "off":
        raise refused("server_not_stopped", f"server {server['id']} must be powered off")


def _require_assignable(call: Call, server: Record, version: str | None, location: str) -> None:
    call.project.require_unlocked("server", server["id"])
    require_off(server)
    if server["location"] != location:
        message = "primary IP and server are in different locations"
        raise refused("primary_ip_datacenter_mismatch", message)
    if version and of_server(call.store, server["id"], version):
        message = f"server {server['id']} already has an {version} address"
        raise refused(f"server_has_{version}", message)


def _rewire(call: Call, command: str, record: Record, server_id: int) -> Record:
    machines = call.project.machines
    return call.begin(
        command,
        ("primary_ip", record["id"]),
        ("server", server_id),
        share=SHARE,
        work=lambda: machines.apply(server_id),
        holds=[("server", server_id)],
    )


def _list(call: Call) -> Reply:
    records = call.store.all("primary_ip")
    return call.listing("primary_ips", records, view, exact=("ip",))


def _create(call: Call) -> Reply:
    body = call.body()
    name = body.text("name", required=True, pattern=NAME)
    version = body.text("type", required=True, choices=TYPES)
    labels = body.labels()
    location = body.reference("location")
    assignee = body.integer("assignee_id")
    body.text("assignee_type", choices=("server",), required=assignee is not None)
    auto_delete = body.flag("auto_delete", False)
    if body.has("datacenter"):
        body.fail("datacenter", "was removed, use location")
    if assignee is None and location is None and not body.has("datacenter"):
        body.fail("location", "Missing data for required field.")
    place = catalog.lookup(catalog.LOCATIONS, location) if location else None
    if location and place is None:
        body.fail("location", f"'{location}' does not exist")
    body.check()
    call.store.require_free_name("primary_ip", name)
    server = call.store.find("server", assignee) if assignee else None
    home = place["name"] if place else server["location"] if server else ""
    if server:
        _require_assignable(call, server, version, home)
    fields = {"name": name, "labels": labels or {}, "auto_delete": auto_delete}
    record = new(call.project, version or "", home, **fields, assignee_id=assignee)
    action = _rewire(call, "assign_primary_ip", record, server["id"]) if server else None
    shown = call.project.board.view(action) if action else None
    return Reply(201, {"primary_ip": view(record), "action": shown})


def _get(call: Call) -> Reply:
    return Reply(200, {"primary_ip": view(call.target("primary_ip"))})


def _update(call: Call) -> Reply:
    record, body = call.target("primary_ip"), call.body()
    name = body.text("name", pattern=NAME)
    auto_delete = body.flag("auto_delete", record["auto_delete"])
    call.rename("primary_ip", record, body, name)
    record["auto_delete"] = auto_delete
    return Reply(200, {"primary_ip": view(record)})


def _delete(call: Call) -> Reply:
    record = call.target("primary_ip")
    if record["protection"]["delete"]:
        raise protected("primary_ip")
    if record["assignee_id"]:
        message = f"primary IP {record['id']} must be unassigned before it can be deleted"
        raise refused("must_be_unassigned", message)
    call.store.remove("primary_ip", record["id"])
    return Reply(204)


def _assign(call: Call) -> Reply:
    record, body = call.target("primary_ip"), call.body()
    key = body.integer("assignee_id", required=True)
    body.text("assignee_type", required=True, choices=("server",))
    body.check()
    server = call.store.find("server", key or 0)
    if record["assignee_id"]:
        message = f"primary IP {record['id']} is already assigned"
        raise refused("primary_ip_already_assigned", message)
    _require_assignable(call, server, record["type"], record["location"])
    record["assignee_id"] = server["id"]
    return call.started(_rewire(call, "assign_primary_ip", record, server["id"]))


def _unassign(call: Call) -> Reply:
    record = call.target("primary_ip")
    server_id = record["assignee_id"]
    if not server_id:
        raise refused("service_error", f"primary IP {record['id']} is not assigned")
    call.project.require_unlocked("server", server_id)
    require_off(call.store.find("server", server_id))
    record["assignee_id"] = None
    return call.started(_rewire(call, "unassign_primary_ip", record, server_id))


def _protect(call: Call) -> Reply:
    record, body = call.target("primary_ip"), call.body()
    delete = body.flag("delete", record["protection"]["delete"])
    body.check()
    record["protection"] = {"delete": delete}
    return call.started(call.begin("change_protection", ("primary_ip", record["id"])))


def set_dns_ptr(record: Record, ip: str, name: str | None) -> None:
    """Set a reverse DNS entry of an address or of one inside a /64; None resets it.

    Raises:
        ApiError: invalid_input, the address does not belong to the object.
    """
    if record["type"] == "ipv4":
        if ip != record["ip"]:
            raise invalid_field("ip", f"{ip} is not the address of this object")
        record["dns_ptr"] = [{"ip": ip, "dns_ptr": name or addresses.reverse_name(ip)}]
        return
    if not addresses.is_inside(ip, record["ip"]):
        raise invalid_field("ip", f"{ip} is not in {record['ip']}")
    others = [entry for entry in record["dns_ptr"] if entry["ip"] != ip]
    record["dns_ptr"] = [*others, {"ip": ip, "dns_ptr": name}] if name else others


def _change_dns_ptr(call: Call) -> Reply:
    record, body = call.target("primary_ip"), call.body()
    ip, name = body.text("ip", required=True), body.text("dns_ptr")
    body.check()
    set_dns_ptr(record, ip or "", name)
    return call.started(call.begin("change_dns_ptr", ("primary_ip", record["id"])))


ROUTES = [
    Route("GET", "/primary_ips", _list),
    Route("POST", "/primary_ips", _create),
    Route("GET", "/primary_ips/{id:int}", _get),
    Route("PUT", "/primary_ips/{id:int}", _update),
    Route("DELETE", "/primary_ips/{id:int}", _delete),
    Route("POST", "/primary_ips/{id:int}/actions/assign", _assign),
    Route("POST", "/primary_ips/{id:int}/actions/unassign", _unassign),
    Route("POST", "/primary_ips/{id:int}/actions/change_protection", _protect),
    Route("POST", "/primary_ips/{id:int}/actions/change_dns_ptr", _change_dns_ptr),
]
