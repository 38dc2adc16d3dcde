"""Which firewall is on which server."""

from __future__ import annotations

from lab.hetzner.labels import parse_selector
from lab.hetzner.store import Record, Store


def has_public_net(store: Store, server: Record) -> bool:
    """Whether the server has a public interface."""
    return any(store.where("primary_ip", assignee_id=server["id"]))


def is_selected(store: Store, selector: str, server: Record) -> bool:
    """Whether a firewall with this label selector is on the server."""
    return has_public_net(store, server) and parse_selector(selector)(server["labels"])


def is_applied(store: Store, firewall: Record, server: Record) -> bool:
    """Whether the firewall is on the server, directly or by a label selector."""
    for resource in firewall["applied_to"]:
        if resource["type"] == "server":
            if resource["server"]["id"] == server["id"]:
                return True
        elif is_selected(store, resource["label_selector"]["selector"], server):
            return True
    return False


def firewalls_of(store: Store, server: Record) -> list[Record]:
    """The firewalls on the server."""
    return [f for f in store.all("firewall") if is_applied(store, f, server)]


def servers_of(store: Store, firewall: Record) -> list[int]:
    """The ids of the servers that the firewall is on."""
    return [s["id"] for s in store.all("server") if is_applied(store, firewall, s)]
