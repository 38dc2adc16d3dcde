"""The images of a new project: a few of Hetzner's own, and a user's Talos snapshots."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from lab.hetzner.store import Store

ARCHITECTURES = {"x86": "amd64", "arm": "arm64"}
"""Hetzner's words for architectures and Talos' words for the same."""

_SYSTEM = (
    ("ubuntu-24.04", "Ubuntu 24.04", "ubuntu", "24.04", None),
    ("debian-13", "Debian 13", "debian", "13", None),
    ("debian-12", "Debian 12", "debian", "12", None),
    ("ubuntu-20.04", "Ubuntu 20.04", "ubuntu", "20.04", "2025-05-31T00:00:00Z"),
)

_FIRST_SNAPSHOT = datetime(2026, 1, 1, tzinfo=UTC)


def image(kind: str, architecture: str, description: str, **fields: Any) -> dict[str, Any]:
    """An image record without an id."""
    return {
        "type": kind,
        "status": "available",
        "name": None,
        "description": description,
        "image_size": None,
        "disk_size": 10,
        "created": "2025-01-01T00:00:00Z",
        "created_from": None,
        "bound_to": None,
        "os_flavor": "unknown",
        "os_version": None,
        "architecture": architecture,
        "rapid_deploy": False,
        "protection": {"delete": False},
        "deprecated": None,
        "deleted": None,
        "labels": {},
        **fields,
    }


def seed(store: Store, talos_versions: Sequence[str]) -> None:
    """Add the images that are not there yet.

    Args:
        store: receives them.
        talos_versions: releases to have snapshots of; those of the first are the newest.
    """
    known = {(i["name"], i["architecture"]) for i in store.all("image") if i["type"] == "system"}
    for name, description, flavor, version, deprecated in _SYSTEM:
        for architecture in ARCHITECTURES:
            if (name, architecture) in known:
                continue
            fields: dict[str, Any] = {
                "name": name,
                "os_flavor": flavor,
                "os_version": version,
                "rapid_deploy": True,
                "deprecated": deprecated,
            }
            store.add("image", image("system", architecture, description, **fields))
    snapshots = {
        (i["labels"].get("version"), i["architecture"])
        for i in store.where("image", type="snapshot")
        if i["labels"].get("os") == "talos"
    }
    for age, version in reversed(list(enumerate(talos_versions))):
        created = _FIRST_SNAPSHOT + timedelta(days=len(talos_versions) - age)
        for architecture, arch in ARCHITECTURES.items():
            if (version, architecture) in snapshots:
                continue
            fields = {
                "image_size": 0.3,
                "created": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "created_from": {"id": 1, "name": "packer"},
                "labels": {"os": "talos", "version": version, "arch": arch},
            }
            store.add("image", image("snapshot", architecture, f"Talos {version} {arch}", **fields))


def system_of(record: dict[str, Any]) -> dict[str, str]:
    """The operating system that a machine with this image boots."""
    labels = record["labels"]
    if labels.get("os") == "talos":
        return {"os": "talos", "talos_version": labels.get("version", "")}
    return {"os": record["os_flavor"], "talos_version": ""}
