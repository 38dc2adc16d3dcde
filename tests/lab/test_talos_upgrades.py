"""Upgrades of Talos and Kubernetes and the rescue of etcd, with the real talosctl on emulated nodes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab import node_events
from tests.lab.talos_pair import CP, WORKER, base, create, ready, running
from tests.lab.talos_support import (
    KUBERNETES_VERSION,
    OLDER_KUBERNETES_VERSION,
    Cluster,
    CommandFailed,
    NodeLab,
    eventually,
    refusal,
)

SCHEMATIC = "ce4c980550dd2ab1b17bbf2b08801c7eb59418eafe8f279833297925d67c7515"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeLab]:
    with running(tmp_path_factory.mktemp("upgrades-lab")) as lab:
        yield lab


@pytest.fixture(scope="module")
def cluster(lab: NodeLab, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    return create(lab, tmp_path_factory.mktemp("upgrades"), OLDER_KUBERNETES_VERSION)


def installer(version: str, schematic: str = SCHEMATIC) -> str:
    return f"factory.talos.dev/hcloud-installer/{schematic}:{version}"


def upgrade(cluster: Cluster, node: str, version: str, timeout: str = "120s") -> str:
    return cluster.talosctl(
        *(node, "upgrade", "--image", installer(version), "--drain=false", "--wait"),
        *("--timeout", timeout),
    )


def talos_version(cluster: Cluster, node: str) -> str:
    found = re.search(r"Server:.*?Tag:\s+(\S+)", cluster.talosctl(node, "version"), re.DOTALL)
    assert found
    return found[1]


def schematic(cluster: Cluster, node: str) -> str:
    [found] = [
        one["spec"]["metadata"]["version"]
        for one in cluster.get(node, "extensions")
        if one["spec"]["metadata"]["name"] == "schematic"
    ]
    return str(found)


def annotated_schematic(cluster: Cluster) -> str:
    annotations = cluster.nodes()["demo-worker-1"]["metadata"]["annotations"]
    return str(annotations["extensions.talos.dev/schematic"])


def test_talos_is_upgraded_and_brought_back(lab: NodeLab, cluster: Cluster) -> None:
    config, boot = cluster.live_config(WORKER), cluster.boot_id(WORKER)
    vanilla = schematic(cluster, WORKER)
    upgrade(cluster, WORKER, "v1.13.10")
    assert talos_version(cluster, WORKER) == "v1.13.10"
    assert cluster.boot_id(WORKER) != boot
    assert cluster.live_config(WORKER) == config
    assert schematic(cluster, WORKER) == SCHEMATIC != vanilla
    ready(cluster)
    node = cluster.nodes()["demo-worker-1"]
    assert node["status"]["nodeInfo"]["osImage"] == "Talos (v1.13.10)"
    # Talos writes its annotations after the kubelet has reported the node.
    eventually("annotated schematic", lambda: annotated_schematic(cluster) == SCHEMATIC)
    upgrade(cluster, WORKER, "v1.13.9")
    assert talos_version(cluster, WORKER) == "v1.13.9"
    ready(cluster)
    ends = [e.detail for e in lab.events() if e.kind == "upgrade-end"]
    assert ends == [
        "v1.13.9 -> v1.13.10, schematic ce4c9805",
        "v1.13.10 -> v1.13.9, schematic ce4c9805",
    ]


def test_a_control_plane_is_upgraded(lab: NodeLab, cluster: Cluster) -> None:
    before = len(lab.events())
    upgrade(cluster, CP, "v1.13.10")
    assert talos_version(cluster, CP) == "v1.13.10"
    ready(cluster)
    [(node, begin, end)] = node_events.spans(lab.events()[before:], "upgrade")
    assert node == "demo-cp-1"
    assert end
    assert end > begin


def test_an_installer_that_does_not_exist_changes_nothing(lab: NodeLab, cluster: Cluster) -> None:
    lab.fault("image_not_found", "demo-worker-1", count=1)
    boot = cluster.boot_id(WORKER)
    error = refusal(lambda: upgrade(cluster, WORKER, "v1.13.10"))
    assert "error pulling image: failed to pull image" in error
    assert "not found" in error
    assert (cluster.boot_id(WORKER), talos_version(cluster, WORKER)) == (boot, "v1.13.9")


def test_an_upgrade_over_too_many_versions_is_refused_by_the_installer(cluster: Cluster) -> None:
    boot = cluster.boot_id(WORKER)
    error = refusal(lambda: upgrade(cluster, WORKER, "v1.15.0"))
    assert "exit code 1" in error
    assert cluster.boot_id(WORKER) == boot


def test_a_system_that_does_not_boot_gives_way_to_the_old_one(
    lab: NodeLab, cluster: Cluster
) -> None:
    lab.fault("upgrade_falls_back", "demo-worker-1", count=1)
    boot = cluster.boot_id(WORKER)
    # talosctl looks at the boot id only: whoever upgrades has to look at the version.
    upgrade(cluster, WORKER, "v1.13.10")
    assert cluster.boot_id(WORKER) != boot
    assert talos_version(cluster, WORKER) == "v1.13.9"
    last = [e.detail for e in lab.events() if e.kind == "upgrade-end"][-1]
    assert last == "failed: v1.13.10 does not boot, the boot loader falls back to v1.13.9"
    ready(cluster)


def test_a_node_that_does_not_return_from_an_upgrade_has_the_new_system_when_it_does(
    lab: NodeLab, cluster: Cluster
) -> None:
    lab.fault("reboot_never_returns", "demo-worker-1", count=1)
    with pytest.raises(CommandFailed):
        upgrade(cluster, WORKER, "v1.13.10", timeout="20s")
    lab.call("POST", "/servers/1002/actions/reset")
    eventually("the new system", lambda: talos_version(cluster, WORKER) == "v1.13.10")
    ready(cluster)


def pods(cluster: Cluster) -> dict[str, dict[str, Any]]:
    shown = cluster.kubectl(
        "-n", "kube-system", "get", "pods", "-l", "tier=control-plane", "-o", "json"
    )
    return {pod["metadata"]["labels"]["k8s-app"]: pod for pod in json.loads(shown)["items"]}


def versions(cluster: Cluster) -> dict[str, str]:
    """Kubernetes version of everything that has one."""
    server = json.loads(cluster.kubectl("version", "-o", "json"))["serverVersion"]["gitVersion"]
    found = {"server": server}
    for name, pod in pods(cluster).items():
        found[name] = pod["spec"]["containers"][0]["image"].rpartition(":")[2]
    for name, node in cluster.nodes().items():
        found[name] = node["status"]["nodeInfo"]["kubeletVersion"]
    return found


def programs(lab: NodeLab) -> set[str]:
    """Versions of the control plane's programs that run."""
    return set(re.findall(r"/kubernetes/v([\d.]+)/kube-", " ".join(lab.commands())))


def test_kubernetes_is_upgraded_with_all_its_parts(lab: NodeLab, cluster: Cluster) -> None:
    assert set(versions(cluster).values()) == {f"v{OLDER_KUBERNETES_VERSION}"}
    assert programs(lab) == {OLDER_KUBERNETES_VERSION}
    said = cluster.talosctl(
        *(CP, "upgrade-k8s", "--to", KUBERNETES_VERSION),
        *("--endpoint", f"https://{cluster.endpoint}:6443"),
    )
    assert "updating kubelet" in said
    eventually("versions", lambda: set(versions(cluster).values()) == {f"v{KUBERNETES_VERSION}"})
    assert programs(lab) == {KUBERNETES_VERSION}
    ready(cluster)


def test_a_snapshot_of_etcd_brings_the_objects_back(lab: NodeLab, cluster: Cluster) -> None:
    cluster.kubectl("create", "configmap", "kept", "--from-literal=a=b")
    file = cluster.directory / "etcd.snapshot"
    said = cluster.talosctl(CP, "etcd", "snapshot", str(file))
    assert "snapshot info: hash" in said
    assert file.stat().st_size > 100_000
    cluster.kubectl("create", "configmap", "lost", "--from-literal=a=b")
    # The control plane loses its disk and gets the config of a cluster with the newer Kubernetes.
    cluster.kubernetes = KUBERNETES_VERSION
    cluster.base = cluster.generate(cluster.secrets)
    lab.call("DELETE", "/servers/1001")
    lab.put(1001, "demo-cp-1", CP, base(cluster, CP))
    eventually("Talos API", lambda: cluster.talosctl(CP, "version"))
    said = cluster.talosctl(CP, "bootstrap", "--recover-from", str(file))
    assert "recovering from snapshot" in said
    eventually("kept object", lambda: cluster.kubectl("get", "configmap", "kept"))
    assert "NotFound" in refusal(lambda: cluster.kubectl("get", "configmap", "lost"))
    ready(cluster)
    assert "AlreadyExists" in refusal(lambda: cluster.talosctl(CP, "bootstrap"))


def test_a_broken_snapshot_is_refused_and_says_so(lab: NodeLab, cluster: Cluster) -> None:
    file = cluster.directory / "etcd.snapshot"
    broken = cluster.directory / "broken.snapshot"
    data = bytearray(file.read_bytes())
    # The last bytes are the snapshot's checksum.
    data[-1] ^= 1
    broken.write_bytes(data)
    lab.call("DELETE", "/servers/1001")
    lab.put(1001, "demo-cp-1", CP, base(cluster, CP))
    eventually("Talos API", lambda: cluster.talosctl(CP, "version"))
    cluster.talosctl(CP, "bootstrap", "--recover-from", str(broken))
    eventually("reason", lambda: "recovering from the snapshot" in lab.status(1001)["message"])
    # The bootstrap can be repeated with a good one.
    cluster.talosctl(CP, "bootstrap", "--recover-from", str(file))
    eventually("kept object", lambda: cluster.kubectl("get", "configmap", "kept"))
