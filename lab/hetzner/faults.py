"""Faults on demand: what goes wrong with the next requests that match."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

KINDS = {
    "rate_limit": "429 before anything is done; `seconds` moves the announced reset",
    "error": "`status` and `code` (default 503 unavailable) before anything is done",
    "lost_response": "the request is carried out, then the connection is cut",
    "delay": "the request waits for `seconds` first",
    "action_fails": "the first action that the request starts ends with `code`",
    "no_stock": "412 resource_unavailable; `server_type` and `location` narrow it down",
}
"""The kinds handled here. All others belong to machines and go to the machine daemon."""


@dataclass
class Fault:
    """One planned fault."""

    kind: str
    """One of KINDS."""
    method: str = ""
    """HTTP method it is limited to. Default: any."""
    path: str = ""
    """Regular expression searched in the path, which starts behind `/v1`. Default: any."""
    count: int = 1
    """How many requests are hit; 0: all until faults are cleared."""
    seconds: float = 1.0
    """See KINDS."""
    status: int = 0
    """HTTP status. Default: the usual one of the kind."""
    code: str = ""
    """Error code. Default: the usual one of the kind."""
    message: str = ""
    """Error message. Default: says that the fault was planned."""
    server_type: str = ""
    """Server type a `no_stock` is limited to. Default: any."""
    location: str = ""
    """Location a `no_stock` is limited to. Default: any."""
    hits: int = 0
    """How many requests it has hit."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown kind '{self.kind}', known: {', '.join(KINDS)}")
        re.compile(self.path)

    def _matches(self, method: str, path: str, body: Mapping[str, Any]) -> bool:
        if self.method and self.method.upper() != method:
            return False
        if self.kind == "no_stock":
            if (method, path) != ("POST", "/servers"):
                return False
            if self.server_type and str(body.get("server_type")) != self.server_type:
                return False
            if self.location and str(body.get("location")) != self.location:
                return False
        return re.search(self.path, path) is not None


class Faults:
    """The planned faults, oldest first."""

    def __init__(self) -> None:
        self.planned: list[Fault] = []

    def plan(self, fields: Mapping[str, Any]) -> Fault:
        """Add a fault.

        Raises:
            ValueError, TypeError, re.error: the description makes no sense.
        """
        fault = Fault(**fields)
        self.planned.append(fault)
        return fault

    def clear(self) -> None:
        """Forget all faults."""
        self.planned.clear()

    def take(
        self, kind: str, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> Fault | None:
        """The fault of the kind that hits this request, counted as used."""
        for fault in self.planned:
            if fault.kind == kind and fault._matches(method, path, body or {}):
                fault.hits += 1
                if fault.count and fault.hits >= fault.count:
                    self.planned.remove(fault)
                return fault
        return None
