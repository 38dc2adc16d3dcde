"""The identity of a lab instance is allocated once and kept."""

import socket
import stat
from pathlib import Path

import pytest

from lab import settings
from lab.errors import LabError


def test_an_instance_keeps_its_identity(tmp_path: Path) -> None:
    file = tmp_path / "state" / "lab.json"

    first = settings.load(file, spread=True)

    assert settings.load(file, spread=True) == first
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_token_has_the_length_of_hetzners(tmp_path: Path) -> None:
    assert len(settings.load(tmp_path / "lab.json", spread=True).token) == 64


def test_an_octet_in_use_is_passed_over(tmp_path: Path) -> None:
    first = settings.load(tmp_path / "a.json", spread=False)
    with socket.create_server((f"127.{first.octet}.0.1", settings.CLAIM_PORT)):
        second = settings.load(tmp_path / "b.json", spread=False)

    assert second.octet != first.octet
    assert second.octet % 2 == 0
    assert second.internal_prefix == f"127.{second.octet + 1}"
    assert {second.api_port, second.node_port}.isdisjoint({first.api_port, first.node_port})


def test_unreadable_settings_name_the_file_and_the_way_out(tmp_path: Path) -> None:
    file = tmp_path / "lab.json"
    file.write_text("{")

    with pytest.raises(LabError, match=r"lab\.json cannot be read .* remove"):
        settings.load(file, spread=False)
