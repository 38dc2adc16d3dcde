"""A cluster between one and five control planes: it agrees with itself at every size. The tests build on each other."""

from collections.abc import Callable, Iterator

import pytest

from .availability import run_application, watched
from .stacks import SERVER, TRACEBACK, Stack

BUDGET = 3


@pytest.fixture(scope="module")
def sized(new_stack: Callable[..., Stack]) -> Iterator[Stack]:
    """A cluster of one control plane and two workers, whose control planes to come stand elsewhere."""
    stack = new_stack("size", controlPlanes="1", workers="2")
    for index, location in enumerate(("nbg1", "fsn1", "hel1")):
        stack.set(f"controlPlaneLocations[{index}]", location)
    stack.up()
    yield stack
    stack.discard()


def _nodes(control_planes: int, workers: int) -> list[str]:
    return [
        *(f"size-cp-{index}" for index in range(1, control_planes + 1)),
        *(f"size-worker-{index}" for index in range(1, workers + 1)),
    ]


def _resize(stack: Stack, *, control_planes: int, workers: int) -> str:
    stack.set("controlPlanes", str(control_planes))
    stack.set("workers", str(workers))
    text = stack.up().text
    assert stack.agreed() == _nodes(control_planes, workers)
    return text


def test_a_cluster_grows_step_by_step(sized: Stack) -> None:
    assert sized.agreed() == _nodes(1, 2)
    _resize(sized, control_planes=3, workers=5)
    run_application(sized, replicas=5, budget=BUDGET)
    _resize(sized, control_planes=5, workers=5)

    servers = sized.cloud.servers.get_all(label_selector="cluster=size,role=control-plane")
    addresses = sized.cloud.primary_ips.get_all(label_selector="cluster=size")
    for objects in (servers, addresses):
        found = [one.location.name for one in sorted(objects, key=lambda one: one.name)]
        assert found == ["nbg1", "fsn1", "hel1", "nbg1", "fsn1"]


def test_a_control_plane_never_moves_with_the_list_of_locations(sized: Stack) -> None:
    sized.ok("config", "rm", "--path", "controlPlaneLocations[2]")
    run = sized.run("preview")
    assert run.code != 0
    assert "Control plane size-cp-3 runs in hel1 and cannot move to nbg1" in run.text

    sized.set("controlPlaneLocations[2]", "hel1")
    assert sized.up().changes == {}


def test_a_step_that_would_cost_the_quorum_is_refused_before_anything_is_touched(
    sized: Stack,
) -> None:
    sized.set("controlPlanes", "1")
    run = sized.run("preview")
    sized.set("controlPlanes", "5")

    assert run.code != 0
    assert "Go 5 -> 3 -> 1" in run.text
    assert TRACEBACK not in run.text
    assert sized.agreed() == _nodes(5, 5)


def test_a_cluster_shrinks_and_its_application_keeps_its_budget(sized: Stack) -> None:
    with watched(sized, BUDGET) as seen:
        _resize(sized, control_planes=3, workers=1)

    assert seen.answers > 10
    assert seen.shortages == []


def test_a_control_plane_that_etcd_cannot_spare_is_not_replaced(sized: Stack) -> None:
    down = sized.cloud.servers.get_by_name("size-cp-3")
    assert down is not None
    down.power_off().wait_until_finished()
    before = _ids(sized)
    replace = ["--replace", sized.server_urn("size-cp-2")]
    preview = sized.run("preview", *replace)
    run = sized.run("up", "--yes", "--skip-preview", *replace)
    down.power_on().wait_until_finished()

    for refused in (preview, run):
        assert refused.code != 0
        assert "size-cp-2 cannot be replaced, etcd would lose its quorum" in refused.text
        assert "size-cp-3: " in refused.text
        assert TRACEBACK not in refused.text
    assert _ids(sized) == before
    sized.up()
    assert sized.agreed() == _nodes(3, 1)


@pytest.mark.parametrize("name", ["size-cp-1", "size-cp-2"])
def test_a_broken_control_plane_is_replaced_and_joins_the_same_cluster(
    sized: Stack, name: str
) -> None:
    sized.set("deletionProtection", "true")
    sized.up()
    broken = sized.cloud.servers.get_by_name(name)
    assert broken is not None
    untouched = _ids(sized, without=name)
    broken.power_off().wait_until_finished()
    with watched(sized, BUDGET) as seen:
        run = sized.ok("up", "--yes", "--skip-preview", "--replace", sized.server_urn(name))

    assert TRACEBACK not in run.text
    assert seen.shortages == []
    assert sized.agreed() == _nodes(3, 1)
    assert sized.cloud.servers.get_by_name(name).id != broken.id
    assert _ids(sized, without=name) == untouched
    sized.set("deletionProtection", "false")
    sized.up()


def test_no_run_replaces_all_control_planes(sized: Stack) -> None:
    """The first one goes, as in any replacement; the quorum stays."""
    sized.kubectl("create", "configmap", "kept")
    replace = [
        argument
        for resource in sized.resources()
        if resource["type"] == SERVER and "-cp-" in resource["outputs"]["name"]
        for argument in ("--replace", resource["urn"])
    ]
    assert len(replace) == 6
    run = sized.run("preview", *replace)
    assert run.code != 0
    assert "would be replaced in one run, and etcd would lose its quorum" in run.text

    before = _ids(sized)
    run = sized.run("up", "--yes", "--skip-preview", *replace)
    assert run.code != 0
    assert "would be replaced in one run, and etcd would lose its quorum" in run.text
    assert TRACEBACK not in run.text
    left = _ids(sized)
    assert len(before.items() & left.items()) >= len(before) - 1

    sized.up()
    assert sized.agreed() == _nodes(3, 1)
    assert "kept" in sized.kubectl("get", "configmaps", "-o", "name")


def test_one_control_plane_and_one_worker_are_left_of_it_and_nothing_to_do(sized: Stack) -> None:
    with watched(sized, BUDGET) as seen:
        _resize(sized, control_planes=1, workers=1)

    assert seen.shortages == []
    assert sized.up().changes == {}


def _ids(stack: Stack, *, without: str = "") -> dict[str, int]:
    servers = stack.cloud.servers.get_all(label_selector=f"cluster={stack.name}")
    return {server.name: server.id for server in servers if server.name != without}
