"""The API's load balancer: on a new cluster, on a living one, and while control planes go down. The tests build on each other."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import yaml

from lab.api import clear_faults, plan_fault
from oxide_components.kubernetes_api import ApiUnavailableError, KubernetesApi

from . import node_events
from .api_addresses import api_contexts, balancer_targets
from .stacks import Stack

NEEDS_REBOOT = 'machine: {udev: {rules: ["SUBSYSTEM==\\"block\\""]}}'
NAMES = ["edge-cp-1", "edge-cp-2", "edge-cp-3"]
LEADERLESS = 40.0
"""Seconds without an answer that no single control plane may cost: the load balancer's checks and etcd's election, on a busy machine."""

PAUSE = 0.2


@pytest.fixture(scope="module")
def edge(new_stack: Callable[..., Stack]) -> Iterator[Stack]:
    """Three control planes behind a public load balancer."""
    stack = new_stack(
        "edge",
        controlPlanes="3",
        workers="1",
        nodeTimeout="180",
        apiLoadBalancer="public",
        allowPublicApi="true",
    )
    stack.up()
    yield stack
    clear_faults(stack.lab)
    stack.discard()


def _api(stack: Stack, context: str) -> KubernetesApi:
    """Client of one address of the API alone."""
    parsed = yaml.safe_load(stack.outputs()["kubeconfig"])
    chosen = next(one for one in parsed["contexts"] if one["name"] == context)
    clusters = [one for one in parsed["clusters"] if one["name"] == chosen["context"]["cluster"]]
    return KubernetesApi(yaml.safe_dump({**parsed, "clusters": clusters}), timeout=5)


@contextmanager
def _asked(api: KubernetesApi) -> Iterator[list[float]]:
    """Asks again and again; the seconds between one answer and the next, the longest of which is the outage."""
    gaps: list[float] = []
    over = threading.Event()

    def ask() -> None:
        last = time.monotonic()
        while not over.wait(PAUSE):
            try:
                api.items("/api/v1/nodes?limit=1")
            except ApiUnavailableError:
                continue
            gaps.append(time.monotonic() - last)
            last = time.monotonic()
        gaps.append(time.monotonic() - last)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield gaps
    finally:
        over.set()
        thread.join()


def test_a_cluster_behind_a_load_balancer_is_complete(edge: Stack) -> None:
    contexts = api_contexts(edge)

    assert balancer_targets(edge) == NAMES
    assert contexts[""] == contexts["admin@edge-api"] == edge.outputs()["endpoint"]
    assert {f"admin@{name}" for name in NAMES} <= contexts.keys()
    assert len(edge.nodes()) == 4
    assert edge.up().changes == {}


def test_control_planes_leave_before_they_reboot_and_clients_go_on(edge: Stack) -> None:
    before = node_events.last_order(edge.lab)
    edge.set("controlPlaneConfigPatches[0]", NEEDS_REBOOT)
    with _asked(_api(edge, "admin@edge-api")) as gaps:
        run = edge.up()

    spans = node_events.spans(node_events.of_stack(edge, after=before), "reboot")
    assert [name for name, _, _ in spans] == NAMES
    for name in NAMES:
        assert f"config-{name}" in run.text
    assert balancer_targets(edge) == NAMES
    assert max(gaps) < LEADERLESS, sorted(gaps)[-5:]
    print(f"rolling reboots: longest gap {max(gaps):.1f} s of {len(gaps)} answers")


@pytest.mark.parametrize("lost", NAMES)
def test_losing_any_control_plane_leaves_clients_their_api(edge: Stack, lost: str) -> None:
    direct = [f"admin@{name}" for name in NAMES if name != lost]
    with (
        _asked(_api(edge, "admin@edge-api")) as through_balancer,
        _asked(_api(edge, direct[0])) as through_next_context,
    ):
        server = edge.cloud.servers.get_by_name(lost)
        assert server is not None
        server.power_off().wait_until_finished()
        time.sleep(15)
        server.power_on().wait_until_finished()
    _wait_ready(edge)

    for gaps in (through_balancer, through_next_context):
        assert len(gaps) > 5
        assert max(gaps) < LEADERLESS, sorted(gaps)[-5:]
    print(
        f"{lost} lost: longest gap {max(through_balancer):.1f} s through the load balancer, "
        f"{max(through_next_context):.1f} s through the next context"
    )


def test_a_target_that_a_killed_run_has_left_out_comes_back(edge: Stack) -> None:
    plan_fault(edge.lab, {"kind": "reboot_never_returns", "server": "edge-cp-2", "count": 1})
    edge.set("nodeTimeout", "20")
    edge.set("controlPlaneConfigPatches[0]", NEEDS_REBOOT.replace("block", "net"))
    assert edge.run("up", "--yes", "--skip-preview").code != 0
    assert balancer_targets(edge) == ["edge-cp-1", "edge-cp-3"]

    clear_faults(edge.lab)
    edge.set("nodeTimeout", "180")
    server = edge.cloud.servers.get_by_name("edge-cp-2")
    assert server is not None
    server.reset().wait_until_finished()
    _wait_ready(edge)
    edge.up()

    assert balancer_targets(edge) == NAMES
    assert edge.up().changes == {}


def test_it_can_be_made_private_taken_away_and_set_up_again_on_a_living_cluster(
    edge: Stack,
) -> None:
    before = node_events.last_order(edge.lab)
    edge.set("apiLoadBalancer", "private")
    edge.up()
    contexts = api_contexts(edge)
    assert contexts["admin@edge-api"] == "https://10.0.0.254:6443"
    assert contexts[""] == contexts["admin@edge-cp-1"]

    edge.set("apiLoadBalancer", "none")
    edge.up()
    assert "load balancers" not in edge.cloud_objects()
    assert "admin@edge-api" not in api_contexts(edge)

    edge.set("apiLoadBalancer", "public")
    edge.up()
    assert balancer_targets(edge) == NAMES
    assert len(_api(edge, "admin@edge-api").items("/api/v1/nodes")) == 4
    # Another address of the API is no reason to restart anything.
    assert node_events.spans(node_events.of_stack(edge, after=before), "reboot") == []
    assert edge.up().changes == {}


def test_a_removed_control_plane_is_no_target_and_a_destroy_leaves_nothing(edge: Stack) -> None:
    edge.set("controlPlanes", "1")
    edge.up()
    assert balancer_targets(edge) == ["edge-cp-1"]

    edge.destroy()
    assert edge.cloud_objects() == {}


def _wait_ready(stack: Stack, seconds: float = 180) -> None:
    end = time.monotonic() + seconds
    api = KubernetesApi(stack.outputs()["kubeconfig"], timeout=5)
    while True:
        reasons = [reason for url in api.servers if (reason := api.not_ready_reason(url))]
        if not reasons:
            return
        assert time.monotonic() < end, reasons
        time.sleep(1)
