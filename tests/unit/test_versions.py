"""Versions: what fits together, and which steps a live cluster may take."""

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oxide_components.versions import (
    CILIUM_KUBERNETES,
    DEFAULT_CILIUM_VERSION,
    DEFAULT_KUBERNETES_VERSION,
    DEFAULT_SCHEMATIC_ID,
    DEFAULT_TALOS_VERSION,
    MINIMUM_TALOS,
    TALOS_KUBERNETES,
    Minor,
    Version,
    contract_of,
    contract_problem,
    installer_image,
    kubernetes_step_problem,
    minor_path,
    order_problem,
    parse,
    parse_contract,
    parse_talos,
    skew_problems,
    talos_step_problem,
    talosctl_problem,
)

RECORDED: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "golden" / "talos-compatibility.json").read_text()
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


def minor(text: str) -> Minor:
    parsed = parse_contract(f"v{text}")
    assert parsed is not None
    return parsed


def test_the_table_of_talos_is_that_of_its_own_library() -> None:
    """lab/node/internal/compat compares the file with the library, which may not know the newest minor yet."""
    windows = {minor(text): window["kubernetes"] for text, window in RECORDED.items()}

    assert {
        talos: [str(minors[0]), str(minors[-1])]
        for talos, minors in TALOS_KUBERNETES.items()
        if talos <= max(windows)
    } == windows
    assert all(
        [m.minor for m in minors] == list(range(minors[0].minor, minors[-1].minor + 1))
        for minors in TALOS_KUBERNETES.values()
    )


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


kubernetes_minors = st.sampled_from(sorted({m for ms in TALOS_KUBERNETES.values() for m in ms}))
talos_minors = st.sampled_from([m for m in TALOS_KUBERNETES if m >= MINIMUM_TALOS])
patches = st.integers(0, 20)


def stops(problem: str) -> list[str]:
    """The minors of the path that a message tells to take."""
    path = re.search(r" along (\d+\.\d+(?: -> \d+\.\d+)+), one `pulumi up` each", problem)
    assert path is not None, problem
    return path[1].split(" -> ")


@given(kubernetes_minors, kubernetes_minors, patches, patches)
def test_kubernetes_moves_within_its_minor_or_one_up_and_is_told_the_path_to_others(
    here: Minor, there: Minor, old: int, new: int
) -> None:
    problem = kubernetes_step_problem(f"{here}.{old}", f"{there}.{new}")

    if there < here:
        assert problem is not None
        assert f"cannot go back to {there}.{new}" in problem
        assert f"stay at {here}" in problem
    elif there.minor - here.minor <= 1:
        assert problem is None
    else:
        assert problem is not None
        path = stops(problem)
        assert (path[0], path[-1]) == (str(here), str(there))
        assert not any(
            kubernetes_step_problem(f"{a}.{new}", f"{b}.{old}") for a, b in pairwise(path)
        )


@given(talos_minors, talos_minors, patches, patches)
def test_talos_moves_one_minor_either_way_and_is_told_the_path_to_others(
    here: Minor, there: Minor, old: int, new: int
) -> None:
    problem = talos_step_problem(f"v{here}.{old}", f"v{there}.{new}")

    if abs(there.minor - here.minor) <= 1:
        assert problem is None
    else:
        assert problem is not None
        path = stops(problem)
        assert (path[0], path[-1]) == (str(here), str(there))
        assert not any(talos_step_problem(f"v{a}.{new}", f"v{b}.{old}") for a, b in pairwise(path))


def test_installers_take_every_host_that_a_step_of_talos_starts_from() -> None:
    for target, window in RECORDED.items():
        first, last = map(minor, window["hosts"])
        for host in TALOS_KUBERNETES:
            if talos_step_problem(f"v{host}.5", f"v{target}.0") is None:
                assert first <= host <= last, f"{host} -> {target}"


@given(st.integers(10, 16), st.integers(28, 39), st.integers(16, 21))
def test_unknown_minors_are_refused_with_known_ones_to_use(
    talos: int, kubernetes: int, cilium: int
) -> None:
    wanted = [Version(1, number, 0) for number in (talos, kubernetes, cilium)]
    problems = skew_problems(*wanted)

    fits = (
        wanted[0].series >= MINIMUM_TALOS
        and wanted[1].series in TALOS_KUBERNETES.get(wanted[0].series, ())
        and wanted[1].series in CILIUM_KUBERNETES.get(wanted[2].series, ())
    )
    assert (not problems) == fits
    known = {str(m) for table in (TALOS_KUBERNETES, CILIUM_KUBERNETES) for m in table}
    known |= {
        str(m) for ms in (*TALOS_KUBERNETES.values(), *CILIUM_KUBERNETES.values()) for m in ms
    }
    for problem in problems:
        named = re.findall(r"\d+\.\d+", problem.way_out)
        assert named
        assert known.issuperset(named)


@pytest.mark.parametrize(
    ("running", "talos", "cilium", "told"),
    [
        ("1.31.2", "v1.13.9", "1.18.3", None),
        (
            "1.30.4",
            "v1.13.9",
            "1.18.3",
            "Talos v1.13.9 takes Kubernetes 1.31 to 1.36, and the cluster runs 1.30.4 until Talos has moved; keep "
            "talosVersion, set kubernetesVersion along 1.30 -> 1.31, one `pulumi up` each, and then talosVersion",
        ),
        ("1.31.2", "v1.13.9", "1.19.6", "kubernetesVersion along 1.31 -> 1.32, one `pulumi up`"),
        ("1.36.0", "v1.12.4", "1.19.6", "cannot go back; keep a talosVersion that takes it"),
    ],
)
def test_what_moves_before_kubernetes_fits_the_running_one(
    running: str, talos: str, cilium: str, told: str | None
) -> None:
    problem = order_problem(running, talos, cilium)
    assert (problem is None) if told is None else (problem is not None and told in problem)


def test_refusals_leave_a_way_to_every_newer_kubernetes() -> None:
    """From each set of versions that fits, accepted runs lead to every other whose Kubernetes is not older."""
    sets = [
        (talos, kubernetes, cilium)
        for talos in TALOS_KUBERNETES
        for kubernetes in TALOS_KUBERNETES[talos]
        for cilium in CILIUM_KUBERNETES
        if not skew_problems(*(Version(m.major, m.minor, 0) for m in (talos, kubernetes, cilium)))
    ]
    after = {
        old: {
            new
            for new in sets
            if talos_step_problem(f"v{old[0]}.0", f"v{new[0]}.0") is None
            and kubernetes_step_problem(f"{old[1]}.0", f"{new[1]}.0") is None
            and order_problem(f"{old[1]}.0", f"v{new[0]}.0", f"{new[2]}.0") is None
        }
        for old in sets
    }
    for start in sets:
        reached, edge = {start}, {start}
        while edge:
            edge = {new for old in edge for new in after[old]} - reached
            reached |= edge
        assert reached == {other for other in sets if other[1] >= start[1]}


@pytest.mark.parametrize(
    ("client", "wanted", "fits"),
    [
        ("v1.13.0", "v1.13.9", True),
        ("v1.14.0-alpha.1-12-g0a1b2c3-dirty", "v1.14.0", True),
        ("v1.14.2", "v1.12.4", True),
        ("v1.12.9", "v1.13.0", False),
        ("v1.9.9", "v1.12.0", False),
    ],
)
def test_talosctl_is_of_the_minor_that_it_brings_or_newer(
    client: str, wanted: str, fits: bool
) -> None:
    problem = talosctl_problem(client, wanted)

    assert (problem is None) == fits
    if problem is not None:
        assert client in problem
        assert f"install talosctl {wanted} (https://www.talos.dev/" in problem
        assert talosctl_problem(wanted, wanted) is None


def test_the_installer_image_comes_from_the_image_factory() -> None:
    assert installer_image(DEFAULT_SCHEMATIC_ID, "v1.13.9") == (
        f"factory.talos.dev/hcloud-installer/{DEFAULT_SCHEMATIC_ID}:v1.13.9"
    )
