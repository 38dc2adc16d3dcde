"""Calls to an instance's Hetzner Cloud emulator."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from lab.errors import LabError
from lab.instance import Lab

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def servers(lab: Lab) -> list[dict[str, Any]]:
    """All servers of the lab's project."""
    found: list[dict[str, Any]] = []
    page: int | None = 1
    while page:
        answer = call(lab, "GET", f"/v1/servers?per_page=50&page={page}")
        found += answer["servers"]
        page = answer["meta"]["pagination"]["next_page"]
    return found


def faults(lab: Lab) -> list[dict[str, Any]]:
    """The planned faults."""
    return list(call(lab, "GET", "/_lab/faults").get("faults", []))


def plan_fault(lab: Lab, fields: Mapping[str, Any]) -> None:
    """Plans a fault; its fields are those of the emulator's POST /_lab/faults."""
    call(lab, "POST", "/_lab/faults", fields)


def clear_faults(lab: Lab) -> None:
    """Drops all planned faults."""
    call(lab, "DELETE", "/_lab/faults")


def call(lab: Lab, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Sends one request and returns the answer's JSON.

    Raises:
        LabError: the emulator does not run or refused; with its reason.
    """
    request = urllib.request.Request(
        f"{lab.endpoint.removesuffix('/v1')}{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {lab.token}", "Content-Type": "application/json"},
    )
    try:
        with _opener.open(request, timeout=20) as response:
            text = response.read()
    except urllib.error.HTTPError as error:
        raise LabError(f"{method} {path}: {error.code} {_reason(error.read())}") from None
    except OSError:
        raise LabError(f"the lab does not answer at {lab.endpoint}: make up starts it") from None
    return dict(json.loads(text)) if text else {}


def _reason(text: bytes) -> str:
    try:
        error = json.loads(text)["error"]
        return str(error["message"] if isinstance(error, dict) else error)
    except (ValueError, KeyError, TypeError):
        return text.decode(errors="replace")[:200]
