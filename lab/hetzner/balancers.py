"""Keeps the load balancers of the machine daemon as their records say, and learns their health from it."""

from __future__ import annotations

import asyncio
import copy
import sys
import time
from typing import Any

from lab.hetzner.actions import ActionFailed
from lab.hetzner.labels import parse_selector
from lab.hetzner.node_client import NodeClient
from lab.hetzner.store import Record, Store

FRESH_SECONDS = 0.2
"""How old a known health may be."""

UNKNOWN = "unknown"


def selected(store: Store, target: Record) -> list[int]:
    """Ids of the servers that a label selector target stands for."""
    matches = parse_selector(target["label_selector"]["selector"])
    return [server["id"] for server in store.all("server") if matches(server["labels"])]


def _destinations(store: Store, balancer: Record) -> list[Record]:
    found: list[Record] = []
    for target in balancer["targets"]:
        if target["type"] == "ip":
            wanted = [{"ip": target["ip"]["ip"]}]
        else:
            servers = (
                [target["server"]["id"]] if target["type"] == "server" else selected(store, target)
            )
            wanted = [{"server": key, "private": target["use_private_ip"]} for key in servers]
        found += [one for one in wanted if one not in found]
    return found


def spec_of(store: Store, balancer: Record) -> dict[str, Any]:
    """The load balancer in the words of the machine daemon."""
    return {
        "id": balancer["id"],
        "name": balancer["name"],
        "public_ipv4": balancer["ipv4"] if balancer["public"] else "",
        "private": [
            {"network_id": attachment["network"], "ip": attachment["ip"]}
            for attachment in balancer["private_net"]
        ],
        "algorithm": balancer["algorithm"],
        "services": balancer["services"],
        "targets": _destinations(store, balancer),
    }


class Balancers:
    """What carries the traffic of the project's load balancers.

    Args:
        store: holds the load balancers and the servers that their label selectors choose.
        client: speaks to the daemon; None: no traffic flows and nobody's health is known.
    """

    def __init__(self, store: Store, client: NodeClient | None) -> None:
        self._store = store
        self._client = client
        self._sent: dict[int, dict[str, Any]] = {}
        self._turn = asyncio.Lock()
        self._running: asyncio.Task[None] | None = None
        self._again = False
        self._health: dict[tuple[int, int | str, bool], dict[str, str]] = {}
        self._refreshed = 0.0

    def touch(self) -> None:
        """Note that the objects may have changed; the daemon learns it soon."""
        if self._client is None:
            return
        self._again = True
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        while self._again:
            self._again = False
            try:
                await self.sync()
            except ActionFailed as error:
                print(f"hetzner: load balancers: {error.message}", file=sys.stderr)

    async def sync(self) -> None:
        """Hand over what differs from what the daemon was told last.

        Raises:
            ActionFailed: the daemon cannot be reached or refuses.
        """
        if self._client is None:
            return
        async with self._turn:
            wanted = {
                balancer["id"]: spec_of(self._store, balancer)
                for balancer in self._store.all("load_balancer")
            }
            for key in [key for key in self._sent if key not in wanted]:
                await self._client.call("DELETE", f"/load_balancers/{key}")
                del self._sent[key]
            for key, spec in wanted.items():
                if self._sent.get(key) != spec:
                    await self._client.call("PUT", f"/load_balancers/{key}", spec)
                    # The lists inside belong to the records, which go on changing.
                    self._sent[key] = copy.deepcopy(spec)

    async def reconcile(self) -> None:
        """After a start: take over what the daemon kept, and remove what nobody owns."""
        if self._client is None:
            return
        try:
            kept = await self._client.call("GET", "/load_balancers") or []
            self._sent = {one["id"]: {} for one in kept} | self._sent
            await self.sync()
        except ActionFailed as error:
            print(f"hetzner: load balancers: {error.message}", file=sys.stderr)

    async def refresh(self) -> None:
        """Learn the health of all targets, unless that is known well enough."""
        if self._client is None or time.monotonic() - self._refreshed < FRESH_SECONDS:
            return
        try:
            statuses = await self._client.call("GET", "/load_balancers", patience=0)
        except ActionFailed:
            statuses = []
        self._refreshed = time.monotonic()
        self._health = {
            (status["id"], one.get("ip") or one["server"], one.get("private", False)): one["health"]
            for status in statuses or []
            for one in status["targets"]
        }

    def health(self, balancer: Record, where: int | str, private: bool) -> list[dict[str, Any]]:
        """The health of a target, by the load balancer's listening ports.

        Args:
            balancer: whose target it is.
            where: id of the server, or the address of an IP target.
            private: whether the private address is meant.
        """
        known = self._health.get((balancer["id"], where, private), {})
        return [
            {
                "listen_port": service["listen_port"],
                "status": known.get(str(service["listen_port"]), UNKNOWN),
            }
            for service in balancer["services"]
        ]
