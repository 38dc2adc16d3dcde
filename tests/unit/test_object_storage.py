"""Keeping a file in an object storage: what arrives, and what is told when it does not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oxide_components.errors import OxideError
from oxide_components.object_storage import Bucket, keep
from tests.object_storage import ACCESS_KEY, REGION, SECRET_KEY, ObjectStorage, object_storage

CONTENT = b"etcd" * 300_000


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStorage]:
    """A storage with one bucket, and an environment without credentials of the machine."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with object_storage("backups") as server:
        yield server


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "prod-20261129T120000Z.db"
    path.write_bytes(CONTENT)
    return path


def _bucket(storage: ObjectStorage, **changes: str) -> Bucket:
    values: Any = {
        "endpoint": storage.endpoint,
        "name": "backups",
        "region": REGION,
        "prefix": "",
        "access_key": ACCESS_KEY,
        "secret_key": SECRET_KEY,
    }
    return {**values, **changes}


@pytest.mark.parametrize(
    ("prefix", "key"),
    [
        ("", "prod-20261129T120000Z.db"),
        ("etcd/prod eu", "etcd/prod eu/prod-20261129T120000Z.db"),
    ],
)
def test_a_file_is_kept_under_its_name(
    storage: ObjectStorage, file: Path, prefix: str, key: str
) -> None:
    assert keep(file, _bucket(storage, prefix=prefix)) == f"s3://backups/{key}"
    assert storage.buckets == {"backups": {key: CONTENT}}
    assert [request.split()[0] for request in storage.requests] == ["PUT", "HEAD"]


def test_credentials_come_from_the_environment_where_the_bucket_has_none(
    storage: ObjectStorage, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)

    keep(file, _bucket(storage, access_key="", secret_key=""))

    assert storage.buckets["backups"]


def test_an_upload_that_has_not_arrived_whole_is_an_error(
    storage: ObjectStorage, file: Path
) -> None:
    storage.loses = 1

    assert "the storage has 1199999 bytes of 1200000" in _failed(file, _bucket(storage))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"name": "lost"}, "NoSuchBucket"),
        ({"secret_key": "wrong-secret-key"}, "SignatureDoesNotMatch"),
        ({"region": "hel1"}, "SignatureDoesNotMatch"),
        ({"access_key": "somebody"}, "InvalidAccessKeyId"),
        ({"access_key": "", "secret_key": ""}, "set accessKey and secretKey"),
        ({"endpoint": "http://127.0.0.1:1"}, "Could not connect to the endpoint"),
    ],
)
def test_a_storage_that_takes_nothing_is_named_with_its_reason(
    storage: ObjectStorage, file: Path, changes: dict[str, str], reason: str
) -> None:
    text = _failed(file, _bucket(storage, **changes))

    assert text.startswith(f"s3://{changes.get('name', 'backups')}/prod-20261129T120000Z.db: ")
    assert reason in text
    assert "secret-key" not in text
    assert storage.buckets == {"backups": {}}


def test_a_file_that_is_gone_is_an_error(storage: ObjectStorage, tmp_path: Path) -> None:
    assert "No such file" in _failed(tmp_path / "gone.db", _bucket(storage))


def _failed(file: Path, bucket: Bucket) -> str:
    with pytest.raises(OxideError) as raised:
        keep(file, bucket)
    return str(raised.value)
