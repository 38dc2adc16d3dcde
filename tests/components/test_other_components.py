"""What Network, Firewall, TalosSecrets and CiliumRelease declare."""

import pulumi

from oxide_components import (
    CiliumRelease,
    CiliumReleaseArgs,
    Firewall,
    FirewallArgs,
    FirewallRuleArgs,
    Network,
    NetworkArgs,
    TalosSecrets,
    TalosSecretsArgs,
)

from .recording import Recorder, record, resolve


def test_a_network_has_two_subnets_and_only_itself_is_protected() -> None:
    recorder = record(
        lambda: (
            Network(
                "net",
                NetworkArgs(
                    cluster_name="demo",
                    cidr="10.0.0.0/21",
                    control_subnet_cidr="10.0.0.0/24",
                    worker_subnet_cidr="10.0.1.0/24",
                    network_zone="eu-central",
                ),
                protect=True,
            )
            and None
        )
    )

    assert recorder.children_of("net") == [
        ("hcloud:index/network:Network", "net"),
        ("hcloud:index/networkSubnet:NetworkSubnet", "net-control"),
        ("hcloud:index/networkSubnet:NetworkSubnet", "net-worker"),
    ]
    assert [r.name for r in recorder.registrations if r.protect] == ["net"]
    assert recorder.named("net-control").inputs["ipRange"] == "10.0.0.0/24"
    assert recorder.named("net-worker").inputs["ipRange"] == "10.0.1.0/24"


def _firewalls(**more: object) -> Recorder:
    args = FirewallArgs(cluster_name="demo", admin_cidrs=["203.0.113.7/32"])
    return record(lambda: Firewall("fw", {**args, **more}) and None)  # type: ignore[typeddict-item]


def _open_ports(recorder: Recorder, name: str) -> dict[str, list[str]]:
    return {rule["port"]: rule["sourceIps"] for rule in recorder.named(name).inputs["rules"]}


def test_the_apis_are_open_to_administrators_only() -> None:
    recorder = _firewalls()

    assert recorder.children_of("fw") == [
        ("hcloud:index/firewall:Firewall", "fw-control-plane"),
        ("hcloud:index/firewall:Firewall", "fw-worker"),
    ]
    assert _open_ports(recorder, "fw-control-plane") == {
        "50000": ["203.0.113.7/32"],
        "6443": ["203.0.113.7/32"],
    }
    worker = _open_ports(recorder, "fw-worker")
    assert worker["50000"] == ["203.0.113.7/32"]
    assert worker.keys() == {"50000", "80", "443"}


def test_control_planes_that_take_pods_open_the_ingress_ports() -> None:
    opened = _open_ports(_firewalls(control_plane_ingress_ports=[443]), "fw-control-plane")

    assert opened["443"] == ["0.0.0.0/0", "::/0"]


def test_more_rules_go_to_the_nodes_that_they_name() -> None:
    recorder = _firewalls(
        extra_rules=[
            FirewallRuleArgs(
                role="worker",
                direction="in",
                protocol="udp",
                port="8000-8100",
                source_cidrs=["2001:db8::/32", "203.0.113.7"],
            ),
            FirewallRuleArgs(
                role="all", direction="out", protocol="icmp", destination_cidrs=["0.0.0.0/0"]
            ),
        ]
    )

    def extra(name: str) -> list[object]:
        return list(recorder.named(name).inputs["rules"][-2:])

    inbound, outbound = extra("fw-worker")
    assert inbound == {
        "direction": "in",
        "protocol": "udp",
        "port": "8000-8100",
        "sourceIps": ["203.0.113.7/32", "2001:db8::/32"],
    }
    assert outbound == {"direction": "out", "protocol": "icmp", "destinationIps": ["0.0.0.0/0"]}
    assert extra("fw-control-plane")[-1] == outbound
    assert inbound not in extra("fw-control-plane")


def test_secrets_are_secret_and_never_follow_a_changed_version() -> None:
    made: list[TalosSecrets] = []
    recorder = record(
        lambda: made.append(TalosSecrets("s", TalosSecretsArgs(config_contract="v1.13")))
    )
    secrets = recorder.named("s", "talos:machine/secrets:Secrets")

    assert recorder.children_of("s") == [("talos:machine/secrets:Secrets", "s")]
    assert secrets.ignore_changes == ["talosVersion"]
    assert resolve(made[0].machine_secrets)[1]
    assert resolve(made[0].client_configuration)[1]


def test_cilium_is_one_release_and_the_policy_waits_for_it() -> None:
    recorder = record(
        lambda: (
            CiliumRelease(
                "cilium",
                CiliumReleaseArgs(version="1.19.6", values={"a": 1}, chart="./chart"),
            )
            and None
        )
    )
    release = recorder.named("cilium", "kubernetes:helm.sh/v3:Release")
    policy = recorder.named("cilium-metadata-policy")

    assert len(recorder.children_of("cilium")) == 2
    assert release.inputs["name"] == "cilium"
    assert release.inputs["namespace"] == "kube-system"
    assert release.inputs["atomic"] is False
    assert release.inputs["skipAwait"] is False
    assert "repositoryOpts" not in release.inputs
    assert policy.dependencies == ["cilium"]


def test_secret_values_of_cilium_stay_secret() -> None:
    recorder = record(
        lambda: (
            CiliumRelease(
                "cilium",
                CiliumReleaseArgs(
                    version="1.19.6", values=pulumi.Output.secret({"token": "planted"})
                ),
            )
            and None
        )
    )

    assert "values" in recorder.named("cilium", "kubernetes:helm.sh/v3:Release").secret_inputs


def test_children_wait_for_what_their_component_waits_for() -> None:
    def build() -> None:
        first = TalosSecrets("first", TalosSecretsArgs(config_contract="v1.13"))
        Firewall(
            "fw",
            FirewallArgs(cluster_name="demo", admin_cidrs=["203.0.113.7/32"]),
            pulumi.ResourceOptions(depends_on=[first]),
        )

    assert "first" in record(build).named("fw-worker").dependencies
