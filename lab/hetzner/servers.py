"""/servers: list, get, rename, delete."""

from __future__ import annotations

from lab.hetzner import primary_ips
from lab.hetzner.api import BY_NAME, Call, Reply, Route
from lab.hetzner.bodies import HOSTNAME
from lab.hetzner.errors import protected
from lab.hetzner.firewall_match import firewalls_of
from lab.hetzner.server_view import status, view

SHARE = 0.25
"""Length of a deletion, relative to a server creation."""


def _list(call: Call) -> Reply:
    servers = call.store.all("server")
    if wanted := call.query.getlist("status"):
        servers = [server for server in servers if status(server) in wanted]
    return call.listing("servers", servers, lambda s: view(call.store, s), sort=BY_NAME)


def _get(call: Call) -> Reply:
    return Reply(200, {"server": view(call.store, call.target("server"))})


def _update(call: Call) -> Reply:
    server, body = call.target("server"), call.body()
    before = firewalls_of(call.store, server)
    call.rename("server", server, body, body.text("name", pattern=HOSTNAME))
    if firewalls_of(call.store, server) != before:
        machines, key = call.project.machines, server["id"]
        call.begin("apply_firewall", ("server", key), work=lambda: machines.apply(key))
    return Reply(200, {"server": view(call.store, server)})


def _delete(call: Call) -> Reply:
    server, store = call.target("server"), call.store
    key = server["id"]
    if server["protection"]["delete"]:
        raise protected("server")
    call.project.require_unlocked("server", key)
    store.remove("server", key)
    for ip in list(store.where("primary_ip", assignee_id=key)):
        primary_ips.release(store, ip)
    for ip in store.where("floating_ip", server=key):
        ip["server"] = None
    for volume in store.where("volume", server=key):
        volume["server"] = None
    resource = {"type": "server", "server": {"id": key}}
    for firewall in store.all("firewall"):
        if resource in firewall["applied_to"]:
            firewall["applied_to"].remove(resource)
    for balancer in store.all("load_balancer"):
        targets = balancer["targets"]
        balancer["targets"] = [t for t in targets if t.get("server") != resource["server"]]
    machines = call.project.machines
    action = call.begin(
        "delete_server", ("server", key), share=SHARE, work=lambda: machines.destroy(key)
    )
    return Reply(200, {"action": call.project.board.view(action)})


ROUTES = [
    Route("GET", "/servers", _list),
    Route("GET", "/servers/{id:int}", _get),
    Route("PUT", "/servers/{id:int}", _update),
    Route("DELETE", "/servers/{id:int}", _delete),
]
