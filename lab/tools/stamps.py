"""Remembers what an installed thing was made from, so that a second run does nothing."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from lab import paths

_IGNORED_DIRECTORIES = {"testdata", ".git"}


def digest(parts: Iterable[str | bytes]) -> str:
    """Returns one hash over all parts in order."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(len(data).to_bytes(8, "big"))
        total.update(data)
    return total.hexdigest()


def source_digest(directory: Path) -> str:
    """Returns a hash over what a Go build of `directory` can see: all files but its tests."""
    parts: list[str | bytes] = []
    for folder, subfolders, names in os.walk(directory):
        subfolders[:] = sorted(set(subfolders) - _IGNORED_DIRECTORIES)
        for name in sorted(names):
            if not name.endswith("_test.go"):
                file = Path(folder, name)
                parts += [str(file.relative_to(directory)), file.read_bytes()]
    return digest(parts)


def is_current(name: str, made_from: str, products: Iterable[Path]) -> bool:
    """Tells whether `name` was made from the same and all its products are there."""
    stamp = paths.STAMPS / name
    return (
        stamp.exists()
        and stamp.read_text() == made_from
        and all(product.exists() for product in products)
    )


def record(name: str, made_from: str) -> None:
    """Notes that `name` is now installed."""
    paths.STAMPS.mkdir(parents=True, exist_ok=True)
    (paths.STAMPS / name).write_text(made_from)
