"""Differences between machine configs: the paths that changed, only those, and never a value."""

import copy
import json
import re
import traceback
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from oxide_components.config_changes import (
    IMMEDIATE_MACHINE_KEYS,
    changed_keys,
    reboot_keys,
    same,
    summary,
    taints_of,
)
from oxide_components.errors import OxideError

ROOT = Path(__file__).parents[2]
WORKER = (ROOT / "tests" / "golden" / "machine-config-worker.yaml").read_text()

keys = st.one_of(
    st.sampled_from(["machine", "cluster", "nodeLabels", "oxide/pool", "net.ipv4.ip_forward", "a"]),
    st.text(st.characters(codec="ascii", categories=["L", "N", "P", "Z"]), max_size=6),
)
# Values that no key can be part of, so that a leak is seen.
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.just(0.5),
    st.from_regex(r"HUSH[a-z0-9 :#{}-]{0,8}", fullmatch=True),
    st.sampled_from(["", "off", "true", "12:30", "2024-01-02", "null", "1", "1e3", "0x1f"]),
)
trees = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=4)),
    max_leaves=12,
)
sections = st.dictionaries(keys.filter(lambda key: key != "kind"), trees, max_size=4)
documents = st.builds(
    lambda kind, name, fields: {**fields, "apiVersion": "v1alpha1", "kind": kind, "name": name},
    st.sampled_from(["LinkConfig", "StaticHostConfig"]),
    st.sampled_from(["eth0", "10.0.0.12", "fd00::1", "with space"]),
    sections,
)
configs = st.builds(
    lambda main, others: [main, *{(d["kind"], d["name"]): d for d in others}.values()],
    sections,
    st.lists(documents, max_size=3),
)


def text(config: list[Any]) -> str:
    return yaml.safe_dump_all(config)


def main(**sections: Any) -> str:
    return text([sections])


@given(configs)
def test_a_config_is_the_same_as_itself_however_it_is_written(config: list[Any]) -> None:
    flow = yaml.safe_dump_all(reversed(config), default_flow_style=True, explicit_start=True)
    as_json = "\n---\n".join(json.dumps(document) for document in config)

    for other in (text(config), flow, as_json):
        assert changed_keys(text(config), other) == []
        assert same(text(config), other)


@given(configs, configs)
def test_both_directions_name_the_same_paths(old: list[Any], new: list[Any]) -> None:
    paths = changed_keys(text(old), text(new))

    assert paths == sorted(set(paths))
    assert paths == changed_keys(text(new), text(old))
    assert same(text(old), text(new)) is (paths == [])


@given(configs, configs)
def test_no_value_is_ever_part_of_a_path(old: list[Any], new: list[Any]) -> None:
    said = summary(changed_keys(text(old), text(new)), most=100)

    assert "HUSH" not in said
    assert said.isprintable()


@given(configs, st.data())
def test_a_changed_value_is_found_and_nothing_else(config: list[Any], data: st.DataObject) -> None:
    places = [(index, path) for index, part in enumerate(config) for path in leaves(part)]
    assume(places)
    index, path = data.draw(st.sampled_from(places))
    changed = copy.deepcopy(config)
    parent = changed[index]
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = "CHANGED"

    (found,) = changed_keys(text(config), text(changed))

    document = config[index]
    name = f"{document['kind']}/{document['name']}" if "kind" in document else ""
    assert segments(found.removeprefix(json.dumps(name) if " " in name else name)) == list(path)


def leaves(value: dict[str, Any]) -> list[tuple[str, ...]]:
    """Paths of everything in a document that is no mapping, but for what names the document."""
    return [
        (key, *rest)
        for key, item in value.items()
        for rest in (leaves(item) if isinstance(item, dict) else [()])
        if not ("kind" in value and key in ("kind", "name"))
    ]


def segments(path: str) -> list[str]:
    found = re.findall(r'\["(?:[^"\\]|\\.)*"\]|[^.\[]+', path)
    return [json.loads(part)[0] if part.startswith("[") else part for part in found]


@pytest.mark.parametrize(
    ("old", "new", "paths"),
    [
        (
            main(machine={"nodeLabels": {"team": "a", "oxide/pool": "x"}}),
            main(machine={"nodeLabels": {"team": "b", "oxide/pool": "y"}}),
            ["machine.nodeLabels.team", 'machine.nodeLabels["oxide/pool"]'],
        ),
        (
            main(cluster={"apiServer": {"certSANs": ["a", "b"]}}),
            main(cluster={"apiServer": {"certSANs": ["b", "a"]}}),
            ["cluster.apiServer.certSANs"],
        ),
        (
            main(machine={"sysctls": {"net.ipv4.ip_forward": "0"}}),
            main(machine={}),
            ['machine.sysctls["net.ipv4.ip_forward"]'],
        ),
        (
            main(machine={"env": {}}),
            main(machine={"env": {"TOKEN": "hush"}, "files": [{"path": "/a", "content": "hush"}]}),
            ["machine.env.TOKEN", "machine.files"],
        ),
        (
            WORKER,
            WORKER.replace("hostname: demo-db-1", "hostname: demo-db-2"),
            ["HostnameConfig.hostname"],
        ),
        (WORKER, WORKER.replace("mtu: 1450", "mtu: 1400"), ["LinkConfig/eth1.mtu"]),
        (
            WORKER,
            WORKER + "---\napiVersion: v1alpha1\nkind: StaticHostConfig\nname: 10.0.0.99\n",
            ["StaticHostConfig/10.0.0.99"],
        ),
        (
            main(),
            main() + "---\napiVersion: v1alpha1\nkind: WatchdogTimerConfig\ndevice: /dev/watchdog0",
            ["WatchdogTimerConfig"],
        ),
        ("", main(machine={"a": {"b": 1}}), ["machine.a.b"]),
        (main(machine="text"), main(machine={"a": 1}), ["machine"]),
    ],
)
def test_paths_of_changes(old: str, new: str, paths: list[str]) -> None:
    assert changed_keys(old, new) == paths


@pytest.mark.parametrize("empty", [None, {}, [], {"b": None}, {"b": [], "c": {"d": {}}}])
def test_an_empty_value_equals_a_missing_key(empty: Any) -> None:
    assert same(main(machine={"a": empty}), main())
    assert same(main(list=[{"a": empty, "b": 1}]), main(list=[{"b": 1}]))


@pytest.mark.parametrize("value", [False, 0, "", [None], [{}]])
def test_other_values_are_no_missing_keys(value: Any) -> None:
    assert changed_keys(main(machine={"a": value}), main(machine={})) == ["machine.a"]


@pytest.mark.parametrize(
    ("old", "new"),
    [("true", "1"), ("1", '"1"'), ("1", "1.0"), ("true", '"true"'), ("no", "false"), ("a", "A")],
)
def test_values_of_different_types_differ(old: str, new: str) -> None:
    """A kubelet refuses text for a number, so quotes matter in its extraConfig."""
    assert changed_keys(f"machine: {{a: {old}}}", f"machine: {{a: {new}}}") == ["machine.a"]


@pytest.mark.parametrize("value", ["off", "2024-01-02", "12:30:45", "010"])
def test_plain_texts_of_talos_need_no_quotes(value: str) -> None:
    assert same(f"auto: {value}", f'auto: "{value}"')


@pytest.mark.parametrize("bad", ["hush: [", "hush", "a: &a [*a]", "hush: !!int x", "\x00hush"])
def test_a_text_that_is_no_config_is_refused_without_quoting_it(bad: str) -> None:
    with pytest.raises(OxideError, match="machine config") as raised:
        changed_keys(main(), bad)
    assert "hush" not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize(
    "path",
    [
        "debug",
        "cluster.apiServer.certSANs",
        "cluster.inlineManifests",
        "machine.kubelet.extraConfig.maxPods",
        'machine.nodeLabels["oxide/pool"]',
        'machine.sysctls["net.ipv4.ip_forward"]',
        "machine.install.image",
        "machine.features.hostDNS.enabled",
        "HostnameConfig.hostname",
        "StaticHostConfig/10.0.0.12",
    ],
)
def test_changes_that_apply_at_once(path: str) -> None:
    assert reboot_keys([path]) == []


@pytest.mark.parametrize(
    "path",
    [
        "persist",
        "machine",
        "machine.token",
        "machine.env.TOKEN",
        "machine.files",
        "machine.udev.rules",
        "machine.systemDiskEncryption.state.provider",
        "machine.features.rbac",
        "machine.features",
        "machine.kubeletX",
    ],
)
def test_changes_that_need_a_reboot(path: str) -> None:
    assert reboot_keys(["machine.kubelet.image", path]) == [path]


def test_the_rule_is_that_of_the_emulated_node() -> None:
    source = (ROOT / "lab" / "node" / "internal" / "machineconfig" / "load.go").read_text()
    fields = {name.lower() for name in re.findall(r'"Machine(\w+)"', source)}

    assert fields == {key.lower() for key in IMMEDIATE_MACHINE_KEYS if "." not in key}


def test_taints_of_a_worker() -> None:
    taints = [
        {"key": "dedicated", "value": "db", "effect": "NoSchedule"},
        {"key": "example.com/a", "effect": "NoExecute"},
    ]
    config = main(machine={"kubelet": {"extraConfig": {"registerWithTaints": taints}}})

    assert taints_of(config) == [
        ("dedicated", "db", "NoSchedule"),
        ("example.com/a", "", "NoExecute"),
    ]


@pytest.mark.parametrize(
    "config",
    [
        "",
        main(machine={"kubelet": {"extraConfig": {"maxPods": 110}}}),
        main(machine={"kubelet": None}),
        main(machine={"kubelet": "x"}),
        main(machine={"kubelet": {"extraConfig": {"registerWithTaints": "x"}}}),
    ],
)
def test_a_config_without_taints_has_none(config: str) -> None:
    assert taints_of(config) == []


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, ""),
        (1, "k1"),
        (2, "k1 and k2"),
        (3, "k1, k2 and k3"),
        (4, "k1, k2, k3 and 1 more"),
        (9, "k1, k2, k3 and 6 more"),
    ],
)
def test_a_summary_names_the_first_keys_and_counts_the_others(count: int, said: str) -> None:
    assert summary([f"k{number}" for number in range(1, count + 1)], most=3) == said
