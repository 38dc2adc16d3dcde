"""docs/configuration.md, Pulumi.yaml and the program name the same settings with the same types and defaults."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from oxide_components.config import ClusterConfig
from oxide_components.config_schema import (
    ADDON_KEYS,
    BUCKET_KEYS,
    CSI_KEYS,
    FIREWALL_RULE_KEYS,
    METADATA_ACCESS_KEYS,
    POOL_KEYS,
    SETTINGS,
    SETTINGS_BY_KEY,
    TAINT_KEYS,
)
from oxide_components.errors import ConfigError
from oxide_components.versions import CILIUM_KUBERNETES, MINIMUM_TALOS, TALOS_KUBERNETES

from .stack_values import raw

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "configuration.md").read_text()
ROWS = re.findall(r"^\| `([\w\[\].]+)` \| (\w+) \| (?:`(.*?)`)? ?\| (.+) \|$", TEXT, re.MULTILINE)
DOCUMENTED = {key: (kind, default) for key, kind, default, _ in ROWS}
DECLARED: dict[str, Any] = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"]

WITHOUT_DECLARATION = {"adminCidrs", "imageId", "networkId"}
"""A declared key without a default is required, and these have no default that means "not set"."""

PATCHES = {"configPatches", "controlPlaneConfigPatches", "workerConfigPatches"}
"""Declared without a type, because an array has entries of one type and a patch may be text or a mapping."""


def as_text(default: Any) -> str:
    if default is None:
        return ""
    return str(list(default)) if isinstance(default, tuple) else str(default).removesuffix(".0")


def test_every_setting_is_documented_and_nothing_else() -> None:
    nested = {
        *(f"workerPools[].{key}" for key in POOL_KEYS),
        *(f"extraFirewallRules[].{key}" for key in FIREWALL_RULE_KEYS),
        *(f"metadataAccess[].{key}" for key in METADATA_ACCESS_KEYS),
        *(f"etcdSnapshotBucket.{key}" for key in BUCKET_KEYS),
        *(f"addons.{key}" for key in ADDON_KEYS),
        *(f"addons.csi.{key}" for key in CSI_KEYS),
    }
    assert {key for key, *_ in ROWS} == {*SETTINGS_BY_KEY, *nested}
    assert len(ROWS) == len(DOCUMENTED)


def test_the_keys_of_a_taint_are_documented() -> None:
    row = next(text for key, _, _, text in ROWS if key == "workerPools[].taints")
    assert all(f"`{key}`" in row for key in TAINT_KEYS)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.key)
def test_documented_types_and_defaults_are_those_of_the_program(setting: Any) -> None:
    default = setting.default
    text = str(default).lower() if isinstance(default, bool) else as_text(default)
    assert DOCUMENTED[setting.key] == (setting.kind, text)


def test_the_project_file_declares_every_setting() -> None:
    assert set(DECLARED) == set(SETTINGS_BY_KEY) - WITHOUT_DECLARATION


@pytest.mark.parametrize("key", DECLARED)
def test_declared_types_and_defaults_are_those_of_the_program(key: str) -> None:
    item, setting = DECLARED[key], SETTINGS_BY_KEY[key]
    empty = {"string": "", "array": [], "object": {}}
    expected = empty[setting.kind] if setting.default is None else setting.default
    assert item["default"] == (list(expected) if isinstance(expected, tuple) else expected)
    assert item.get("type") == (None if key in PATCHES else setting.kind)
    assert item["description"]
    assert ("items" in item) == (setting.kind == "array" and key not in PATCHES)


def test_settings_that_may_be_secret_say_so() -> None:
    said = {key for key, _, _, text in ROWS if "stored as a secret" in text}
    assert said == {setting.key for setting in SETTINGS if setting.may_be_secret}


def test_the_section_about_secrets_names_all_that_may_be_secret() -> None:
    said = set(re.findall(r"`(\w+)`", TEXT.partition("\n## Secrets\n")[2]))
    assert said == {setting.key for setting in SETTINGS if setting.may_be_secret}


def test_every_table_begins_with_its_head() -> None:
    """A blank line before a row ends the table, and what follows is shown as text."""
    assert re.findall(r"\n\n(\|.*\|)\n(?!\|---)", TEXT) == []


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.key)
def test_an_empty_text_is_refused_exactly_where_a_default_is_documented(setting: Any) -> None:
    text = setting.kind in ("string", "integer", "boolean")
    refused = text and setting.default is not None and setting.key != "etcdSnapshotDirectory"
    if refused:
        with pytest.raises(ConfigError):
            ClusterConfig.parse({setting.key: ""})
    else:
        ClusterConfig.parse({setting.key: ""})


def test_the_documented_version_tables_are_those_of_the_program() -> None:
    table = {
        **{m: k for m, k in TALOS_KUBERNETES.items() if m >= MINIMUM_TALOS},
    }
    for minor, kubernetes in [*table.items(), *CILIUM_KUBERNETES.items()]:
        assert f"| {minor} | {kubernetes[0]} to {kubernetes[-1]} |" in TEXT


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL))
def test_the_examples_are_valid_stacks(block: str) -> None:
    values = yaml.safe_load(block)["config"]
    ClusterConfig.parse(raw({key.removeprefix("oxide:"): value for key, value in values.items()}))


def test_the_pod_range_for_large_clusters_has_room_for_a_hundred_nodes() -> None:
    config = ClusterConfig.parse({"workers": "97", "podCidr": "10.0.128.0/17"})
    assert config.warnings == ()
