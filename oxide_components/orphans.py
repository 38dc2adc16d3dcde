"""Ends provider plugins that outlived a killed engine: whatever they still do would race the next run."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from dataclasses import dataclass

GRACE = 5.0
"""Seconds that a plugin gets to end by itself."""

_PLUGIN = re.compile(
    r"^\s*(?P<pid>\d+)\s+.*?(?P<name>pulumi-resource-[\w.-]+|pulumi\.dynamic|lab/host/dynamic\.py)\s.*?"
    r"(?P<host>127\.0\.0\.1|\[::1\]):(?P<port>\d+)",
)


@dataclass(frozen=True)
class Plugin:
    """A running provider plugin and the engine it was started by."""

    pid: int
    name: str
    engine: tuple[str, int]


def plugins(processes: str) -> list[Plugin]:
    """Provider plugins in the output of `ps -axww -o pid=,command=`: each names its engine's address."""
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
    try:
        return subprocess.run(
            ["ps", "-axww", "-o", "pid=,command="], check=True, capture_output=True, text=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        # Without ps nobody can be told apart; the plugins end by themselves within minutes.
        return ""


def _shares_network(pid: int) -> bool:
    """Whether the process sees the same loopback: one in a container has its engine on another."""
    try:
        return os.readlink(f"/proc/{pid}/ns/net") == os.readlink("/proc/self/ns/net")
    except OSError:
        # No /proc, so no containers either; or a process that is not ours to end.
        return not os.path.exists("/proc/self")


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
