"""Runs the SDK's dynamic provider with the project's own Python.

The launcher `pulumi-resource-pulumi-python` starts it; the engine's address is its first argument.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])
from lab.host.watchdog import when_engine_is_gone  # noqa: E402

# Providers are pickled by reference: their modules are found from the program's directory.
sys.path[0] = ""


def _end_process_group() -> None:
    # The engine starts each plugin in a process group of its own; tools that the plugin started
    # (talosctl, say) belong to it.
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        when_engine_is_gone(sys.argv[1], _end_process_group)
    runpy.run_module("pulumi.dynamic", run_name="__main__", alter_sys=True)
