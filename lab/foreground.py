"""Runs a command in the foreground: its output is the user's, and Ctrl-C reaches it exactly once."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""

KILLED = 128 + signal.SIGKILL
"""Exit code after SIGKILL."""

_FROM_KERNEL = 0x80
"""si_code of a signal that the terminal made: the whole foreground group has got it."""


def run(command: Sequence[str], *, env: Mapping[str, str], cwd: Path) -> int:
    """Runs the command to its end and returns its exit code as a shell would.

    That is 130 when it was interrupted, 128 and the signal's number when it was killed.

    Ctrl-C in a terminal reaches the command by itself. A signal sent to this process alone is
    passed on.
    """
    signals = {signal.SIGINT, signal.SIGTERM}
    interrupted = threading.Event()

    def pass_on() -> None:
        while True:
            info = signal.sigwaitinfo(signals)
            if child.poll() is not None:
                return
            interrupted.set()
            if info.si_code != _FROM_KERNEL:
                child.send_signal(info.si_signo)

    # A Python handler is reset in the child, a blocked signal would stay blocked: so the signals
    # are blocked only once the child runs, and a no-op handler covers the moment before.
    before = {number: signal.signal(number, _ignore) for number in signals}
    try:
        child = subprocess.Popen(command, env=dict(env), cwd=cwd)
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        waiter = threading.Thread(target=pass_on, daemon=True)
        waiter.start()
        code = child.wait()
        signal.pthread_kill(waiter.ident or 0, signal.SIGTERM)
        waiter.join()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if interrupted.is_set():
        return INTERRUPTED
    return code if code >= 0 else 128 - code


def _ignore(_number: int, _frame: FrameType | None) -> None:
    return None
