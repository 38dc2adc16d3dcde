"""Writing the state to disk: atomically, readable by the owner only, many changes in one write."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path


def write_private(path: Path, text: str) -> None:
    """Replace the file's content in one step, with mode 0600."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        os.fchmod(descriptor, 0o600)
        file.write(text)
    draft.replace(path)


class StateFile:
    """Keeps a file up to date with what `render` returns.

    Args:
        path: the file; None keeps nothing.
        render: the current content.
    """

    def __init__(self, path: Path | None, render: Callable[[], str]) -> None:
        self._path = path
        self._render = render
        self._wanted = 0
        self._written = 0
        self._writer: asyncio.Task[None] | None = None

    def touch(self) -> None:
        """Note a change; it is written soon, together with others."""
        if self._path is None:
            return
        self._wanted += 1
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write(self._path))
            self._writer.add_done_callback(_report)

    async def flush(self) -> None:
        """Return when every change made so far is in the file; concurrent callers share a write.

        Raises:
            OSError: the file cannot be written.
        """
        self.touch()
        ticket = self._wanted
        while self._writer is not None and self._written < ticket:
            await asyncio.shield(self._writer)

    async def _write(self, path: Path) -> None:
        while self._written < self._wanted:
            covered = self._wanted
            await asyncio.to_thread(write_private, path, self._render())
            self._written = covered


def _report(writer: asyncio.Task[None]) -> None:
    if not writer.cancelled() and (error := writer.exception()):
        print(f"hetzner: state not saved: {error}", file=sys.stderr)
