"""Finds fit tools on PATH."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from lab import paths
from lab.tools.catalog import Executable, parse_version


def find(one: Executable) -> Path | None:
    """Returns a program on PATH that serves as well as the one that would be built, or None."""
    if not one.version_arguments:
        return None
    elsewhere = [
        folder
        for folder in os.environ.get("PATH", "").split(os.pathsep)
        if folder and Path(folder).resolve() != paths.BIN
    ]
    found = shutil.which(one.file.name, path=os.pathsep.join(elsewhere))
    if found is None:
        return None
    program = Path(found).resolve()
    if not all((program.parent / name).exists() for name in one.beside):
        return None
    version = parse_version(_ask(program, one.version_arguments))
    return program if version is not None and one.fits(version) else None


def _ask(program: Path, arguments: tuple[str, ...]) -> str:
    try:
        result = subprocess.run(
            [str(program), *arguments],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout
