"""What all of Oxide's own resources share, in a process of its own as the engine has it."""

import subprocess
import sys

_PROGRAM = """
import traceback
from oxide_components.dynamic_provider import LifecycleProvider
from oxide_components.talosctl import TalosError

LifecycleProvider().configure(None)
try:
    raise TalosError("etcd on 10.0.0.11: no answer")
except TalosError:
    print(traceback.format_exc(), end="")
"""


def test_an_error_is_one_line_without_traceback_or_module() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], check=True, capture_output=True, text=True
    )

    assert done.stdout == "TalosError: etcd on 10.0.0.11: no answer\n"
