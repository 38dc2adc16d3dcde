"""/load_balancers: what they are; `balancers` makes traffic flow."""

from __future__ import annotations

from typing import Any

from lab.hetzner import addresses, catalog, load_balancer_services, load_balancer_targets
from lab.hetzner.actions import now
from lab.hetzner.api import Call, Reply, Route
from lab.hetzner.bodies import NAME, Body
from lab.hetzner.errors import invalid_field, protected, refused
from lab.hetzner.network_ranges import choose_address, require_room
from lab.hetzner.project import Project
from lab.hetzner.store import Record, Store

ALGORITHMS = ("round_robin", "least_connections")

SHARE = 0.25
"""Length of a change, relative to a server creation."""


def view(project: Project, balancer: Record) -> dict[str, Any]:
    """The load balancer as the API shows it."""
    return {
        "id": balancer["id"],
        "name": balancer["name"],
        "public_net": {
            "enabled": balancer["public"],
            "ipv4": {"ip": balancer["ipv4"], "dns_ptr": balancer["dns_ptr"]["ipv4"]},
            "ipv6": {"ip": balancer["ipv6"], "dns_ptr": balancer["dns_ptr"]["ipv6"]},
        },
        "private_net": balancer["private_net"],
        "location": catalog.LOCATIONS[balancer["location"]],
        "load_balancer_type": catalog.LOAD_BALANCER_TYPES[balancer["load_balancer_type"]],
        "protection": balancer["protection"],
        "labels": balancer["labels"],
        "created": balancer["created"],
        "services": balancer["services"],
        "targets": [
            load_balancer_targets.view(project, balancer, target) for target in balancer["targets"]
        ],
        "algorithm": {"type": balancer["algorithm"]},
        "included_traffic": 20 * 1024**4,
        "outgoing_traffic": 0,
        "ingoing_traffic": 0,
    }


def _type_of(body: Body) -> Record | None:
    reference = body.reference("load_balancer_type", required=True)
    kind = catalog.lookup(catalog.LOAD_BALANCER_TYPES, reference) if reference else None
    if reference and kind is None:
        body.fail("load_balancer_type", f"'{reference}' does not exist")
    return kind


def _place_of(body: Body) -> Record | None:
    zone = body.text("network_zone", choices=catalog.ZONES)
    location = body.reference("location")
    if (zone is None) == (location is None):
        body.fail("location", "exactly one of location and network_zone is required")
        return None
    place = catalog.lookup(catalog.LOCATIONS, location) if location else None
    if location and place is None:
        body.fail("location", f"'{location}' does not exist")
    inside = (p for p in catalog.LOCATIONS.values() if p["network_zone"] == zone)
    return place or next(inside, None)


def _attach(
    store: Store, balancer: Record, network: Record, ip: str | None, ip_range: str | None
) -> None:
    if balancer["private_net"]:
        message = f"load balancer {balancer['id']} is already attached to a network"
        raise refused("load_balancer_already_attached", message)
    require_room(store, network)
    address = choose_address(store, network, balancer["location"], ip, ip_range)
    balancer["private_net"].append({"network": network["id"], "ip": address})


def _list(call: Call) -> Reply:
    balancers = call.store.all("load_balancer")
    return call.listing("load_balancers", balancers, lambda b: view(call.project, b))


def _create(call: Call) -> Reply:
    store, body = call.store, call.body()
    name = body.text("name", required=True, pattern=NAME)
    kind, place, labels = _type_of(body), _place_of(body), body.labels()
    algorithm = body.child("algorithm")
    chosen = algorithm.text("type", required=True, choices=ALGORITHMS) if algorithm else None
    services = [load_balancer_services.new_service(item) for item in body.children("services")]
    targets = [load_balancer_targets.read_target(item) for item in body.children("targets")]
    network_id, public = body.integer("network"), body.flag("public_interface", True)
    body.check()
    store.require_free_name("load_balancer", name)
    network = store.find("network", network_id) if network_id else None
    ipv4, ipv6 = call.project.new_public_ipv4(), call.project.new_public_ipv6()
    fields: Record = {
        "name": name,
        "public": public,
        "ipv4": ipv4,
        "ipv6": addresses.first_host(ipv6),
        "dns_ptr": {"ipv4": addresses.reverse_name(ipv4), "ipv6": ""},
        "private_net": [],
        "location": place["name"] if place else "",
        "load_balancer_type": kind["name"] if kind else "",
        "protection": {"delete": False},
        "labels": labels or {},
        "created": now(),
        "services": [],
        "targets": [],
        "algorithm": chosen or "round_robin",
        "id": 0,
    }
    if network:
        _attach(store, fields, network, None, None)
    for service in services:
        load_balancer_services.add(fields, service)
    for target in targets:
        load_balancer_targets.add(store, fields, target)
    del fields["id"]
    balancer = store.add("load_balancer", fields)
    subject = ("load_balancer", balancer["id"])
    work = call.project.balancers.sync
    action = call.begin("create_load_balancer", subject, share=0.5, work=work, holds=[subject])
    return call.started(action, load_balancer=view(call.project, balancer))


def _get(call: Call) -> Reply:
    return Reply(200, {"load_balancer": view(call.project, call.target("load_balancer"))})


def _update(call: Call) -> Reply:
    balancer, body = call.target("load_balancer"), call.body()
    call.rename("load_balancer", balancer, body, body.text("name", pattern=NAME))
    return Reply(200, {"load_balancer": view(call.project, balancer)})


def _delete(call: Call) -> Reply:
    balancer = _target(call)
    if balancer["protection"]["delete"]:
        raise protected("load_balancer")
    call.store.remove("load_balancer", balancer["id"])
    work = call.project.balancers.sync
    action = call.begin("delete_load_balancer", ("load_balancer", balancer["id"]), work=work)
    return Reply(200, {"action": call.project.board.view(action)})


def _target(call: Call) -> Record:
    balancer = call.target("load_balancer")
    call.project.require_unlocked("load_balancer", balancer["id"])
    return balancer


def _done(call: Call, command: str, balancer: Record, share: float = 0.0) -> Reply:
    subject = ("load_balancer", balancer["id"])
    work = call.project.balancers.sync
    return call.started(call.begin(command, subject, share=share, work=work, holds=[subject]))


def _attach_to_network(call: Call) -> Reply:
    balancer, body = _target(call), call.body()
    key = body.integer("network", required=True)
    ip, ip_range = body.text("ip"), body.text("ip_range")
    body.check()
    _attach(call.store, balancer, call.store.find("network", key or 0), ip, ip_range)
    return _done(call, "attach_to_network", balancer, SHARE)


def _detach_from_network(call: Call) -> Reply:
    balancer, body = _target(call), call.body()
    key = body.integer("network", required=True)
    body.check()
    call.store.find("network", key or 0)
    if not any(attachment["network"] == key for attachment in balancer["private_net"]):
        message = f"load balancer {balancer['id']} is not attached to network {key}"
        raise refused("load_balancer_not_attached_to_network", message)
    balancer["private_net"] = []
    load_balancer_targets.drop_private(balancer)
    return _done(call, "detach_from_network", balancer, SHARE)


def _change_algorithm(call: Call) -> Reply:
    balancer, body = _target(call), call.body()
    algorithm = body.text("type", required=True, choices=ALGORITHMS)
    body.check()
    balancer["algorithm"] = algorithm
    return _done(call, "change_algorithm", balancer)


def _change_type(call: Call) -> Reply:
    balancer, body = _target(call), call.body()
    kind = _type_of(body) or {}
    body.check()
    if (
        len(balancer["services"]) > kind["max_services"]
        or len(balancer["targets"]) > kind["max_targets"]
    ):
        message = f"type {kind['name']} does not fit for load balancer {balancer['id']}"
        raise refused("invalid_load_balancer_type", message)
    balancer["load_balancer_type"] = kind["name"]
    return _done(call, "change_load_balancer_type", balancer, SHARE)


def _enable_public(call: Call) -> Reply:
    balancer = _target(call)
    balancer["public"] = True
    return _done(call, "enable_public_interface", balancer, SHARE)


def _disable_public(call: Call) -> Reply:
    balancer = _target(call)
    if not balancer["private_net"]:
        message = f"load balancer {balancer['id']} is not attached to a network"
        raise refused("load_balancer_not_attached_to_network", message)
    if any(not target["use_private_ip"] for target in balancer["targets"]):
        message = "the load balancer has targets that use the public IP"
        raise refused("targets_without_use_private_ip", message)
    balancer["public"] = False
    return _done(call, "disable_public_interface", balancer, SHARE)


def _protect(call: Call) -> Reply:
    balancer, body = call.target("load_balancer"), call.body()
    delete = body.flag("delete", balancer["protection"]["delete"])
    body.check()
    balancer["protection"] = {"delete": delete}
    return call.started(call.begin("change_protection", ("load_balancer", balancer["id"])))


def _change_dns_ptr(call: Call) -> Reply:
    balancer, body = call.target("load_balancer"), call.body()
    ip, name = body.text("ip", required=True), body.text("dns_ptr")
    body.check()
    version = next((v for v in ("ipv4", "ipv6") if balancer[v] == ip), None)
    if version is None:
        raise invalid_field("ip", f"{ip} does not belong to load balancer {balancer['id']}")
    usual = addresses.reverse_name(balancer["ipv4"]) if version == "ipv4" else ""
    balancer["dns_ptr"][version] = name or usual
    return call.started(call.begin("change_dns_ptr", ("load_balancer", balancer["id"])))


ROUTES = [
    Route("GET", "/load_balancers", _list),
    Route("POST", "/load_balancers", _create),
    Route("GET", "/load_balancers/{id:int}", _get),
    Route("PUT", "/load_balancers/{id:int}", _update),
    Route("DELETE", "/load_balancers/{id:int}", _delete),
    *(
        Route("POST", f"/load_balancers/{{id:int}}/actions/{name}", handler)
        for name, handler in (
            ("attach_to_network", _attach_to_network),
            ("detach_from_network", _detach_from_network),
            ("change_algorithm", _change_algorithm),
            ("change_type", _change_type),
            ("enable_public_interface", _enable_public),
            ("disable_public_interface", _disable_public),
            ("change_protection", _protect),
            ("change_dns_ptr", _change_dns_ptr),
        )
    ),
]
