"""Ends what a killed Pulumi engine left running."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path

from lab import procfs

_GRACE = 3.0
"""Seconds between asking and killing."""


def find(home: Path) -> list[procfs.Process]:
    """Returns the engine's helpers that run for `home` although their engine is gone.

    Helpers are provider plugins, language hosts, programs and the talosctl that a plugin started.
    What a person runs in a shell of the lab's environment is none of them.

    Args:
        home: PULUMI_HOME of the instance.
    """
    processes = {process.pid: process for process in procfs.everything()}
    return [
        process
        for process in processes.values()
        if process.environment.get("PULUMI_HOME") == str(home)
        and _is_helper(process, processes)
        and not _has_engine(process, processes)
    ]


def end(home: Path) -> list[str]:
    """Ends the orphans of `home` and returns what they were."""
    orphans = find(home)
    told = [f"{_title(process)} (pid {process.pid})" for process in orphans]
    for number in (signal.SIGINT, signal.SIGKILL):
        for process in orphans:
            if _alive(process):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, number)
        deadline = time.monotonic() + _GRACE
        while any(map(_alive, orphans)) and time.monotonic() < deadline:
            time.sleep(0.05)
    return told


def _is_helper(process: procfs.Process, processes: Mapping[int, procfs.Process]) -> bool:
    if _is_engines_own(process):
        return True
    if _program(process) != "talosctl":
        return False
    # A shell makes each command the leader of its group and outlives it; one that a plugin started
    # sits in the plugin's group or hangs under it.
    leader = processes.get(process.group)
    return leader is None or any(map(_is_engines_own, (leader, *_ancestors(process, processes))))


def _is_engines_own(process: procfs.Process) -> bool:
    name = _program(process)
    if name.startswith(("pulumi-resource-", "pulumi-language-")):
        return True
    command = " ".join(process.command)
    ours = ("lab/host/language.py", "lab/host/program.py", "lab/host/dynamic.py")
    official = ("pulumi.dynamic", "pulumi.run.plugin", "pulumi-language-python-exec")
    return name.startswith("python") and any(mark in command for mark in (*ours, *official))


def _program(process: procfs.Process) -> str:
    return Path((process.command or [process.executable])[0]).name


def _title(process: procfs.Process) -> str:
    """What a person knows the process as: for Python, the script or module that it runs."""
    name = _program(process)
    if not name.startswith("python"):
        return name
    arguments = [one for one in process.command[1:] if not one.startswith("-")]
    return Path(arguments[0]).name if arguments else name


def _has_engine(process: procfs.Process, processes: Mapping[int, procfs.Process]) -> bool:
    return any(_program(one) == "pulumi" for one in _ancestors(process, processes))


def _ancestors(
    process: procfs.Process, processes: Mapping[int, procfs.Process]
) -> list[procfs.Process]:
    found = []
    current = processes.get(process.parent)
    while current is not None and current.pid > 1:
        found.append(current)
        current = processes.get(current.parent)
    return found


def _alive(process: procfs.Process) -> bool:
    now = procfs.look(process.pid)
    return now is not None and now.started == process.started
