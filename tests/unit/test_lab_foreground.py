"""A foreground command gets each interrupt once, and the caller learns of it."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from lab import foreground

CHILD = """
import signal, sys, time
hits = 0
def hit(*_):
    global hits
    hits += 1
signal.signal(signal.SIGINT, hit)
print("ready", flush=True)
deadline = time.monotonic() + 20
while not hits and time.monotonic() < deadline:
    time.sleep(0.01)
time.sleep(0.3)
print("hits", hits, flush=True)
"""

PARENT = """
import os, sys
from pathlib import Path
from lab import foreground
sys.exit(foreground.run([sys.executable, "-c", sys.argv[1]], env=os.environ, cwd=Path.cwd()))
"""


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", foreground.KILLED)]
)
def test_the_exit_code_is_the_commands(script: str, code: int, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)

    assert foreground.run(["sh", "-c", script], env=os.environ, cwd=tmp_path) == code
    assert signal.getsignal(signal.SIGINT) is before
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()


def test_an_interrupt_of_the_caller_reaches_the_command_once() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, textwrap.dedent(CHILD)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "ready\n"
        parent.send_signal(signal.SIGINT)
        out, err = parent.communicate(timeout=30)

    assert (out, err, parent.returncode) == ("hits 1\n", "", foreground.INTERRUPTED)
