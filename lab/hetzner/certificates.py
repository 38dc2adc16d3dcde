"""/certificates: uploaded ones, kept unread; nobody can issue managed ones here."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

from lab.hetzner.actions import now
from lab.hetzner.api import Call, Reply, Route
from lab.hetzner.bodies import NAME
from lab.hetzner.errors import refused
from lab.hetzner.store import Record, Store


def view(store: Store, certificate: Record) -> dict[str, Any]:
    """The certificate as the API shows it."""
    users = [
        {"id": balancer["id"], "type": "load_balancer"}
        for balancer in store.all("load_balancer")
        for service in balancer["services"]
        if certificate["id"] in (service["http"] or {}).get("certificates", [])
    ]
    return {**certificate, "used_by": users}


def _list(call: Call) -> Reply:
    records = call.store.all("certificate")
    return call.listing("certificates", records, lambda c: view(call.store, c), exact=("type",))


def _create(call: Call) -> Reply:
    body = call.body()
    name = body.text("name", required=True, pattern=NAME)
    kind = body.text("type", choices=("uploaded", "managed")) or "uploaded"
    labels = body.labels()
    text = body.text("certificate", required=kind == "uploaded") or ""
    body.text("private_key", required=kind == "uploaded")
    body.check()
    if kind == "managed":
        raise refused("ca_dns_validation_failed", "the lab cannot issue managed certificates")
    call.store.require_free_name("certificate", name)
    digest = hashlib.sha256(text.encode()).hexdigest()
    fields: Record = {
        "name": name,
        "labels": labels or {},
        "type": kind,
        "certificate": text,
        "created": now(),
        "not_valid_before": now(),
        "not_valid_after": (datetime.now(UTC) + timedelta(days=365)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "domain_names": [],
        "fingerprint": ":".join(digest[i : i + 2] for i in range(0, len(digest), 2)),
        "status": None,
    }
    certificate = call.store.add("certificate", fields)
    return Reply(201, {"certificate": view(call.store, certificate), "action": None})


def _get(call: Call) -> Reply:
    return Reply(200, {"certificate": view(call.store, call.target("certificate"))})


def _update(call: Call) -> Reply:
    certificate, body = call.target("certificate"), call.body()
    call.rename("certificate", certificate, body, body.text("name", pattern=NAME))
    return Reply(200, {"certificate": view(call.store, certificate)})


def _delete(call: Call) -> Reply:
    certificate = call.target("certificate")
    if view(call.store, certificate)["used_by"]:
        raise refused("resource_in_use", f"certificate {certificate['id']} is still in use")
    call.store.remove("certificate", certificate["id"])
    return Reply(204)


ROUTES = [
    Route("GET", "/certificates", _list),
    Route("POST", "/certificates", _create),
    Route("GET", "/certificates/{id:int}", _get),
    Route("PUT", "/certificates/{id:int}", _update),
    Route("DELETE", "/certificates/{id:int}", _delete),
]
