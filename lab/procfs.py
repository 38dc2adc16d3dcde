"""Looks at processes through /proc."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """A running process."""

    pid: int
    parent: int
    group: int
    session: int
    started: str
    """Start time in clock ticks with the boot's id: with the pid, it names one process for good."""

    @property
    def command(self) -> list[str]:
        """The command line; empty when the process is gone or is not ours to look at."""
        text = _read(_PROC / str(self.pid) / "cmdline")
        return text.rstrip("\0").split("\0") if text else []

    @property
    def executable(self) -> str:
        """The file that it runs; empty when that cannot be told."""
        try:
            return os.readlink(_PROC / str(self.pid) / "exe")
        except OSError:
            return ""

    @property
    def environment(self) -> dict[str, str]:
        """The environment that it was started with."""
        text = _read(_PROC / str(self.pid) / "environ")
        return dict(item.partition("=")[::2] for item in text.split("\0") if item)


def look(pid: int) -> Process | None:
    """Returns the process with this pid, None when there is none or only its remains."""
    text = _read(_PROC / str(pid) / "stat")
    if not text:
        return None
    # The second field is the command in parentheses and may hold spaces.
    fields = text.rpartition(")")[2].split()
    if fields[0] in "ZX":
        return None
    boot = _read(_PROC / "sys/kernel/random/boot_id").strip()
    return Process(
        pid=pid,
        parent=int(fields[1]),
        group=int(fields[2]),
        session=int(fields[3]),
        started=f"{fields[19]}@{boot}",
    )


def everything() -> Iterator[Process]:
    """Yields all processes."""
    for entry in os.listdir(_PROC):
        if entry.isdecimal() and (process := look(int(entry))):
            yield process


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError:
        return ""
