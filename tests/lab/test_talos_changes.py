"""Machine configs on live nodes against the real talosctl and kubectl: what they change, and what refuses them."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.lab.talos_pair import (
    CP,
    NAMES,
    WORKER,
    base,
    create,
    is_ready,
    labels,
    pod,
    ready,
    reboot,
    running,
)
from tests.lab.talos_support import ENDPOINT, Cluster, NodeLab, eventually, refusal

CONTROL_PLANE_TAINT = {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeLab]:
    with running(tmp_path_factory.mktemp("changes-lab")) as lab:
        yield lab


@pytest.fixture(scope="module")
def cluster(lab: NodeLab, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    return create(lab, tmp_path_factory.mktemp("changes"))


def taints(cluster: Cluster, node: str) -> list[dict[str, str]]:
    return list(cluster.nodes()[NAMES[node]]["spec"].get("taints", []))


@pytest.mark.parametrize("node", [CP, WORKER])
def test_the_live_config_is_readable_through_a_control_plane(cluster: Cluster, node: str) -> None:
    applied = list(yaml.safe_load_all(base(cluster, node)))
    assert cluster.live_config(node) == applied
    assert cluster.live_config(node, "persistent") == applied


def test_a_dry_run_shows_the_change_and_makes_none(cluster: Cluster) -> None:
    text = base(cluster, WORKER, {"machine": {"nodeLabels": {"example.org/zone": "a"}}})
    shown = cluster.apply(WORKER, text, "--mode=no-reboot", "--dry-run")
    assert "Applied configuration without a reboot (skipped in dry-run)." in shown
    assert "+        example.org/zone: a" in shown
    assert cluster.live_config(WORKER) == list(yaml.safe_load_all(base(cluster, WORKER)))
    same = cluster.apply(WORKER, base(cluster, WORKER), "--mode=no-reboot", "--dry-run")
    assert "No changes." in same


def test_labels_and_annotations_come_and_go_with_the_config(cluster: Cluster) -> None:
    patch = {
        "machine": {
            "nodeLabels": {"example.org/zone": "a", "node.kubernetes.io/instance-role": "web"},
            "nodeAnnotations": {"example.org/note": "b"},
        }
    }
    for node in (CP, WORKER):
        said = cluster.apply(node, base(cluster, node, patch), "--mode=no-reboot")
        assert "Applied configuration without a reboot" in said
        eventually("label", lambda n=node: labels(cluster, n).get("example.org/zone") == "a")
    shown = cluster.nodes()[NAMES[WORKER]]["metadata"]
    assert shown["labels"]["node.kubernetes.io/instance-role"] == "web"
    assert shown["annotations"]["example.org/note"] == "b"
    for node in (CP, WORKER):
        cluster.apply(node, base(cluster, node), "--mode=no-reboot")
        eventually("no label", lambda n=node: "example.org/zone" not in labels(cluster, n))
    shown = cluster.nodes()[NAMES[WORKER]]["metadata"]
    assert "example.org/note" not in shown["annotations"]


def test_a_label_that_a_worker_may_not_set_keeps_all_its_labels_away(
    lab: NodeLab, cluster: Cluster
) -> None:
    forbidden = "node-role.kubernetes.io/worker"
    patch = {"machine": {"nodeLabels": {forbidden: "", "example.org/zone": "a"}}}
    cluster.apply(WORKER, base(cluster, WORKER, patch), "--mode=no-reboot")
    reason = "is not allowed to modify labels: node-role.kubernetes.io/worker"
    eventually("refusal", lambda: reason in lab.status(1002)["message"])
    eventually("dmesg", lambda: reason in cluster.talosctl(WORKER, "dmesg"))
    assert not {forbidden, "example.org/zone"} & set(labels(cluster, WORKER))
    assert re.search(r"HEALTH +OK", cluster.talosctl(WORKER, "service", "kubelet"))
    cluster.apply(CP, base(cluster, CP, patch), "--mode=no-reboot")
    eventually("control planes may", lambda: forbidden in labels(cluster, CP))
    for node in (CP, WORKER):
        cluster.apply(node, base(cluster, node), "--mode=no-reboot")
    eventually("no reason", lambda: "labels" not in lab.status(1002)["message"])


def test_taints_of_a_control_plane_come_and_go(cluster: Cluster) -> None:
    assert taints(cluster, CP) == [CONTROL_PLANE_TAINT]
    mine = {"key": "example.org/only", "value": "tests", "effect": "NoSchedule"}
    patch = {"machine": {"nodeTaints": {"example.org/only": "tests:NoSchedule"}}}
    cluster.apply(CP, base(cluster, CP, patch), "--mode=no-reboot")
    eventually("taint", lambda: mine in taints(cluster, CP))
    cluster.apply(CP, base(cluster, CP), "--mode=no-reboot")
    eventually("no taint", lambda: taints(cluster, CP) == [CONTROL_PLANE_TAINT])


def test_schedulable_control_planes_lose_their_taint_and_get_it_back(cluster: Cluster) -> None:
    patch = {"cluster": {"allowSchedulingOnControlPlanes": True}}
    cluster.apply(CP, base(cluster, CP, patch), "--mode=no-reboot")
    eventually("no taint", lambda: taints(cluster, CP) == [])
    cluster.apply(CP, base(cluster, CP), "--mode=no-reboot")
    eventually("taint", lambda: taints(cluster, CP) == [CONTROL_PLANE_TAINT])
    ready(cluster)


@pytest.mark.parametrize(
    "change",
    [
        {"extraConfig": {"maxPods": 200}},
        {"extraArgs": {"rotate-server-certificates": "true"}},
        {"nodeIP": {"validSubnets": ["127.0.0.0/8", "10.9.0.0/16"]}},
    ],
)
def test_a_change_of_the_kubelet_restarts_it_and_its_node_stays(
    lab: NodeLab, cluster: Cluster, change: dict[str, Any]
) -> None:
    before, boot = len(lab.events()), cluster.boot_id(WORKER)
    address = lab.public(1002) if "nodeIP" in change else WORKER
    text = base(cluster, WORKER)
    if "nodeIP" in change:
        text = text.replace("10.0.0.0/22", "127.0.0.0/8")
        change = {}
    patched = cluster.directory / "kubelet.yaml"
    patched.write_text(yaml.safe_dump({"machine": {"kubelet": change}}))
    source = cluster.directory / "worker-source.yaml"
    source.write_text(text)
    text = cluster._talosctl("machineconfig", "patch", str(source), "--patch", f"@{patched}")
    cluster.apply(WORKER, text, "--mode=no-reboot")
    restart = f"{NAMES[WORKER]} kubelet: restarts"
    eventually("restart", lambda: any(str(e).endswith(restart) for e in lab.events()[before:]))
    ready(cluster)
    shown = cluster.nodes()[NAMES[WORKER]]
    eventually(
        "address",
        lambda: (
            address in [a["address"] for a in cluster.nodes()[NAMES[WORKER]]["status"]["addresses"]]
        ),
    )
    assert shown["metadata"]["name"] == NAMES[WORKER]
    assert cluster.boot_id(WORKER) == boot
    cluster.apply(WORKER, base(cluster, WORKER), "--mode=no-reboot")
    eventually(
        "address again",
        lambda: (
            WORKER in [a["address"] for a in cluster.nodes()[NAMES[WORKER]]["status"]["addresses"]]
        ),
    )
    ready(cluster)


@pytest.mark.parametrize(
    ("component", "setting", "along"),
    [
        # Talos counts the scheduler's settings among the files of kube-apiserver.
        ("kube-scheduler", "scheduler", {"kube-apiserver"}),
        ("kube-controller-manager", "controllerManager", set()),
        ("kube-apiserver", "apiServer", set()),
    ],
)
def test_settings_of_a_component_restart_its_pod_with_a_new_version(
    lab: NodeLab, cluster: Cluster, component: str, setting: str, along: set[str]
) -> None:
    version = "talos.dev/config-version"
    before = pod(cluster, component)
    assert is_ready(before)
    events = len(lab.events())
    text = base(cluster, CP, {"cluster": {setting: {"extraArgs": {"v": "1"}}}})
    watch = subprocess.Popen(
        [
            *("kubectl", f"--kubeconfig={cluster.kubeconfig}", "-n", "kube-system", "get", "pods"),
            *("-l", f"k8s-app={component}", "--watch", "-o", "json"),
        ],
        executable=str(cluster.binary("kubectl")),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert watch.stdout
    assert watch.stdout.readline() == "{\n"
    cluster.apply(CP, text, "--mode=no-reboot")
    eventually(
        "a ready pod with the new version",
        lambda: (
            (p := pod(cluster, component))["metadata"]["annotations"][version]
            != before["metadata"]["annotations"][version]
            and is_ready(p)
        ),
    )
    watch.terminate()
    seen, _ = watch.communicate(timeout=20)
    # The only API server cuts watches off when it restarts itself.
    if component == "kube-controller-manager":
        assert '"ready": false' in seen
    steps = [e.detail for e in lab.events()[events:] if e.kind == "static-pod"]
    restarted = {step.partition(" restarts")[0] for step in steps if " restarts" in step}
    assert restarted == {component} | along
    assert "--v=1" in " ".join(pod(cluster, component)["spec"]["containers"][0]["command"])
    cluster.apply(CP, base(cluster, CP), "--mode=no-reboot")
    eventually(
        "the old arguments",
        lambda: (
            "--v=1" not in (p := pod(cluster, component))["spec"]["containers"][0]["command"]
            and is_ready(p)
        ),
    )


def test_an_image_that_cannot_be_pulled_leaves_the_pod_not_ready(
    lab: NodeLab, cluster: Cluster
) -> None:
    image = "registry.k8s.io/kube-scheduler:v1.35.99"
    text = base(cluster, CP, {"cluster": {"scheduler": {"image": image}}})
    cluster.apply(CP, text, "--mode=no-reboot")
    eventually("not ready", lambda: not is_ready(pod(cluster, "kube-scheduler")))
    eventually("reason", lambda: "failed to pull image" in lab.status(1001)["message"])
    cluster.apply(CP, base(cluster, CP), "--mode=no-reboot")
    eventually("ready", lambda: is_ready(pod(cluster, "kube-scheduler")))


def test_settings_of_etcd_wait_for_the_next_boot(lab: NodeLab, cluster: Cluster) -> None:
    def settings() -> str:
        return " ".join(
            command for command in lab.commands() if "/etcd " in command or "etcd\0" in command
        )

    text = base(cluster, CP, {"cluster": {"etcd": {"extraArgs": {"max-txn-ops": "256"}}}})
    cluster.apply(CP, text, "--mode=no-reboot")
    time.sleep(3)
    assert "max-txn-ops" not in settings()
    reboot(cluster, CP)
    eventually("the new argument", lambda: "--max-txn-ops=256" in settings())
    cluster.apply(CP, base(cluster, CP), "--mode=reboot")
    eventually("the old arguments", lambda: settings() and "max-txn-ops" not in settings())
    ready(cluster)


def test_static_hosts_change_live(cluster: Cluster) -> None:
    host = {"apiVersion": "v1alpha1", "kind": "StaticHostConfig", "name": "10.0.0.14"}
    text = base(cluster, WORKER, {**host, "hostnames": [ENDPOINT]})
    cluster.apply(WORKER, text, "--mode=no-reboot")
    line = f"10.0.0.14 {ENDPOINT}"
    eventually("host", lambda: line in cluster.talosctl(WORKER, "read", "/etc/hosts"))
    cluster.apply(WORKER, base(cluster, WORKER), "--mode=no-reboot")
    eventually("no host", lambda: line not in cluster.talosctl(WORKER, "read", "/etc/hosts"))


NEEDS_REBOOT = [
    {"machine": {"features": {"apidCheckExtKeyUsage": True}}},
    {"machine": {"sysctls": {}, "udev": {"rules": ['KERNEL=="sda"']}}},
    {"machine": {"files": [{"path": "/var/a", "permissions": 0o600, "op": "create"}]}},
    {"machine": {"env": {"GRPC_GO_LOG_SEVERITY_LEVEL": "info"}}},
]


@pytest.mark.parametrize("patch", NEEDS_REBOOT)
def test_what_needs_a_reboot_is_refused_without_one_and_changes_nothing(
    lab: NodeLab, cluster: Cluster, patch: dict[str, Any]
) -> None:
    text = base(cluster, WORKER, patch, {"machine": {"nodeLabels": {"example.org/zone": "a"}}})
    error = refusal(lambda: cluster.apply(WORKER, text, "--mode=no-reboot"))
    assert "code = InvalidArgument" in error
    assert "this config change can't be applied in immediate mode\ndiff:" in error
    assert cluster.live_config(WORKER) == list(yaml.safe_load_all(base(cluster, WORKER)))
    last = [e for e in lab.events() if (e.kind, e.node) == ("apply", NAMES[WORKER])][-1]
    assert (
        last.detail == "no-reboot: refused: this config change can't be applied in immediate mode"
    )


IMMEDIATE = [
    {"machine": {"install": {"disk": "/dev/sdb"}}},
    {"machine": {"sysctls": {"net.core.somaxconn": "65535"}}},
    {"machine": {"kernel": {"modules": [{"name": "br_netfilter"}]}}},
    {"machine": {"certSANs": ["node.example.org"]}},
    {"machine": {"features": {"kubePrism": {"enabled": True, "port": 7446}}}},
    {"cluster": {"discovery": {"enabled": False}}},
]


@pytest.mark.parametrize("patch", IMMEDIATE)
def test_what_needs_no_reboot_is_applied_at_once(cluster: Cluster, patch: dict[str, Any]) -> None:
    boot, text = cluster.boot_id(WORKER), base(cluster, WORKER, patch)
    cluster.apply(WORKER, text, "--mode=no-reboot")
    assert cluster.live_config(WORKER) == list(yaml.safe_load_all(text))
    cluster.apply(WORKER, base(cluster, WORKER), "--mode=no-reboot")
    assert cluster.boot_id(WORKER) == boot


@pytest.mark.parametrize(
    ("patch", "reason"),
    [
        ({"machine": {"kubelet": {"image": "ghcr.io/siderolabs/kubelet:latest"}}}, "image"),
        ({"machine": {"nodeTaints": {"example.org/only": "x:Sometimes"}}}, "taint"),
        ({"machine": {"nodeLabels": {"not a label": "x"}}}, "label"),
    ],
)
def test_a_config_that_talos_refuses_changes_nothing(
    cluster: Cluster, patch: dict[str, Any], reason: str
) -> None:
    error = refusal(lambda: cluster.apply(WORKER, base(cluster, WORKER, patch), "--mode=no-reboot"))
    assert "code = InvalidArgument" in error
    assert reason in error
    assert cluster.live_config(WORKER) == list(yaml.safe_load_all(base(cluster, WORKER)))


def test_a_staged_config_waits_for_the_next_boot(cluster: Cluster) -> None:
    text = base(cluster, WORKER, NEEDS_REBOOT[0], {"machine": {"nodeLabels": {"stage": "two"}}})
    said = cluster.apply(WORKER, text, "--mode=staged")
    assert "Staged configuration to be applied after the next reboot" in said
    old, new = list(yaml.safe_load_all(base(cluster, WORKER))), list(yaml.safe_load_all(text))
    assert cluster.live_config(WORKER) == old
    assert cluster.live_config(WORKER, "persistent") == new
    assert "stage" not in labels(cluster, WORKER)
    reboot(cluster, WORKER)
    assert cluster.live_config(WORKER) == new
    eventually("label", lambda: labels(cluster, WORKER).get("stage") == "two")


def test_auto_mode_reboots_where_it_must(lab: NodeLab, cluster: Cluster) -> None:
    boot, before = cluster.boot_id(WORKER), len(lab.events())
    said = cluster.apply(WORKER, base(cluster, WORKER), "--mode=auto")
    assert "Applied configuration with a reboot: this config change can't be applied" in said
    eventually("another boot", lambda: cluster.boot_id(WORKER) != boot)
    assert cluster.live_config(WORKER) == list(yaml.safe_load_all(base(cluster, WORKER)))
    ready(cluster)
    kinds = [e.kind for e in lab.events()[before:] if e.node == NAMES[WORKER]]
    wanted = ["apply", "reboot-begin", "power-off", "power-on", "boot-end", "reboot-end"]
    assert [kind for kind in kinds if kind in wanted] == wanted
