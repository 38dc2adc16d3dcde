"""Which provider plugins the Pulumi packages of a Python environment need."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from typing import Any

from pulumi.runtime.proto.plugin_pb2 import PackageDependency, PackageParameterization

_WITHOUT_PLUGIN = {"pulumi-policy", "pulumi-esc-sdk"}


def required_packages(installed: Iterable[Mapping[str, Any]]) -> list[PackageDependency]:
    """Turns installed packages into the engine's plugin dependencies.

    Args:
        installed: entries with `name`, `version` and `plugin`, the parsed pulumi-plugin.json.
    """
    found = (_dependency(entry) for entry in installed)
    return [dependency for dependency in found if dependency is not None]


def _dependency(entry: Mapping[str, Any]) -> PackageDependency | None:
    package = entry["name"].replace("_", "-")
    plugin = entry["plugin"]
    if package in _WITHOUT_PLUGIN or (plugin is None and not package.startswith("pulumi-")):
        return None
    plugin = plugin or {"resource": True}
    version = plugin.get("version") or _plugin_version(entry["version"])
    if not plugin.get("resource") or version is None:
        return None
    return PackageDependency(
        name=plugin.get("name") or package.removeprefix("pulumi-"),
        version=version if version.startswith("v") else f"v{version}",
        kind="resource",
        server=plugin.get("server", ""),
        parameterization=_parameterization(plugin.get("parameterization")),
    )


def _plugin_version(package_version: str) -> str | None:
    """The plugin's version for a release of the package; None for a pre-release.

    A pre-release's plugin carries a commit that the package version does not tell.
    """
    if not re.fullmatch(r"\d+(\.\d+){0,2}", package_version):
        return None
    parts = package_version.split(".")
    return ".".join(parts + ["0"] * (3 - len(parts)))


def _parameterization(value: Mapping[str, str] | None) -> PackageParameterization | None:
    if value is None:
        return None
    return PackageParameterization(
        name=value["name"],
        version=value["version"],
        value=base64.b64decode(value.get("value") or ""),
    )
