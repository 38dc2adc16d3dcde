"""Good configurations: what a stack says is what a ClusterConfig holds."""

import hashlib
import json
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from oxide_components.config import ClusterConfig, MetadataAccess, Taint
from oxide_components.config_addons import POD_ROUTES
from oxide_components.config_schema import SETTINGS
from oxide_components.errors import ConfigError

from .stack_values import pool, raw

ROOT = Path(__file__).parents[2]


def parse(**values: Any) -> ClusterConfig:
    return ClusterConfig.parse(raw(values))


def test_a_stack_without_any_setting_is_a_cluster_of_three_and_two() -> None:
    config = ClusterConfig.parse({}, stack="prod")

    assert config.cluster_name == "prod"
    assert (config.control_planes, config.workers) == (3, 2)
    assert [(p.name, p.count) for p in config.worker_pools] == [("worker", 2)]
    assert config.network_cidr == IPv4Network("10.0.0.0/21")
    assert config.network_zone == "eu-central"
    assert (config.talos_version, config.kubernetes_version) == ("v1.13.9", "1.35.4")
    assert config.cilium_repository == "https://helm.cilium.io"
    assert config.admin_cidrs is None
    assert config.config_contract is None
    assert config.image_id is None
    assert config.image_selector == "os=talos"
    assert config.worker_ingress_ports == (80, 443)
    assert config.deletion_protection
    assert config.warnings == ()


def test_empty_texts_are_not_set() -> None:
    """Pulumi.yaml declares optional texts with an empty default, because a key without one is required."""
    optional = [s.key for s in SETTINGS if s.kind == "string" and s.default is None]
    assert ClusterConfig.parse(dict.fromkeys(optional, "")) == ClusterConfig.parse({})


def test_defaults_of_the_project_file_are_the_defaults_of_the_program() -> None:
    declared = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"]
    defaults = {
        key: str(item["default"]).lower()
        if isinstance(item["default"], bool)
        else str(item["default"])
        if isinstance(item["default"], (str, int))
        else json.dumps(item["default"])
        for key, item in declared.items()
    }
    assert ClusterConfig.parse(defaults) == ClusterConfig.parse({})


def test_the_example_stack_is_valid() -> None:
    values = yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text())["config"]
    config = parse(**{key.removeprefix("oxide:"): value for key, value in values.items()})
    assert (config.control_planes, config.workers) == (1, 1)
    assert not config.deletion_protection
    assert config.warnings == ()


def test_the_default_pool_stays_in_place_when_it_is_empty() -> None:
    config = parse(workers=0, workerPools=[pool(name="gpu", count=2)])
    assert [(p.name, p.count) for p in config.worker_pools] == [("worker", 0), ("gpu", 2)]
    assert config.workers == 2


def test_a_pool_takes_the_default_machine_and_place_unless_it_names_others() -> None:
    config = parse(
        location="fsn1",
        workerServerType="cx43",
        workerPools=[pool(name="a"), pool(name="b", serverType="cax21", location="hel1")],
    )
    _, a, b = config.worker_pools
    assert (a.server_type, a.location, a.architecture) == ("cx43", "fsn1", "x86")
    assert (b.server_type, b.location, b.architecture) == ("cax21", "hel1", "arm")


def test_pools_are_of_the_first_generation_until_the_stack_raises_it() -> None:
    config = parse(
        workersGeneration=2,
        workerPools=[
            pool(name="a"),
            {"name": "n", "count": 0, "generation": None},
            pool(name="b-g2", generation=3),
        ],
    )
    assert [(p.name, p.generation) for p in config.worker_pools] == [
        ("worker", 2),
        ("a", 1),
        ("n", 1),
        ("b-g2", 3),
    ]


def test_one_node_is_changed_at_a_time_and_none_is_skipped_unless_the_stack_says_so() -> None:
    config = parse()
    assert (config.max_unavailable, config.skip_nodes, config.drain_timeout) == (1, (), 600)

    config = parse(
        maxUnavailable=3,
        workerPools=[pool(name="db", generation=2)],
        skipNodes=["oxide-worker-2", "oxide-cp-3", "oxide-db-g2-1"],
    )
    assert config.max_unavailable == 3
    assert config.skip_nodes == ("oxide-worker-2", "oxide-cp-3", "oxide-db-g2-1")


def test_upgrades_go_everywhere_and_leave_a_snapshot_unless_the_stack_says_otherwise(
    tmp_path: Path,
) -> None:
    config = parse()
    assert (config.upgrade_canary, config.upgrade_pause) == ((), False)
    assert (config.etcd_snapshot_directory, config.restore_from) == ("etcd-snapshots", None)

    snapshot = tmp_path / "etcd.db"
    data = bytes(16) + bytes.fromhex("edda0ced") + bytes(492)
    snapshot.write_bytes(data + hashlib.sha256(data).digest())
    config = parse(
        workerPools=[pool(name="db", generation=2)],
        upgradeCanary=["cp", "worker", "oxide-db-g2-1", "db"],
        upgradePause=True,
        etcdSnapshotDirectory="",
        restoreFrom=str(snapshot),
    )
    assert config.upgrade_canary == ("cp", "worker", "oxide-db-g2-1", "db")
    assert config.upgrade_pause
    assert (config.etcd_snapshot_directory, config.restore_from) == ("", str(snapshot))


def test_a_tilde_is_the_operators_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parse(etcdSnapshotDirectory="~/snaps").etcd_snapshot_directory == f"{tmp_path}/snaps"
    with pytest.raises(ConfigError, match=f"restoreFrom: {tmp_path}/etcd.db cannot be read"):
        parse(restoreFrom="~/etcd.db")


@pytest.mark.parametrize(
    ("endpoint", "region"),
    [
        ("https://hel1.your-objectstorage.com", "hel1"),
        ("https://minio.example:9000/", "us-east-1"),
        ("http://127.0.0.1:9000", "us-east-1"),
    ],
)
def test_a_bucket_needs_an_endpoint_and_a_name(endpoint: str, region: str) -> None:
    assert parse().etcd_snapshot_bucket is None
    assert parse(etcdSnapshotBucket={}).etcd_snapshot_bucket is None
    assert parse(etcdSnapshotBucket={"endpoint": endpoint, "bucket": "etcd"}) == parse(
        etcdSnapshotBucket={"endpoint": endpoint, "bucket": "etcd", "region": region}
    )


def test_a_bucket_may_bring_its_credentials() -> None:
    values = {
        "endpoint": "https://fsn1.your-objectstorage.com",
        "bucket": "etcd",
        "region": "eu",
        "prefix": "/prod/eu/",
        "accessKey": "me",
        "secretKey": "hush",
    }
    config = ClusterConfig.parse(
        raw({"etcdSnapshotBucket": values}), secret_keys=["etcdSnapshotBucket"]
    )
    assert config.etcd_snapshot_bucket == {
        "endpoint": "https://fsn1.your-objectstorage.com",
        "name": "etcd",
        "region": "eu",
        "prefix": "prod/eu",
        "access_key": "me",
        "secret_key": "hush",
    }


def test_a_pool_carries_labels_taints_annotations_and_patches() -> None:
    config = parse(
        workerPools=[
            pool(
                labels={"example.com/gpu": "a100", "node.kubernetes.io/special": ""},
                taints=[{"key": "gpu", "effect": "NoSchedule"}],
                annotations={"example.com/note": "any text, at all"},
                configPatches=["machine: {sysctls: {a: '1'}}", {"machine": {"env": {"B": "2"}}}],
            )
        ]
    )
    extra = config.worker_pools[1]
    assert extra.labels == {"example.com/gpu": "a100", "node.kubernetes.io/special": ""}
    assert extra.taints == (Taint(key="gpu", value="", effect="NoSchedule"),)
    assert extra.annotations == {"example.com/note": "any text, at all"}
    assert [yaml.safe_load(text) for text in extra.config_patches] == [
        {"machine": {"sysctls": {"a": "1"}}},
        {"machine": {"env": {"B": "2"}}},
    ]


def test_a_patch_may_hold_several_documents() -> None:
    text = "machine: {env: {A: b}}\n---\napiVersion: v1alpha1\nkind: WatchdogTimerConfig\ndevice: /dev/watchdog0\n"
    assert parse(configPatches=[text]).config_patches == (text,)


@pytest.mark.parametrize(
    "chart", ["./charts/cilium", "/charts/cilium", "oci://registry.example.com/cilium"]
)
def test_a_chart_that_names_its_place_has_no_repository(chart: str) -> None:
    config = parse(ciliumChart=chart)
    assert (config.cilium_chart, config.cilium_repository) == (chart, None)


def test_nodes_are_public_and_the_api_has_no_load_balancer_unless_the_stack_says_so() -> None:
    config = parse()
    assert (config.access, config.worker_access, config.api_load_balancer) == (
        "public",
        "public",
        "none",
    )
    assert config.ipv6
    assert config.public_nodes
    assert (config.nat_gateway, config.network_id, config.rdns) == (None, None, None)


def test_a_private_cluster_has_no_public_workers_and_looks_for_no_administrator() -> None:
    # As the project file hands its defaults over.
    declared = {"extraFirewallRules": [], "workerIngressPorts": [80, 443], "rdns": ""}
    config = parse(access="private", natGateway="10.0.2.2", **declared)
    assert config.worker_access == "private"
    assert not config.public_nodes
    # None would have the operator's public address looked up.
    assert config.admin_cidrs == ()


def test_workers_alone_can_be_private_in_an_existing_network_that_has_a_route() -> None:
    config = parse(workerAccess="private", networkId="7", existingNatRoute="true")
    assert (config.access, config.worker_access, config.network_id) == ("public", "private", 7)
    assert config.public_nodes
    assert parse(workers="0", workerAccess="private").workers == 0


@pytest.mark.parametrize(
    ("workers", "ports"),
    [
        (2, [80, 443]),
        (2, []),
        # They are the control planes' then.
        (0, [8080]),
    ],
)
def test_private_workers_are_no_reason_against_ports_that_are_not_theirs(
    workers: int, ports: list[int]
) -> None:
    rule = {"protocol": "tcp", "port": "22", "sourceCidrs": ["203.0.113.7/32"]}
    config = parse(
        workerAccess="private",
        natGateway="10.0.2.2",
        workers=workers,
        workerIngressPorts=ports,
        extraFirewallRules=[rule, {**rule, "port": "23", "role": "controlPlane"}],
    )
    assert config.worker_ingress_ports == tuple(ports)


def test_firewall_rules_of_the_user_have_defaults_and_one_form() -> None:
    config = parse(
        extraFirewallRules=[
            {"protocol": "tcp", "port": 8443, "sourceCidrs": ["203.0.113.7", "203.0.113.7/32"]},
            {"protocol": "icmp", "sourceCidrs": ["::/0"], "role": "controlPlane"},
            {"protocol": "udp", "port": "any", "direction": "out", "destinationCidrs": ["::/0"]},
        ]
    )
    tcp, icmp, udp = config.extra_firewall_rules
    assert (tcp.role, tcp.rule.traffic) == ("all", ("in", "tcp", "8443", "203.0.113.7/32"))
    assert (icmp.role, icmp.rule.traffic) == ("controlPlane", ("in", "icmp", "", "::/0"))
    assert udp.rule.traffic == ("out", "udp", "any", "::/0")
    assert ["drops all outbound traffic" in line for line in config.warnings] == [True]


def test_the_same_traffic_for_different_roles_is_no_duplicate() -> None:
    rule = {"protocol": "tcp", "port": "22", "sourceCidrs": ["203.0.113.7/32"]}
    both = [{**rule, "role": "worker"}, {**rule, "role": "controlPlane"}]
    assert len(parse(extraFirewallRules=both).extra_firewall_rules) == 2


def test_everybody_may_be_let_in_to_the_api_explicitly_by_a_rule_too() -> None:
    rule = {"protocol": "tcp", "port": "6443", "sourceCidrs": ["0.0.0.0/0"]}
    assert parse(extraFirewallRules=[rule], allowPublicApi="true").extra_firewall_rules


def test_admin_ranges_are_normalised_sorted_and_listed_once() -> None:
    config = parse(adminCidrs=["2001:db8::/64", "203.0.113.7", "198.51.100.0/24", "203.0.113.7/32"])
    assert config.admin_cidrs == ("198.51.100.0/24", "203.0.113.7/32", "2001:db8::/64")


def test_everybody_is_admitted_only_on_demand() -> None:
    assert parse(adminCidrs=["0.0.0.0/0"], allowPublicApi="true").admin_cidrs == ("0.0.0.0/0",)


def test_control_planes_stand_where_the_cluster_does_unless_they_have_places_of_their_own() -> None:
    assert parse(location="fsn1").control_plane_locations == ("fsn1",)
    config = parse(location="fsn1", controlPlaneLocations=["nbg1", "fsn1", "hel1"])
    assert config.control_plane_locations == ("nbg1", "fsn1", "hel1")
    assert config.warnings == ()


@pytest.mark.parametrize(("count", "warned"), [(1, False), (3, True), (5, True)])
def test_two_locations_are_no_protection_against_the_loss_of_one(count: int, warned: bool) -> None:
    config = parse(controlPlanes=count, controlPlaneLocations=["nbg1", "fsn1"])
    assert bool(config.warnings) == warned
    assert all("into nbg1, without which there is no quorum" in text for text in config.warnings)


def test_an_unknown_location_is_accepted_with_its_zone() -> None:
    """Hetzner adds locations more often than Oxide is released."""
    config = parse(location="muc1", networkZone="eu-central")
    assert (config.location, config.network_zone) == ("muc1", "eu-central")


def test_values_that_say_what_the_settings_say_are_no_contradiction() -> None:
    config = parse(
        hubble="ui",
        egressGateway=True,
        ciliumValues={
            "hubble": {"enabled": True, "relay": {"enabled": "true"}, "ui": {"enabled": True}},
            "egressGateway": {"enabled": True},
            "bandwidthManager": {"enabled": False, "bbr": False},
            "ipv4": {"enabled": True},
            "rollOutCiliumPods": True,
        },
        addons={"cloudController": {"values": {"env": {POD_ROUTES: {"value": "false"}}}}},
    )
    assert config.cilium_modes.hubble == "ui"


def test_native_routing_takes_a_pod_range_inside_the_network() -> None:
    config = parse(
        routingMode="native", networkCidr="10.0.0.0/16", addons={"cloudController": True}
    )
    assert config.cilium_modes.routing_mode == "native"
    assert config.pod_cidr.subnet_of(config.network_cidr)
    assert config.address_plan.problems(control_planes=3, workers=2) == []


def test_metadata_access_names_namespaces_and_labels() -> None:
    config = parse(metadataAccess=[{"namespace": "a"}, {"namespace": "b", "labels": {"app": "x"}}])
    assert config.metadata_access == (
        MetadataAccess(namespace="a"),
        MetadataAccess(namespace="b", labels={"app": "x"}),
    )


def test_workers_may_need_another_image_only_if_there_are_any() -> None:
    assert parse(imageId=7, workers=0, workerServerType="cax21").image_id == 7


@pytest.mark.parametrize(
    ("values", "setting", "reason"),
    [
        ({"workers": 20}, "podCidr", "32 nodes"),
        ({"workers": 13}, "podCidr", "16 are planned"),
        ({"nodeCidrMaskSize": 26}, "nodeCidrMaskSize", "62 pod addresses"),
        (
            {"controlSubnetCidr": "10.0.1.0/24", "workerSubnetCidr": "10.0.0.0/24"},
            "workerSubnetCidr",
            "lies before",
        ),
        ({"workerServerType": "cx32"}, "workerServerType", "outgoing"),
        ({"location": "ash", "workerServerType": "cpx31"}, "controlPlaneServerType", "Europe"),
        ({"adminCidrs": ["192.168.1.0/24"]}, "adminCidrs", "private range"),
    ],
)
def test_what_works_but_deserves_attention_is_a_warning(
    values: dict[str, Any], setting: str, reason: str
) -> None:
    (warning,) = parse(**values).warnings
    assert warning.startswith(f"oxide:{setting}")
    assert reason in warning
    assert "; " in warning


TOLERANT: Any = {"tolerations": [{"operator": "Exists"}]}


@pytest.mark.parametrize(
    ("workers", "effect", "values", "warned"),
    [
        (0, "NoSchedule", {}, True),
        (0, "NoExecute", {}, True),
        (0, "PreferNoSchedule", {"hubble": "ui", "addons": {"metricsServer": True}}, False),
        (1, "NoSchedule", {"hubble": "ui", "addons": {"metricsServer": True}}, False),
        (
            0,
            "NoSchedule",
            {
                "hubble": "ui",
                "ciliumValues": {"hubble": {"relay": TOLERANT, "ui": TOLERANT}},
                "addons": {"metricsServer": {"values": TOLERANT}},
            },
            True,
        ),
        (
            0,
            "NoSchedule",
            {
                "hubble": "relay",
                "controlPlaneConfigPatches": [
                    {"cluster": {"allowSchedulingOnControlPlanes": True}}
                ],
            },
            False,
        ),
    ],
)
def test_tainted_workers_alone_leave_ordinary_pods_without_a_node(
    workers: int, effect: str, values: dict[str, Any], warned: bool
) -> None:
    taints = [{"key": "gpu", "effect": effect}]
    pools = [pool(name="gpu", taints=taints), pool(name="none", count=0)]

    config = parse(workers=workers, workerPools=pools, **values)

    assert [line.split(", and")[0] for line in config.warnings] == (
        ["oxide:workerPools: gpu have taints that keep pods without tolerations off every worker"]
        if warned
        else []
    )


def test_a_taint_that_only_prefers_others_keeps_no_pod_away() -> None:
    taints = [{"key": "spot", "effect": "PreferNoSchedule"}]
    config = parse(workers=1, workerPools=[pool(name="spot", count=2, taints=taints)])
    assert config.untainted_workers == 3


def test_capacity_is_no_news_below_half() -> None:
    assert parse(workers=12).warnings == ()


def test_secret_patches_and_values_are_accepted_and_remembered() -> None:
    config = ClusterConfig.parse(
        raw({"configPatches": ["machine: {env: {TOKEN: hush}}"], "workers": 1}),
        secret_keys=["configPatches"],
    )
    assert config.secret_keys == {"configPatches"}


@given(
    control_planes=st.sampled_from([1, 3, 5, 7, 9]),
    workers=st.integers(0, 23),
    mask=st.integers(24, 25),
    ports=st.lists(st.integers(7000, 9000), unique=True, max_size=48),
)
def test_values_survive_the_way_through_text(
    control_planes: int, workers: int, mask: int, ports: list[int]
) -> None:
    config = parse(
        controlPlanes=control_planes,
        workers=workers,
        nodeCidrMaskSize=mask,
        podCidr="10.64.0.0/16",
        workerIngressPorts=ports,
    )
    assert (config.control_planes, config.workers) == (control_planes, workers)
    assert config.node_cidr_mask_size == mask
    assert config.worker_ingress_ports == tuple(ports)
    assert len(config.address_plan.control_plane_addresses(control_planes)) == control_planes


def test_load_reads_what_the_engine_hands_over(monkeypatch: pytest.MonkeyPatch) -> None:
    given_values = {"oxide:workers": "5", "oxide:clusterName": "prod", "hcloud:token": "hush"}
    monkeypatch.setenv("PULUMI_CONFIG", json.dumps(given_values))
    monkeypatch.setenv("PULUMI_CONFIG_SECRET_KEYS", json.dumps(["hcloud:token"]))

    config = ClusterConfig.load(pulumi.Config("oxide"))

    assert (config.cluster_name, config.workers) == ("prod", 5)
    assert config.secret_keys == frozenset()


def test_load_sees_misspelt_keys_of_the_stack_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "PULUMI_CONFIG", json.dumps({"oxide:clusterName": "prod", "oxide:wokers": "5"})
    )
    with pytest.raises(ConfigError, match=r"oxide:wokers: 5 .* did you mean workers\?"):
        ClusterConfig.load(pulumi.Config("oxide"))


def test_load_sees_secrets_in_plain_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_CONFIG", json.dumps({"oxide:clusterName": "hush"}))
    monkeypatch.setenv("PULUMI_CONFIG_SECRET_KEYS", json.dumps(["oxide:clusterName"]))
    with pytest.raises(ConfigError) as raised:
        ClusterConfig.load(pulumi.Config("oxide"))
    assert "hush" not in str(raised.value)


def test_a_stack_name_that_is_no_host_name_asks_for_a_cluster_name() -> None:
    with pytest.raises(ConfigError, match=r"oxide:clusterName: My_Stack .* set clusterName"):
        ClusterConfig.parse({}, stack="My_Stack")


@pytest.mark.parametrize(
    ("address", "danger"),
    [
        ("10.0.1.5", "workerSubnetCidr 10.0.1.0/24, where Hetzner may give it to a worker"),
        ("10.0.20.2", "podCidr 10.0.16.0/20, where it may become a pod's"),
        ("10.0.10.2", "serviceCidr 10.0.8.0/21, where it may become a service's"),
        ("10.0.2.2", ""),
    ],
)
def test_a_nat_gateway_whose_address_may_become_somebody_elses_is_warned_of(
    address: str, danger: str
) -> None:
    """A living cluster needs it while it moves, and its ranges are fixed."""
    config = parse(
        access="private",
        natGateway=address,
        routingMode="native",
        networkCidr="10.0.0.0/16",
        addons={"cloudController": True},
    )

    said = [line for line in config.warnings if "natGateway" in line]
    assert [danger in line for line in said] == ([True] if danger else [])
