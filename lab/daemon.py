"""One background process of a lab instance."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lab import procfs
from lab.errors import LabError

START_SECONDS = 60.0
"""How long a daemon may take until it answers."""

STOP_SECONDS = 15.0
"""How long an asked daemon may take to end before it is killed."""


@dataclass
class Daemon:
    """A process in a session of its own, known by its pid file."""

    name: str
    command: list[str]
    health: str
    """URL that answers 200 when the daemon is ready."""
    directory: Path
    """Where NAME.pid and NAME.log lie."""
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None

    @property
    def log(self) -> Path:
        """What the daemon writes."""
        return self.directory / f"{self.name}.log"

    def running(self) -> procfs.Process | None:
        """Returns the daemon's process; a recycled pid is not mistaken for it."""
        try:
            noted = json.loads(self._pid_file.read_text())
        except (OSError, ValueError):
            return None
        process = procfs.look(noted["pid"])
        return process if process and process.started == noted["started"] else None

    def start(self) -> None:
        """Starts the daemon where it does not run and waits until it answers.

        Raises:
            LabError: it ended or does not answer; with the last lines of its log.
        """
        if self.running() is None:
            self._spawn()
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            if self.running() is None:
                raise LabError(f"{self.name} ended at its start:\n{self._tail()}")
            if time.monotonic() > deadline:
                raise LabError(
                    f"{self.name} does not answer at {self.health} after {START_SECONDS:.0f} s:\n"
                    f"{self._tail()}"
                )
            time.sleep(0.05)

    def answers(self) -> bool:
        """Tells whether the daemon is ready."""
        try:
            with _opener.open(self.health, timeout=2) as response:
                return bool(response.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def stop(self) -> bool:
        """Ends the daemon and all that it started; tells whether it had been running."""
        process = self.running()
        if process is not None:
            _signal(process.pid, signal.SIGTERM)
            deadline = time.monotonic() + STOP_SECONDS
            while self.running() is not None and time.monotonic() < deadline:
                time.sleep(0.05)
            # The session outlives a daemon that was killed: its own children are still in it.
            for member in procfs.everything():
                if member.session == process.pid:
                    _signal(member.pid, signal.SIGKILL)
            if (child := _children.pop(process.pid, None)) is not None:
                child.wait()
        self._pid_file.unlink(missing_ok=True)
        return process is not None

    @property
    def _pid_file(self) -> Path:
        return self.directory / f"{self.name}.pid"

    def _spawn(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as output:
            try:
                child = subprocess.Popen(
                    self.command,
                    cwd=self.cwd,
                    env={**os.environ, **self.env},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                raise LabError(
                    f"{self.name} cannot be started: {error.strerror}: {self.command[0]} "
                    "(make install puts it there)"
                ) from None
        process = procfs.look(child.pid)
        if process is not None:
            noted = {"pid": process.pid, "started": process.started}
            self._pid_file.write_text(json.dumps(noted))
        _children[child.pid] = child

    def _tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        shown = "\n".join(f"  {line}" for line in lines[-8:]) or "  (its log is empty)"
        return f"{shown}\n  log: {self.log}"


_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

_children: dict[int, subprocess.Popen[bytes]] = {}
"""Daemons that this very process started: somebody has to collect their exit codes."""


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
