"""The snapshot before an upgrade: where it is kept, and that nothing is upgraded without it."""

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oxide_components import etcd_snapshot
from oxide_components.errors import OxideError
from oxide_components.rollout import Site
from oxide_components.talosctl import TalosError
from tests.object_storage import ACCESS_KEY, REGION, SECRET_KEY, object_storage

_DATA = bytes(16) + bytes.fromhex("edda0ced") + bytes(492)
SNAPSHOT = _DATA + hashlib.sha256(_DATA).digest()


class FakeTalosctl:
    """Control planes that give snapshots. `content` is what comes of one, by private address; None for no answer."""

    def __init__(self) -> None:
        self.content: dict[str, bytes | None] = {}
        self.asked: list[str] = []

    def run(self, *args: str, node: str, endpoint: str, timeout: float = 30) -> str:
        assert args[:2] == ("etcd", "snapshot")
        self.asked.append(node)
        content = self.content.get(node, SNAPSHOT)
        if content is None:
            raise TalosError(f"talosctl etcd on {node}: Unavailable")
        Path(args[2]).write_bytes(content)
        return ""


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A project, and a run that has taken none yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(etcd_snapshot, "_taken", set())
    yield
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(etcd_snapshot, "log_info", lambda _urn, text: lines.append(text))
    return lines


def _site(talosctl: FakeTalosctl, **props: Any) -> Site:
    site = Site.__new__(Site)
    site.urn = None
    site.talosctl = talosctl  # type: ignore[assignment]
    site.control_planes = [
        {
            "name": f"demo-cp-{i}",
            "private_address": f"10.0.0.1{i}",
            "public_address": f"192.0.2.{i}",
        }
        for i in (1, 2, 3)
    ]
    site.props = {"cluster_name": "demo", "etcd_snapshot_directory": "", **props}
    return site


def _bucket(endpoint: str, **changes: str) -> dict[str, str]:
    bucket = {"endpoint": endpoint, "name": "backups", "region": REGION, "prefix": "etcd"}
    return {**bucket, "access_key": ACCESS_KEY, "secret_key": SECRET_KEY, **changes}


def test_a_snapshot_is_a_file_that_only_its_owner_can_read(said: list[str]) -> None:
    etcd_snapshot.take_once(_site(FakeTalosctl(), etcd_snapshot_directory="kept/here"))

    (file,) = Path("kept/here").iterdir()
    assert file.read_bytes() == SNAPSHOT
    assert file.stat().st_mode & 0o777 == 0o600
    assert Path("kept/here").stat().st_mode & 0o777 == 0o700
    assert said == [f"etcd snapshot: {file}"]


def test_a_run_takes_one(said: list[str]) -> None:
    talosctl = FakeTalosctl()
    for _ in range(3):
        etcd_snapshot.take_once(_site(talosctl, etcd_snapshot_directory="kept"))

    assert talosctl.asked == ["10.0.0.11"]
    assert len(said) == 1


def test_nobody_is_asked_where_none_is_wanted() -> None:
    talosctl = FakeTalosctl()
    etcd_snapshot.take_once(_site(talosctl))

    assert talosctl.asked == []


def test_a_bucket_gets_the_snapshot_beside_the_file(said: list[str]) -> None:
    with object_storage("backups") as storage:
        etcd_snapshot.take_once(
            _site(
                FakeTalosctl(),
                etcd_snapshot_directory="kept",
                etcd_snapshot_bucket=_bucket(storage.endpoint),
            )
        )

    (file,) = Path("kept").iterdir()
    assert storage.buckets == {"backups": {f"etcd/{file.name}": SNAPSHOT}}
    assert said == [f"etcd snapshot: {file}, s3://backups/etcd/{file.name}"]


def test_a_bucket_alone_leaves_no_file(said: list[str], tmp_path: Path) -> None:
    with object_storage("backups") as storage:
        etcd_snapshot.take_once(
            _site(FakeTalosctl(), etcd_snapshot_bucket=_bucket(storage.endpoint))
        )

    ((key, content),) = storage.buckets["backups"].items()
    assert content == SNAPSHOT
    assert said == [f"etcd snapshot: s3://backups/{key}"]
    assert [path.name for path in tmp_path.iterdir()] == ["tmp"]


def test_a_snapshot_that_the_bucket_does_not_take_stops_the_upgrade_and_the_next_run_tries_again(
    said: list[str],
) -> None:
    with object_storage("backups") as storage:
        wrong = _bucket(storage.endpoint, secret_key="wrong-secret-key")
        with pytest.raises(OxideError) as raised:
            etcd_snapshot.take_once(_site(FakeTalosctl(), etcd_snapshot_bucket=wrong))

        assert "SignatureDoesNotMatch" in str(raised.value)
        assert "without it no upgrade" in str(raised.value)
        assert "remove the setting" in str(raised.value)
        assert "secret-key" not in str(raised.value)
        assert said == []

        etcd_snapshot.take_once(
            _site(FakeTalosctl(), etcd_snapshot_bucket=_bucket(storage.endpoint))
        )
        assert len(storage.buckets["backups"]) == 1


def test_the_next_control_plane_is_asked_where_one_gives_none_or_half_of_one(
    said: list[str],
) -> None:
    talosctl = FakeTalosctl()
    talosctl.content = {"10.0.0.11": None, "10.0.0.12": SNAPSHOT[:-100]}
    etcd_snapshot.take_once(_site(talosctl, etcd_snapshot_directory="kept"))

    (file,) = Path("kept").iterdir()
    assert file.read_bytes() == SNAPSHOT
    assert talosctl.asked == ["10.0.0.11", "10.0.0.12", "10.0.0.13"]


def test_without_a_whole_snapshot_there_is_no_upgrade() -> None:
    talosctl = FakeTalosctl()
    talosctl.content = {"10.0.0.11": None, "10.0.0.12": SNAPSHOT[:-100], "10.0.0.13": None}
    with pytest.raises(OxideError) as raised:
        etcd_snapshot.take_once(_site(talosctl, etcd_snapshot_directory="kept"))

    assert "no snapshot of etcd, and without one no upgrade" in str(raised.value)
    assert "what demo-cp-2 has given is cut off" in str(raised.value)
    assert list(Path("kept").iterdir()) == []


def test_a_directory_that_cannot_be_made_is_named() -> None:
    Path("file").touch()
    with pytest.raises(OxideError, match="etcdSnapshotDirectory file/kept: Not a directory"):
        etcd_snapshot.take_once(_site(FakeTalosctl(), etcd_snapshot_directory="file/kept"))
