"""What is taken for a snapshot of etcd."""

import hashlib
from pathlib import Path

import pytest

from oxide_components.snapshot_file import snapshot_problem


def _snapshot(pages: int = 2) -> bytes:
    """As etcd sends it: a data file with bbolt's mark, then its SHA-256."""
    data = b"\0" * 16 + bytes.fromhex("edda0ced") + b"\1" * (4096 * pages - 20)
    return data + hashlib.sha256(data).digest()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "etcd.db"


@pytest.mark.parametrize("pages", [1, 300])
def test_a_whole_snapshot_has_no_problem(file: Path, pages: int) -> None:
    file.write_bytes(_snapshot(pages))

    assert snapshot_problem(str(file)) == ""


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is an empty file"),
        (b"apiVersion: v1\n", "is no snapshot of etcd"),
        (b"\0" * 8192, "is no snapshot of etcd"),
        (_snapshot()[:-32], "has no checksum, as a copied data file has none"),
        (_snapshot()[:-700], "is cut off"),
        (_snapshot()[:-40] + b"damaged." + _snapshot()[-32:], "is damaged: its checksum differs"),
    ],
)
def test_anything_else_is_told_apart(file: Path, content: bytes, problem: str) -> None:
    file.write_bytes(content)

    assert snapshot_problem(str(file)) == problem


def test_what_cannot_be_read_is_no_snapshot(tmp_path: Path) -> None:
    assert snapshot_problem(str(tmp_path)) == "is no file"
    assert snapshot_problem(str(tmp_path / "lost.db")) == (
        "cannot be read: no such file or directory"
    )
