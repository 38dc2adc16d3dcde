"""Reboots of emulated nodes against the real talosctl and kubectl, planned faults, and the events of it all."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.lab import node_events
from tests.lab.talos_pair import CP, NAMES, WORKER, base, create, is_ready, ready, reboot, running
from tests.lab.talos_support import Cluster, CommandFailed, NodeLab, eventually, refusal


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeLab]:
    with running(tmp_path_factory.mktemp("reboots-lab")) as lab:
        yield lab


@pytest.fixture(scope="module")
def cluster(lab: NodeLab, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    return create(lab, tmp_path_factory.mktemp("reboots"))


def answers(lab: NodeLab, port: int) -> bool:
    """Whether the control plane has a port open."""
    try:
        socket.create_connection((lab.public(1001), port), timeout=2).close()
    except OSError:
        return False
    return True


def test_a_control_plane_goes_away_while_it_reboots_and_comes_back(
    lab: NodeLab, cluster: Cluster
) -> None:
    boot, before = cluster.boot_id(CP), len(lab.events())
    cluster.talosctl(CP, "reboot", "--wait=false")
    eventually("no Talos API", lambda: not answers(lab, 50000), 20)
    assert not answers(lab, 6443)
    eventually("another boot", lambda: cluster.boot_id(CP) != boot)
    ready(cluster)
    eventually(
        "a healthy etcd", lambda: re.search("HEALTH +OK", cluster.talosctl(CP, "service", "etcd"))
    )
    [(node, begin, end)] = node_events.spans(lab.events()[before:], "reboot")
    assert node == NAMES[CP]
    assert end
    assert end > begin


def test_the_pods_of_a_node_start_anew_after_a_reboot(cluster: Cluster) -> None:
    def agent() -> dict[str, Any]:
        selector = ["-l", "k8s-app=cilium", f"--field-selector=spec.nodeName={NAMES[WORKER]}"]
        shown = cluster.kubectl("-n", "kube-system", "get", "pods", *selector, "-o", "json")
        return dict(json.loads(shown)["items"][0])

    before = agent()["status"]["containerStatuses"][0]["restartCount"]
    reboot(cluster, WORKER, "--mode=powercycle")
    eventually(
        "a restarted container",
        lambda: agent()["status"]["containerStatuses"][0]["restartCount"] == before + 1,
    )
    eventually("a ready agent", lambda: is_ready(agent()))
    ready(cluster)


def test_cordons_and_evictions_are_events(lab: NodeLab, cluster: Cluster) -> None:
    cluster.kubectl("create", "deployment", "web", "--image=web", "--replicas=2")
    cluster.kubectl("rollout", "status", "deployment", "web", "--timeout=60s")
    before = len(lab.events())
    cluster.kubectl("drain", NAMES[WORKER], "--ignore-daemonsets", "--timeout=60s")
    cluster.kubectl("uncordon", NAMES[WORKER])

    def kinds() -> list[str]:
        found = [e for e in lab.events()[before:] if e.kind != "pod" or "/web-" in e.detail]
        shown = [e for e in found if e.kind in ("cordon", "uncordon", "pod")]
        return [f"{e.kind} {e.detail.partition('/web-')[0]}" for e in shown]

    evicted = ["pod evicted default"] * 2
    wanted = [f"cordon {NAMES[WORKER]}", *evicted, f"uncordon {NAMES[WORKER]}"]
    eventually("events", lambda: kinds() == wanted)
    cluster.kubectl("delete", "deployment", "web")


def test_apply_fails_on_demand_and_changes_nothing(lab: NodeLab, cluster: Cluster) -> None:
    lab.fault("apply_fails", NAMES[WORKER], count=1)
    text = base(cluster, WORKER, {"machine": {"nodeLabels": {"example.org/zone": "a"}}})
    assert "planned fault" in refusal(lambda: cluster.apply(WORKER, text, "--mode=no-reboot"))
    assert cluster.live_config(WORKER) == list(yaml.safe_load_all(base(cluster, WORKER)))
    cluster.apply(WORKER, text, "--mode=no-reboot")
    cluster.apply(WORKER, base(cluster, WORKER), "--mode=no-reboot")


def test_a_boot_that_never_returns_goes_on_when_the_fault_is_cleared(
    lab: NodeLab, cluster: Cluster
) -> None:
    lab.fault("reboot_never_returns", NAMES[WORKER])
    with pytest.raises(CommandFailed):
        cluster.talosctl(WORKER, "reboot", "--wait", "--timeout", "15s")
    assert "hangs" in lab.status(1002)["message"]
    assert "Unavailable" in refusal(lambda: cluster.talosctl(WORKER, "version"))
    lab.call("DELETE", "/faults")
    eventually("Talos API", lambda: cluster.talosctl(WORKER, "version"))
    ready(cluster)


def test_a_boot_that_never_returns_is_over_with_a_power_cycle(
    lab: NodeLab, cluster: Cluster
) -> None:
    lab.fault("reboot_never_returns", NAMES[WORKER], count=1)
    cluster.talosctl(WORKER, "reboot", "--wait=false")
    eventually("hanging boot", lambda: "hangs" in lab.status(1002)["message"])
    lab.call("POST", "/servers/1002/actions/reset")
    eventually("Talos API", lambda: cluster.talosctl(WORKER, "version"))
    ready(cluster)


def test_a_node_that_stays_away_becomes_not_ready_in_kubernetes(
    lab: NodeLab, cluster: Cluster
) -> None:
    lab.fault("slow_boot", NAMES[WORKER], seconds=75, count=1)
    cluster.talosctl(WORKER, "reboot", "--wait=false")
    eventually("not ready", lambda: not cluster.ready()[NAMES[WORKER]], 70)
    ready(cluster)


def test_a_fault_needs_a_known_kind_and_a_server(lab: NodeLab) -> None:
    for kind, server in (("nonsense", "*"), ("dead", "")):
        with pytest.raises(OSError, match="422"):
            lab.fault(kind, server)


def test_the_events_of_a_deleted_server_stay(lab: NodeLab) -> None:
    lab.call("DELETE", "/servers/1002")
    assert any(event.node == NAMES[WORKER] for event in lab.events())
