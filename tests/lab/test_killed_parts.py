"""An engine killed while parts of other objects are made: routes, reverse names, a load balancer's network, service and targets."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

from hcloud.load_balancers import BoundLoadBalancer

from lab import api

from .stacks import Stack

NAT = "10.0.2.2"


def _balancer(stack: Stack) -> BoundLoadBalancer | None:
    return stack.cloud.load_balancers.get_by_name(f"{stack.name}-api")


def _routed(stack: Stack) -> bool:
    network = stack.cloud.networks.get_by_name(stack.name)
    return bool(network and network.routes)


def _attached(stack: Stack) -> bool:
    balancer = _balancer(stack)
    return bool(balancer and balancer.private_net)


def _serving(stack: Stack) -> bool:
    balancer = _balancer(stack)
    return bool(balancer and balancer.services)


def _targeted(stack: Stack) -> bool:
    balancer = _balancer(stack)
    return bool(balancer and balancer.targets)


PARTS = {
    "network-nat": _routed,
    "api-network": _attached,
    "api-service": _serving,
    "control-plane-1-target": _targeted,
}
"""Name of the resource and when it exists, in the order in which a first run makes them."""


def _killed(stack: Stack, command: list[str], made: Callable[[Stack], bool]) -> str:
    """Run a command, kill it with all that it has started once the part is at Hetzner, and return what it has said."""
    process = subprocess.Popen(
        command,
        cwd=stack.project,
        env=stack.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 300
    while not made(stack):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        # Fast enough to see it within the delay below, and slow enough for Hetzner's request budget.
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    said, _ = process.communicate()
    stack.log += said
    return said


def test_parts_that_killed_runs_have_made_are_taken_over(new_stack: Callable[..., Stack]) -> None:
    stack = new_stack(
        "parts",
        controlPlanes="1",
        workers="0",
        apiLoadBalancer="private",
        natGateway=NAT,
        rdns="{name}.example.com",
    )
    # Whoever waits for the end of an action has not told the engine of it yet.
    api.plan_fault(
        stack.lab,
        {"kind": "delay", "method": "GET", "path": "/actions", "seconds": 0.5, "count": 0},
    )
    command = ["pulumi", "--non-interactive", "up", "--yes", "--skip-preview"]
    said = ""
    for made in PARTS.values():
        said += _killed(stack, command, made)
        command = [sys.executable, "-m", "oxide_components.recover", "--yes"]
    api.clear_faults(stack.lab)
    run = stack.recover()
    assert run.code == 0, run.text

    said += run.text
    for name in PARTS:
        assert f"{name} exists as" in said, f"{name} was not pending:\n{said}"
    assert stack.up().changes == {}
    assert stack.agreed() == ["parts-cp-1"]
    balancer = _balancer(stack)
    assert balancer is not None
    assert balancer.public_net is not None
    assert not balancer.public_net.enabled
    assert len(balancer.services or []) == len(balancer.targets or []) == 1
    stack.destroy()
    assert stack.cloud_objects() == {}


def test_a_replacement_that_was_killed_is_finished(new_stack: Callable[..., Stack]) -> None:
    stack = new_stack("renewed", controlPlanes="1", workers="1")
    stack.up()
    name = "renewed-worker-1"
    before = stack.cloud.servers.get_by_name(name)
    assert before is not None

    def made(stack: Stack) -> bool:
        now = stack.cloud.servers.get_by_name(name)
        return now is not None and now.id != before.id

    api.plan_fault(
        stack.lab,
        {"kind": "delay", "method": "GET", "path": "/actions", "seconds": 0.5, "count": 0},
    )
    up = [
        "pulumi",
        "--non-interactive",
        "up",
        "--yes",
        "--skip-preview",
        "--replace",
        stack.server_urn(name),
    ]
    _killed(stack, up, made)
    api.clear_faults(stack.lab)
    run = stack.recover()
    assert run.code == 0, run.text

    assert "worker-1 exists as" in run.text
    assert stack.up().changes == {}
    assert stack.agreed() == ["renewed-cp-1", name]
    stack.destroy()
