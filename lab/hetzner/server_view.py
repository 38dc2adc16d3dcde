"""A server as the API shows it."""

from __future__ import annotations

from typing import Any

from lab.hetzner import addresses, catalog, placement_groups
from lab.hetzner.firewall_match import firewalls_of
from lab.hetzner.labels import parse_selector
from lab.hetzner.primary_ips import of_server
from lab.hetzner.store import Record, Store


def status(server: Record) -> str:
    """What an unfinished action makes of the server, else what its power is."""
    return server["transition"] or ("running" if server["power"] == "on" else "off")


def _public_net(store: Store, server: Record) -> dict[str, Any]:
    ipv4, ipv6 = (of_server(store, server["id"], version) for version in ("ipv4", "ipv6"))
    net: dict[str, Any] = {"ipv4": None, "ipv6": None}
    if ipv4:
        dns = (
            ipv4["dns_ptr"][0]["dns_ptr"] if ipv4["dns_ptr"] else addresses.reverse_name(ipv4["ip"])
        )
        net["ipv4"] = {"id": ipv4["id"], "ip": ipv4["ip"], "blocked": False, "dns_ptr": dns}
    if ipv6:
        dns = ipv6["dns_ptr"]
        net["ipv6"] = {"id": ipv6["id"], "ip": ipv6["ip"], "blocked": False, "dns_ptr": dns}
    net["floating_ips"] = [ip["id"] for ip in store.where("floating_ip", server=server["id"])]
    net["firewalls"] = [{"id": f["id"], "status": "applied"} for f in firewalls_of(store, server)]
    return net


def is_target(balancer: Record, server: Record) -> bool:
    """Whether the load balancer sends traffic to the server."""
    for target in balancer["targets"]:
        if target["type"] == "server" and target["server"]["id"] == server["id"]:
            return True
        selector = target.get("label_selector")
        if selector and parse_selector(selector["selector"])(server["labels"]):
            return True
    return False


def view(store: Store, server: Record) -> dict[str, Any]:
    """The server without anything secret: its user data is never shown."""
    group = store.get("placement_group", server["placement_group"] or 0)
    return {
        "id": server["id"],
        "name": server["name"],
        "status": status(server),
        "created": server["created"],
        "public_net": _public_net(store, server),
        "private_net": server["private_net"],
        "server_type": catalog.server_type(server["server_type"]),
        "location": catalog.LOCATIONS[server["location"]],
        "image": store.get("image", server["image"] or 0),
        "iso": None,
        "rescue_enabled": server["rescue_enabled"],
        "locked": False,
        "backup_window": server["backup_window"],
        "outgoing_traffic": 0,
        "ingoing_traffic": 0,
        "included_traffic": 20 * 1024**4,
        "protection": server["protection"],
        "labels": server["labels"],
        "volumes": [volume["id"] for volume in store.where("volume", server=server["id"])],
        "load_balancers": [b["id"] for b in store.all("load_balancer") if is_target(b, server)],
        "primary_disk_size": server["primary_disk_size"],
        "placement_group": placement_groups.view(store, group) if group else None,
    }
