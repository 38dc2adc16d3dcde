"""Interrupted first runs: Ctrl-C, and a killed engine. Whatever happened, the cluster gets finished and nothing is made twice."""

import os
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .stacks import TRACEBACK, Stack

EXPECTED = {
    "firewalls": ["{0}-control-plane", "{0}-worker"],
    "networks": ["{0}"],
    "placement groups": ["{0}-cp-1", "{0}-worker-1"],
    "primary IPs": ["{0}-cp-1-ipv4"],
    "servers": ["{0}-cp-1", "{0}-worker-1"],
}


@pytest.fixture
def small(new_stack: Callable[..., Stack], request: pytest.FixtureRequest) -> Iterator[Stack]:
    """A stack that has never been up: one control plane, one worker."""
    # Names of stacks and clusters are short; the tests' are not.
    name = f"int{zlib.crc32(request.node.name.encode()) % 10_000}"
    stack = new_stack(name, controlPlanes="1", workers="1")
    yield stack
    stack.discard()


def _servers_exist(stack: Stack) -> bool:
    return len(stack.cloud_objects().get("servers", [])) == 2


def _release_is_being_made(stack: Stack) -> bool:
    states = (stack.lab.state_dir / "pulumi").rglob(f"{stack.name}.json")
    return any("kubernetes:helm.sh/v3:Release" in state.read_text() for state in states)


def _wait_for(
    stack: Stack, moment: Callable[[Stack], bool], process: subprocess.Popen[str]
) -> None:
    deadline = time.monotonic() + 120
    while not moment(stack):
        assert process.poll() is None, "the run ended before it could be interrupted"
        assert time.monotonic() < deadline, "the moment to interrupt never came"
        time.sleep(0.05)


def _assert_complete(stack: Stack) -> None:
    names = {kind: [n.format(stack.name) for n in names] for kind, names in EXPECTED.items()}
    assert stack.cloud_objects() == names
    assert stack.agreed() == names["servers"]
    assert stack.up().changes == {}


def test_after_ctrl_c_a_plain_up_finishes_the_cluster(small: Stack) -> None:
    process = small.start("up", "--yes", "--skip-preview")
    _wait_for(small, _servers_exist, process)
    os.killpg(process.pid, signal.SIGINT)
    text, _ = process.communicate(timeout=240)

    assert process.returncode != 0
    assert TRACEBACK not in text
    assert small.helpers_left(within=10) == []
    small.up()
    _assert_complete(small)


def test_a_cluster_that_was_never_bootstrapped_can_shrink(small: Stack) -> None:
    process = small.start("up", "--yes", "--skip-preview")
    _wait_for(small, _servers_exist, process)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=240)
    small.set("workers", "0")
    small.up()

    assert small.cloud_objects()["servers"] == [f"{small.name}-cp-1"]
    assert list(small.nodes()) == small.ready_nodes() == [f"{small.name}-cp-1"]


def test_a_release_that_helm_had_begun_does_not_keep_recover_from_finishing(small: Stack) -> None:
    process = small.start("up", "--yes", "--skip-preview")
    _wait_for(small, _release_is_being_made, process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    run = small.recover()

    assert run.code == 0, run.text
    assert TRACEBACK not in run.text
    assert small.helpers_left(within=2) == []
    _assert_complete(small)


def test_recover_without_a_stack_says_so_in_one_line(small: Stack, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "oxide_components.recover", "--yes", "--stack", "nobody"],
        cwd=small.project,
        env=small.env,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert TRACEBACK not in done.stderr
