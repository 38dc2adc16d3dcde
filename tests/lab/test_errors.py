"""What users see when something is wrong: short errors, nothing half-applied, no traceback."""

import json
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .stacks import TRACEBACK, Stack


@pytest.fixture(scope="module")
def stack(new_stack: Callable[..., Stack]) -> Stack:
    """A stack that has never been up."""
    return new_stack("faulty", controlPlanes="1", workers="0")


@pytest.fixture
def faults(stack: Stack) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Plans faults of the cloud; all are gone afterwards."""
    address = f"{stack.lab.endpoint.removesuffix('/v1')}/_lab/faults"

    def plan(fault: dict[str, Any]) -> None:
        request = urllib.request.Request(
            address,
            data=json.dumps(fault).encode(),
            headers={"Content-Type": "application/json"},
            method="POST",
        )
        urllib.request.urlopen(request, timeout=10).close()

    yield plan
    urllib.request.urlopen(urllib.request.Request(address, method="DELETE"), timeout=10).close()


def test_a_bad_configuration_creates_nothing_and_names_every_problem(stack: Stack) -> None:
    stack.set("controlPlanes", "2")
    stack.set("wrokers", "3")
    try:
        run = stack.run("up", "--yes", "--skip-preview")
    finally:
        stack.set("controlPlanes", "1")
        stack.unset("wrokers")

    assert run.code != 0
    assert "oxide:controlPlanes: 2" in run.text
    assert "did you mean workers?" in run.text
    assert TRACEBACK not in run.text
    assert "unhandled" not in run.text
    assert stack.cloud_objects() == {}


def test_a_missing_image_is_named_before_anything_is_made(stack: Stack) -> None:
    stack.set("imageSelector", "os=nothing")
    try:
        run = stack.run("preview")
    finally:
        stack.unset("imageSelector")

    assert run.code != 0
    assert "oxide:imageSelector: os=nothing matches no x86 image" in run.text
    assert TRACEBACK not in run.text
    assert stack.cloud_objects() == {}


def test_a_patch_that_talos_refuses_is_named_without_a_traceback(stack: Stack) -> None:
    stack.set("configPatches", '[{"machine": {"kublet": {}}}]')
    # Secrets exist only after a first `up`: before, machine configs are unknown in the preview.
    run = stack.run("up", "--yes", "--skip-preview")
    stack.unset("configPatches")

    assert run.code != 0
    assert "Talos refuses the machine config" in run.text
    assert "configPatches" in run.text
    assert TRACEBACK not in run.text
    assert "servers" not in stack.cloud_objects()


def test_a_wrong_token_is_named_without_a_traceback(stack: Stack) -> None:
    stack.ok("config", "set", "--secret", "hcloud:token", "x" * 64)
    run = stack.run("preview")
    stack.ok("config", "set", "--secret", "hcloud:token", stack.lab.token)

    assert run.code != 0
    assert "check hcloud:token" in run.text
    assert TRACEBACK not in run.text


def test_a_failing_server_is_an_error_without_traceback_and_the_next_up_resumes(
    stack: Stack, faults: Callable[[dict[str, Any]], None]
) -> None:
    faults(
        {
            "kind": "error",
            "method": "POST",
            "path": "/servers$",
            "status": 422,
            "code": "resource_unavailable",
            "count": 1,
        }
    )
    run = stack.run("up", "--yes", "--skip-preview")

    assert run.code != 0
    assert "resource_unavailable" in run.text
    assert TRACEBACK not in run.text
    stack.up()
    assert stack.ready_nodes() == ["faulty-cp-1"]


def test_protected_resources_refuse_a_destroy_before_anything_is_touched(stack: Stack) -> None:
    stack.set("deletionProtection", "true")
    stack.up()
    before = stack.cloud_objects()
    run = stack.run("destroy", "--yes")
    stack.set("deletionProtection", "false")
    stack.up()

    assert run.code != 0
    assert "protect" in run.text
    assert stack.cloud_objects() == before
    assert stack.ready_nodes() == ["faulty-cp-1"]


def test_a_dead_cluster_is_destroyed_without_asking_it(stack: Stack) -> None:
    (server,) = stack.cloud.servers.get_all(label_selector="cluster=faulty")
    server.power_off().wait_until_finished(max_retries=200)
    stack.destroy()

    assert stack.cloud_objects() == {}
