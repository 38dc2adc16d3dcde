"""/networks: ranges, subnets, routes."""

from __future__ import annotations

from typing import Any

from lab.hetzner.actions import now
from lab.hetzner.addresses import Network
from lab.hetzner.api import Call, Reply, Route
from lab.hetzner.bodies import NAME
from lab.hetzner.errors import invalid_field, not_found, protected, refused
from lab.hetzner.network_ranges import attachments, new_route, new_subnet, read_range
from lab.hetzner.store import Record, Store

SHARE = 0.25
"""Length of a change of a network, relative to a server creation."""


def view(store: Store, network: Record) -> dict[str, Any]:
    """The network as the API shows it."""
    inside = attachments(store, network)
    return {
        **network,
        "servers": [record["id"] for kind, record, _ in inside if kind == "server"],
        "load_balancers": [record["id"] for kind, record, _ in inside if kind == "load_balancer"],
    }


def _list(call: Call) -> Reply:
    return call.listing("networks", call.store.all("network"), lambda n: view(call.store, n))


def _create(call: Call) -> Reply:
    body = call.body()
    name = body.text("name", required=True, pattern=NAME)
    whole = read_range(body, "ip_range", longest_prefix=24)
    labels = body.labels()
    expose = body.flag("expose_routes_to_vswitch", False)
    subnets, routes = body.children("subnets"), body.children("routes")
    body.check()
    call.store.require_free_name("network", name)
    fields: Record = {
        "name": name,
        "created": now(),
        "ip_range": str(whole),
        "subnets": [],
        "routes": [],
        "protection": {"delete": False},
        "labels": labels or {},
        "expose_routes_to_vswitch": expose,
    }
    for subnet in subnets:
        fields["subnets"].append(new_subnet(fields, subnet))
    for route in routes:
        fields["routes"].append(new_route(fields, route))
    return Reply(201, {"network": view(call.store, call.store.add("network", fields))})


def _get(call: Call) -> Reply:
    return Reply(200, {"network": view(call.store, call.target("network"))})


def _update(call: Call) -> Reply:
    network, body = call.target("network"), call.body()
    name = body.text("name", pattern=NAME)
    expose = body.flag("expose_routes_to_vswitch", network["expose_routes_to_vswitch"])
    call.rename("network", network, body, name)
    network["expose_routes_to_vswitch"] = expose
    return Reply(200, {"network": view(call.store, network)})


def _delete(call: Call) -> Reply:
    network = call.target("network")
    if network["protection"]["delete"]:
        raise protected("network")
    call.project.require_calm("network", network["id"])
    inside = attachments(call.store, network)
    if any(kind == "load_balancer" for kind, _, _ in inside):
        raise refused("service_error", "network has attached resources")
    servers = []
    for _, record, attachment in inside:
        record["private_net"].remove(attachment)
        servers.append(record["id"])
    call.store.remove("network", network["id"])
    if servers:
        machines = call.project.machines
        call.begin(
            "delete_network",
            ("network", network["id"]),
            work=lambda: machines.apply_all(servers),
        )
    return Reply(204)


def _change(call: Call, network: Record, command: str) -> Reply:
    subject = ("network", network["id"])
    machines = call.project.machines
    servers = [
        record["id"] for kind, record, _ in attachments(call.store, network) if kind == "server"
    ]
    # A default route decides whether they reach the internet.
    work = (lambda: machines.apply_all(servers)) if "route" in command else None
    return call.started(call.begin(command, subject, share=SHARE, work=work, holds=[subject]))


def _calm(call: Call) -> Record:
    network = call.target("network")
    call.project.require_calm("network", network["id"])
    return network


def _add_subnet(call: Call) -> Reply:
    network = _calm(call)
    network["subnets"].append(new_subnet(network, call.body()))
    return _change(call, network, "add_subnet")


def _delete_subnet(call: Call) -> Reply:
    network, body = _calm(call), call.body()
    ip_range = body.text("ip_range", required=True)
    body.check()
    subnet = next((s for s in network["subnets"] if s["ip_range"] == ip_range), None)
    if subnet is None:
        raise not_found("subnet", ip_range)
    inside = Network(subnet["ip_range"])
    for kind, _, attachment in attachments(call.store, network):
        for text in (attachment["ip"], *attachment.get("alias_ips", [])):
            if Network(text).subnet_of(inside):
                # This code and these words are what the Terraform provider waits on.
                message = "cannot remove subnet because servers are attached to it"
                if kind == "load_balancer":
                    message = "network has attached resources"
                raise refused("service_error", message)
    network["subnets"].remove(subnet)
    return _change(call, network, "delete_subnet")


def _add_route(call: Call) -> Reply:
    network = _calm(call)
    network["routes"].append(new_route(network, call.body()))
    return _change(call, network, "add_route")


def _delete_route(call: Call) -> Reply:
    network, body = _calm(call), call.body()
    route = {
        "destination": body.text("destination", required=True),
        "gateway": body.text("gateway", required=True),
    }
    body.check()
    if route not in network["routes"]:
        raise not_found("route", route["destination"])
    network["routes"].remove(route)
    return _change(call, network, "delete_route")


def _change_ip_range(call: Call) -> Reply:
    network, body = _calm(call), call.body()
    wider = read_range(body, "ip_range", longest_prefix=24)
    body.check()
    old = Network(network["ip_range"])
    if wider is None or wider.network_address != old.network_address or not old.subnet_of(wider):
        raise invalid_field("ip_range", f"can only extend {old} at its end")
    network["ip_range"] = str(wider)
    return _change(call, network, "change_ip_range")


def _protect(call: Call) -> Reply:
    network, body = call.target("network"), call.body()
    delete = body.flag("delete", network["protection"]["delete"])
    body.check()
    network["protection"] = {"delete": delete}
    return call.started(call.begin("change_protection", ("network", network["id"])))


ROUTES = [
    Route("GET", "/networks", _list),
    Route("POST", "/networks", _create),
    Route("GET", "/networks/{id:int}", _get),
    Route("PUT", "/networks/{id:int}", _update),
    Route("DELETE", "/networks/{id:int}", _delete),
    Route("POST", "/networks/{id:int}/actions/add_subnet", _add_subnet),
    Route("POST", "/networks/{id:int}/actions/delete_subnet", _delete_subnet),
    Route("POST", "/networks/{id:int}/actions/add_route", _add_route),
    Route("POST", "/networks/{id:int}/actions/delete_route", _delete_route),
    Route("POST", "/networks/{id:int}/actions/change_ip_range", _change_ip_range),
    Route("POST", "/networks/{id:int}/actions/change_protection", _protect),
]
