"""Provider plugins lie where the engine of an instance looks, in the version that the SDK wants."""

from pathlib import Path

import pytest

from lab import paths, provider_plugins
from lab.errors import LabError
from lab.provider_plugins import Plugin

WANTED = [Plugin("hcloud", "1.43.3"), Plugin("talos", "0.8.1")]


@pytest.fixture
def stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "plugins"
    folder.mkdir()
    for plugin in WANTED:
        (folder / plugin.executable).touch()
    monkeypatch.setattr(paths, "PLUGINS", folder)
    monkeypatch.setattr(provider_plugins, "wanted", lambda: WANTED)
    return folder


def linked(home: Path) -> dict[str, Path]:
    return {
        str(file.relative_to(home / "plugins")): file.readlink()
        for file in (home / "plugins").glob("*/*")
    }


def test_stand_ins_serve_by_default(stand_ins: Path, tmp_path: Path) -> None:
    provider_plugins.place(tmp_path / "home", {})

    assert linked(tmp_path / "home") == {
        "resource-hcloud-v1.43.3/pulumi-resource-hcloud": stand_ins / "pulumi-resource-hcloud",
        "resource-talos-v0.8.1/pulumi-resource-talos": stand_ins / "pulumi-resource-talos",
    }


def test_official_plugins_are_taken_from_both_layouts(stand_ins: Path, tmp_path: Path) -> None:
    provider_plugins.place(tmp_path / "home", {})
    flat = tmp_path / "official" / "pulumi-resource-talos"
    nested = tmp_path / "official" / "resource-hcloud-v1.43.3" / "pulumi-resource-hcloud"
    nested.parent.mkdir(parents=True)
    flat.touch()
    nested.touch()

    provider_plugins.place(tmp_path / "home", {"LAB_PLUGINS": str(tmp_path / "official")})

    assert set(linked(tmp_path / "home").values()) == {flat, nested}


def test_download_leaves_the_place_to_pulumi(stand_ins: Path, tmp_path: Path) -> None:
    provider_plugins.place(tmp_path / "home", {})

    provider_plugins.place(tmp_path / "home", {"LAB_PLUGINS": "download"})

    assert list((tmp_path / "home" / "plugins").iterdir()) == []


def test_a_directory_without_the_plugin_is_refused(stand_ins: Path, tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"has no hcloud plugin 1\.43\.3: put it at"):
        provider_plugins.place(tmp_path / "home", {"LAB_PLUGINS": str(tmp_path)})


def test_a_stand_in_that_is_not_built_is_named(stand_ins: Path, tmp_path: Path) -> None:
    (stand_ins / "pulumi-resource-talos").unlink()

    with pytest.raises(LabError, match="pulumi-resource-talos is not built: run make install"):
        provider_plugins.place(tmp_path / "home", {})


def test_the_installed_sdks_say_which_versions_they_want() -> None:
    assert [plugin.name for plugin in provider_plugins.wanted()] == [
        "hcloud",
        "talos",
        "kubernetes",
    ]
