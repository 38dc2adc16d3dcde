"""A lab whose servers take about as long as Hetzner's."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.instance import Lab

BOOT_SECONDS = 40
"""Time that a server takes to boot: about what a cloud server with Talos needs. LAB_BOOT_SECONDS sets another."""

ACTION_SECONDS = 15
"""
Time that making a server takes. At Hetzner it is about a minute from a snapshot; more of that would only make every ratio
look better. LAB_ACTION_SECONDS sets another.
"""


@contextmanager
def slow_lab(directory: Path) -> Iterator[Lab]:
    """A running lab with these times, unless the environment sets others."""
    times = {"LAB_BOOT_SECONDS": BOOT_SECONDS, "LAB_ACTION_SECONDS": ACTION_SECONDS}
    own = {key: str(seconds) for key, seconds in times.items() if key not in os.environ}
    os.environ.update(own)
    lab = Lab(directory / "state")
    try:
        lab.start()
        yield lab
    finally:
        lab.stop()
        for key in own:
            del os.environ[key]


def times() -> str:
    """The times of the lab, for the report."""
    boot = os.environ.get("LAB_BOOT_SECONDS", BOOT_SECONDS)
    action = os.environ.get("LAB_ACTION_SECONDS", ACTION_SECONDS)
    return f"servers made in {action} s, booting in {boot} s"
