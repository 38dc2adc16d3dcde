"""A snapshot of etcd, taken before control planes change: the last way back when everything else fails."""

import os
import tempfile
import time
from pathlib import Path

from . import object_storage
from .dynamic_provider import log_info
from .errors import OxideError
from .rollout import Site
from .snapshot_file import snapshot_problem
from .talosctl import TalosError

SNAPSHOT_TIMEOUT = 600.0
"""Seconds that a snapshot may take; etcd holds at most a few gigabytes."""

_taken: set[str] = set()
"""Clusters of which this run has one."""


def is_due(here: Site) -> bool:
    """Whether this run is to take a snapshot and has not yet."""
    wanted = here.props.get("etcd_snapshot_directory") or here.props.get("etcd_snapshot_bucket")
    return bool(wanted) and here.props["cluster_name"] not in _taken


def take_once(here: Site) -> None:
    """
    Keep a snapshot of etcd as `<cluster>-<UTC time>.db`, once in a run: in a file that only its owner can read, in a bucket, or both.

    Raises:
        OxideError: No control plane gives one, or it cannot be kept; then nothing may be changed.
    """
    if not is_due(here):
        return
    cluster = here.props["cluster_name"]
    directory = str(here.props.get("etcd_snapshot_directory") or "")
    bucket = here.props.get("etcd_snapshot_bucket")
    _make(directory)
    here.say("takes a snapshot of etcd")
    # Only its owner can enter: talosctl writes files that everybody can read.
    with tempfile.TemporaryDirectory(prefix=".oxide-", dir=directory or None) as passing:
        file = Path(passing) / f"{cluster}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.db"
        _take(here, file)
        places = []
        if directory:
            file = file.rename(Path(directory) / file.name)
            places.append(str(file))
        if bucket:
            here.say(f"uploads the snapshot of etcd to {bucket['endpoint']}")
            places.append(_uploaded(file, bucket))
    _taken.add(cluster)
    log_info(here.urn, f"etcd snapshot: {', '.join(places)}")


def _make(directory: str) -> None:
    try:
        Path(directory).mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise OxideError(
            f"etcdSnapshotDirectory {directory}: {error.strerror}; choose another one"
        ) from None


def _uploaded(file: Path, bucket: object_storage.Bucket) -> str:
    try:
        return object_storage.keep(file, bucket)
    except OxideError as error:
        raise OxideError(
            f"etcdSnapshotBucket: the snapshot of etcd is not kept, and without it no upgrade: {error}. Correct the bucket or "
            "its credentials, or remove the setting"
        ) from None


def _take(here: Site, file: Path) -> None:
    reasons = []
    for node in here.control_planes:
        try:
            here.talosctl.run(
                "etcd",
                "snapshot",
                str(file),
                node=node["private_address"],
                endpoint=node["public_address"],
                timeout=SNAPSHOT_TIMEOUT,
            )
        except TalosError as error:
            reasons.append(str(error))
            continue
        os.chmod(file, 0o600)
        if not (problem := snapshot_problem(str(file))):
            return
        reasons.append(f"what {node['name']} has given {problem}")
    raise OxideError(f"no snapshot of etcd, and without one no upgrade: {'; '.join(reasons)}")
