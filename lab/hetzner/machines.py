"""Keeps the machine behind each server as its record says, and learns its power from it."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from lab.hetzner.actions import ActionFailed
from lab.hetzner.node_client import NodeClient, NodeUnreachable
from lab.hetzner.store import Record, Store

FRESH_SECONDS = 0.2
"""How old a known power status may be."""


class Machines:
    """The machines of the project's servers.

    Args:
        store: holds the servers.
        client: speaks to the daemon; None: servers without machines.
        describe: what the machine of a server should be, as the daemon wants it.
        changed: called when a server's power turned out to be another.
    """

    def __init__(
        self,
        store: Store,
        client: NodeClient | None,
        describe: Callable[[Record], dict[str, Any]],
        changed: Callable[[], None],
    ) -> None:
        self._store = store
        self._client = client
        self._describe = describe
        self._changed = changed
        self._locks: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._touched: defaultdict[int, int] = defaultdict(int)
        self._refreshed = 0.0
        self._refreshing: asyncio.Task[None] | None = None
        self._complained = False
        self.synced = client is None
        """Whether all servers have been handed to the daemon since the start."""

    @property
    def exist(self) -> bool:
        """Whether servers have machines at all."""
        return self._client is not None

    @asynccontextmanager
    async def _turn(self, client: NodeClient, key: int) -> AsyncIterator[NodeClient]:
        """One operation at a time for a machine; what a refresh saw meanwhile does not count."""
        async with self._locks[key]:
            self._touched[key] += 1
            try:
                yield client
            finally:
                self._touched[key] += 1

    async def create(self, key: int) -> None:
        """Build the machine and give it the power that the record says."""
        if self._client is None:
            return
        async with self._turn(self._client, key) as client:
            await self._put(client, key)

    async def apply(self, key: int) -> None:
        """Hand the current record of the server to its machine."""
        if self._client is None:
            return
        async with self._turn(self._client, key) as client:
            # A machine may have switched itself off: the record must learn that, not undo it.
            self._adopt(key, await client.call("GET", f"/servers/{key}"))
            await self._put(client, key)

    async def apply_all(self, keys: Iterable[int]) -> None:
        """`apply` for several servers at once."""
        await asyncio.gather(*(self.apply(key) for key in set(keys)))

    async def power(self, key: int, verb: str) -> None:
        """Press a button: poweron, poweroff, reboot, shutdown or reset."""
        if self._client is None:
            return
        async with self._turn(self._client, key) as client:
            await client.call("POST", f"/servers/{key}/actions/{verb}", {})

    async def rebuild(self, key: int) -> None:
        """Replace the machine by one with an empty disk."""
        if self._client is None:
            return
        async with self._turn(self._client, key) as client:
            await client.call("DELETE", f"/servers/{key}")
            await self._put(client, key)

    async def destroy(self, key: int) -> None:
        """Take the machine away."""
        if self._client is None:
            return
        async with self._turn(self._client, key) as client:
            await client.call("DELETE", f"/servers/{key}")
        self._locks.pop(key, None)

    async def fault(self, method: str, body: dict[str, Any] | None = None) -> Any:
        """List, plan or clear faults of machines."""
        if self._client is None:
            raise ActionFailed("unsupported_error", "there are no machines in this lab")
        return await self._client.call(method, "/faults", body)

    async def _put(self, client: NodeClient, key: int) -> None:
        server = self._store.get("server", key)
        if server is not None:
            await client.call("PUT", f"/servers/{key}", self._describe(server))

    def _adopt(self, key: int, seen: Any) -> None:
        server = self._store.get("server", key)
        if server is None or not isinstance(seen, dict) or seen.get("power") not in ("on", "off"):
            return
        if server["power"] != seen["power"]:
            server["power"] = seen["power"]
            self._changed()

    async def refresh(self) -> None:
        """Learn the power of all machines, unless that is known well enough."""
        if self._client is None or time.monotonic() - self._refreshed < FRESH_SECONDS:
            return
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._refresh(self._client))
        await asyncio.shield(self._refreshing)

    async def _refresh(self, client: NodeClient) -> None:
        before = dict(self._touched)
        try:
            machines = await client.call("GET", "/servers", patience=0)
        except ActionFailed as error:
            if not self._complained:
                print(f"hetzner: power status unknown: {error.message}", file=sys.stderr)
            self._complained = True
            return
        finally:
            self._refreshed = time.monotonic()
        self._complained = False
        for seen in machines or []:
            key = seen["id"]
            server = self._store.get("server", key)
            quiet = before.get(key, 0) == self._touched[key] and self._touched[key] % 2 == 0
            if server is not None and quiet and not server["transition"]:
                self._adopt(key, seen)

    async def reconcile(self) -> None:
        """After a start: hand all servers over, take away machines that nobody owns any more."""
        client = self._client
        if client is None:
            return
        while True:
            try:
                machines = await client.call("GET", "/servers") or []
                break
            except NodeUnreachable as error:
                print(f"hetzner: {error.message}", file=sys.stderr)
        for key in [m["id"] for m in machines if self._store.get("server", m["id"]) is None]:
            await self.destroy(key)
        servers = [server["id"] for server in self._store.all("server")]
        results = await asyncio.gather(*map(self.apply, servers), return_exceptions=True)
        for key, result in zip(servers, results, strict=True):
            if isinstance(result, ActionFailed):
                print(f"hetzner: server {key}: {result.message}", file=sys.stderr)
        self.synced = True

    def close(self) -> None:
        """Stop speaking to the daemon."""
        if self._client is not None:
            self._client.close()
