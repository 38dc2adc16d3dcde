"""Actions: the API's records of what is being done, and the doing."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from lab.hetzner.store import Record, Store

Subject = tuple[str, int]
"""Kind and id of an object that an action is about."""

KEPT = 2000
"""Finished actions that stay in the state."""

_NOT_REPEATED = {"stop_server", "shutdown_server", "reboot_server", "reset_server"}


class ActionFailed(Exception):
    """The work of an action could not be done."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def now() -> str:
    """The time as the API writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class ActionBoard:
    """Starts actions, runs their work on the event loop and keeps the records.

    Args:
        store: where the records go.
        seconds: how long a server creation takes; an action's `share` scales it.
        changed: called after each background change, so that it gets saved.
    """

    def __init__(self, store: Store, seconds: float, changed: Callable[[], None]) -> None:
        self._store = store
        self._seconds = seconds
        self._changed = changed
        self._held: Counter[Subject] = Counter()
        self._clock: dict[int, tuple[float, float]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def is_held(self, kind: str, key: int) -> bool:
        """Whether an unfinished action holds the object."""
        return self._held[kind, key] > 0

    def begin(
        self,
        command: str,
        subjects: Sequence[Subject],
        *,
        share: float = 0.0,
        work: Callable[[], Awaitable[object]] | None = None,
        then: Callable[[], object] | None = None,
        holds: Iterable[Subject] = (),
        transition: tuple[Record, str] | None = None,
        next_command: str = "",
        failure: ActionFailed | None = None,
    ) -> list[Record]:
        """Start an action.

        Args:
            command: the API's name of it.
            subjects: the objects it is about.
            share: its length relative to a server creation.
            work: what it does. Default: nothing.
            then: runs right before it succeeds.
            holds: objects that count as held until it is finished.
            transition: an object and the status that it shows until it is finished.
            next_command: name of a second action, which ends when and as this one ends.
            failure: end with this error instead of doing anything.

        Returns:
            The records of the action and of the next one, finished already if there is nothing
            to wait for.
        """
        commands = [command, *([next_command] if next_command else [])]
        records = [self._new(name, subjects) for name in commands]
        record = records[0]
        seconds = share * self._seconds
        if work is None and seconds == 0:
            self._end(records, failure, then)
            return records
        held = list(holds)
        self._held.update(held)
        if transition:
            transition[0]["transition"] = transition[1]
        self._clock[record["id"]] = (time.monotonic(), seconds)

        async def run() -> None:
            error = failure
            try:
                started = time.monotonic()
                if work is not None and error is None:
                    await work()
                await asyncio.sleep(max(0.0, seconds - (time.monotonic() - started)))
            except ActionFailed as problem:
                error = problem
            except Exception as problem:
                print(f"hetzner: {command} failed: {problem!r}", file=sys.stderr)
                error = ActionFailed("server_error", "the action could not be carried out")
            self._held.subtract(held)
            if transition:
                transition[0]["transition"] = None
            self._clock.pop(record["id"], None)
            self._end(records, error, then)
            self._changed()

        task = asyncio.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return records

    def _new(self, command: str, subjects: Sequence[Subject]) -> Record:
        return self._store.add(
            "action",
            {
                "command": command,
                "status": "running",
                "progress": 0,
                "started": now(),
                "finished": None,
                "resources": [{"id": key, "type": kind} for kind, key in subjects],
                "error": None,
            },
        )

    def _end(
        self,
        records: Sequence[Record],
        error: ActionFailed | None,
        then: Callable[[], object] | None,
    ) -> None:
        if error is None and then is not None:
            then()
        for record in records:
            record["finished"] = now()
            record["status"] = "error" if error else "success"
            record["progress"] = 100
            record["error"] = {"code": error.code, "message": error.message} if error else None
        self._prune()

    def _prune(self) -> None:
        finished = [a["id"] for a in self._store.all("action") if a["status"] != "running"]
        if len(finished) > KEPT + 500:
            for key in finished[:-KEPT]:
                self._store.remove("action", key)

    def view(self, record: Record) -> dict[str, Any]:
        """The action as the API shows it."""
        began, seconds = self._clock.get(record["id"], (0.0, 0.0))
        if record["status"] == "running" and seconds:
            done = min(95, int(100 * (time.monotonic() - began) / seconds))
            return {**record, "progress": done}
        return dict(record)

    def settle_interrupted(self) -> None:
        """End what was running when the state was saved.

        What the objects say is put in force anew at start-up, so such actions did succeed; a power
        cycle that was cut off did not.
        """
        for record in self._store.where("action", status="running"):
            lost = record["command"] in _NOT_REPEATED
            failure = ActionFailed("action_failed", "interrupted by a restart") if lost else None
            self._end([record], failure, None)

    async def stop(self) -> None:
        """Cancel what is running; its records stay unfinished."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
