"""What an emulator instance is started with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that can differ between two instances."""

    token: str
    """The one API token that is accepted. Empty: every non-empty token is."""
    state_file: Path | None = None
    """Where the objects are kept. Default: in memory only."""
    nodes_url: str | None = None
    """Base URL of the daemon that runs the machines. Default: servers have no machines."""
    public_prefix: str = "127.16"
    """First two octets of every public IPv4 address."""
    talos_versions: tuple[str, ...] = ("v1.13.9",)
    """Talos releases of which snapshots exist, the newest snapshot first."""
    action_seconds: float = 0.2
    """How long a server creation takes; other actions take a fixed share of it. 0: no waiting."""
    requests_per_hour: int = 3600
    """Rate limit of one token, refilled evenly over the hour. 0: unlimited."""
    server_limit: int = 250
    """Servers in the project before `resource_limit_exceeded`."""
    node_patience: float = 15.0
    """Seconds for which an unreachable machine daemon is retried before the action fails."""
