"""Servers that are turned off, changed and turned on again, with real nodes on them, through the official client."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from hcloud import APIException, Client
from hcloud.actions import ActionFailedException
from hcloud.images import BoundImage
from hcloud.locations import Location
from hcloud.networks import NetworkSubnet
from hcloud.server_types import ServerType
from hcloud.servers import BoundServer
from hcloud.servers.domain import ServerCreatePublicNetwork

from lab.instance import Lab
from tests.lab import node_events
from tests.lab.hetzner_support import finish, refusal, talos
from tests.lab.talos_support import NETWORK_PLUGIN, Cluster, eventually

CP, WORKER = "10.0.0.11", "10.0.1.2"


@pytest.fixture(scope="module")
def cloud(lab: Lab) -> Client:
    return Client(lab.token, api_endpoint=lab.endpoint, poll_interval=0.2)


@pytest.fixture(scope="module")
def cluster(lab: Lab, cloud: Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One control plane and one worker, made without Pulumi."""
    address = cloud.primary_ips.create(
        type="ipv4", name="power", location=Location("nbg1"), assignee_type="server"
    ).primary_ip
    cluster = Cluster(tmp_path_factory.mktemp("power"), address.ip)
    network = cloud.networks.create("power", "10.0.0.0/21")
    for subnet in ("10.0.0.0/24", "10.0.1.0/24"):
        finish(network.add_subnet(NetworkSubnet(subnet, "cloud", "eu-central")))
    servers: list[BoundServer] = []
    for role, name, private in (
        ("controlplane", "demo-cp-1", CP),
        ("worker", "demo-worker-1", WORKER),
    ):
        created = cloud.servers.create(
            name,
            ServerType("cx33"),
            talos(cloud),
            location=Location("nbg1"),
            user_data=cluster.config(role, name),
            public_net=ServerCreatePublicNetwork(
                ipv4=address if role == "controlplane" else None, enable_ipv6=False
            ),
        )
        finish(created.action, *created.next_actions)
        finish(created.server.attach_to_network(network, ip=private))
        servers.append(created.server)
    eventually("Talos API", lambda: cluster.talosctl(CP, "version"))
    cluster.talosctl(CP, "bootstrap")
    cluster.fetch_kubeconfig()
    eventually("two nodes", lambda: len(cluster.nodes()) == 2)
    cluster.kubectl("apply", "-f", "-", stdin=NETWORK_PLUGIN)
    eventually("ready nodes", lambda: all(cluster.ready().values()))
    yield cluster
    for server in servers:
        finish(server.delete())
    cloud.networks.get_by_id(network.id).delete()


def server(cloud: Client, name: str) -> BoundServer:
    found = cloud.servers.get_by_name(name)
    assert found
    return found


def status(cloud: Client, name: str) -> str:
    return str(server(cloud, name).status)


def image(cloud: Client) -> BoundImage:
    return talos(cloud)


def test_a_server_that_was_shut_down_boots_its_old_disk_and_joins_again(
    cloud: Client, cluster: Cluster
) -> None:
    patch = {"machine": {"nodeLabels": {"example.org/kept": "yes"}}}
    text = cluster.config("worker", "demo-worker-1", patch)
    cluster.apply(WORKER, text, "--mode=no-reboot")
    boot = cluster.boot_id(WORKER)
    finish(server(cloud, "demo-worker-1").shutdown())
    eventually("off", lambda: status(cloud, "demo-worker-1") == "off", 60)
    finish(server(cloud, "demo-worker-1").power_on())
    assert status(cloud, "demo-worker-1") == "running"
    eventually("another boot", lambda: cluster.boot_id(WORKER) != boot)
    assert cluster.live_config(WORKER)[0]["machine"]["nodeLabels"] == {"example.org/kept": "yes"}
    eventually("ready", lambda: cluster.ready()["demo-worker-1"])


def test_a_type_that_does_not_fit_is_refused(cloud: Client, cluster: Cluster) -> None:
    worker = server(cloud, "demo-worker-1")
    refuse = worker.change_type
    assert refusal(refuse, ServerType("cx43"), upgrade_disk=False) == "server_not_stopped"
    finish(worker.power_off())
    for name in ("cx23", "cax31", "cx33"):
        assert refusal(refuse, ServerType(name), upgrade_disk=False) == "invalid_server_type"
    finish(worker.power_on())


@pytest.mark.parametrize(("name", "private"), [("demo-worker-1", WORKER), ("demo-cp-1", CP)])
def test_a_changed_type_keeps_the_disk_and_shows_in_kubernetes(
    lab: Lab, cloud: Client, cluster: Cluster, name: str, private: str
) -> None:
    eventually("Talos API", lambda: cluster.boot_id(private))
    before, one = node_events.last_order(lab), server(cloud, name)
    finish(one.power_off())
    finish(one.change_type(ServerType("cx43"), upgrade_disk=False))
    changed = server(cloud, name)
    # Hetzner starts the server again by itself.
    assert (changed.status, changed.server_type.name) == ("running", "cx43")
    assert changed.primary_disk_size == 80

    def size() -> tuple[str, int, int]:
        capacity = cluster.nodes()[name]["status"]["capacity"]
        gib = 1 << 30
        disk = capacity["ephemeral-storage"]
        return (
            capacity["cpu"],
            int(capacity["memory"].removesuffix("Gi")) if "Gi" in capacity["memory"] else 0,
            int(disk.removesuffix("Gi")) if disk.endswith("Gi") else int(disk) // gib,
        )

    eventually("size", lambda: size() == ("8", 16, 80))
    eventually("ready", lambda: all(cluster.ready().values()))
    events = [e.kind for e in node_events.of_lab(lab, before) if e.node == name]
    wanted = ["power-off", "power-on", "boot-end"]
    assert [kind for kind in events if kind in wanted] == wanted
    # The smaller type fits again because the disk did not grow.
    finish(server(cloud, name).power_off())
    finish(server(cloud, name).change_type(ServerType("cx33"), upgrade_disk=False))
    eventually("size", lambda: size() == ("4", 8, 80))
    eventually("ready", lambda: all(cluster.ready().values()))


class Faults:
    """`python -m lab fault`, as people plan faults."""

    def __init__(self, lab: Lab) -> None:
        self._env = lab.env()

    def __call__(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "lab", "fault", *arguments],
            cwd=Path(__file__).parents[2],
            env=self._env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def fault(lab: Lab) -> Iterator[Faults]:
    faults = Faults(lab)
    yield faults
    faults("clear")


def test_a_rate_limit_ends_when_its_header_says(cloud: Client, lab: Lab, fault: Faults) -> None:
    fault("rate_limit", "count=0", "seconds=2", "path=^/locations")
    # Without retries of its own, as Pulumi's provider reports it once its own retries are over.
    impatient = Client(lab.token, api_endpoint=lab.endpoint)
    impatient._client._retry_max_retries = 0
    with pytest.raises(APIException) as caught:
        impatient.locations.get_all()
    assert caught.value.code == "rate_limit_exceeded"
    fault("clear")
    assert cloud.locations.get_all()


def test_a_lost_response_leaves_the_object_behind(cloud: Client, fault: Faults) -> None:
    fault("lost_response", "method=POST", "path=^/networks$")
    with pytest.raises(requests.ConnectionError):
        cloud.networks.create("lost", "10.9.0.0/16")
    left = cloud.networks.get_by_name("lost")
    assert left
    left.delete()


def test_no_stock_and_failing_actions(cloud: Client, cluster: Cluster, fault: Faults) -> None:
    fault("no_stock", "server_type=cx53")
    create = cloud.servers.create
    code = refusal(create, "none", ServerType("cx53"), image(cloud), location=Location("nbg1"))
    assert code == "resource_unavailable"
    fault("action_fails", "path=/actions/shutdown$")
    with pytest.raises(ActionFailedException):
        finish(server(cloud, "demo-worker-1").shutdown())
    assert status(cloud, "demo-worker-1") == "running"


def test_planned_faults_of_nodes_are_listed(fault: Faults) -> None:
    shown = fault("reboot_never_returns", "server=demo-worker-1")
    assert "kind=reboot_never_returns" in shown
    assert "server=demo-worker-1" in fault("list")
    fault("clear")
    assert fault("list") == ""


def test_a_dead_node_comes_back_with_a_power_cycle(
    cloud: Client, cluster: Cluster, fault: Faults
) -> None:
    boot = cluster.boot_id(WORKER)
    fault("dead", "server=demo-worker-1")
    assert status(cloud, "demo-worker-1") == "running"
    time.sleep(1)
    finish(server(cloud, "demo-worker-1").reset())
    eventually("another boot", lambda: cluster.boot_id(WORKER) != boot)


def test_a_server_that_never_boots_shows_as_running(
    cloud: Client, cluster: Cluster, fault: Faults
) -> None:
    fault("never_boots", "server=demo-worker-1", "count=1")
    finish(server(cloud, "demo-worker-1").reset())
    assert status(cloud, "demo-worker-1") == "running"
    time.sleep(3)
    with pytest.raises(Exception, match="Unavailable"):
        cluster.boot_id(WORKER)
    finish(server(cloud, "demo-worker-1").reset())
    eventually("a boot", lambda: cluster.boot_id(WORKER))
