"""Makes the project's virtualenv."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from lab import paths
from lab.tools import stamps
from lab.tools.errors import InstallError
from lab.tools.progress import Progress

NEEDED_PYTHON = (3, 11)
"""Oldest Python release that serves."""

_STAMP = "virtualenv"


def install(progress: Progress) -> None:
    """Makes `.venv` with the project and everything that its lab and tests need.

    Raises:
        InstallError: Python is too old, or pip failed.
    """
    made_from = stamps.digest(
        [
            str(paths.VENV),
            *((paths.ROOT / name).read_bytes() for name in ("pyproject.toml", "requirements.txt")),
        ]
    )
    if stamps.is_current(_STAMP, made_from, [paths.PYTHON]):
        return
    if sys.version_info[:2] < NEEDED_PYTHON:
        raise InstallError(
            f"Python {'.'.join(map(str, NEEDED_PYTHON))} or newer is needed, this is "
            f"{sys.version_info[0]}.{sys.version_info[1]}: run make with PYTHON3=<a newer python3>"
        )
    if not paths.PYTHON.exists():
        with progress.step("virtualenv .venv"):
            _run([sys.executable, "-m", "venv", str(paths.VENV)], "making .venv")
    with progress.step("Python packages into .venv"):
        pip = [str(paths.PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
        _run([*pip, "-r", "requirements.txt", "-e", ".[dev]"], "installing Python packages")
    stamps.record(_STAMP, made_from)


def _run(command: list[str], doing: str) -> None:
    log = paths.LOG / "virtualenv.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with log.open("w") as output:
        code = subprocess.run(
            command, cwd=paths.ROOT, env=env, stdout=output, stderr=subprocess.STDOUT, check=False
        ).returncode
    if code != 0:
        raise InstallError(f"{doing} failed: {_reason(log)} (see .lab/log/{log.name})")


def _reason(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or ["no output"])[-1]
