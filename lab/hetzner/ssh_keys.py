"""/ssh_keys."""

from __future__ import annotations

import base64
import binascii
import hashlib

from lab.hetzner.actions import now
from lab.hetzner.api import Call, Reply, Route
from lab.hetzner.bodies import NAME
from lab.hetzner.errors import ApiError, invalid_field


def fingerprint(public_key: str) -> str:
    """The MD5 fingerprint of an OpenSSH public key.

    Raises:
        ApiError: invalid_input, not such a key.
    """
    parts = public_key.split()
    try:
        blob = base64.b64decode(parts[1], validate=True)
    except (IndexError, binascii.Error):
        raise invalid_field("public_key", "SSH key not valid") from None
    digest = hashlib.md5(blob, usedforsecurity=False).hexdigest()
    return ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))


def _list(call: Call) -> Reply:
    keys = call.store.all("ssh_key")
    return call.listing("ssh_keys", keys, dict, sort=("id", "name"), exact=("fingerprint",))


def _create(call: Call) -> Reply:
    body = call.body()
    name = body.text("name", required=True, pattern=NAME)
    public_key = body.text("public_key", required=True)
    labels = body.labels()
    body.check()
    digest = fingerprint(public_key or "")
    call.store.require_free_name("ssh_key", name)
    if any(call.store.where("ssh_key", fingerprint=digest)):
        message = "SSH key with the same fingerprint already exists"
        raise ApiError(409, "uniqueness_error", message, {"fields": [{"name": "public_key"}]})
    key = call.store.add(
        "ssh_key",
        {
            "name": name,
            "fingerprint": digest,
            "public_key": public_key,
            "labels": labels or {},
            "created": now(),
        },
    )
    return Reply(201, {"ssh_key": key})


def _get(call: Call) -> Reply:
    return Reply(200, {"ssh_key": call.target("ssh_key")})


def _update(call: Call) -> Reply:
    key, body = call.target("ssh_key"), call.body()
    call.rename("ssh_key", key, body, body.text("name", pattern=NAME))
    return Reply(200, {"ssh_key": key})


def _delete(call: Call) -> Reply:
    call.store.remove("ssh_key", call.target("ssh_key")["id"])
    return Reply(204)


ROUTES = [
    Route("GET", "/ssh_keys", _list),
    Route("POST", "/ssh_keys", _create),
    Route("GET", "/ssh_keys/{id:int}", _get),
    Route("PUT", "/ssh_keys/{id:int}", _update),
    Route("DELETE", "/ssh_keys/{id:int}", _delete),
]
