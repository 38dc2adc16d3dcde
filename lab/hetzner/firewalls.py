"""/firewalls: rules, and what they are applied to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lab.hetzner.actions import now
from lab.hetzner.api import Call, Reply, Route
from lab.hetzner.bodies import NAME, Body
from lab.hetzner.errors import limit_exceeded, refused
from lab.hetzner.firewall_match import firewalls_of, has_public_net, is_selected, servers_of
from lab.hetzner.firewall_rules import read_rules
from lab.hetzner.labels import parse_selector
from lab.hetzner.store import Record, Store

MOST_ON_A_SERVER = 5

SHARE = 0.25
"""Length of a change, relative to a server creation."""


def view(store: Store, firewall: Record) -> dict[str, Any]:
    """The firewall as the API shows it."""
    applied = []
    for resource in firewall["applied_to"]:
        if resource["type"] == "label_selector":
            selector = resource["label_selector"]["selector"]
            matching = [s["id"] for s in store.all("server") if is_selected(store, selector, s)]
            servers = [{"type": "server", "server": {"id": key}} for key in matching]
            resource = {**resource, "applied_to_resources": servers}
        applied.append(resource)
    return {**firewall, "applied_to": applied}


def require_applicable(store: Store, server: Record) -> None:
    """Raise if one more firewall cannot be put on the server."""
    if not has_public_net(store, server):
        message = f"server {server['id']} has no public network interface"
        raise refused("private_net_only_server", message)
    if len(firewalls_of(store, server)) >= MOST_ON_A_SERVER:
        message = f"a server has at most {MOST_ON_A_SERVER} firewalls"
        raise limit_exceeded(["firewalls_per_server"], message)


def _read_resources(body: Body, name: str, *, required: bool = False) -> list[Record]:
    resources: list[Record] = []
    for item in body.children(name, required=required):
        kind = item.text("type", required=True, choices=("server", "label_selector"))
        if kind == "server":
            server = item.child("server")
            key = server.integer("id", required=True) if server else None
            if server is None:
                item.fail("server", "Missing data for required field.")
            resources.append({"type": "server", "server": {"id": key}})
        elif kind == "label_selector":
            selection = item.child("label_selector")
            selector = selection.text("selector", required=True) if selection else None
            if selection is None:
                item.fail("label_selector", "Missing data for required field.")
            elif selector is not None:
                try:
                    parse_selector(selector)
                except ValueError as error:
                    selection.fail("selector", str(error))
            resources.append({"type": kind, "label_selector": {"selector": selector}})
    return resources


def _server_of(call: Call, resource: Record) -> Record:
    server = call.store.get("server", resource["server"]["id"])
    if server is None:
        message = f"server {resource['server']['id']} not found"
        raise refused("firewall_resource_not_found", message, 404)
    return server


def _apply(call: Call, firewall: Record, resources: Iterable[Record]) -> None:
    """Add the resources to the firewall, all or none."""
    added: list[Record] = []
    for resource in resources:
        if resource in firewall["applied_to"] or resource in added:
            raise refused("firewall_already_applied", "firewall is already applied to resource")
        if resource["type"] == "server":
            require_applicable(call.store, _server_of(call, resource))
        added.append(resource)
    firewall["applied_to"] += added


def _enforce(
    call: Call, firewall: Record, commands: list[str], also: Iterable[int] = ()
) -> list[Record]:
    """Bring the machines of the firewall's servers up to date; the actions that stand for it."""
    machines = call.project.machines
    servers = {*servers_of(call.store, firewall), *also}
    subjects = [("firewall", firewall["id"]), *(("server", key) for key in sorted(servers))]
    last = call.begin(
        commands[-1], *subjects, share=SHARE, work=lambda: machines.apply_all(servers)
    )
    return [*(call.begin(command, subjects[0]) for command in commands[:-1]), last]


def _list(call: Call) -> Reply:
    return call.listing("firewalls", call.store.all("firewall"), lambda f: view(call.store, f))


def _create(call: Call) -> Reply:
    body = call.body()
    name = body.text("name", required=True, pattern=NAME)
    labels = body.labels()
    rules = read_rules(body)
    resources = _read_resources(body, "apply_to")
    body.check()
    call.store.require_free_name("firewall", name)
    fields: Record = {
        "name": name,
        "labels": labels or {},
        "created": now(),
        "rules": rules,
        "applied_to": [],
    }
    _apply(call, fields, resources)
    firewall = call.store.add("firewall", fields)
    actions = [call.begin("set_firewall_rules", ("firewall", firewall["id"]))] if rules else []
    if resources:
        actions += _enforce(call, firewall, ["apply_firewall"])
    views = [call.project.board.view(action) for action in actions]
    return Reply(201, {"firewall": view(call.store, firewall), "actions": views})


def _get(call: Call) -> Reply:
    return Reply(200, {"firewall": view(call.store, call.target("firewall"))})


def _update(call: Call) -> Reply:
    firewall, body = call.target("firewall"), call.body()
    call.rename("firewall", firewall, body, body.text("name", pattern=NAME))
    return Reply(200, {"firewall": view(call.store, firewall)})


def _delete(call: Call) -> Reply:
    firewall = call.target("firewall")
    if firewall["applied_to"]:
        raise refused("resource_in_use", f"firewall with ID {firewall['id']} is still in use")
    call.store.remove("firewall", firewall["id"])
    return Reply(204)


def _set_rules(call: Call) -> Reply:
    firewall, body = call.target("firewall"), call.body()
    rules = read_rules(body, required=True)
    body.check()
    firewall["rules"] = rules
    commands = ["set_firewall_rules", *(["apply_firewall"] if firewall["applied_to"] else [])]
    return call.started(*_enforce(call, firewall, commands), several=True)


def _apply_to_resources(call: Call) -> Reply:
    firewall, body = call.target("firewall"), call.body()
    resources = _read_resources(body, "apply_to", required=True)
    body.check()
    _apply(call, firewall, resources)
    return call.started(*_enforce(call, firewall, ["apply_firewall"]), several=True)


def _remove_from_resources(call: Call) -> Reply:
    firewall, body = call.target("firewall"), call.body()
    resources = _read_resources(body, "remove_from", required=True)
    body.check()
    before = servers_of(call.store, firewall)
    for resource in resources:
        if resource["type"] != "server" or resource in firewall["applied_to"]:
            continue
        if _server_of(call, resource)["id"] in before:
            message = "firewall is applied by a label selector and cannot be removed manually"
            raise refused("firewall_managed_by_label_selector", message)
    firewall["applied_to"] = [r for r in firewall["applied_to"] if r not in resources]
    return call.started(*_enforce(call, firewall, ["remove_firewall"], before), several=True)


ROUTES = [
    Route("GET", "/firewalls", _list),
    Route("POST", "/firewalls", _create),
    Route("GET", "/firewalls/{id:int}", _get),
    Route("PUT", "/firewalls/{id:int}", _update),
    Route("DELETE", "/firewalls/{id:int}", _delete),
    Route("POST", "/firewalls/{id:int}/actions/set_rules", _set_rules),
    Route("POST", "/firewalls/{id:int}/actions/apply_to_resources", _apply_to_resources),
    Route("POST", "/firewalls/{id:int}/actions/remove_from_resources", _remove_from_resources),
]
