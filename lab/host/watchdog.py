"""Notices that the process one works for is gone.

The engine ends its helpers when it ends in order. After SIGKILL nobody does, and a helper that
lives on would finish an upgrade behind the back of the next `pulumi up`.

Standard library only: these functions also run inside the project's own virtualenv.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable

INTERVAL = 1.0
"""Seconds between two looks."""


def when_engine_is_gone(address: str, action: Callable[[], None]) -> None:
    """Calls `action` once, from a thread of its own, when nothing listens at `address` any more.

    Args:
        address: `host:port` of the engine, as it passes it to its helpers.
        action: what to do; runs at most once.
    """
    host, _, port = address.rpartition(":")
    _watch(lambda: _listens(host, int(port)), action)


def when_parent_is_gone(action: Callable[[], None]) -> None:
    """Calls `action` once, from a thread of its own, when the parent process has ended."""
    parent = os.getppid()
    _watch(lambda: os.getppid() == parent, action)


def _watch(alive: Callable[[], bool], action: Callable[[], None]) -> None:
    def look() -> None:
        while alive():
            time.sleep(INTERVAL)
        action()

    threading.Thread(target=look, name="watchdog", daemon=True).start()


def _listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    except OSError:
        # Out of descriptors, a full backlog: no proof that the engine is gone.
        return True
    return True
