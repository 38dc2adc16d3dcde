"""One line per step, with the time it took."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Progress:
    """Writes the steps of an installation; says nothing where nothing was to be done."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self.steps = 0
        """Steps that did something."""

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Announces a step and adds its duration when it is done."""
        self.steps += 1
        started = time.monotonic()
        self._write(f"  {text:<44}", end="")
        try:
            yield
        except BaseException:
            self._write("failed")
            raise
        self._write(duration(time.monotonic() - started))

    def note(self, text: str) -> None:
        """Writes one line."""
        self._write(f"  {text}")

    def total(self) -> None:
        """Writes how long everything took, where there was anything to do."""
        if self.steps:
            self._write(f"  installed in {duration(time.monotonic() - self._started)}")

    @staticmethod
    def _write(text: str, end: str = "\n") -> None:
        # Not on standard output: `make -s env` is evaluated by a shell.
        print(text, end=end, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Writes seconds as people do: 0.4 s, 12 s, 2:05 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{int(seconds // 60)}:{int(seconds % 60):02} min"
