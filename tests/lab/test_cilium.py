"""Upgrades of Cilium's release that do not go as planned. The tests build on each other."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .cilium_agents import agent_config
from .stacks import Stack


@pytest.fixture(scope="module")
def net(new_stack: Callable[..., Stack]) -> Iterator[Stack]:
    """One control plane that takes pods."""
    stack = new_stack("net", controlPlanes="1", workers="0", ciliumTimeout="180")
    stack.up()
    yield stack
    stack.discard()


def test_a_release_that_a_killed_run_left_pending_is_repaired_by_the_next_up(net: Stack) -> None:
    net.ok("config", "set", "--path", "ciliumValues.debug.enabled", "true")
    _kill_while_helm_upgrades(net)
    assert _release(net)["status"] == "pending-upgrade"
    net.ok("cancel", "--yes")
    net.up()

    release = _release(net)
    assert release["status"] == "deployed"
    assert int(release["revision"]) == 3
    assert agent_config(net)["debug"] == "true"
    assert net.up().changes == {}


def test_the_revision_before_can_be_taken_back_with_helm(net: Stack) -> None:
    net.helm("rollback", "-n", "kube-system", "cilium", "1", "--wait", "--timeout=2m")

    assert agent_config(net)["debug"] == "false"


def _kill_while_helm_upgrades(stack: Stack) -> None:
    with (stack.project / "killed.log").open("w") as log:
        engine = stack.start("up", "--yes", "--skip-preview", output=log)
        while _release(stack)["status"] != "pending-upgrade":
            assert engine.poll() is None, "the run ended before Helm began"
            time.sleep(0.05)
        os.killpg(engine.pid, signal.SIGKILL)
        engine.wait()


def _release(stack: Stack) -> dict[str, Any]:
    (found,) = json.loads(stack.helm("list", "-n", "kube-system", "-a", "-o", "json"))
    return dict(found)
