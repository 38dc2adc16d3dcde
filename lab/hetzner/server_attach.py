"""A server's place in private networks."""

from __future__ import annotations

from lab.hetzner.addresses import Network
from lab.hetzner.api import Call, Reply, Route
from lab.hetzner.errors import refused
from lab.hetzner.network_ranges import (
    checked_address,
    choose_address,
    require_room,
    used_addresses,
)
from lab.hetzner.store import Record

SHARE = 0.5
"""Length of an attachment, relative to a server creation."""


def attach(
    call: Call,
    server: Record,
    network: Record,
    ip: str | None = None,
    ip_range: str | None = None,
    alias_ips: list[str] | None = None,
) -> None:
    """Give the server an interface in the network.

    Raises:
        ApiError: the documented refusals of attach_to_network.
    """
    store = call.store
    for attachment in server["private_net"]:
        if attachment["network"] == network["id"]:
            message = f"server {server['id']} is already attached to network {network['id']}"
            raise refused("server_already_attached", message)
        other = store.find("network", attachment["network"])
        if Network(other["ip_range"]).overlaps(Network(network["ip_range"])):
            message = f"network {network['id']} overlaps with network {other['id']}"
            raise refused("networks_overlap", message)
    require_room(store, network)
    address = choose_address(store, network, server["location"], ip, ip_range)
    aliases = _aliases(call, network, alias_ips or [], {address})
    number = store.counters["mac"] = store.counters.get("mac", 0) + 1
    mac = ":".join(f"{byte:02x}" for byte in number.to_bytes(4, "big"))
    server["private_net"].append(
        {
            "network": network["id"],
            "ip": address,
            "alias_ips": aliases,
            "mac_address": f"86:00:{mac}",
        }
    )


def _aliases(call: Call, network: Record, wanted: list[str], taken: set[str]) -> list[str]:
    subnets = [Network(subnet["ip_range"]) for subnet in network["subnets"]]
    used = used_addresses(call.store, network) | taken
    aliases: list[str] = []
    for text in wanted:
        aliases.append(checked_address(network, subnets, text, used | set(aliases)))
    return aliases


def _rewire(call: Call, command: str, server: Record, network_id: int) -> Reply:
    machines, key = call.project.machines, server["id"]
    action = call.begin(
        command,
        ("server", key),
        ("network", network_id),
        share=SHARE,
        work=lambda: machines.apply(key),
        holds=[("server", key)],
    )
    return call.started(action)


def _target(call: Call) -> Record:
    server = call.target("server")
    call.project.require_unlocked("server", server["id"])
    return server


def _attach(call: Call) -> Reply:
    server, body = _target(call), call.body()
    key = body.integer("network", required=True)
    ip, ip_range = body.text("ip"), body.text("ip_range")
    alias_ips = body.strings("alias_ips")
    body.check()
    network = call.store.find("network", key or 0)
    attach(call, server, network, ip, ip_range, alias_ips)
    return _rewire(call, "attach_to_network", server, network["id"])


def _attachment(server: Record, network_id: int | None) -> Record:
    for attachment in server["private_net"]:
        if attachment["network"] == network_id:
            return dict(attachment)
    message = f"server {server['id']} is not attached to network {network_id}"
    raise refused("server_not_attached_to_network", message)


def _detach(call: Call) -> Reply:
    server, body = _target(call), call.body()
    key = body.integer("network", required=True)
    body.check()
    call.store.find("network", key or 0)
    server["private_net"].remove(_attachment(server, key))
    return _rewire(call, "detach_from_network", server, key or 0)


def _change_alias_ips(call: Call) -> Reply:
    server, body = _target(call), call.body()
    key = body.integer("network", required=True)
    wanted = body.strings("alias_ips", required=True)
    body.check()
    network = call.store.find("network", key or 0)
    old = _attachment(server, key)
    place = server["private_net"].index(old)
    server["private_net"][place] = {**old, "alias_ips": []}
    try:
        aliases = _aliases(call, network, wanted or [], set())
    except Exception:
        server["private_net"][place] = old
        raise
    server["private_net"][place] = {**old, "alias_ips": aliases}
    return _rewire(call, "change_alias_ips", server, network["id"])


ROUTES = [
    Route("POST", "/servers/{id:int}/actions/attach_to_network", _attach),
    Route("POST", "/servers/{id:int}/actions/detach_from_network", _detach),
    Route("POST", "/servers/{id:int}/actions/change_alias_ips", _change_alias_ips),
]
