"""The Hetzner emulator and the machines behind its servers, and its life across restarts."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hcloud import Client
from hcloud.actions import ActionFailedException
from hcloud.firewalls import FirewallResource, FirewallRule
from hcloud.networks import NetworkRoute
from hcloud.server_types import ServerType

from lab.hetzner.settings import Settings
from lab.hetzner.testing import TOKEN, FakeMachines, ask, fake_machines, running
from tests.lab.hetzner_support import client, finish, new_network, new_server, talos


@pytest.fixture
def machines() -> Iterator[tuple[FakeMachines, str]]:
    with fake_machines() as running_fake:
        yield running_fake


def settings(url: str, state: Path | None = None, seconds: float = 0.02) -> Settings:
    return Settings(
        token=TOKEN, nodes_url=url, state_file=state, action_seconds=seconds, node_patience=0.1
    )


def wait_for_sync(root: str) -> None:
    for _ in range(200):
        if ask("GET", f"{root}/_lab/health")[1]["machines_synced"]:
            return
        time.sleep(0.01)
    raise AssertionError("machines were not synced")


def test_a_machine_is_described_as_the_server_was_ordered(
    machines: tuple[FakeMachines, str],
) -> None:
    fake, url = machines
    with running(settings(url)) as root:
        cloud = client(root)
        network = new_network(cloud, "10.0.0.0/24")
        rule = FirewallRule("in", "tcp", ["127.0.0.0/8"], port="50000")
        firewall = cloud.firewalls.create("f", [rule]).firewall
        server = new_server(cloud, "a", firewalls=[firewall], user_data="machine: {}")
        finish(server.attach_to_network(network, ip="10.0.0.11"))
        mac = cloud.servers.get_by_id(server.id).private_net[0].mac_address
    assert fake.machines[1001] == {
        "id": 1001,
        "name": "a",
        "user_data": "machine: {}",
        "image": {"os": "talos", "talos_version": "v1.13.9"},
        "architecture": "x86",
        "server_type": {"name": "cx33", "cores": 4, "memory_gb": 8, "disk_gb": 80},
        "location": "nbg1",
        "public_ipv4": "127.16.1.1",
        "public_ipv6": "2001:db8:0:1::1",
        "private": [
            {
                "network_id": network.id,
                "network_cidr": "10.0.0.0/21",
                "ip": "10.0.0.11",
                "mac": mac,
                "gateway": "",
            }
        ],
        "firewall": [
            {
                "direction": "in",
                "protocol": "tcp",
                "port": "50000",
                "source_ips": ["127.0.0.0/8"],
                "destination_ips": [],
            }
        ],
        "power": "on",
        "labels": {"cluster": "lab", "role": "worker"},
    }


def test_firewall_changes_reach_running_machines(machines: tuple[FakeMachines, str]) -> None:
    fake, url = machines
    with running(settings(url)) as root:
        cloud = client(root)
        server = new_server(cloud, "a")
        assert fake.machines[server.id]["firewall"] is None
        firewall = cloud.firewalls.create("f").firewall
        resource = FirewallResource("server", server=server)
        finish(*firewall.apply_to_resources([resource]))
        assert fake.machines[server.id]["firewall"] == []
        rule = FirewallRule("in", "tcp", ["127.0.0.1/32"], port="6443")
        finish(*firewall.set_rules([rule]))
        assert [r["port"] for r in fake.machines[server.id]["firewall"]] == ["6443"]
        finish(*firewall.remove_from_resources([resource]))
        assert fake.machines[server.id]["firewall"] is None


def test_a_changed_route_reaches_running_machines(machines: tuple[FakeMachines, str]) -> None:
    fake, url = machines
    with running(settings(url)) as root:
        cloud = client(root)
        network = new_network(cloud, "10.0.0.0/24")
        server = new_server(cloud, "a")
        finish(server.attach_to_network(network, ip="10.0.0.11"))
        route = NetworkRoute("0.0.0.0/0", "10.0.0.2")
        finish(network.add_route(NetworkRoute("10.9.0.0/16", "10.0.0.3")))
        assert fake.machines[server.id]["private"][0]["gateway"] == ""
        finish(network.add_route(route))
        assert fake.machines[server.id]["private"][0]["gateway"] == "10.0.0.2"
        finish(network.delete_route(route))
        assert fake.machines[server.id]["private"][0]["gateway"] == ""


def test_buttons_are_pressed_and_a_machine_that_went_off_by_itself_stays_off(
    machines: tuple[FakeMachines, str],
) -> None:
    fake, url = machines
    with running(settings(url)) as root:
        cloud = client(root)
        server = new_server(cloud, "a")
        for press in (server.reboot, server.reset, server.power_off, server.power_on):
            finish(press())
        verbs = [path.rsplit("/", 1)[1] for method, path in fake.calls if method == "POST"]
        assert verbs == ["reboot", "reset", "poweroff", "poweron"]
        fake.machines[server.id]["power"] = "off"
        network = new_network(cloud, "10.0.0.0/24")
        finish(server.attach_to_network(network))
        assert fake.machines[server.id]["power"] == "off"
        assert cloud.servers.get_by_id(server.id).status == "off"
        finish(server.rebuild(talos(cloud)).action)
        assert ("DELETE", f"/servers/{server.id}") in fake.calls
        assert cloud.servers.get_by_id(server.id).status == "running"
        finish(server.delete())
        assert fake.machines == {}


def test_a_dead_daemon_fails_the_action_and_not_the_api(
    machines: tuple[FakeMachines, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with running(settings("http://127.0.0.1:9")) as root:
        cloud = client(root)
        with pytest.raises(ActionFailedException, match="do not answer"):
            new_server(cloud, "a")
        assert [server.name for server in cloud.servers.get_all()] == ["a"]
    assert "power status unknown" in capsys.readouterr().err


def test_faults_of_machines_are_forwarded(machines: tuple[FakeMachines, str]) -> None:
    fake, url = machines
    with running(settings(url)) as root:
        fault = {"kind": "slow_boot", "server": "*", "seconds": 5}
        assert ask("POST", f"{root}/_lab/faults", fault)[0] == 201
        assert fake.faults == [fault]
        ask("DELETE", f"{root}/_lab/faults")
        assert fake.faults == []


def test_after_a_restart_objects_are_kept_and_machines_are_handed_over_again(
    machines: tuple[FakeMachines, str], tmp_path: Path
) -> None:
    fake, url = machines
    state = tmp_path / "deep" / "hetzner.json"
    with running(settings(url, state)) as root:
        cloud = client(root)
        new_network(cloud, "10.0.0.0/24")
        kept, gone = new_server(cloud, "kept", user_data="zebra"), new_server(cloud, "gone")
        finish(gone.delete())
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    assert "zebra" in state.read_text()
    fake.machines = {77: {"power": "on"}}
    with running(settings(url, state)) as root:
        wait_for_sync(root)
        assert set(fake.machines) == {kept.id}
        assert fake.machines[kept.id]["user_data"] == "zebra"
        cloud = client(root)
        assert [network.name for network in cloud.networks.get_all()] == ["lab"]
        assert len(cloud.images.get_all(label_selector="os=talos")) == 2
        assert new_server(cloud, "new").id == 1003


def test_what_was_running_at_a_restart_is_finished(tmp_path: Path) -> None:
    with fake_machines() as (fake, url):
        state = tmp_path / "hetzner.json"
        with running(settings(url, state, seconds=30)) as root:
            cloud = client(root)
            created = cloud.servers.create("a", ServerType("cx33"), talos(cloud))
            assert created.server.status == "initializing"
        with running(settings(url, state)) as root:
            wait_for_sync(root)
            cloud = client(root)
            assert cloud.actions.get_by_id(created.action.id).status == "success"
            assert cloud.servers.get_by_name("a").status == "running"
            assert fake.machines[created.server.id]["power"] == "on"


def test_a_hundred_servers_come_up_together_quickly(
    machines: tuple[FakeMachines, str], tmp_path: Path
) -> None:
    fake, url = machines
    quick = Settings(
        token=TOKEN, nodes_url=url, state_file=tmp_path / "s.json", action_seconds=0.02
    )
    with running(quick) as root:
        cloud = client(root)
        image, user_data = talos(cloud), "x" * 11_000

        def create(number: int) -> None:
            own = Client(TOKEN, api_endpoint=f"{root}/v1", poll_interval=0.2)
            name = f"w-{number}"
            created = own.servers.create(name, ServerType("cx23"), image, user_data=user_data)
            finish(created.action, *created.next_actions)

        began = time.monotonic()
        with ThreadPoolExecutor(25) as pool:
            list(pool.map(create, range(100)))
        assert time.monotonic() - began < 20
        assert len(fake.machines) == 100


def test_the_program_stops_on_sigterm_at_once_and_refuses_foreign_addresses(
    tmp_path: Path,
) -> None:
    state = tmp_path / "hetzner.json"
    command = [sys.executable, "-m", "lab.hetzner", "--state-file", str(state), "--token", TOKEN]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout
        root = program.stdout.readline().split()[-1].removesuffix("/v1")
        for _ in range(100):
            try:
                assert ask("GET", f"{root}/_lab/health")[0] == 200
                break
            except OSError:
                time.sleep(0.02)
        assert (
            ask("POST", f"{root}/v1/networks", {"name": "n", "ip_range": "10.0.0.0/16"})[0] == 201
        )
        os.kill(program.pid, signal.SIGTERM)
        assert program.wait(timeout=20) == 0
    assert '"name": "n"' in state.read_text()
    refused = subprocess.run(
        [*command, "--listen", "0.0.0.0:0"], capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert "loopback" in refused.stderr
