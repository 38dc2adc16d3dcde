"""The Hetzner emulator as the official Python client sees it: servers and what they need."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hcloud import Client
from hcloud.firewalls import FirewallRule
from hcloud.locations import Location
from hcloud.server_types import ServerType
from hcloud.servers import BoundServer, ServerCreatePublicNetwork
from hcloud.ssh_keys import SSHKey

from lab.hetzner.testing import ask
from tests.lab.hetzner_support import finish, new_network, new_server, refusal, talos

pytest_plugins = ["tests.lab.hetzner_fixtures"]

PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB lab"


def test_a_cluster_s_objects_come_up_and_go_without_leftovers(cloud: Client, root: str) -> None:
    network = new_network(cloud, "10.0.0.0/24", "10.0.1.0/24")
    rule = FirewallRule("in", "tcp", ["192.0.2.0/24"], port="50000", description="Talos API")
    firewall = cloud.firewalls.create("cp", [rule]).firewall
    group = cloud.placement_groups.create("cp", "spread").placement_group
    ip = cloud.primary_ips.create("ipv4", "cp-1", Location("nbg1")).primary_ip
    server = new_server(
        cloud,
        "lab-cp-1",
        firewalls=[firewall],
        placement_group=group,
        public_net=ServerCreatePublicNetwork(ipv4=ip, enable_ipv6=False),
        user_data="#secret",
    )
    finish(server.attach_to_network(network, ip="10.0.0.11"))
    server.reload()

    assert server.id == 1001
    assert server.status == "running"
    assert server.public_net.ipv4.ip == ip.ip == "127.16.1.1"
    assert server.public_net.ipv6 is None
    assert [net.ip for net in server.private_net] == ["10.0.0.11"]
    assert server.placement_group.id == group.id
    assert cloud.firewalls.get_by_id(firewall.id).applied_to[0].server.id == server.id
    assert cloud.networks.get_by_id(network.id).servers[0].id == server.id
    assert refusal(firewall.delete) == "resource_in_use"
    assert refusal(group.delete) == "resource_in_use"
    assert refusal(ip.delete) == "must_be_unassigned"
    assert refusal(network.delete_subnet, network.subnets[0]) == "service_error"

    finish(server.delete())
    for leftover in (firewall, group, ip, network):
        leftover.delete()
    counts = ask("GET", f"{root}/_lab/state")[1]["counts"]
    counts.pop("images")
    assert not any(counts.values()), counts


def test_thirty_servers_are_listed_in_pages_and_by_label(cloud: Client, root: str) -> None:
    for number in range(30):
        labels = {"index": str(number), "odd": "yes"} if number % 2 else {"index": str(number)}
        cloud.servers.create(
            f"w-{number}", ServerType("cx23"), talos(cloud), labels=labels, start_after_create=False
        )
    assert len(cloud.servers.get_all()) == 30
    page = cloud.servers.get_list(page=2, per_page=20)
    assert [s.name for s in page.servers] == [f"w-{number}" for number in range(20, 30)]
    assert (page.meta.pagination.last_page, page.meta.pagination.next_page) == (2, None)
    assert len(cloud.servers.get_all(label_selector="odd=yes,index in (1,2,3)")) == 2
    assert cloud.servers.get_by_name("w-7").labels["index"] == "7"
    status, body, headers = ask("GET", f"{root}/v1/servers?per_page=10&sort=name:desc")
    assert status == 200
    assert body["servers"][0]["name"] == "w-9"
    assert 'rel="next"' in headers["Link"]
    assert ask("GET", f"{root}/v1/servers?label_selector=a=b=c")[0] == 422


def test_concurrent_creations_get_distinct_ids_and_addresses(cloud: Client) -> None:
    network = new_network(cloud, "10.0.0.0/24")
    image = talos(cloud)

    def create(number: int) -> BoundServer:
        created = cloud.servers.create(
            f"w-{number}", ServerType("cx23"), image, networks=[network], location=Location("fsn1")
        )
        finish(created.action, *created.next_actions)
        return cloud.servers.get_by_id(created.server.id)

    with ThreadPoolExecutor(20) as pool:
        servers = list(pool.map(create, range(40)))
    assert len({server.id for server in servers}) == 40
    assert len({server.public_net.ipv4.ip for server in servers}) == 40
    private = {server.private_net[0].ip for server in servers}
    assert private == {f"10.0.0.{host}" for host in range(2, 42)}


@pytest.mark.parametrize(
    ("fields", "code", "status", "field"),
    [
        ({"name": "bad_name"}, "invalid_input", 422, "name"),
        ({"name": None}, "invalid_input", 422, "name"),
        ({"labels": {"-x": "1"}}, "invalid_input", 422, "labels"),
        ({"user_data": "x" * 32769}, "invalid_input", 422, "user_data"),
        ({"server_type": "cx22"}, "invalid_input", 422, "server_type"),
        ({"server_type": "cx99"}, "invalid_input", 422, "server_type"),
        ({"server_type": "cax11"}, "invalid_input", 422, "image"),
        ({"server_type": "cpx11"}, "resource_unavailable", 412, None),
        ({"location": "ash"}, "invalid_input", 422, "location"),
        ({"datacenter": "nbg1-dc3"}, "invalid_input", 422, "datacenter"),
        ({"image": "ubuntu-4.10"}, "invalid_input", 422, "image"),
        ({"networks": [7]}, "not_found", 404, None),
        ({"public_net": {"enable_ipv4": False, "enable_ipv6": False}}, "invalid_input", 422, None),
        ({"name": "taken"}, "uniqueness_error", 409, "name"),
    ],
)
def test_a_bad_server_is_refused_with_the_documented_error_and_leaves_nothing(
    cloud: Client, root: str, fields: dict[str, Any], code: str, status: int, field: str | None
) -> None:
    new_server(cloud, "taken")
    good = {"name": "a", "server_type": "cx33", "image": talos(cloud).id, "location": "nbg1"}
    answer, body, _ = ask("POST", f"{root}/v1/servers", {**good, **fields})
    assert (answer, body["error"]["code"]) == (status, code)
    if field:
        assert field in [entry["name"] for entry in body["error"]["details"]["fields"]]
    assert len(cloud.servers.get_all()) == 1
    assert len(cloud.primary_ips.get_all()) == 2


def test_user_data_is_never_shown(cloud: Client, root: str) -> None:
    server = new_server(cloud, "a", user_data="zebra-stripes")
    for path in (f"servers/{server.id}", "servers", f"servers/{server.id}/actions"):
        assert "zebra" not in str(ask("GET", f"{root}/v1/{path}")[1])
    assert "zebra" not in str(ask("GET", f"{root}/_lab/state")[1])


def test_a_placement_group_takes_ten_servers(cloud: Client) -> None:
    group = cloud.placement_groups.create("g", "spread").placement_group
    for number in range(10):
        cloud.servers.create(f"w-{number}", ServerType("cx23"), talos(cloud), placement_group=group)
    late = refusal(
        cloud.servers.create, "w-10", ServerType("cx23"), talos(cloud), placement_group=group
    )
    assert late == "placement_error"


def test_power_type_and_protection_follow_the_rules(cloud: Client) -> None:
    server = new_server(cloud, "a")
    assert refusal(server.change_type, ServerType("cx43"), True) == "server_not_stopped"
    running = server.power_off()
    assert refusal(server.power_on) == "locked"
    assert refusal(server.delete) == "locked"
    finish(running)
    assert cloud.servers.get_by_id(server.id).status == "off"
    finish(server.change_type(ServerType("cx43"), upgrade_disk=False))
    server.reload()
    assert (server.status, server.server_type.name) == ("running", "cx43")
    assert refusal(server.change_protection, delete=True, rebuild=False) == "invalid_input"
    finish(server.change_protection(delete=True, rebuild=True))
    assert refusal(server.delete) == "protected"
    assert refusal(server.rebuild, talos(cloud)) == "protected"


def test_catalogue_marks_what_can_no_longer_be_ordered(cloud: Client) -> None:
    types = {kind.name: kind for kind in cloud.server_types.get_all()}
    cx22 = types["cx22"].locations[0]
    assert cx22.deprecation.unavailable_after.year == 2025
    assert {place.location.name: place.available for place in types["cpx11"].locations} == {
        "fsn1": False, "nbg1": False, "hel1": False, "ash": True, "hil": True, "sin": True,
    }  # fmt: skip
    assert [place.deprecation for place in types["cx33"].locations] == [None] * 3
    assert types["cax11"].architecture == "arm"
    assert {place.network_zone for place in cloud.locations.get_all()} == {
        "eu-central", "us-east", "us-west", "ap-southeast",
    }  # fmt: skip
    assert [kind.name for kind in cloud.load_balancer_types.get_all()] == ["lb11", "lb21", "lb31"]
    with pytest.warns(DeprecationWarning, match="datacenters"):
        assert refusal(cloud.datacenters.get_all) == "deprecated_api_endpoint"


def test_volumes_keys_and_reverse_dns_are_kept(cloud: Client) -> None:
    key = cloud.ssh_keys.create("me", PUBLIC_KEY)
    assert refusal(cloud.ssh_keys.create, "again", PUBLIC_KEY) == "uniqueness_error"
    server = new_server(cloud, "a", ssh_keys=[SSHKey(id=key.id)])
    volume = cloud.volumes.create(10, "data", server=server).volume
    assert refusal(volume.delete) == "service_error"
    finish(volume.detach())
    volume.delete()
    finish(server.change_dns_ptr(server.public_net.ipv4.ip, "a.example.com"))
    assert cloud.servers.get_by_id(server.id).public_net.ipv4.dns_ptr == "a.example.com"
