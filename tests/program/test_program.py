"""The program as a whole: which resources a stack consists of, and how it ends on a bad configuration."""

import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pulumi
import pytest

from tests.components.recording import Recorder, prepare, record

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"

TOPOLOGIES: dict[str, dict[str, str]] = {
    "default": {},
    "single": {"controlPlanes": "1", "workers": "0"},
    "pools": {
        "workers": "1",
        "workerPools": '[{"name": "db", "count": 2, "serverType": "cax21"}, {"name": "empty", "count": 0}]',
    },
}


def _configure(settings: dict[str, str]) -> None:
    values = {"clusterName": "demo", "adminCidrs": '["203.0.113.7/32"]', **settings}
    pulumi.runtime.set_all_config({f"oxide:{key}": value for key, value in values.items()})


def _run(settings: dict[str, str]) -> Recorder:
    _configure(settings)

    def build() -> None:
        runpy.run_path(str(ROOT / "__main__.py"))

    return record(build)


@pytest.fixture(autouse=True)
def _leave_no_traces(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("signal.signal", lambda *_: None)
    yield
    # The SDK keeps one configuration for the process, and other tests read it.
    pulumi.runtime.set_all_config({})


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_a_stack_consists_of_these_resources(topology: str) -> None:
    """
    A changed URN replaces what people run.

    It needs an alias in the same commit as the changed golden file. Under mocks the stack's own type leads each URN;
    everything after it is what a real stack has.
    """
    urns = sorted(r.urn.split("::", 2)[2] for r in _run(TOPOLOGIES[topology]).registrations)

    golden = GOLDEN / f"urns-{topology}.txt"
    assert urns == golden.read_text().splitlines()


def test_scaling_workers_adds_resources_and_changes_only_the_roster() -> None:
    def inputs(workers: int) -> dict[str, Any]:
        return {r.urn: r.inputs for r in _run({"workers": str(workers)}).registrations}

    two, five = inputs(2), inputs(5)

    changed = {urn.rsplit("::", 1)[-1] for urn in two if five[urn] != two[urn]}
    # The list of nodes, so that the new ones can leave properly one day.
    assert changed == {"control-plane-roster"}
    # A server, the node on it and the node's config, three times.
    assert len(five.keys() - two.keys()) == 9


def test_only_resources_inside_the_cluster_go_with_it() -> None:
    """`deleted_with` on anything that Hetzner bills would leave it behind after a destroy."""
    carriers = {r.type for r in _run({}).registrations if r.deleted_with}

    # The engine hands it down to the component's children: the release and the policy.
    assert carriers == {"oxide:index:CiliumRelease"}


def test_deletion_protection_covers_what_scaling_never_removes() -> None:
    protected = {r.name for r in _run({}).registrations if r.protect and r.custom}

    assert protected == {
        "cluster",
        "network",
        "secrets",
        "control-plane-1",
        "control-plane-1-ipv4",
    }
    assert not any(r.protect for r in _run({"deletionProtection": "false"}).registrations)


def test_everything_waits_for_the_identity_so_that_its_refusal_comes_first() -> None:
    recorder = _run({})
    first = next(r.name for r in recorder.registrations if r.custom)

    assert first == "cluster"
    for name in ("network", "secrets", "firewall-control-plane", "control-plane-1"):
        found = [r for r in recorder.registrations if r.name == name and r.custom]
        assert "cluster" in found[0].dependencies, name


def test_a_bad_configuration_ends_the_program_before_any_resource() -> None:
    recorder = prepare()
    _configure({"controlPlanes": "2", "podCidr": "10.0.0.0/16", "wrokers": "3"})

    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "__main__.py"))

    # What tells Pulumi's host that the user has been told.
    assert ended.value.code == 32
    assert recorder.registrations == []
