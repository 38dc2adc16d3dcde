"""Puts provider plugins where an instance's engine looks for them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab import paths
from lab.errors import LabError

_SDKS = {"hcloud": "pulumi_hcloud", "talos": "pulumiverse_talos", "kubernetes": "pulumi_kubernetes"}

DOWNLOAD = "download"
"""Value of LAB_PLUGINS with which Pulumi fetches the official plugins itself."""


@dataclass(frozen=True)
class Plugin:
    """A provider plugin as an installed SDK asks for it."""

    name: str
    version: str
    """Without a v, as pulumi-plugin.json has it."""

    @property
    def executable(self) -> str:
        """File name of the plugin."""
        return f"pulumi-resource-{self.name}"

    @property
    def folder(self) -> str:
        """Its directory in PULUMI_HOME/plugins."""
        return f"resource-{self.name}-v{self.version}"


def wanted() -> list[Plugin]:
    """Returns the plugins of the SDKs in the virtualenv.

    Raises:
        LabError: an SDK is not installed.
    """
    found = []
    for name, package in _SDKS.items():
        files = list(
            (paths.VENV / "lib").glob(f"python3*/site-packages/{package}/pulumi-plugin.json")
        )
        if not files:
            raise LabError(f"{package} is not installed in .venv: run make install")
        found.append(Plugin(name, json.loads(files[0].read_text())["version"]))
    return found


def place(home: Path, environ: Mapping[str, str] = os.environ) -> None:
    """Links the plugins into `home`; a changed LAB_PLUGINS takes effect at the next call.

    Args:
        home: PULUMI_HOME of the instance.
        environ: LAB_PLUGINS names a directory with official plugins, or says `download`; without
            it the lab's stand-ins serve.

    Raises:
        LabError: a plugin is missing.
    """
    choice = environ.get("LAB_PLUGINS", "")
    for plugin in wanted():
        link = home / "plugins" / plugin.folder / plugin.executable
        if choice == DOWNLOAD:
            if link.is_symlink():
                link.unlink()
                link.parent.rmdir()
            continue
        source = _official(Path(choice), plugin) if choice else _stand_in(plugin)
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink() or link.readlink() != source:
            link.unlink(missing_ok=True)
            link.symlink_to(source)


def _stand_in(plugin: Plugin) -> Path:
    file = paths.PLUGINS / plugin.executable
    if not file.exists():
        raise LabError(f"the lab's {plugin.executable} is not built: run make install")
    return file


def _official(directory: Path, plugin: Plugin) -> Path:
    directory = directory.expanduser().resolve()
    places = [directory / plugin.executable, directory / plugin.folder / plugin.executable]
    for file in places:
        if file.is_file():
            return file
    raise LabError(
        f"LAB_PLUGINS={directory} has no {plugin.name} plugin {plugin.version}: put it at "
        f"{places[0].name} or {plugin.folder}/{plugin.executable} there, or unset LAB_PLUGINS"
    )
