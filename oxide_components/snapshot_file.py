"""What a file must have to be a snapshot of etcd: found out here, since etcd itself tells only after every control plane is gone."""

import hashlib
import os

_MAGIC = b"\xed\xda\x0c\xed"
_MAGIC_AT = 16
"""Place of bbolt's mark in a data file, https://github.com/etcd-io/bbolt (`meta` after the header of the first page)."""

_CHECKSUM = 32
"""Bytes of the SHA-256 that etcd sends after the data of a snapshot, https://etcd.io/docs/v3.6/op-guide/recovery/."""

_SECTOR = 512
"""A data file is a multiple of this, as etcdutl takes it to tell whether a checksum follows."""

_CHUNK = 1 << 20


def snapshot_problem(path: str) -> str:
    """Why a path is no whole snapshot of etcd, as the rest of a sentence; empty if it is one."""
    if os.path.exists(path) and not os.path.isfile(path):
        return "is no file"
    try:
        size = os.path.getsize(path)
        with open(path, "rb") as file:
            if not size:
                return "is an empty file"
            head = file.read(_MAGIC_AT + len(_MAGIC))
            if head[_MAGIC_AT:] != _MAGIC:
                return "is no snapshot of etcd"
            if size % _SECTOR == 0:
                return "has no checksum, as a copied data file has none"
            if size % _SECTOR != _CHECKSUM:
                return "is cut off"
            file.seek(0)
            digest = hashlib.sha256()
            for left in range(size - _CHECKSUM, 0, -_CHUNK):
                digest.update(file.read(min(left, _CHUNK)))
            return "" if file.read() == digest.digest() else "is damaged: its checksum differs"
    except (OSError, ValueError) as error:
        text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return f"cannot be read: {text.lower()}"
