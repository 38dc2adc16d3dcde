"""What an instance of the lab keeps for good: its addresses, its ports, its token."""

from __future__ import annotations

import json
import os
import secrets
import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from lab.errors import LabError

_OCTETS = range(16, 251, 2)
"""Second octets that instances take; each takes an even one and the odd one above it."""

CLAIM_PORT = 49999
"""A running instance listens here on 127.P.0.1, so that no other takes its octet."""

VPN_PORT = 49998
"""The proxy into the private networks listens here on 127.P.0.1."""


@dataclass(frozen=True)
class Settings:
    """The identity of an instance."""

    octet: int
    """P: public addresses of servers lie in 127.P.0.0/16, internal ones in 127.(P+1).0.0/16."""
    api_port: int
    """Port of the Hetzner Cloud API on 127.0.0.1."""
    node_port: int
    """Port of lab-node's control API on 127.0.0.1."""
    token: str
    """The API token, 64 characters as Hetzner's."""

    @property
    def public_prefix(self) -> str:
        """First two octets of the servers' public addresses."""
        return f"127.{self.octet}"

    @property
    def internal_prefix(self) -> str:
        """First two octets of the nodes' wires."""
        return f"127.{self.octet + 1}"

    @property
    def claim(self) -> str:
        """Address that lab-node listens at to hold the octet."""
        return f"{self.public_prefix}.0.1:{CLAIM_PORT}"

    @property
    def vpn(self) -> str:
        """Address of the proxy into the private networks."""
        return f"{self.public_prefix}.0.1:{VPN_PORT}"

    @property
    def endpoint(self) -> str:
        """Base URL of the Hetzner Cloud API."""
        return f"http://127.0.0.1:{self.api_port}/v1"


def load(file: Path, spread: bool) -> Settings:
    """Returns the settings in `file`; makes and keeps new ones where there are none.

    Args:
        file: lab.json of the instance.
        spread: start at an octet drawn by chance, so that short-lived instances meet neither each
            other nor the instance that a person has stopped for the night.

    Raises:
        LabError: the file cannot be read, or no octet is free.
    """
    try:
        return Settings(**json.loads(file.read_text()))
    except FileNotFoundError:
        pass
    except (ValueError, TypeError) as error:
        raise LabError(
            f"{file} cannot be read ({error}): end the lab with `make down`, then remove "
            f"{file.parent}"
        ) from None
    settings = _allocate(spread)
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as output:
        json.dump(asdict(settings), output, indent=2)
    return settings


def _allocate(spread: bool) -> Settings:
    for octet in _candidates(spread):
        api_port = 20000 + octet * 10
        wanted = [(f"127.{octet}.0.1", CLAIM_PORT)]
        wanted += [("127.0.0.1", port) for port in (api_port, api_port + 1)]
        if all(_is_free(host, port) for host, port in wanted):
            # Below the range that the kernel gives to clients: nobody gets these by accident.
            return Settings(octet, api_port, api_port + 1, secrets.token_hex(32))
    raise LabError(
        f"no address range is free: {len(_OCTETS)} labs run on this machine. "
        "End one: make down, with its LAB_STATE"
    )


def _candidates(spread: bool) -> Iterator[int]:
    octets = list(_OCTETS)
    start = 1 + secrets.randbelow(len(octets) - 1) if spread else 0
    yield from octets[start:] + octets[:start]


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
