"""`pulumi destroy` without any other flag: whatever became of the cluster, nothing is left at Hetzner, and in bounded time."""

import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest
from hcloud.firewalls import FirewallRule

from lab import api, procfs

from .stacks import TRACEBACK, Stack

BOUND = 180.0
"""Seconds. Asking one silent node costs more than a whole destroy; a busy machine takes several times its usual 10."""


@pytest.fixture
def new_cluster(new_stack: Callable[..., Stack]) -> Iterator[Callable[[str, int], Stack]]:
    """Makes stacks of one control plane and some workers that have never been up; faults are over afterwards."""
    made: list[Stack] = []

    def make(name: str, workers: int) -> Stack:
        made.append(new_stack(name, controlPlanes="1", workers=str(workers)))
        return made[-1]

    yield make
    for stack in made:
        api.clear_faults(stack.lab)
        stack.discard()


def _all_nodes_are_dead(stack: Stack) -> None:
    api.plan_fault(stack.lab, {"kind": "dead", "server": f"{stack.name}-cp-1"})
    worker = stack.cloud.servers.get_by_name(f"{stack.name}-worker-1")
    assert worker is not None
    worker.power_off().wait_until_finished()


def _the_operator_is_locked_out(stack: Stack) -> None:
    elsewhere = [
        FirewallRule("in", "tcp", ["192.0.2.0/24"], port=port) for port in ("50000", "6443")
    ]
    firewalls = stack.cloud.firewalls.get_all(label_selector=f"cluster={stack.name}")
    for action in [a for firewall in firewalls for a in firewall.set_rules(elsewhere)]:
        action.wait_until_finished()


def _the_api_takes_calls_and_never_answers(stack: Stack) -> None:
    server = stack.cloud.servers.get_by_name(f"{stack.name}-cp-1")
    assert server is not None
    machine = f"{stack.lab.state_dir}/nodes/machines/{server.id}/"
    (api_server,) = (
        process.pid
        for process in procfs.everything()
        if process.executable.endswith("/kube-apiserver")
        and any(machine in argument for argument in process.command)
    )
    os.kill(api_server, signal.SIGSTOP)


@pytest.mark.parametrize(
    ("calamity", "name", "workers"),
    [
        (_all_nodes_are_dead, "dead", 1),
        (_the_operator_is_locked_out, "locked", 0),
        (_the_api_takes_calls_and_never_answers, "silent", 0),
    ],
)
def test_a_destroy_asks_the_cluster_nothing(
    new_cluster: Callable[[str, int], Stack],
    calamity: Callable[[Stack], None],
    name: str,
    workers: int,
) -> None:
    stack = new_cluster(name, workers)
    stack.up()
    calamity(stack)
    with pytest.raises(AssertionError):
        stack.kubectl("get", "--raw", "/readyz", "--request-timeout=3s")

    _assert_destroyed(stack)


def test_a_failed_first_up_leaves_nothing_after_a_destroy(
    new_cluster: Callable[[str, int], Stack],
) -> None:
    stack = new_cluster("nostock", 1)
    api.plan_fault(stack.lab, {"kind": "no_stock", "count": 1})
    run = stack.run("up", "--yes", "--skip-preview")
    assert run.code != 0
    assert "resource_unavailable" in run.text

    _assert_destroyed(stack)


def test_a_cluster_that_was_never_bootstrapped_is_destroyed(
    new_cluster: Callable[[str, int], Stack],
) -> None:
    stack = new_cluster("unborn", 1)
    api.plan_fault(stack.lab, {"kind": "never_boots", "server": "unborn-cp-1"})
    process = stack.start("up", "--yes", "--skip-preview")
    deadline = time.monotonic() + 120
    while len(stack.cloud_objects().get("servers", [])) < 2:
        assert process.poll() is None, "the run ended before the servers were made"
        assert time.monotonic() < deadline, "the servers were never made"
        time.sleep(0.2)
    # The first Ctrl-C lets the bootstrap wait on; the second gives up.
    for _ in range(2):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(2)
    process.communicate(timeout=120)
    assert stack.helpers_left(within=5) == []

    _assert_destroyed(stack)


def _assert_destroyed(stack: Stack) -> None:
    assert stack.cloud_objects() != {}
    started = time.monotonic()
    run = stack.destroy()
    seconds = time.monotonic() - started

    assert stack.cloud_objects() == {}
    assert stack.resources() == []
    assert TRACEBACK not in run.text
    assert seconds < BOUND
    print(f"destroy of {stack.name}: {seconds:.1f} s")
