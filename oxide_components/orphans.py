"""Ends provider plugins that outlived a killed engine: whatever they still do would race the next run."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

GRACE = 5.0
"""Seconds that a plugin gets to end by itself."""

_PROC = Path("/proc")

_ONE_LINE = str.maketrans("\0\n", "  ")

_PLUGIN = re.compile(
    r"^\s*(?P<pid>\d+)\s+.*?(?P<name>pulumi-resource-[\w.-]+|pulumi\.dynamic)\s.*?"
    r"(?P<host>127\.0\.0\.1|\[::1\]):(?P<port>\d+)",
)


@dataclass(frozen=True)
class Plugin:
    """A running provider plugin and the engine it was started by."""

    pid: int
    name: str
    engine: tuple[str, int]


def plugins(processes: str) -> list[Plugin]:
    """Provider plugins among lines of id and command: each names its engine's address."""
    return [
        Plugin(
            pid=int(found["pid"]),
            name=found["name"],
            engine=(found["host"].strip("[]"), int(found["port"])),
        )
        for line in processes.splitlines()
        if (found := _PLUGIN.match(line))
    ]


def end_orphans() -> list[str]:
    """End the plugins whose engine is gone and return what they were. A plugin of a living engine is left alone."""
    orphans = [
        plugin
        for plugin in plugins(_processes())
        if _shares_network(plugin.pid) and _is_gone(plugin.engine)
    ]
    for number in (signal.SIGTERM, signal.SIGKILL):
        for plugin in orphans:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(plugin.pid, number)
        end = time.monotonic() + GRACE
        while any(_runs(plugin.pid) for plugin in orphans) and time.monotonic() < end:
            time.sleep(0.1)
    return [f"{plugin.name} (pid {plugin.pid})" for plugin in orphans]


def _processes() -> str:
    """A line for each process: its id and its command, whole."""
    if _PROC.is_dir():
        return "\n".join(
            f"{entry.name} {_command(entry)}" for entry in _PROC.iterdir() if entry.name.isdecimal()
        )
    try:
        # Without -ww the lines are cut, and the engine's address with them.
        return subprocess.run(
            ["ps", "-axww", "-o", "pid=,command="], check=True, capture_output=True, text=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        # Then nobody can be told apart; the plugins end by themselves within minutes.
        return ""


def _command(entry: Path) -> str:
    try:
        return (entry / "cmdline").read_text(errors="replace").translate(_ONE_LINE)
    except OSError:
        return ""


def _shares_network(pid: int) -> bool:
    """Whether the process sees the same loopback: one in a container has its engine on another."""
    try:
        return os.readlink(f"/proc/{pid}/ns/net") == os.readlink("/proc/self/ns/net")
    except OSError:
        # No /proc, so no containers either; or a process that is not ours to end.
        return not _PROC.is_dir()


def _is_gone(engine: tuple[str, int]) -> bool:
    try:
        socket.create_connection(engine, timeout=2).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True
