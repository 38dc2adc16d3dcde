"""An emulator for each test and the official client for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hcloud import Client

from lab.hetzner.settings import Settings
from lab.hetzner.testing import TOKEN, running
from tests.lab.hetzner_support import client


@pytest.fixture
def root() -> Iterator[str]:
    """URL of an empty emulator, without /v1."""
    with running(Settings(token=TOKEN, action_seconds=0.04)) as url:
        yield url


@pytest.fixture
def cloud(root: str) -> Client:
    """The official client on that emulator."""
    return client(root)
