"""Where things lie: everything that is built or kept stands under `.lab` of the checkout."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The checkout."""

VENV = ROOT / ".venv"
"""The project's virtualenv."""

PYTHON = VENV / "bin" / "python"
"""The interpreter of the project's virtualenv."""

LAB = ROOT / ".lab"
"""Built tools, their logs and the default instance."""

BIN = LAB / "bin"
"""Executables; first on PATH in a lab's environment."""

PLUGINS = LAB / "plugins"
"""The stand-in provider plugins; apart from BIN, because the engine prefers what is on PATH and warns of it."""

KUBERNETES = LAB / "kubernetes"
"""One directory per Kubernetes version with the control plane's executables."""

LOG = LAB / "log"
"""Logs of the installation."""

STAMPS = LAB / "stamps"
"""What each installed thing was made from."""

STACK = "lab"
"""Name of the stack that `make up` runs."""


def default_state() -> Path:
    """The state directory of the instance that commands act on: LAB_STATE, else `.lab/state`."""
    chosen = os.environ.get("LAB_STATE")
    return Path(chosen).expanduser().resolve() if chosen else LAB / "state"
