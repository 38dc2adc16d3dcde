"""The installation: virtualenv, tools, the project's own executables, the language host."""

from __future__ import annotations

import fcntl
import platform
from collections.abc import Iterator
from contextlib import contextmanager

from lab import paths
from lab.tools import hosts, on_path, stamps, virtualenv
from lab.tools.build import build, recipe, remove_leftovers
from lab.tools.catalog import Executable, Tool, catalog
from lab.tools.errors import InstallError
from lab.tools.progress import Progress


def install(only: set[str] | None = None) -> None:
    """Installs what is missing or made from older sources, with a line per step.

    Args:
        only: names of the steps to look at: `virtualenv` and the tools'; None for all.

    Raises:
        InstallError: names what could not be installed, why, and the way out.
    """
    if platform.system() != "Linux":
        raise InstallError(
            f"the lab needs Linux, where every address of 127.0.0.0/8 is local; this is "
            f"{platform.system()}. In a Linux virtual machine or container it works"
        )
    progress = Progress()
    paths.BIN.mkdir(parents=True, exist_ok=True)
    with _alone(progress):
        if only is None or "virtualenv" in only:
            virtualenv.install(progress)
        for tool in catalog():
            if only is None or tool.name in only:
                _install(tool, progress)
        hosts.install()
    progress.total()


@contextmanager
def _alone(progress: Progress) -> Iterator[None]:
    """Keeps a second installation into the same checkout waiting."""
    with (paths.LAB / "install.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.note("another installation is at work here; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        remove_leftovers()
        yield


def _install(tool: Tool, progress: Progress) -> None:
    made_from = _made_from(tool)
    if stamps.is_current(tool.name, made_from, [one.file for one in tool.executables]):
        return
    missing: list[Executable] = []
    for one in tool.executables:
        found = on_path.find(one)
        if found is None:
            missing.append(one)
        else:
            one.file.parent.mkdir(parents=True, exist_ok=True)
            one.file.unlink(missing_ok=True)
            one.file.symlink_to(found)
            progress.note(f"{one.file.name}: {found} from PATH")
    if missing:
        label = f"{tool.name} {tool.version}".strip()
        with progress.step(f"building {label}"):
            build(tool, missing, paths.LOG / f"{tool.name}.log")
    stamps.record(tool.name, made_from)


def _made_from(tool: Tool) -> str:
    parts: list[str | bytes] = list(recipe(tool, tool.executables))
    if tool.own:
        return stamps.digest([*parts, stamps.source_digest(tool.module)])
    pins = [(tool.module / name).read_bytes() for name in ("go.mod", "go.sum")]
    return stamps.digest([*parts, *pins])
