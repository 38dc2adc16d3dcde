"""The smallest cluster with both roles: one control plane and one worker on a lab-node of their own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.lab.talos_support import (
    KUBERNETES_VERSION,
    NETWORK_PLUGIN,
    Cluster,
    NodeLab,
    eventually,
)

CP, WORKER = "10.0.0.11", "10.0.1.1"
NAMES = {CP: "demo-cp-1", WORKER: "demo-worker-1"}
IDS = {CP: 1001, WORKER: 1002}


@contextmanager
def running(directory: Path) -> Iterator[NodeLab]:
    """A running lab-node."""
    lab = NodeLab(directory)
    lab.start()
    try:
        yield lab
    finally:
        if lab.process and lab.process.poll() is None:
            lab.stop()


def create(lab: NodeLab, directory: Path, kubernetes: str = KUBERNETES_VERSION) -> Cluster:
    """The cluster with both nodes Ready."""
    cluster = Cluster(directory, lab.public(IDS[CP]), kubernetes)
    for node in (CP, WORKER):
        lab.put(IDS[node], NAMES[node], node, base(cluster, node))
    eventually("Talos API", lambda: cluster.talosctl(CP, "version"))
    cluster.talosctl(CP, "bootstrap")
    cluster.fetch_kubeconfig()
    eventually("two nodes", lambda: len(cluster.nodes()) == 2)
    cluster.kubectl("apply", "-f", "-", stdin=NETWORK_PLUGIN)
    ready(cluster)
    return cluster


def base(cluster: Cluster, node: str, *patches: dict[str, Any]) -> str:
    """The config of a node with changes."""
    return cluster.config("controlplane" if node == CP else "worker", NAMES[node], *patches)


def ready(cluster: Cluster) -> None:
    """Wait until all nodes are Ready."""
    eventually("ready nodes", lambda: all(cluster.ready().values()))


def labels(cluster: Cluster, node: str) -> dict[str, str]:
    """Labels of a Node."""
    return dict(cluster.nodes()[NAMES[node]]["metadata"]["labels"])


def reboot(cluster: Cluster, node: str, *options: str) -> None:
    """`talosctl reboot` with a wait for the end."""
    cluster.talosctl(node, "reboot", "--wait", "--timeout", "180s", *options)


def pod(cluster: Cluster, component: str) -> dict[str, Any]:
    """The mirror pod of a control plane component."""
    name = f"{component}-{NAMES[CP]}"
    return dict(json.loads(cluster.kubectl("-n", "kube-system", "get", "pod", name, "-o", "json")))


def is_ready(pod: dict[str, Any]) -> bool:
    """Whether a pod's Ready condition is true."""
    return any(
        c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", [])
    )
