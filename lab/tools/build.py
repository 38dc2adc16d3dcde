"""Builds the executables of a Go module."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from lab import paths
from lab.tools.catalog import Executable, Tool
from lab.tools.errors import InstallError

NEEDED_GO = (1, 26)
"""Go release that the pinned modules need."""

_PREFIX = "build-"

GO_ENVIRONMENT = {
    "GOFLAGS": "-mod=readonly -trimpath -buildvcs=false",
    "CGO_ENABLED": "0",
    "GOWORK": "off",
}
"""How the lab's Go code is built, so that packages that were compiled once are found again."""


def recipe(tool: Tool, executables: list[Executable]) -> list[str]:
    """Returns the go command without the output directory: the same text, the same product."""
    values = "".join(f" -X {name}={value}" for name, value in sorted(tool.stamp.items()))
    return ["build", "-ldflags", f"-s -w{values}", *(one.package for one in executables)]


def build(tool: Tool, executables: list[Executable], log: Path) -> None:
    """Builds and installs the executables; a failed build leaves the old ones in place.

    Args:
        tool: the module.
        executables: which of its executables.
        log: gets the output of the compiler.

    Raises:
        InstallError: no fit Go, or the build failed.
    """
    _require_go(tool)
    paths.LAB.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=paths.LAB, prefix=_PREFIX) as folder:
        command, *rest = recipe(tool, executables)
        result = _go([command, "-o", f"{folder}/", *rest], tool.module, log)
        if result != 0:
            raise InstallError(
                f"{tool.name} could not be built: {_reason(log)} (see {_short(log)})"
            )
        built = {file.name: file for file in Path(folder).iterdir()}
        for one in executables:
            one.file.parent.mkdir(parents=True, exist_ok=True)
            built[_built_name(one, tool, built)].replace(one.file)


def remove_leftovers() -> None:
    """Removes what killed builds left; nobody else may be building."""
    for folder in paths.LAB.glob(f"{_PREFIX}*"):
        shutil.rmtree(folder, ignore_errors=True)


def _built_name(one: Executable, tool: Tool, built: dict[str, Path]) -> str:
    # `go build` names the file after the package's last element that is no major version, or after the module.
    last = next(
        part for part in reversed(one.package.split("/")) if not re.fullmatch(r"v\d+", part)
    )
    for name in (one.file.name, last):
        if name in built:
            return name
    if len(built) == 1:
        return next(iter(built))
    raise InstallError(f"{tool.name}: {one.package} built nothing named {one.file.name}")


def _go(arguments: list[str], module: Path, log: Path) -> int:
    env = {**os.environ, **GO_ENVIRONMENT}
    with log.open("w") as output:
        return subprocess.run(
            ["go", *arguments],
            cwd=module,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        ).returncode


def _require_go(tool: Tool) -> None:
    needed = ".".join(map(str, NEEDED_GO))
    hint = f"install Go {needed} or newer (https://go.dev/dl)"
    if not tool.own:
        hint += f", or put a fit {tool.name} on PATH"
    if shutil.which("go") is None:
        raise InstallError(f"{tool.name} has to be built and there is no Go on PATH: {hint}")
    output = subprocess.run(
        ["go", "version"], cwd=tool.module, capture_output=True, text=True, check=False
    ).stdout
    found = re.search(r"go(\d+)\.(\d+)", output)
    if found is None or (int(found[1]), int(found[2])) < NEEDED_GO:
        raise InstallError(
            f"{tool.name} needs Go {needed}, found {output.strip() or 'none'}: {hint}"
        )


def _reason(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    told = [line for line in lines if line and not line.startswith(("go: downloading", "#"))]
    return told[0] if told else "the compiler said nothing"


def _short(log: Path) -> str:
    return str(log.relative_to(paths.ROOT)) if log.is_relative_to(paths.ROOT) else str(log)
