"""Object storage in a stack's configuration: the bucket that keeps snapshots of etcd."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from .config_reader import Reader
from .config_schema import BUCKET_KEYS
from .errors import SECRET_TEXT
from .object_storage import Bucket

_KEY: Final = "etcdSnapshotBucket"
_EXAMPLE: Final = "https://fsn1.your-objectstorage.com"
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
"""Names of buckets, https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html."""

_HETZNER: Final = re.compile(r"([a-z0-9]+)\.your-objectstorage\.com")
"""Hosts of Hetzner's Object Storage, https://docs.hetzner.com/storage/object-storage/overview: they begin with the region."""

_OTHER_REGION: Final = "us-east-1"
"""Region that storage without regions expects in signatures."""


def read_snapshot_bucket(reader: Reader) -> Bucket | None:
    """Where snapshots of etcd are uploaded; None for nowhere."""
    written = reader.mapping(_KEY)
    if not written:
        return None
    # Whatever is misspelt may be the secret key.
    hidden = {key: value if key in BUCKET_KEYS else SECRET_TEXT for key, value in written.items()}
    entry = reader.entry(_KEY, hidden, BUCKET_KEYS) or {}
    if "secretKey" in entry and _KEY not in reader.secret_keys:
        reader.add_shown(
            f"{_KEY}.secretKey",
            SECRET_TEXT,
            "is stored in plain text",
            f"`pulumi config set --secret --path {_KEY}.secretKey ...`, and make a new key if the stack file has been shared",
        )
        return None
    access, secret = _keys(reader, entry)
    host = _endpoint_host(reader, entry)
    hetzner = _HETZNER.fullmatch(host)
    return Bucket(
        endpoint=str(entry.get("endpoint")),
        name=_name(reader, entry),
        region=reader.entry_text(_KEY, entry, "region", hetzner[1] if hetzner else _OTHER_REGION),
        prefix=reader.entry_text(_KEY, entry, "prefix").strip("/"),
        access_key=access,
        secret_key=secret,
    )


def _endpoint_host(reader: Reader, entry: Mapping[str, Any]) -> str:
    text = reader.entry_text(_KEY, entry, "endpoint")
    if not reader.ok(_KEY):
        return ""
    try:
        url = urlsplit(text)
        host = url.hostname or ""
        plain = url.port is None or url.port
    except ValueError:
        host, plain = "", False
    path = f"{_KEY}.endpoint"
    way_out = f"write one like {_EXAMPLE}"
    if not text:
        reader.add(path, text, "is missing", way_out)
    elif not host or not plain or url.scheme not in ("http", "https"):
        reader.add(path, text, "is no address of an object storage", way_out)
    elif url.username is not None or url.path.strip("/") or url.query or url.fragment:
        shown = f"{url.scheme}://{host}"
        reader.add_shown(path, shown, "is followed or preceded by more than a port", way_out)
    elif url.scheme == "http" and host not in _LOOPBACK:
        reader.add(path, text, "would send the cluster's Secrets in plain text", "use https://")
    return host


def _name(reader: Reader, entry: Mapping[str, Any]) -> str:
    name = reader.entry_text(_KEY, entry, "bucket")
    if reader.ok(_KEY) and not _NAME.fullmatch(name):
        reader.add(
            f"{_KEY}.bucket",
            name,
            "is no name of a bucket" if name else "is missing",
            "use 3 to 63 lower-case letters, digits, hyphens and dots",
        )
    return name


def _keys(reader: Reader, entry: Mapping[str, Any]) -> tuple[str, str]:
    access = reader.entry_text(_KEY, entry, "accessKey")
    secret = reader.entry_text(_KEY, entry, "secretKey")
    if reader.ok(_KEY) and bool(access) != bool(secret):
        reader.add_shown(
            f"{_KEY}.{'secretKey' if access else 'accessKey'}",
            "",
            "is missing",
            "give both keys, or none to use AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        )
    return access, secret
