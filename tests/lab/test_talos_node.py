"""The emulated Talos node against the real talosctl and kubectl, without the Hetzner emulator.

One daemon serves the whole module: the tests follow the life of a cluster and build on each other.
"""

from __future__ import annotations

import json
import re
import signal
import socket
from collections.abc import Iterator

import pytest
import yaml

from tests.lab.talos_support import (
    KUBERNETES_VERSION,
    NETWORK_PLUGIN,
    Cluster,
    NodeLab,
    eventually,
    refusal,
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeLab]:
    lab = NodeLab(tmp_path_factory.mktemp("node-lab"))
    lab.start()
    yield lab
    if lab.process and lab.process.poll() is None:
        lab.stop()


@pytest.fixture(scope="module")
def cluster(lab: NodeLab, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    return Cluster(tmp_path_factory.mktemp("cluster"), lab.public(1001))


def test_a_server_without_user_data_waits_in_maintenance_mode(
    lab: NodeLab, cluster: Cluster
) -> None:
    lab.put(1099, "blank", "10.0.3.99", "")
    eventually("maintenance", lambda: lab.status(1099)["stage"] == "maintenance", 20)
    address = lab.public(1099)
    assert "v1.13.9" in cluster._talosctl("version", "--insecure", "-n", address, "-e", address)
    assert "sda" in cluster._talosctl("get", "disks", "--insecure", "-n", address, "-e", address)
    lab.call("DELETE", "/servers/1099")


def test_a_config_that_talos_refuses_does_not_boot(lab: NodeLab) -> None:
    lab.put(1098, "broken", "10.0.3.98", "version: v1alpha1\nmachine: {type: controlplane}\n")
    status = eventually(
        "rejection", lambda: (s := lab.status(1098))["stage"] == "config rejected" and s, 20
    )
    assert "cluster instructions are required" in status["message"]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((lab.public(1098), 50000), timeout=2)
    lab.call("DELETE", "/servers/1098")


def test_an_unbootstrapped_cluster_has_a_talos_api_but_no_kubernetes(
    lab: NodeLab, cluster: Cluster
) -> None:
    lab.put(1001, "demo-cp-1", "10.0.0.11", cluster.config("controlplane", "demo-cp-1"))
    lab.put(1002, "demo-worker-1", "10.0.1.1", cluster.config("worker", "demo-worker-1"))
    eventually("Talos API", lambda: "v1.13.9" in cluster.talosctl("10.0.0.11", "version"), 30)
    assert cluster.talosctl("10.0.0.11", "service", "etcd").count("Preparing")
    eventually(
        "worker through the control plane", lambda: cluster.talosctl("10.0.1.1", "version"), 30
    )
    status = cluster.get("10.0.0.11", "machinestatus")[0]["spec"]
    assert status["stage"] == "booting"
    assert not status["status"]["ready"]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((lab.public(1001), 6443), timeout=2)
    assert "bootstrap" in lab.status(1001)["message"]


def test_private_addresses_are_not_for_the_operator_and_unknown_ones_for_nobody(
    cluster: Cluster,
) -> None:
    assert "Unavailable" in refusal(lambda: cluster.talosctl("10.0.0.99", "version"))


def test_bootstrap_is_refused_on_a_worker(cluster: Cluster) -> None:
    error = refusal(lambda: cluster.talosctl("10.0.1.1", "bootstrap"))
    assert "only available on control plane nodes" in error


def test_bootstrap_brings_up_kubernetes_whose_nodes_wait_for_a_network(cluster: Cluster) -> None:
    cluster.talosctl("10.0.0.11", "bootstrap")
    eventually(
        "etcd",
        lambda: re.search(r"HEALTH +OK", cluster.talosctl("10.0.0.11", "service", "etcd")),
        60,
    )
    cluster.fetch_kubeconfig()
    eventually("both nodes", lambda: set(cluster.nodes()) == {"demo-cp-1", "demo-worker-1"}, 120)
    assert cluster.ready() == {"demo-cp-1": False, "demo-worker-1": False}
    nodes = cluster.nodes()
    assert (
        nodes["demo-worker-1"]["status"]["nodeInfo"]["kubeletVersion"] == f"v{KUBERNETES_VERSION}"
    )
    addresses = {a["type"]: a["address"] for a in nodes["demo-worker-1"]["status"]["addresses"]}
    assert addresses == {"InternalIP": "10.0.1.1", "Hostname": "demo-worker-1"}
    assert "node-role.kubernetes.io/control-plane" in nodes["demo-cp-1"]["metadata"]["labels"]


def test_a_second_bootstrap_is_refused(cluster: Cluster) -> None:
    assert "AlreadyExists" in refusal(lambda: cluster.talosctl("10.0.0.11", "bootstrap"))


def test_nodes_are_ready_once_a_network_plugin_runs_on_them(cluster: Cluster) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=NETWORK_PLUGIN)
    eventually("ready nodes", lambda: all(cluster.ready().values()), 90)

    def coredns_runs() -> bool:
        pods = json.loads(
            cluster.kubectl(
                "-n", "kube-system", "get", "pods", "-l", "k8s-app=kube-dns", "-o", "json"
            )
        )["items"]
        return len(pods) == 2 and all(pod["status"]["phase"] == "Running" for pod in pods)

    eventually("CoreDNS", coredns_runs, 60)


def test_talosctl_shows_members_services_and_health(cluster: Cluster) -> None:
    members = {m["spec"]["hostname"]: m["spec"] for m in cluster.get("10.0.0.11", "members")}
    assert set(members) == {"demo-cp-1", "demo-worker-1"}
    assert "10.0.1.1" in members["demo-worker-1"]["addresses"]
    assert "https://10.0.0.11:2380" in cluster.talosctl("10.0.0.11", "etcd", "members")
    assert "3.6" in cluster.talosctl("10.0.0.11", "etcd", "status")
    status = eventually(
        "a ready machine",
        lambda: (
            (s := cluster.get("10.0.0.11", "machinestatus")[0]["spec"])["status"]["ready"] and s
        ),
        30,
    )
    assert status["stage"] == "running"
    node = eventually("node status", lambda: cluster.get("10.0.1.1", "nodestatus")[0]["spec"], 20)
    assert node["nodeReady"]
    assert not node["unschedulable"]
    cluster._talosctl(
        *("--talosconfig", str(cluster.talosconfig), "-n", "10.0.0.11", "health"),
        *("--control-plane-nodes", "10.0.0.11", "--worker-nodes", "10.0.1.1"),
        *("--server=false", "--k8s-endpoint", f"https://{cluster.endpoint}:6443"),
        *("--wait-timeout", "60s"),
    )


def test_labels_of_the_config_follow_it_live(cluster: Cluster) -> None:
    def labels() -> dict[str, str]:
        return dict(cluster.nodes()["demo-worker-1"]["metadata"]["labels"])

    file = cluster.directory / "labels.yaml"
    patch = {"machine": {"nodeLabels": {"example.org/zone": "a"}}}
    file.write_text(cluster.config("worker", "demo-worker-1", patch))
    assert "example.org/zone" in cluster.talosctl(
        "10.0.1.1", "apply-config", "--dry-run", "-f", str(file)
    )
    cluster.talosctl("10.0.1.1", "apply-config", "--mode=no-reboot", "-f", str(file))
    eventually("label", lambda: labels().get("example.org/zone") == "a", 20)
    file.write_text(cluster.config("worker", "demo-worker-1"))
    cluster.talosctl("10.0.1.1", "apply-config", "--mode=no-reboot", "-f", str(file))
    eventually("no label", lambda: "example.org/zone" not in labels(), 20)


def test_a_change_that_needs_a_reboot_is_refused_without_one(cluster: Cluster) -> None:
    file = cluster.directory / "rbac.yaml"
    patch = {"machine": {"features": {"apidCheckExtKeyUsage": True}}}
    file.write_text(cluster.config("worker", "demo-worker-1", patch))
    error = refusal(
        lambda: cluster.talosctl("10.0.1.1", "apply-config", "--mode=no-reboot", "-f", str(file))
    )
    assert "can't be applied in immediate mode" in error


def test_worker_taints_work_at_registration_only(lab: NodeLab, cluster: Cluster) -> None:
    taint = {"key": "example.org/only", "value": "tests", "effect": "NoSchedule"}
    register = {"machine": {"kubelet": {"extraConfig": {"registerWithTaints": [taint]}}}}
    lab.put(1005, "tainted", "10.0.1.5", cluster.config("worker", "tainted", register))
    eventually("tainted node", lambda: taint in cluster.nodes()["tainted"]["spec"]["taints"], 40)
    file = cluster.directory / "taints.yaml"
    patch = {"machine": {"nodeTaints": {"example.org/other": "tests:NoSchedule"}}}
    file.write_text(cluster.config("worker", "tainted", register, patch))
    cluster.talosctl("10.0.1.5", "apply-config", "--mode=no-reboot", "-f", str(file))
    eventually("refusal", lambda: "not allowed to modify taints" in lab.status(1005)["message"], 20)
    lab.call("DELETE", "/servers/1005")
    cluster.kubectl("delete", "node", "tainted")


@pytest.mark.parametrize(
    ("server", "name", "change", "reason"),
    [
        (1011, "bad-hosts", "hosts", "no route to host"),
        (1012, "bad-subnet", "subnet", "no suitable node IP found"),
        (1013, "bad-token", "token", "Unauthorized"),
        (1014, "bad-ca", "ca", "unknown authority"),
    ],
)
def test_a_wrong_config_keeps_a_node_out_and_its_message_says_why(
    lab: NodeLab, cluster: Cluster, server: int, name: str, change: str, reason: str
) -> None:
    text = cluster.config("worker", name)
    if change == "hosts":
        text = text.replace("10.0.0.1", "10.0.0.20")
    if change == "subnet":
        text = text.replace("10.0.0.0/22", "192.168.0.0/24")
    if change == "token":
        token = yaml.safe_load(text.split("\n---")[0])["cluster"]["token"]
        text = text.replace(token, "aaaaaa.bbbbbbbbbbbbbbbb")
    if change == "ca":
        other = cluster.directory / "other.yaml"
        cluster._talosctl("gen", "secrets", "-o", str(other), "--force", "--talos-version", "v1.13")
        text = cluster.config("worker", name, base=cluster.generate(other))
    lab.put(server, name, f"10.0.1.{server - 1000}", text)
    eventually(f"reason of {name}", lambda: reason in lab.status(server)["message"], 40)
    assert name not in cluster.nodes()
    lab.call("DELETE", f"/servers/{server}")


def test_more_control_planes_join_etcd_as_voters(lab: NodeLab, cluster: Cluster) -> None:
    for index in (2, 3):
        name = f"demo-cp-{index}"
        lab.put(1001 + index, name, f"10.0.0.1{index}", cluster.config("controlplane", name))

    def voters() -> bool:
        lines = cluster.talosctl("10.0.0.11", "etcd", "members").splitlines()[1:]
        return len(lines) == 3 and all(line.split()[-1] == "false" for line in lines)

    eventually("three voters", voters, 120)
    members = cluster.talosctl("10.0.0.12", "etcd", "members")
    assert all(f"https://10.0.0.1{i}:2380" in members for i in (1, 2, 3))
    eventually("four ready nodes", lambda: list(cluster.ready().values()) == [True] * 4, 120)


def test_a_control_plane_without_a_matching_address_does_not_start_etcd(
    lab: NodeLab, cluster: Cluster
) -> None:
    config = cluster.config("controlplane", "bad-etcd")
    lab.put(1015, "bad-etcd", "10.0.2.15", config)
    eventually("reason", lambda: "advertisedSubnets" in lab.status(1015)["message"], 30)
    lab.call("DELETE", "/servers/1015")
    cluster.kubectl("delete", "node", "bad-etcd", "--ignore-not-found")


def test_the_firewall_drops_what_no_rule_lets_in(lab: NodeLab, cluster: Cluster) -> None:
    config = cluster.config("controlplane", "demo-cp-3")
    rule = {"direction": "in", "protocol": "tcp", "port": "50000", "source_ips": ["10.9.0.0/16"]}
    lab.put(1004, "demo-cp-3", "10.0.0.13", config, firewall=[rule])
    with socket.create_connection((lab.public(1004), 50000), timeout=2) as connection:
        assert connection.recv(1) == b""
    rule["source_ips"] = ["127.0.0.0/8"]
    lab.put(1004, "demo-cp-3", "10.0.0.13", config, firewall=[rule])
    assert "v1.13.9" in cluster._talosctl(
        *("--talosconfig", str(cluster.talosconfig), "-e", lab.public(1004)),
        *("-n", "10.0.0.13", "version"),
    )


def test_a_reboot_keeps_the_config_and_changes_the_boot_id(lab: NodeLab, cluster: Cluster) -> None:
    def boot_id() -> str:
        return cluster.talosctl("10.0.1.1", "read", "/proc/sys/kernel/random/boot_id")

    before = boot_id()
    cluster.talosctl("10.0.1.1", "reboot", "--wait", "--timeout", "60s")
    assert boot_id() != before
    eventually("ready again", lambda: cluster.ready()["demo-worker-1"], 40)


def test_an_upgrade_changes_the_version_and_keeps_the_node(cluster: Cluster) -> None:
    image = "factory.talos.dev/hcloud-installer/" + "3" * 64 + ":v1.13.8"
    cluster.talosctl("10.0.1.1", "upgrade", "--image", image, "--drain=false", "--timeout", "90s")
    assert "Talos (v1.13.8)" in cluster.nodes()["demo-worker-1"]["status"]["nodeInfo"]["osImage"]
    extensions = cluster.get("10.0.1.1", "extensions")
    assert extensions[0]["spec"]["metadata"]["version"] == "3" * 64
    eventually("ready again", lambda: cluster.ready()["demo-worker-1"], 40)


def test_a_graceful_reset_leaves_etcd_and_turns_the_server_off(
    lab: NodeLab, cluster: Cluster
) -> None:
    cluster.talosctl(
        *("10.0.0.13", "reset", "--graceful", "--reboot=false", "--timeout", "120s"),
        *("--system-labels-to-wipe", "STATE", "--system-labels-to-wipe", "EPHEMERAL"),
    )
    eventually("power off", lambda: lab.status(1004)["power"] == "off", 30)
    members = cluster.talosctl("10.0.0.11", "etcd", "members")
    assert "demo-cp-3" not in members
    assert "demo-cp-2" in members
    lab.call("DELETE", "/servers/1004")
    cluster.kubectl("delete", "node", "demo-cp-3")


def test_a_powered_off_node_goes_silent_and_comes_back(lab: NodeLab, cluster: Cluster) -> None:
    lab.call("POST", "/servers/1002/actions/poweroff")
    assert lab.status(1002)["power"] == "off"
    assert "Unavailable" in refusal(lambda: cluster.talosctl("10.0.1.1", "version"))
    lab.call("POST", "/servers/1002/actions/poweron")
    eventually("Talos API", lambda: cluster.talosctl("10.0.1.1", "version"), 30)


def test_a_dead_node_stays_silent_until_a_power_cycle(lab: NodeLab, cluster: Cluster) -> None:
    lab.call("POST", "/faults", {"server": "demo-worker-1", "kind": "dead"})
    assert lab.status(1002)["power"] == "on"
    assert "Unavailable" in refusal(lambda: cluster.talosctl("10.0.1.1", "version"))
    lab.call("POST", "/servers/1002/actions/reset")
    eventually("Talos API", lambda: cluster.talosctl("10.0.1.1", "version"), 30)


def test_a_kubernetes_upgrade_passes_every_step_of_talosctl(lab: NodeLab, cluster: Cluster) -> None:
    out = cluster.talosctl(
        *("10.0.0.11", "upgrade-k8s", "--to", KUBERNETES_VERSION),
        *("--endpoint", f"https://{lab.public(1001)}:6443"),
    )
    assert "updating kubelet" in out
    assert "done" in out


def test_a_restarted_daemon_brings_the_cluster_back_from_disk(
    lab: NodeLab, cluster: Cluster
) -> None:
    cluster.kubectl("create", "configmap", "kept", "--from-literal=a=b")
    lab.stop()
    assert lab.children() == []
    lab.start()
    eventually("kept object", lambda: cluster.kubectl("get", "configmap", "kept"), 120)


def test_a_killed_daemon_takes_its_children_along(lab: NodeLab) -> None:
    assert lab.children()
    lab.stop(signal.SIGKILL)
    eventually("no children", lambda: lab.children() == [], 10)
