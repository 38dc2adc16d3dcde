"""Firewall rules out of a request."""

from __future__ import annotations

import ipaddress
import re

from lab.hetzner.bodies import Body
from lab.hetzner.store import Record

MOST_RULES = 50
MOST_RANGES = 100

_PORT = re.compile(r"\d{1,5}(-\d{1,5})?")
_WITH_PORTS = ("tcp", "udp")


def _ranges(body: Body, name: str) -> list[str]:
    """The canonical form of the CIDR blocks of a field."""
    texts = body.strings(name) or []
    if len(texts) > MOST_RANGES:
        body.fail(name, f"has more than {MOST_RANGES} entries")
    ranges = []
    for text in texts:
        try:
            address, _, length = text.partition("/")
            ranges.append(str(ipaddress.ip_network((address, int(length)))))
        except ValueError:
            body.fail(name, f"'{text}' is not a CIDR block without host bits")
    return ranges


def _check_port(body: Body, protocol: str | None, port: str | None) -> None:
    if protocol in _WITH_PORTS:
        if port is None:
            body.fail("port", f"is required for protocol {protocol}")
            return
        bounds = [int(text) for text in port.split("-")] if _PORT.fullmatch(port) else [0]
        if not all(1 <= bound <= 65535 for bound in bounds) or bounds != sorted(bounds):
            body.fail("port", f"'{port}' is neither a port nor a range of ports")
    elif port is not None and protocol is not None:
        body.fail("port", f"is not allowed for protocol {protocol}")


def read_rules(body: Body, *, required: bool = False) -> list[Record]:
    """The `rules` of a request; problems are noted in the body."""
    items = body.children("rules", required=required)
    if len(items) > MOST_RULES:
        body.fail("rules", f"has more than {MOST_RULES} entries")
    return [_rule(item) for item in items]


def _rule(body: Body) -> Record:
    direction = body.text("direction", required=True, choices=("in", "out"))
    protocol = body.text("protocol", required=True, choices=("tcp", "udp", "icmp", "esp", "gre"))
    port = body.text("port")
    _check_port(body, protocol, port)
    description = body.text("description", maximum=255)
    sources, destinations = _ranges(body, "source_ips"), _ranges(body, "destination_ips")
    if direction is not None:
        needed, other = ("source_ips", "destination_ips")[:: 1 if direction == "in" else -1]
        given = {"source_ips": sources, "destination_ips": destinations}
        if not given[needed] and not body.has(needed):
            body.fail(needed, f"is required for direction {direction}")
        elif not given[needed]:
            body.fail(needed, "must not be empty")
        if given[other]:
            body.fail(other, f"is not allowed for direction {direction}")
    return {
        "direction": direction,
        "protocol": protocol,
        "port": port,
        "source_ips": sources,
        "destination_ips": destinations,
        "description": description,
    }
