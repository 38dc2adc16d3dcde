"""The remaining actions of a server: protection, reverse DNS, backups, rescue, snapshots."""

from __future__ import annotations

import secrets
from typing import Any

from lab.hetzner import catalog, image_seed, primary_ips
from lab.hetzner.actions import now
from lab.hetzner.api import Call, Reply, Route
from lab.hetzner.errors import invalid_field
from lab.hetzner.server_power import target
from lab.hetzner.store import Record


def _done(call: Call, command: str, server: Record, **more: Any) -> Reply:
    return call.started(call.begin(command, ("server", server["id"])), **more)


def _protect(call: Call) -> Reply:
    server, body = call.target("server"), call.body()
    delete = body.flag("delete", server["protection"]["delete"])
    rebuild = body.flag("rebuild", server["protection"]["rebuild"])
    if delete != rebuild:
        body.fail("delete", "must have the same value as rebuild")
    body.check()
    server["protection"] = {"delete": delete, "rebuild": rebuild}
    return _done(call, "change_protection", server)


def _change_dns_ptr(call: Call) -> Reply:
    server, body = call.target("server"), call.body()
    ip, name = body.text("ip", required=True) or "", body.text("dns_ptr")
    body.check()
    version = "ipv6" if ":" in ip else "ipv4"
    address = primary_ips.of_server(call.store, server["id"], version)
    if address is None:
        raise invalid_field("ip", f"{ip} does not belong to server {server['id']}")
    primary_ips.set_dns_ptr(address, ip, name)
    return _done(call, "change_dns_ptr", server)


def _enable_backup(call: Call) -> Reply:
    server = target(call)
    server["backup_window"] = "22-02"
    return _done(call, "enable_backup", server)


def _disable_backup(call: Call) -> Reply:
    server = target(call)
    server["backup_window"] = None
    return _done(call, "disable_backup", server)


def _enable_rescue(call: Call) -> Reply:
    server = target(call)
    server["rescue_enabled"] = True
    return _done(call, "enable_rescue", server, root_password=secrets.token_urlsafe(15))


def _disable_rescue(call: Call) -> Reply:
    server = target(call)
    server["rescue_enabled"] = False
    return _done(call, "disable_rescue", server)


def _reset_password(call: Call) -> Reply:
    return _done(call, "reset_password", target(call), root_password=secrets.token_urlsafe(15))


def _request_console(call: Call) -> Reply:
    password = secrets.token_urlsafe(15)
    url = "wss://console.invalid/"
    return _done(call, "request_console", target(call), wss_url=url, password=password)


def _create_image(call: Call) -> Reply:
    server, body = target(call), call.body()
    kind = body.text("type", choices=("snapshot", "backup")) or "snapshot"
    description, labels = body.text("description"), body.labels()
    body.check()
    architecture = catalog.server_type(server["server_type"])["architecture"]
    source = call.store.get("image", server["image"] or 0)
    fields: dict[str, Any] = {
        "image_size": 0.3,
        "disk_size": server["primary_disk_size"],
        "created": now(),
        "created_from": {"id": server["id"], "name": server["name"]},
        "bound_to": server["id"] if kind == "backup" else None,
        "os_flavor": source["os_flavor"] if source else "unknown",
        "labels": labels or {},
    }
    text = description or f"snapshot of {server['name']}"
    image = call.store.add("image", image_seed.image(kind, architecture, text, **fields))
    return _done(call, "create_image", server, image=image)


ROUTES = [
    Route("POST", f"/servers/{{id:int}}/actions/{name}", handler)
    for name, handler in (
        ("change_protection", _protect),
        ("change_dns_ptr", _change_dns_ptr),
        ("enable_backup", _enable_backup),
        ("disable_backup", _disable_backup),
        ("enable_rescue", _enable_rescue),
        ("disable_rescue", _disable_rescue),
        ("reset_password", _reset_password),
        ("request_console", _request_console),
        ("create_image", _create_image),
    )
]
