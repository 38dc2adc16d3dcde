"""The machine that a server should have, in the words of the machine daemon."""

from __future__ import annotations

from typing import Any

from lab.hetzner import addresses, catalog, firewall_match
from lab.hetzner.store import Record, Store


def machine_of(store: Store, server: Record) -> dict[str, Any]:
    """The hardware, the wiring and the power of the server's machine."""
    kind = catalog.server_type(server["server_type"])
    ipv4 = next(store.where("primary_ip", assignee_id=server["id"], type="ipv4"), None)
    ipv6 = next(store.where("primary_ip", assignee_id=server["id"], type="ipv6"), None)
    return {
        "id": server["id"],
        "name": server["name"],
        "user_data": server["user_data"],
        "image": server["os"],
        "architecture": kind["architecture"],
        "server_type": {
            "name": kind["name"],
            "cores": kind["cores"],
            "memory_gb": kind["memory"],
            "disk_gb": server["primary_disk_size"],
        },
        "location": server["location"],
        "public_ipv4": ipv4["ip"] if ipv4 else None,
        "public_ipv6": addresses.first_host(ipv6["ip"]) if ipv6 else None,
        "private": [
            {
                "network_id": attachment["network"],
                "network_cidr": store.find("network", attachment["network"])["ip_range"],
                "ip": attachment["ip"],
                "mac": attachment["mac_address"],
                "gateway": _default_route(store.find("network", attachment["network"])),
            }
            for attachment in server["private_net"]
        ],
        "firewall": _rules(store, server),
        "power": server["power"],
        "labels": server["labels"],
    }


def _default_route(network: Record) -> str:
    """Where the network's default route goes; empty without one."""
    return next(
        (r["gateway"] for r in network["routes"] if r["destination"] == addresses.DEFAULT_ROUTE), ""
    )


def _rules(store: Store, server: Record) -> list[dict[str, Any]] | None:
    """The rules of all its firewalls; None, which means that all is open, without one."""
    firewalls = firewall_match.firewalls_of(store, server)
    if not firewalls:
        return None
    return [
        {
            "direction": rule["direction"],
            "protocol": rule["protocol"],
            "port": rule["port"],
            "source_ips": rule["source_ips"],
            "destination_ips": rule["destination_ips"],
        }
        for firewall in firewalls
        for rule in firewall["rules"]
    ]
