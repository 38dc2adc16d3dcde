"""A lab whose servers take about as long as Hetzner's."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.instance import Lab, running

BOOT_SECONDS = 40
"""Time that a server takes to boot: about what a cloud server with Talos needs. LAB_BOOT_SECONDS sets another."""

ACTION_SECONDS = 15
"""
Time that making a server takes. At Hetzner it is about a minute from a snapshot; more of that would only make every ratio
look better. LAB_ACTION_SECONDS sets another.
"""


_TIMES = {"LAB_BOOT_SECONDS": BOOT_SECONDS, "LAB_ACTION_SECONDS": ACTION_SECONDS}


@contextmanager
def slow_lab(directory: Path) -> Iterator[Lab]:
    """A running lab with these times, unless the environment sets others."""
    own = {key: str(seconds) for key, seconds in _TIMES.items() if key not in os.environ}
    os.environ.update(own)
    try:
        with running(directory / "state") as lab:
            yield lab
    finally:
        for key in own:
            del os.environ[key]


def times() -> str:
    """The times of the lab, for the report."""
    boot, action = (os.environ.get(key, seconds) for key, seconds in _TIMES.items())
    return f"servers made in {action} s, booting in {boot} s"
