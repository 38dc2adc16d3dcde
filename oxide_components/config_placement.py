"""Whether a stack has a node for pods without tolerations, and what waits for such pods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from .cilium_modes import CiliumModes
from .config_addons import Addons
from .config_reader import Reader
from .errors import Problem

_RELAYED: Final = ("relay", "ui")
_SETTING: Final = "allowSchedulingOnControlPlanes"
_WAY_OUT: Final = (
    "set workers to 1 or more, or leave a pool without NoSchedule and NoExecute, or patch "
    "cluster.allowSchedulingOnControlPlanes"
)


def check_placement(reader: Reader, fields: dict[str, Any]) -> list[Problem]:
    """
    Reports releases whose pods would find no node, because Helm waits for them; everything else must have been read.

    Returns:
        A warning about ordinary pods.
    """
    if not reader.sizes_are_known() or not reader.ok("workerPools") or not _all_tainted(fields):
        return []
    why = "control planes take ordinary pods only where there are no workers"
    if reader.ok("hubble", "ciliumValues", "addons"):
        for setting, value, without, tolerations in _stranded(fields):
            reader.add(
                setting,
                value,
                f"would wait for pods that no node takes: all workers have taints, and {why}",
                f"{_WAY_OUT}, or {without}, or give {tolerations}",
            )
    pools = [pool.name for pool in fields["worker_pools"] if pool.count]
    return [
        Problem(
            setting="workerPools",
            value=", ".join(pools),
            reason=f"have taints that keep pods without tolerations off every worker, and {why}",
            way_out=_WAY_OUT,
        )
    ]


def _all_tainted(fields: Mapping[str, Any]) -> bool:
    pools = [pool for pool in fields["worker_pools"] if pool.count]
    patches = (*fields["config_patches"], *fields["control_plane_config_patches"])
    # Patches may open the control planes, and then whoever wrote them knows.
    return (
        bool(pools)
        and not any(pool.takes_any_pod for pool in pools)
        and not any(_SETTING in patch for patch in patches)
    )


def _stranded(fields: Mapping[str, Any]) -> Iterator[tuple[str, object, str, str]]:
    """Setting, its value, what to do without it, and the tolerations that would help, of each release that waits in vain."""
    modes: CiliumModes = fields["cilium_modes"]
    hubble = fields["cilium_values"].get("hubble")
    parts = [part for part in _RELAYED if modes.hubble in (part, "ui")]
    bare = [f"hubble.{part}.tolerations" for part in parts if not _tolerates(hubble, part)]
    if bare:
        yield (
            "hubble",
            modes.hubble,
            "set it to metrics",
            f"{' and '.join(bare)} in ciliumValues",
        )
    addons: Addons = fields["addons"]
    server = addons.metrics_server
    if server is not None and not server.values.get("tolerations"):
        yield (
            "addons.metricsServer",
            True,
            "remove it",
            "tolerations in addons.metricsServer.values",
        )


def _tolerates(hubble: object, part: str) -> bool:
    values = hubble.get(part) if isinstance(hubble, Mapping) else None
    return isinstance(values, Mapping) and bool(values.get("tolerations"))
