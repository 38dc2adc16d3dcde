"""Versions: what fits together, and which steps a live cluster may take."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oxide_components.versions import (
    CILIUM_KUBERNETES,
    DEFAULT_CILIUM_VERSION,
    DEFAULT_KUBERNETES_VERSION,
    DEFAULT_SCHEMATIC_ID,
    DEFAULT_TALOS_VERSION,
    TALOS_KUBERNETES,
    Minor,
    Version,
    contract_of,
    contract_problem,
    installer_image,
    kubernetes_step_problem,
    minor_path,
    parse,
    parse_contract,
    parse_talos,
    skew_problems,
    talos_step_problem,
)


def version(text: str) -> Version:
    parsed = parse(text)
    assert parsed is not None
    return parsed


def test_the_defaults_fit_together() -> None:
    talos = parse_talos(DEFAULT_TALOS_VERSION)
    assert talos is not None
    kubernetes, cilium = version(DEFAULT_KUBERNETES_VERSION), version(DEFAULT_CILIUM_VERSION)
    assert skew_problems(talos, kubernetes, cilium) == []


@pytest.mark.parametrize(
    ("talos", "first", "last"),
    [("1.11", 29, 34), ("1.12", 30, 35), ("1.13", 31, 36), ("1.14", 32, 37)],
)
def test_each_talos_minor_runs_six_kubernetes_minors(talos: str, first: int, last: int) -> None:
    minor = parse_contract(f"v{talos}")
    assert minor is not None
    assert [m.minor for m in TALOS_KUBERNETES[minor]] == list(range(first, last + 1))


def test_cilium_is_tested_with_the_documented_minors() -> None:
    assert [str(m) for m in CILIUM_KUBERNETES[Minor(1, 19)]] == ["1.32", "1.33", "1.34", "1.35"]
    assert [str(m) for m in CILIUM_KUBERNETES[Minor(1, 18)]] == ["1.30", "1.31", "1.32", "1.33"]


@pytest.mark.parametrize(
    ("talos", "kubernetes", "cilium", "setting"),
    [
        ("1.11.0", "1.33.0", "1.19.6", "talosVersion"),
        ("1.15.0", "1.35.0", "1.19.6", "talosVersion"),
        ("1.12.0", "1.36.0", "1.19.6", "kubernetesVersion"),
        ("1.13.0", "1.36.0", "1.19.6", "ciliumVersion"),
        ("1.13.0", "1.35.0", "1.18.0", "ciliumVersion"),
        ("1.13.0", "1.35.0", "2.0.0", "ciliumVersion"),
    ],
)
def test_skew_is_blamed_on_the_setting_to_change(
    talos: str, kubernetes: str, cilium: str, setting: str
) -> None:
    problems = skew_problems(version(talos), version(kubernetes), version(cilium))
    assert setting in [problem.setting for problem in problems]


@given(
    st.integers(0, 99),
    st.integers(0, 99),
    st.integers(0, 99),
    st.sampled_from(["", "-rc.1", "-alpha.0"]),
)
def test_versions_survive_parsing(major: int, minor: int, patch: int, suffix: str) -> None:
    text = f"{major}.{minor}.{patch}{suffix}"
    assert str(parse(text)) == text
    assert parse_talos(f"v{text}") == parse(text)


@pytest.mark.parametrize(
    "text", ["", "1", "1.35", "v1.35.4", "1.35.4.1", "1.35.x", "1.35.4-dev", "1.35.4 "]
)
def test_other_texts_are_no_versions(text: str) -> None:
    assert parse(text) is None


@pytest.mark.parametrize(
    ("talos", "contract"), [("v1.12.4", "v1.12"), ("v1.13.9", "v1.13"), ("v1.14.0", "v1.13")]
)
def test_a_contract_is_never_newer_than_the_provider_can_generate(
    talos: str, contract: str
) -> None:
    assert contract_of(talos) == contract
    parsed = parse_talos(talos)
    assert parsed is not None
    assert contract_problem(contract, parsed) is None


@pytest.mark.parametrize(
    ("current", "wanted", "path"),
    [
        ("1.34", "1.36", "1.34 -> 1.35 -> 1.36"),
        ("1.35", "1.35", "1.35"),
        ("1.13", "1.11", "1.13 -> 1.12 -> 1.11"),
    ],
)
def test_the_path_between_minors_names_every_stop(current: str, wanted: str, path: str) -> None:
    here, there = parse_contract(f"v{current}"), parse_contract(f"v{wanted}")
    assert here is not None
    assert there is not None
    assert minor_path(here, there) == path


@pytest.mark.parametrize(
    ("current", "wanted", "told"),
    [
        ("1.34.2", "1.34.2", None),
        ("1.34.2", "1.34.0", None),
        ("1.34.2", "1.35.4", None),
        ("1.34.2", "1.36.0", "1.34 -> 1.35 -> 1.36"),
        ("1.35.4", "1.34.2", "cannot go back"),
    ],
)
def test_kubernetes_moves_one_minor_up(current: str, wanted: str, told: str | None) -> None:
    problem = kubernetes_step_problem(current, wanted)
    assert (problem is None) if told is None else (problem is not None and told in problem)


@pytest.mark.parametrize(
    ("current", "wanted", "told"),
    [
        ("v1.13.4", "v1.13.9", None),
        ("v1.13.9", "v1.12.4", None),
        ("v1.12.4", "v1.13.0", None),
        ("v1.12.4", "v1.14.0", "1.12 -> 1.13 -> 1.14"),
    ],
)
def test_talos_moves_one_minor_either_way(current: str, wanted: str, told: str | None) -> None:
    problem = talos_step_problem(current, wanted)
    assert (problem is None) if told is None else (problem is not None and told in problem)


def test_the_installer_image_comes_from_the_image_factory() -> None:
    assert installer_image(DEFAULT_SCHEMATIC_ID, "v1.13.9") == (
        f"factory.talos.dev/hcloud-installer/{DEFAULT_SCHEMATIC_ID}:v1.13.9"
    )
