"""Whatever a stack file holds, the answer is a configuration or one ConfigError, never a traceback."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from oxide_components.config import ClusterConfig
from oxide_components.config_patches import OWNED_PATHS, SECRET_PATHS
from oxide_components.config_schema import POOL_KEYS, SETTINGS, SETTINGS_BY_KEY, TAINT_KEYS
from oxide_components.errors import ConfigError
from oxide_components.naming import server_name

words = st.sampled_from(
    [
        "",
        "a",
        "cp",
        "worker",
        "10.0.0.0/24",
        "::/0",
        "v1.13.9",
        "1.35.4",
        "true",
        "5",
        "-1",
        "$patch",
        "delete",
        "\n",
        "\u2028",
        "a: [",
        "@x",
    ]
)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 101), st.floats(allow_nan=False), words
)
keys = st.one_of(
    words,
    st.sampled_from(
        [*POOL_KEYS, *TAINT_KEYS, "namespace", "machine", "cluster", "network", "ipam", "kind"]
    ),
)
trees = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3)),
    max_leaves=6,
)
stacks = st.dictionaries(
    st.sampled_from(sorted(SETTINGS_BY_KEY)),
    st.one_of(trees, st.lists(trees, max_size=2)),
    max_size=4,
)


@given(stacks)
@example({"workerPools": [{}]})
@example({"workerPools": [{"name": None, "count": None, "labels": None, "taints": [None]}]})
@example(
    {
        "configPatches": [
            None,
            {},
            [],
            "---\n---\n",
            "a: &a [*a]",
            "!!python/object:os.system {}",
            "a: 2024-13-45",
            "2024-01-02: 3",
            "[" * 2000,
        ]
    }
)
@example(
    {"ciliumValues": {"": {}, "ipam": [], "securityContext": {"capabilities": {"ciliumAgent": 5}}}}
)
@example({"metadataAccess": [{"namespace": "a", "labels": {"": ""}}] * 3})
@example({"adminCidrs": [None, {}, ["10.0.0.0/8"]]})
@example({"podCidr": "10.0.0.0/0", "nodeCidrMaskSize": 32})
def test_any_stack_ends_in_a_configuration_or_one_clean_error(stack: dict[str, Any]) -> None:
    values = {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in stack.items()
    }
    error = error_of(values)
    if error is not None:
        assert error.problems
        assert len(str(error).splitlines()) == 1 + len(error.problems)
        assert all("; " in problem for problem in error.problems)


@pytest.mark.parametrize("key", [s.key for s in SETTINGS if s.kind in ("array", "object")])
@pytest.mark.parametrize("depth", [95, 5_000])
def test_deep_structures_end_the_same_way(key: str, depth: int) -> None:
    for text in (
        "[" * depth + "]" * depth,
        '{"machine":' * depth + "1" + "}" * depth,
        '[{"name": "a", "count": 1, "configPatches": ['
        + '{"a":' * depth
        + "1"
        + "}" * depth
        + "]}]",
    ):
        error = error_of({key: text})
        assert error is None or all("; " in problem for problem in error.problems)


pool_names = st.sampled_from(["a", "a-g2", "a-g2-g3", "a-1", "worker-g2", "cp-g2"])


@given(st.integers(1, 3), st.dictionaries(pool_names, st.integers(1, 3)))
def test_no_two_servers_share_a_name(workers: int, pools: dict[str, int]) -> None:
    entries = [{"name": name, "count": 2, "generation": g} for name, g in pools.items()]
    values = {"workersGeneration": str(workers), "workerPools": json.dumps(entries)}
    names = [
        server_name("oxide", pool, index, generation)
        for pool, generation in {"cp": 1, "worker": workers, **pools}.items()
        for index in (1, 2)
    ]

    assert len(set(names)) == len(names) or error_of(values) is not None


@given(st.sampled_from([*OWNED_PATHS, *SECRET_PATHS]), st.integers(1, 9), st.booleans())
def test_no_patch_reaches_what_oxide_owns(path: str, depth: int, delete: bool) -> None:
    """Whether a patch sets an owned path or deletes something above it."""
    parts = path.split(".")
    kept = parts[: min(depth, len(parts))] if delete else parts
    patch: Any = {"$patch": "delete"} if delete else {"x": "y"}
    for part in reversed(kept):
        patch = {part: patch}
    for form in (patch, yaml.safe_dump(patch)):
        values = {"configPatches": json.dumps([form])}
        error = error_of(values)
        assert error is not None, form
        assert any(path in problem for problem in error.problems)


def error_of(values: dict[str, str]) -> ConfigError | None:
    try:
        ClusterConfig.parse(values)
    except ConfigError as error:
        return error
    return None
