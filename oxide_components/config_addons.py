"""Add-ons in a stack's configuration: which ones the cluster has, and which charts they come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from . import versions
from .config_charts import read_chart_place
from .config_reader import Reader
from .config_schema import ADDON_KEYS, CHART_KEYS, CSI_KEYS

HCLOUD_CHARTS: Final = "https://charts.hetzner.cloud"
"""Helm repository of Hetzner's own charts."""

METRICS_SERVER_CHARTS: Final = "https://kubernetes-sigs.github.io/metrics-server/"
"""Helm repository of the official metrics-server chart."""

VOLUMES: Final = "hcloud-volumes"
"""Storage class of plain volumes."""

ENCRYPTED_VOLUMES: Final = "hcloud-volumes-encrypted"
"""Storage class of volumes that nodes encrypt (LUKS) before they write to them."""

POD_ROUTES: Final = "HCLOUD_NETWORK_ROUTES_ENABLED"
"""Variable of the cloud controller: whether it keeps a route for every node's pods."""

_NO_DEFAULT: Final = "none"


@dataclass(frozen=True, kw_only=True)
class Addon:
    """One add-on that is switched on."""

    version: str
    """Version of its chart."""
    chart: str
    """Chart name in the repository, a path, or an oci:// reference."""
    repository: str | None
    """Repository address; None where the chart is a path or an oci:// reference."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """Helm values of the user, merged over Oxide's."""


@dataclass(frozen=True, kw_only=True)
class CsiAddon(Addon):
    """The storage driver."""

    encrypted_storage_class: bool = False
    """Whether there is a storage class of encrypted volumes."""
    default_storage_class: str | None = VOLUMES
    """Class of claims that name none; None leaves such claims without one."""


@dataclass(frozen=True, kw_only=True)
class Addons:
    """What the cluster has besides Cilium. None means off."""

    cloud_controller: Addon | None = None
    csi: CsiAddon | None = None
    metrics_server: Addon | None = None


@dataclass(frozen=True)
class _Official:
    """Where an add-on comes from when the stack says nothing else."""

    chart: str
    version: str
    repository: str


_OFFICIAL: Final = {
    "cloudController": _Official(
        "hcloud-cloud-controller-manager", versions.HCLOUD_CCM_CHART_VERSION, HCLOUD_CHARTS
    ),
    "csi": _Official("hcloud-csi", versions.HCLOUD_CSI_CHART_VERSION, HCLOUD_CHARTS),
    "metricsServer": _Official(
        "metrics-server", versions.METRICS_SERVER_CHART_VERSION, METRICS_SERVER_CHARTS
    ),
}


def read_addons(reader: Reader, fields: dict[str, Any]) -> None:
    """Which add-ons are on, with what differs from their official charts."""
    found = reader.entry("addons", reader.mapping("addons"), ADDON_KEYS) or {}
    csi = _read(reader, found, "csi", CSI_KEYS)
    fields["addons"] = Addons(
        cloud_controller=_addon(_read(reader, found, "cloudController", CHART_KEYS)),
        csi=None if csi is None else _csi(reader, *csi),
        metrics_server=_addon(_read(reader, found, "metricsServer", CHART_KEYS)),
    )
    fields["delete_volumes"] = reader.boolean("deleteVolumes")


def _read(
    reader: Reader, addons: Mapping[str, Any], name: str, keys: tuple[str, ...]
) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Fields of an add-on and its entry as it is written; None where it is off."""
    path, written = f"addons.{name}", addons.get(name, False)
    if isinstance(written, str):
        reader.add(path, written, "is text", "write true or false without quotes, or a mapping")
        return None
    if isinstance(written, bool):
        entry: dict[str, Any] | None = {} if written else None
    else:
        entry = reader.entry(path, written, keys)
    if entry is None:
        return None
    official = _OFFICIAL[name]
    version = reader.entry_text(path, entry, "version", official.version)
    if versions.parse(version) is None:
        reader.add(
            f"{path}.version",
            version,
            "is not a full version of a chart",
            f"write one like {official.version}",
        )
    chart = reader.entry_text(path, entry, "chart", official.chart)
    repository = reader.entry_text(path, entry, "repository")
    values = entry.get("values", {})
    if not isinstance(values, dict):
        reader.add(f"{path}.values", values, "is not a mapping", "write Helm values in it")
        values = {}
    place = read_chart_place(
        reader,
        chart=(f"{path}.chart", chart),
        repository=(f"{path}.repository", repository),
        official=official.repository,
        example=f"./charts/{official.chart}",
    )
    fields = {"version": version, "chart": chart, "repository": place, "values": values}
    return fields, entry


def _addon(read: tuple[dict[str, Any], dict[str, Any]] | None) -> Addon | None:
    return None if read is None else Addon(**read[0])


def _csi(reader: Reader, fields: dict[str, Any], entry: Mapping[str, Any]) -> CsiAddon:
    encrypted = entry.get("encryptedStorageClass", False)
    if not isinstance(encrypted, bool):
        path = "addons.csi.encryptedStorageClass"
        reader.add(path, encrypted, "is neither true nor false", "write true or false")
        encrypted = False
    default = reader.entry_text("addons.csi", entry, "defaultStorageClass", VOLUMES)
    classes = [VOLUMES, *([ENCRYPTED_VOLUMES] if encrypted else []), _NO_DEFAULT]
    if default not in classes:
        way_out = f"use {', '.join(classes)}"
        if default == ENCRYPTED_VOLUMES:
            way_out += ", or set addons.csi.encryptedStorageClass to true"
        reader.add(
            "addons.csi.defaultStorageClass", default, "is not a class of this add-on", way_out
        )
    return CsiAddon(
        **fields,
        encrypted_storage_class=encrypted,
        default_storage_class=None if default == _NO_DEFAULT else default,
    )
