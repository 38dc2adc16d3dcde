"""What the control plane declares."""

import pulumi
import pytest
import yaml

from oxide_components import ClusterArgs, ControlPlane, ControlPlaneArgs

from .recording import Recorder, record, resolve

SERVER = "hcloud:index/server:Server"
PRIMARY_IP = "hcloud:index/primaryIp:PrimaryIp"
DYNAMIC = "pulumi-python:dynamic/oxide:"


class _Built:
    recorder: Recorder
    control_plane: ControlPlane


@pytest.fixture
def built(cluster: ClusterArgs, client_configuration: dict[str, str]) -> _Built:
    result = _Built()

    def build() -> None:
        result.control_plane = ControlPlane(
            "cp",
            ControlPlaneArgs(
                cluster=cluster,
                server_type="cx33",
                location="nbg1",
                image_id="4711",
                subnet_id="1-10.0.0.0/24",
                firewall_ids=[78],
                client_configuration=client_configuration,
            ),
            protect=True,
        )

    result.recorder = record(build)
    return result


def test_a_control_plane_declares_exactly_its_parts(built: _Built) -> None:
    assert built.recorder.children_of("cp") == sorted(
        [("hcloud:index/placementGroup:PlacementGroup", "cp-group-1")]
        + [(SERVER, f"cp-{index}") for index in (1, 2, 3)]
        + [(PRIMARY_IP, f"cp-{index}-ipv4") for index in (1, 2, 3)]
        + [(f"{DYNAMIC}Bootstrap", "cp-bootstrap"), (f"{DYNAMIC}ApiGate", "cp-api")]
        + [(f"{DYNAMIC}Roster", "cp-roster")]
        + [("talos:cluster/kubeconfig:Kubeconfig", "cp-kubeconfig")]
    )


def test_control_planes_keep_fixed_private_and_public_addresses(built: _Built) -> None:
    for index in (1, 2, 3):
        server = built.recorder.named(f"cp-{index}", SERVER)
        primary_ip = built.recorder.named(f"cp-{index}-ipv4")

        assert server.inputs["networks"] == [
            {"subnetId": "1-10.0.0.0/24", "ip": f"10.0.0.{10 + index}"}
        ]
        assert primary_ip.inputs["autoDelete"] is False
        assert f"cp-{index}-ipv4" in server.dependencies


def test_control_planes_and_their_addresses_take_locations_in_turn(
    cluster: ClusterArgs, client_configuration: dict[str, str]
) -> None:
    def build() -> None:
        ControlPlane(
            "cp",
            ControlPlaneArgs(
                cluster=cluster,
                server_type="cx33",
                location="nbg1",
                locations=["hel1", "fsn1"],
                image_id="4711",
                subnet_id="1-10.0.0.0/24",
                firewall_ids=[78],
                client_configuration=client_configuration,
            ),
        )

    recorder = record(build)
    nodes = recorder.named("cp-roster").inputs["nodes"]
    for index, location in ((1, "hel1"), (2, "fsn1"), (3, "hel1")):
        server = recorder.named(f"cp-{index}", SERVER)
        address = recorder.named(f"cp-{index}-ipv4")
        assert server.inputs["location"] == address.inputs["location"] == location
        assert "location" in server.ignore_changes
        assert "location" in address.ignore_changes
        assert nodes[index - 1]["location"] == location


def test_only_the_first_address_is_protected(built: _Built) -> None:
    protected = sorted(r.name for r in built.recorder.registrations if r.protect)

    # What scaling removes must never be protected, or it could not be removed.
    # A protected server could not be replaced when it is broken; what a replacement may cost is refused elsewhere.
    assert protected == ["cp-1-ipv4"]


def test_every_server_waits_for_the_roster_which_waits_for_none(built: _Built) -> None:
    roster = built.recorder.named("cp-roster")

    assert not {"cp-1", "cp-2", "cp-3"} & set(roster.dependencies)
    for index in (1, 2, 3):
        assert "cp-roster" in built.recorder.named(f"cp-{index}", SERVER).dependencies


def test_the_bootstrap_knows_every_control_plane_and_waits_for_its_server(built: _Built) -> None:
    bootstrap = built.recorder.named("cp-bootstrap")

    assert [node["name"] for node in bootstrap.inputs["control_planes"]] == [
        "demo-cp-1",
        "demo-cp-2",
        "demo-cp-3",
    ]
    assert {"cp-1", "cp-2", "cp-3"} <= set(bootstrap.dependencies)
    assert "talosconfig" in bootstrap.secret_inputs


def test_the_api_gate_and_the_kubeconfig_wait_for_the_bootstrap(built: _Built) -> None:
    assert "cp-bootstrap" in built.recorder.named("cp-kubeconfig").dependencies
    assert "cp-bootstrap" in built.recorder.named("cp-api").dependencies
    assert "kubeconfig" in built.recorder.named("cp-api").secret_inputs


def test_credentials_are_secret_and_name_public_addresses(built: _Built) -> None:
    kubeconfig, secret = resolve(built.control_plane.kubeconfig)
    parsed = yaml.safe_load(kubeconfig)

    assert secret
    assert all("198.51.100." in c["cluster"]["server"] for c in parsed["clusters"])
    assert [c["name"] for c in parsed["contexts"]] == [
        "admin@demo",
        "admin@demo-cp-1",
        "admin@demo-cp-2",
        "admin@demo-cp-3",
    ]
    assert resolve(built.control_plane.talosconfig)[1]


def test_every_machine_config_is_generated_with_the_same_endpoint_and_contract(
    built: _Built,
) -> None:
    calls = [
        args
        for token, args in built.recorder.invokes
        if token == "talos:machine/getConfiguration:getConfiguration"
    ]

    assert len(calls) == 3
    assert {call["clusterEndpoint"] for call in calls} == {"https://api.demo.internal:6443"}
    assert {call["talosVersion"] for call in calls} == {"v1.13"}
    # The form that the official provider accepts: its own snake_case outputs are refused.
    assert all("k8sAggregator" in call["machineSecrets"]["certs"] for call in calls)


def test_the_endpoint_for_people_is_the_public_hostname_where_one_is_set(
    cluster: ClusterArgs, client_configuration: dict[str, str]
) -> None:
    cluster["api_hostname"] = "api.example.com"
    endpoints: list[pulumi.Output[str]] = []

    def build() -> None:
        endpoints.append(
            ControlPlane(
                "cp",
                ControlPlaneArgs(
                    cluster=cluster,
                    server_type="cx33",
                    location="nbg1",
                    image_id="4711",
                    subnet_id="1-10.0.0.0/24",
                    firewall_ids=[78],
                    client_configuration=client_configuration,
                ),
            ).endpoint
        )

    record(build)
    assert resolve(endpoints[0])[0] == "https://api.example.com:6443"
