"""All objects of the project, in memory, and the JSON text that survives a restart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from lab.hetzner.errors import not_found, not_unique

Record = dict[str, Any]
"""One object as stored: plain JSON values, references as ids, nothing derived."""

FIRST_IDS = {
    # Fixed by the lab: the low 16 bits of a server's id are its machine's address.
    "server": 1001,
    # Far apart, so that an id of one kind is never one of another by luck.
    "network": 4_000_001,
    "firewall": 1_000_001,
    "placement_group": 200_001,
    "primary_ip": 30_000_001,
    "floating_ip": 600_001,
    "load_balancer": 2_000_001,
    "volume": 10_000_001,
    "ssh_key": 20_000_001,
    "certificate": 800_001,
    "image": 100_000_001,
    "action": 500_000_001,
}


class Store:
    """The objects by kind and id. Ids are never used twice.

    All methods are synchronous and run on the event loop, so a caller that does not await between
    reading and writing sees and leaves a consistent project.
    """

    def __init__(self) -> None:
        self._objects: dict[str, dict[int, Record]] = {kind: {} for kind in FIRST_IDS}
        self._next = dict(FIRST_IDS)
        self.counters: dict[str, int] = {}
        """Where the address pools stand."""

    def add(self, kind: str, record: Record) -> Record:
        """Keep a new object under a new id."""
        record = {"id": self._next[kind], **record}
        self._next[kind] += 1
        self._objects[kind][record["id"]] = record
        return record

    def get(self, kind: str, key: int) -> Record | None:
        """The object, or None."""
        return self._objects[kind].get(key)

    def find(self, kind: str, key: int) -> Record:
        """The object.

        Raises:
            ApiError: not_found.
        """
        record = self.get(kind, key)
        if record is None:
            raise not_found(kind, key)
        return record

    def all(self, kind: str) -> list[Record]:
        """All objects of the kind, oldest first."""
        return list(self._objects[kind].values())

    def where(self, kind: str, **values: Any) -> Iterator[Record]:
        """The objects whose fields have exactly these values."""
        for record in self.all(kind):
            if all(record.get(name) == value for name, value in values.items()):
                yield record

    def named(self, kind: str, reference: str) -> Record | None:
        """The object with this name, else the one with this id."""
        by_name = next(self.where(kind, name=reference), None)
        if by_name is None and reference.isdecimal():
            return self.get(kind, int(reference))
        return by_name

    def remove(self, kind: str, key: int) -> None:
        """Forget the object."""
        self._objects[kind].pop(key, None)

    def require_free_name(self, kind: str, name: str | None, but: int = 0) -> None:
        """Raise `uniqueness_error` if another object than `but` has the name."""
        for record in self._objects[kind].values():
            if name is not None and record["name"] == name and record["id"] != but:
                raise not_unique(kind, "name")

    def counts(self) -> dict[str, int]:
        """How many objects of each kind there are."""
        return {kind: len(records) for kind, records in self._objects.items()}

    def dump(self) -> str:
        """The project as JSON. It holds user data, which is secret."""
        objects = {kind: list(records.values()) for kind, records in self._objects.items()}
        return json.dumps({"version": 1, "next": self._next, "counters": self.counters, **objects})

    def load(self, text: str) -> None:
        """Take over what `dump` returned.

        Raises:
            ValueError: the text is not a project's state.
        """
        try:
            state = json.loads(text)
            saved = state["next"]
            self._next = {kind: int(saved.get(kind, first)) for kind, first in FIRST_IDS.items()}
            self.counters = {name: int(value) for name, value in state["counters"].items()}
            self._objects = {kind: {r["id"]: r for r in state.get(kind, [])} for kind in FIRST_IDS}
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a state of the Hetzner emulator: {error}") from None
