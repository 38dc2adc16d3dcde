"""Child processes of the language host, and their orderly end."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

GRACE = 5.0
"""Seconds that an interrupted child gets before it is killed."""


class Children:
    """The running programs and plugins."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._interrupted: set[int] = set()
        self._lock = threading.Lock()
        self._ending = False

    def start(
        self,
        command: list[str],
        *,
        env: Mapping[str, str],
        cwd: str | Path | None = None,
        stdout: Any = None,
        stderr: Any = None,
    ) -> subprocess.Popen[bytes]:
        """Starts a child; without `stdout` and `stderr` it writes to the host's own."""
        with self._lock:
            child = subprocess.Popen(
                command,
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
            )
            self._running.add(child)
            ending = self._ending
        if ending:
            self.interrupt(child)
        return child

    def wait(self, child: subprocess.Popen[bytes]) -> int:
        """Waits for the child and returns its exit code, -1 where a signal ended it."""
        try:
            return max(child.wait(), -1)
        finally:
            with self._lock:
                self._running.discard(child)

    def interrupt(self, child: subprocess.Popen[bytes]) -> None:
        """Asks the child to end, once; kills it when it has not after the grace period."""
        with self._lock:
            if child.pid in self._interrupted or child.poll() is not None:
                return
            self._interrupted.add(child.pid)
        child.send_signal(signal.SIGINT)
        timer = threading.Timer(GRACE, _kill, [child])
        timer.daemon = True
        timer.start()

    def interrupt_all(self) -> None:
        """Asks every child to end, also those that start from now on."""
        with self._lock:
            self._ending = True
            running = list(self._running)
        for child in running:
            self.interrupt(child)

    def end_all(self) -> None:
        """Ends every child and returns when they have ended."""
        self.interrupt_all()
        with self._lock:
            running = list(self._running)
        for child in running:
            try:
                child.wait(GRACE)
            except subprocess.TimeoutExpired:
                _kill(child)


def _kill(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.kill()
