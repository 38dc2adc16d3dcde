"""A snapshot of etcd, taken before control planes change: the last way back when everything else fails."""

import os
import time
from pathlib import Path

from .dynamic_provider import log_info
from .errors import OxideError
from .rollout import Site
from .talosctl import TalosError

SNAPSHOT_TIMEOUT = 600.0
"""Seconds that a snapshot may take; etcd holds at most a few gigabytes."""

_taken: set[str] = set()
"""Clusters of which this run has one."""


def take_once(here: Site, directory: str) -> None:
    """
    Keep a snapshot of etcd as `<cluster>-<UTC time>.db`, once in a run; only its owner can read it.

    Args:
        directory: Where, relative to the project. Empty for none.

    Raises:
        OxideError: No control plane gives one; then nothing may be changed.
    """
    cluster = here.props["cluster_name"]
    if not directory or cluster in _taken:
        return
    folder = Path(directory)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise OxideError(
            f"etcdSnapshotDirectory {directory}: {error.strerror}; choose another one"
        ) from None
    file = folder / f"{cluster}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.db"
    here.say("takes a snapshot of etcd")
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
        _taken.add(cluster)
        log_info(here.urn, f"etcd snapshot: {file}")
        return
    raise OxideError(f"no snapshot of etcd, and without one no upgrade: {'; '.join(reasons)}")
