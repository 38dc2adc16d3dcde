"""The emulated project: its objects and everything that acts on them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from lab.hetzner import addresses, image_seed, machine_spec
from lab.hetzner.actions import ActionBoard
from lab.hetzner.balancers import Balancers
from lab.hetzner.errors import conflict, limit_exceeded, locked
from lab.hetzner.faults import Faults
from lab.hetzner.machines import Machines
from lab.hetzner.node_client import NodeClient
from lab.hetzner.settings import Settings
from lab.hetzner.state_file import StateFile
from lab.hetzner.store import Record, Store


class Project:
    """What the API's handlers work on."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store = Store()
        self.faults = Faults()
        self.file = StateFile(settings.state_file, self.store.dump)
        self.board = ActionBoard(self.store, settings.action_seconds, self.file.touch)
        url = settings.nodes_url
        client = NodeClient(url, settings.node_patience) if url else None
        self.machines = Machines(self.store, client, self._machine_of, self.file.touch)
        self.balancers = Balancers(self.store, client)
        self._background: set[asyncio.Task[None]] = set()

    def _machine_of(self, server: Record) -> dict[str, Any]:
        return machine_spec.machine_of(self.store, server)

    async def open(self) -> None:
        """Take up the saved state, if any, and hand the servers to their machines."""
        path = self.settings.state_file
        if path and path.exists():
            self.store.load(path.read_text())
        image_seed.seed(self.store, self.settings.talos_versions)
        self.board.settle_interrupted()
        for server in self.store.all("server"):
            server["transition"] = None
        await self.file.flush()
        self._in_background(self.machines.reconcile())
        self._in_background(self.balancers.reconcile())

    async def close(self) -> None:
        """Stop what is running and save."""
        for task in self._background:
            task.cancel()
        await self.board.stop()
        self.machines.close()
        await self.file.flush()

    def _in_background(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def require_unlocked(self, kind: str, key: int) -> None:
        """Raise `locked` while an action holds the object."""
        if self.board.is_held(kind, key):
            raise locked(kind, key)

    def require_calm(self, kind: str, key: int) -> None:
        """Raise `conflict` while an action changes the object."""
        if self.board.is_held(kind, key):
            raise conflict(kind)

    def new_public_ipv4(self) -> str:
        """A free address of the public pool; a released one is used again only after all others."""
        used = {r["ip"] for kind in ("primary_ip", "floating_ip") for r in self.store.all(kind)}
        used |= {balancer["ipv4"] for balancer in self.store.all("load_balancer")}

        def address(number: int) -> str:
            return addresses.public_ipv4(self.settings.public_prefix, number)

        return self._next_address("public_ipv4", address, used, 254 * 254)

    def new_public_ipv6(self) -> str:
        """An unused /64."""
        return self._next_address("public_ipv6", addresses.public_ipv6, set(), 1 << 30)

    def _next_address(
        self, pool: str, address: Callable[[int], str], used: set[str], size: int
    ) -> str:
        start = self.store.counters.get(pool, 0)
        for number in range(start, start + size):
            candidate = address(number % size)
            if candidate not in used:
                self.store.counters[pool] = number % size + 1
                return candidate
        raise limit_exceeded([pool], "no public address is left")
