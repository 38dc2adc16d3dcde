"""Arguments that a component refuses before it declares anything, as a program of somebody else's would hand them over."""

from collections.abc import Callable
from typing import Any

import pulumi
import pytest

from oxide_components import (
    ApiLoadBalancer,
    CiliumRelease,
    ClusterArgs,
    ControlPlane,
    Firewall,
    HcloudCredentials,
    Network,
    OxideError,
    TalosSecrets,
    WorkerPool,
)
from oxide_components.firewall import admitted

from .recording import Recorder, prepare, record

FIREWALL = {"cluster_name": "demo", "admin_cidrs": ["203.0.113.7/32"]}
RULE = {
    "role": "worker",
    "direction": "in",
    "protocol": "tcp",
    "port": "8080",
    "source_cidrs": ["203.0.113.0/24"],
}
NODES = {
    "server_type": "cx33",
    "location": "nbg1",
    "image_id": "4711",
    "subnet_id": "1-10.0.1.0/24",
    "firewall_ids": [77],
}
POOL = {**NODES, "pool": "db", "count": 2}
NETWORK = {
    "cluster_name": "demo",
    "cidr": "10.0.0.0/21",
    "control_subnet_cidr": "10.0.0.0/24",
    "worker_subnet_cidr": "10.0.1.0/24",
    "network_zone": "eu-central",
}
BALANCER = {
    "cluster_name": "demo",
    "location": "nbg1",
    "subnet_id": "1-10.0.0.0/24",
    "private_address": "10.0.0.254",
    "public": False,
}


def _refusal(component: Callable[..., object], args: Any) -> list[str]:
    """The problems that are told, none of anything having been declared."""
    recorder = prepare()
    with pytest.raises(OxideError) as refused:
        component("one", args)
    assert recorder.registrations == []
    # What Pulumi shows without a traceback.
    assert isinstance(refused.value, pulumi.RunError)
    header, *problems = str(refused.value).split("\n  ")
    assert header == f"The arguments have {len(problems)} problem{'s' * (len(problems) > 1)}:"
    return problems


def _accepts(component: Callable[..., object], args: Any) -> Recorder:
    return record(lambda: component("one", args) and None)


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (
            {"extra_rules": [{**RULE, "role": "workers"}]},
            "extra_rules[0].role: workers is no role; use controlPlane, worker or all",
        ),
        (
            {"extra_rules": [{**RULE, "source_cidrs": ["203.0.113.7/24"]}]},
            "extra_rules[0].source_cidrs[0]: 203.0.113.7/24 has host bits set; write 203.0.113.0/24",
        ),
        (
            {"extra_rules": [{**RULE, "sources": []}]},
            "extra_rules[0].sources: a value is given for an argument that does not exist; did you mean source_cidrs?",
        ),
        (
            {"extra_rules": [{**RULE, "port": "50000", "source_cidrs": ["0.0.0.0/0"]}]},
            "extra_rules[0]: 50000 opens port 50000, the Talos API, to everybody; name the ranges that need it, or set "
            "allow_public_api to true",
        ),
        (
            {"extra_rules": [{k: v for k, v in RULE.items() if k != "source_cidrs"}]},
            "extra_rules[0].source_cidrs: null is missing; list the ranges; 0.0.0.0/0 and ::/0 are everybody",
        ),
        (
            {"worker_ingres_ports": [80]},
            "worker_ingres_ports: a value is given for an argument that does not exist; did you mean worker_ingress_ports?",
        ),
        (
            {"worker_ingress_ports": [50000]},
            "worker_ingress_ports[0]: 50000 belongs to the Talos API, which must not be open to everybody; remove it; "
            "admin_cidrs decides who reaches the APIs",
        ),
        (
            {"control_plane_ingress_ports": [443, 10250]},
            "control_plane_ingress_ports[1]: 10250 belongs to the kubelet",
        ),
        (
            {"admin_cidrs": ["0.0.0.0/0"]},
            "admin_cidrs: 0.0.0.0/0 opens the Talos and Kubernetes APIs to everybody; list your own ranges, or set "
            "allow_public_api to true",
        ),
        ({"admin_cidrs": []}, "admin_cidrs: [] admits nobody, not even this program; list your"),
        ({"admin_cidrs": ()}, "admin_cidrs: [] admits nobody"),
        ({"admin_cidrs": None}, "admin_cidrs: null is no value; give one"),
        ({"admin_cidrs": ["203.0.113.7/24"]}, "admin_cidrs[0]: 203.0.113.7/24 has host bits set"),
        ({"admin_cidrs": "203.0.113.7/32"}, "admin_cidrs: 203.0.113.7/32 is not a list"),
        ({"admin_cidrs": [7]}, "admin_cidrs[0]: 7 is not text"),
        ({"cluster_name": "My Cluster"}, 'cluster_name: "My Cluster" is not part of a host name'),
    ],
)
def test_a_firewall_opens_nothing_by_mistake(more: dict[str, Any], problem: str) -> None:
    (told,) = _refusal(Firewall, {**FIREWALL, **more})

    assert told.startswith(f"Firewall one:{problem}")


def test_every_problem_is_told_at_once() -> None:
    assert _refusal(Firewall, {"clustername": "demo", "worker_ingress_ports": [0]}) == [
        "Firewall one:clustername: a value is given for an argument that does not exist; did you mean cluster_name?",
        "Firewall one:cluster_name: it is missing; give it; see FirewallArgs",
        "Firewall one:admin_cidrs: it is missing; give it; see FirewallArgs",
        "Firewall one:worker_ingress_ports[0]: 0 is not a port; use a number from 1 to 65535",
    ]


def test_everybody_is_admitted_where_that_is_said() -> None:
    args = {**FIREWALL, "admin_cidrs": ["0.0.0.0/0"], "allow_public_api": True}

    assert len(_accepts(Firewall, args).children_of("one")) == 2


def test_ranges_that_are_known_only_later_are_checked_then() -> None:
    assert admitted(["203.0.113.7/32"], allow_public=False) == ["203.0.113.7/32"]
    assert admitted(["0.0.0.0/0"], allow_public=True) == ["0.0.0.0/0"]
    # What the preview of a new cluster may show.
    assert admitted([], allow_public=False) == []
    with pytest.raises(OxideError, match=r"^Firewall:admin_cidrs\[0\]: 203.* has host bits set"):
        admitted(["203.0.113.7/24"], allow_public=False)
    with pytest.raises(OxideError, match=r"^Firewall:admin_cidrs: 0.* set allow_public_api to"):
        admitted(["0.0.0.0/0"], allow_public=False)


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"pool": "cp"}, "pool: cp is the name of the control planes; use another name"),
        ({"pool": "Bad Name!"}, 'pool: "Bad Name!" is not part of a host name'),
        (
            {"pool": "a" * 60},
            f"pool: {'a' * 60} makes server names such as demo-{'a' * 60}-2 longer than 63 characters; use a shorter cluster",
        ),
        ({"count": -3}, "count: -3 is less than 0; use 0 to 100"),
        ({"count": "3"}, "count: 3 is not a whole number"),
        ({"count": 2.5}, "count: 2.5 is not a whole number"),
        ({"generation": 0}, "generation: 0 is less than 1"),
        ({"public": "no"}, "public: no is neither True nor False"),
        ({"public": False}, "public: false leaves nodes without a route"),
        ({"server_type": "big"}, "server_type: big is not a Hetzner server type"),
        (
            {"labels": {"node-role.kubernetes.io/x": ""}},
            'labels[node-role.kubernetes.io/x]: "" is reserved',
        ),
        (
            {"taints": [{"key": "a b", "effect": "NoSchedule"}]},
            'taints[0].key: "a b" is not a Kubernetes name',
        ),
        (
            {"taints": [{"key": "a", "effect": "NoSchedul"}]},
            "taints[0].effect: NoSchedul is not one of NoSchedule",
        ),
        ({"taints": [{"key": "a"}]}, "taints[0].effect: it is missing; give it; see TaintArgs"),
        ({"rdns": "node.example.com"}, "rdns: node.example.com gives all nodes the same name"),
        ({"config_patches": ["machine: ["]}, "config_patches[0]: [secret] is not YAML in line 1"),
        (
            {"config_patches": ["cluster: {token: planted}"]},
            "config_patches[0] cluster.token: [secret] is one of the cluster's secrets",
        ),
        (
            {"config_patches": ["cluster: {clusterName: other}"]},
            "config_patches[0] cluster.clusterName: [secret] is set from cluster_name",
        ),
        ({"firewall_ids": 77}, "firewall_ids: 77 is not a list"),
    ],
)
def test_a_pool_of_nodes_that_could_not_join_is_refused(
    cluster: ClusterArgs, more: dict[str, Any], problem: str
) -> None:
    (told,) = _refusal(WorkerPool, {**POOL, "cluster": cluster, **more})

    assert told.startswith(f"WorkerPool one:{problem}")
    assert "planted" not in told


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"name": "Demo"}, "cluster.name: Demo is not part of a host name"),
        ({"control_plane_addresses": []}, "cluster.control_plane_addresses: [] names no control"),
        (
            {"control_plane_addresses": ["10.0.0.11", "10.0.5.12", "10.0.0.13"]},
            "cluster.control_plane_addresses[1]: 10.0.5.12 is not in control_subnet_cidr",
        ),
        ({"control_plane_addresses": ["x"]}, "cluster.control_plane_addresses[0]: x is not an IP"),
        ({"pod_cidr": "10.0.16.1/20"}, "cluster.pod_cidr: 10.0.16.1/20 has host bits set"),
        ({"node_cidr_mask_size": 60}, "cluster.node_cidr_mask_size: 60 is more than 28"),
        ({"talos_version": "1.13.9"}, "cluster.talos_version: 1.13.9 lacks its leading v"),
        ({"kubernetes_version": "v1.35.4"}, "cluster.kubernetes_version: v1.35.4 has a leading v"),
        ({"schematic_id": "abc"}, "cluster.schematic_id: abc is not a schematic"),
        (
            {"config_contract": "v1.14"},
            "cluster.config_contract: v1.14 is newer than talos_version",
        ),
        ({"api_hostname": "api"}, "cluster.api_hostname: api is not a DNS name"),
        ({"machine_secrets": "planted"}, "cluster.machine_secrets: [secret] is not a mapping"),
        ({"pods_cidr": "x"}, "cluster.pods_cidr: a value is given for an argument that does not"),
    ],
)
def test_facts_that_no_cluster_has_are_refused(
    cluster: ClusterArgs,
    client_configuration: dict[str, str],
    more: dict[str, Any],
    problem: str,
) -> None:
    facts = {**cluster, **more}
    control_plane = {**NODES, "client_configuration": client_configuration, "cluster": facts}

    for kind, args in ((WorkerPool, {**POOL, "cluster": facts}), (ControlPlane, control_plane)):
        (told,) = _refusal(kind, args)
        assert told.startswith(f"{kind.__name__} one:{problem}")
        assert "planted" not in told


def test_an_even_number_of_control_planes_is_refused(
    cluster: ClusterArgs, client_configuration: dict[str, str]
) -> None:
    facts = {**cluster, "control_plane_addresses": ["10.0.0.11", "10.0.0.12"]}
    args = {**NODES, "client_configuration": client_configuration, "cluster": facts}

    (told,) = _refusal(ControlPlane, args)
    assert told.startswith("ControlPlane one:cluster.control_plane_addresses: 2 is even")


@pytest.mark.parametrize(
    ("component", "args", "problem"),
    [
        (Network, {**NETWORK, "cidr": "10.0.0.0"}, "cidr: 10.0.0.0 has no prefix length"),
        (
            Network,
            {**NETWORK, "worker_subnet_cidr": "10.1.1.0/24"},
            "worker_subnet_cidr: 10.1.1.0/24 is not inside cidr 10.0.0.0/21",
        ),
        (
            Network,
            {**NETWORK, "worker_subnet_cidr": "10.0.0.128/25"},
            "worker_subnet_cidr: 10.0.0.128/25 overlaps control_subnet_cidr",
        ),
        (Network, {**NETWORK, "nat_gateway": "x"}, "nat_gateway: x is not an IPv4 address"),
        (Network, {**NETWORK, "networkid": 1}, "networkid: a value is given for an argument that"),
        (ApiLoadBalancer, {**BALANCER, "type": "lb"}, "type: lb is not a Hetzner load balancer"),
        (ApiLoadBalancer, {**BALANCER, "public": "x"}, "public: x is neither True nor False"),
        (TalosSecrets, {"config_contract": "1.13"}, "config_contract: 1.13 is not a config"),
        (TalosSecrets, {}, "config_contract: it is missing; give it; see TalosSecretsArgs"),
        (CiliumRelease, {"version": "v1.19.6", "values": {}}, "version: v1.19.6 has a leading v"),
        (CiliumRelease, {"version": "1.19.6", "values": "planted"}, "values: [secret] is not a"),
        (
            CiliumRelease,
            {"version": "1.19.6", "values": {}, "metadata_access": [{"namespace": "A"}]},
            "metadata_access[0].namespace: A is not a namespace",
        ),
        (HcloudCredentials, {"token": "planted"}, "network_id: it is missing"),
    ],
)
def test_other_components_refuse_what_they_could_not_make(
    component: Any, args: dict[str, Any], problem: str
) -> None:
    (told,) = _refusal(component, args)

    assert told.startswith(f"{component.__name__} one:{problem}")
    assert "planted" not in told


def test_what_is_an_output_is_left_to_the_providers(cluster: ClusterArgs) -> None:
    def build() -> None:
        later = pulumi.Output.from_input
        facts = {**cluster, "config_contract": later("v1.13")}
        more = {"server_type": later("cx33"), "firewall_ids": [later(77)], "cluster": facts}
        WorkerPool("one", {**POOL, **more})  # type: ignore[typeddict-item]

    assert len(record(build).of_type("hcloud:index/server:Server")) == 2


def test_whole_numbers_of_other_languages_are_numbers(cluster: ClusterArgs) -> None:
    pool = _accepts(WorkerPool, {**POOL, "cluster": cluster, "count": 2.0})
    firewall = _accepts(Firewall, {**FIREWALL, "worker_ingress_ports": [8080.0]})

    assert len(pool.of_type("hcloud:index/server:Server")) == 2
    ports = {rule["port"] for rule in firewall.named("one-worker").inputs["rules"]}
    assert ports == {"50000", "8080"}
