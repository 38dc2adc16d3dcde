"""What the API's load balancer and private nodes declare, and which addresses people get."""

from typing import Any

import pytest
import yaml

from oxide_components import (
    ApiLoadBalancer,
    ApiLoadBalancerArgs,
    ClusterArgs,
    ControlPlane,
    ControlPlaneArgs,
    Network,
    NetworkArgs,
    WorkerPool,
    WorkerPoolArgs,
)

from .recording import Recorder, record, resolve

LOAD_BALANCER = "hcloud:index/loadBalancer:LoadBalancer"
SERVER = "hcloud:index/server:Server"
TARGET = "hcloud:index/loadBalancerTarget:LoadBalancerTarget"


def _balancer(*, public: bool) -> ApiLoadBalancer:
    return ApiLoadBalancer(
        "api",
        ApiLoadBalancerArgs(
            cluster_name="demo",
            location="nbg1",
            subnet_id="1-10.0.0.0/24",
            private_address="10.0.0.254",
            public=public,
        ),
    )


class _Built:
    def __init__(
        self,
        cluster: ClusterArgs,
        client_configuration: dict[str, str],
        *,
        balancer: bool | None = None,
        **more: Any,
    ) -> None:
        def build() -> None:
            access = None if balancer is None else _balancer(public=balancer).access
            self.control_plane = ControlPlane(
                "cp",
                ControlPlaneArgs(
                    cluster=cluster,
                    server_type="cx33",
                    location="nbg1",
                    image_id="4711",
                    subnet_id="1-10.0.0.0/24",
                    firewall_ids=[78],
                    client_configuration=client_configuration,
                    load_balancer=access,
                    **more,
                ),
            )

        self.recorder = record(build)

    def hosts(self) -> dict[str, str]:
        """Host of each context; the current one under ''."""
        parsed = yaml.safe_load(resolve(self.control_plane.kubeconfig)[0])
        found = {
            entry["name"]: entry["cluster"]["server"].removeprefix("https://")
            for entry in parsed["clusters"]
        }
        return {**found, "": found[parsed["current-context"].removeprefix("admin@")]}

    def patches(self) -> list[str]:
        """All patches of the first control plane's config."""
        calls = [
            a
            for t, a in self.recorder.invokes
            if t.endswith("machine/getConfiguration:getConfiguration")
        ]
        return list(calls[0]["configPatches"])


@pytest.mark.parametrize("public", [True, False])
def test_a_load_balancer_has_a_fixed_address_and_checks_the_api_over_https(public: bool) -> None:
    recorder = record(lambda: _balancer(public=public) and None)
    network = recorder.named("api-network").inputs
    service = recorder.named("api-service").inputs

    assert recorder.named("api", LOAD_BALANCER).inputs["name"] == "demo-api"
    assert network["ip"] == "10.0.0.254"
    assert network["enablePublicInterface"] is public
    assert (service["protocol"], service["listenPort"], service["destinationPort"]) == (
        "tcp",
        6443,
        6443,
    )
    check = service["healthCheck"]
    assert (check["interval"], check["timeout"], check["retries"]) == (3, 2, 2)
    assert check["http"] == {"path": "/version", "tls": True, "statusCodes": ["401"]}
    # Before that, a private one would serve in public.
    assert "api-network" in recorder.named("api-service").dependencies


def test_every_control_plane_is_a_target_by_its_private_address(
    cluster: ClusterArgs, client_configuration: dict[str, str]
) -> None:
    targets = _Built(cluster, client_configuration, balancer=True).recorder.of_type(TARGET)

    assert sorted(target.name for target in targets) == [
        f"cp-{index}-target" for index in (1, 2, 3)
    ]
    assert all(target.inputs["usePrivateIp"] for target in targets)
    assert all("labelSelector" not in target.inputs for target in targets)


def test_people_use_a_public_load_balancer_first_and_certificates_name_it(
    cluster: ClusterArgs, client_configuration: dict[str, str]
) -> None:
    built = _Built(cluster, client_configuration, balancer=True)
    hosts = built.hosts()

    assert hosts[""] == hosts["demo-api"]
    assert hosts["demo-api"].startswith("203.0.113.")
    assert {"demo-cp-1", "demo-cp-2", "demo-cp-3"} <= hosts.keys()
    names = yaml.safe_load(built.patches()[1])["cluster"]["apiServer"]["certSANs"]
    assert names == ["10.0.0.254", hosts[""].removesuffix(":6443"), "2001:db8::1"]
    # Oxide's own way in waits for no load balancer.
    assert "203.0.113." not in resolve(built.control_plane.provider_kubeconfig)[0]


def test_a_private_load_balancer_is_not_the_first_choice_of_people_outside(
    cluster: ClusterArgs, client_configuration: dict[str, str]
) -> None:
    hosts = _Built(cluster, client_configuration, balancer=False).hosts()

    assert hosts["demo-api"] == "10.0.0.254:6443"
    assert hosts[""] == hosts["demo-cp-1"]


def test_private_control_planes_are_reached_at_their_private_addresses(
    cluster: ClusterArgs, client_configuration: dict[str, str]
) -> None:
    built = _Built(
        {**cluster, "network_gateway": "10.0.0.1"},
        client_configuration,
        balancer=False,
        public=False,
        rdns="{name}.example.com",
    )
    server = built.recorder.named("cp-1", SERVER).inputs

    assert built.hosts()[""] == "10.0.0.254:6443"
    assert built.hosts()["demo-cp-2"] == "10.0.0.12:6443"
    assert server["publicNets"] == [{"ipv4Enabled": False, "ipv6Enabled": False}]
    # Hetzner refuses a firewall for a server without a public interface.
    assert not server.get("firewallIds")
    assert not built.recorder.of_type("hcloud:index/primaryIp:PrimaryIp")
    assert not built.recorder.of_type("hcloud:index/rdns:Rdns")
    bootstrap = built.recorder.named("cp-bootstrap").inputs["control_planes"]
    assert [node["public_address"] for node in bootstrap] == ["10.0.0.11", "10.0.0.12", "10.0.0.13"]
    assert resolve(built.control_plane.nodes[0]["public_address"])[0] == ""


def test_ipv6_can_be_left_out(cluster: ClusterArgs, client_configuration: dict[str, str]) -> None:
    recorder = _Built(cluster, client_configuration, ipv6=False, rdns="{name}.example.com").recorder
    (public,) = recorder.named("cp-1", SERVER).inputs["publicNets"]

    assert (public["ipv4Enabled"], public["ipv6Enabled"]) == (True, False)
    assert sorted(r.inputs["dnsPtr"] for r in recorder.of_type("hcloud:index/rdns:Rdns")) == [
        f"demo-cp-{index}.example.com" for index in (1, 2, 3)
    ]


def test_private_workers_have_neither_addresses_nor_firewalls(cluster: ClusterArgs) -> None:
    pools: list[WorkerPool] = []
    recorder = record(
        lambda: pools.append(
            WorkerPool(
                "pool",
                WorkerPoolArgs(
                    cluster={**cluster, "network_gateway": "10.0.0.1"},
                    pool="worker",
                    count=1,
                    server_type="cx33",
                    location="nbg1",
                    image_id="4711",
                    subnet_id="1-10.0.1.0/24",
                    firewall_ids=[79],
                    public=False,
                ),
            )
        )
    )
    server = recorder.named("pool-1", SERVER).inputs
    (node,) = pools[0].nodes

    assert server["publicNets"] == [{"ipv4Enabled": False, "ipv6Enabled": False}]
    assert not server.get("firewallIds")
    assert resolve(node["public_address"])[0] == ""
    assert resolve(node["address"])[0] == resolve(node["private_address"])[0] != ""


def _network(**more: Any) -> Recorder:
    args = NetworkArgs(
        cluster_name="demo",
        cidr="10.0.0.0/16",
        control_subnet_cidr="10.0.0.0/24",
        worker_subnet_cidr="10.0.1.0/24",
        network_zone="eu-central",
        **more,
    )
    return record(lambda: Network("net", args) and None)


def test_an_existing_network_gets_subnets_and_a_route_and_is_not_the_stacks_own() -> None:
    recorder = _network(network_id=7, nat_gateway="10.0.2.2")

    assert recorder.of_type("hcloud:index/network:Network") == []
    assert {r.inputs["networkId"] for r in recorder.registrations if r.custom} == {7}
    assert recorder.named("net-nat").inputs == {
        "networkId": 7,
        "destination": "0.0.0.0/0",
        "gateway": "10.0.2.2",
    }


def test_a_network_has_no_route_unless_it_is_asked_for() -> None:
    assert _network().of_type("hcloud:index/networkRoute:NetworkRoute") == []


def test_another_location_replaces_no_load_balancer() -> None:
    # Its name is taken as long as the old one stands, and its address is in people's hands.
    (balancer,) = record(lambda: _balancer(public=True)).of_type(LOAD_BALANCER)

    assert balancer.ignore_changes == ["location"]
