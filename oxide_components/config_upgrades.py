"""How far a stack lets upgrades go, and the snapshots of etcd that they leave and that a cluster can start from."""

from __future__ import annotations

import os
from typing import Any

from .config_object_storage import read_snapshot_bucket
from .config_reader import Reader
from .config_rollout import read_names, wanted_nodes
from .naming import CONTROL_PLANE_POOL
from .snapshot_file import snapshot_problem


def read_upgrades(reader: Reader, fields: dict[str, Any]) -> None:
    """Reads the settings of upgrades; the fields of the nodes must be there already."""
    fields["upgrade_canary"] = _canary(reader, fields)
    fields["upgrade_pause"] = reader.boolean("upgradePause")
    fields["etcd_snapshot_directory"] = _snapshot_directory(reader)
    fields["etcd_snapshot_bucket"] = read_snapshot_bucket(reader)
    fields["restore_from"] = _restore_from(reader)


def _canary(reader: Reader, fields: dict[str, Any]) -> tuple[str, ...]:
    known = wanted_nodes(reader, fields)
    if known is not None:
        known += [CONTROL_PLANE_POOL, *(pool.name for pool in fields["worker_pools"])]
    return read_names(reader, "upgradeCanary", known, "node or pool")


def _snapshot_directory(reader: Reader) -> str:
    directory = _expanded(
        reader, "etcdSnapshotDirectory", reader.text_or_empty("etcdSnapshotDirectory")
    )
    if os.path.exists(directory) and not os.path.isdir(directory):
        reader.add(
            "etcdSnapshotDirectory", directory, "is no directory", "name one, or one to be made"
        )
    return directory


def _restore_from(reader: Reader) -> str | None:
    path = _expanded(reader, "restoreFrom", reader.text("restoreFrom"))
    if not path or not reader.ok("restoreFrom"):
        return None
    if reason := snapshot_problem(path):
        reader.add(
            "restoreFrom",
            path,
            reason,
            "give the path of a snapshot that `talosctl etcd snapshot` has written, or remove the key",
        )
    return path


def _expanded(reader: Reader, key: str, path: str) -> str:
    """A path with the home that a leading ~ stands for: in a stack file no shell sees it."""
    found = os.path.expanduser(path)
    if found.startswith("~"):
        reader.add(key, path, "begins with a home that does not exist", "write the whole path")
    return found
