"""Machine-config documents: golden files, and the rules that live clusters depend on."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from oxide_components.machine_config import (
    ClusterSettings,
    NodeSettings,
    api_certificate_patch,
    control_plane_documents,
    to_patch,
    worker_documents,
)

GOLDEN = Path(__file__).parents[1] / "golden"

CLUSTER = ClusterSettings(
    name="demo",
    control_plane_addresses=("10.0.0.11", "10.0.0.12", "10.0.0.13"),
    control_subnet_cidr="10.0.0.0/24",
    worker_subnet_cidr="10.0.1.0/24",
    pod_cidr="10.0.16.0/20",
    service_cidr="10.0.8.0/21",
    node_cidr_mask_size=25,
    install_image="factory.talos.dev/hcloud-installer/abc:v1.13.9",
    api_hostname="api.example.com",
)
PRIVATE = replace(CLUSTER, network_gateway="10.0.0.1")
CONTROL_PLANE = NodeSettings(name="demo-cp-1", pool="cp")
WORKER = NodeSettings(
    name="demo-db-1",
    pool="db",
    labels={"tier": "db"},
    annotations={"example.com/owner": "team-a"},
    taints=[{"key": "dedicated", "value": "db", "effect": "NoSchedule"}],
)


@pytest.mark.parametrize(
    ("file", "documents"),
    [
        ("machine-config-control-plane.yaml", control_plane_documents(CLUSTER, CONTROL_PLANE)),
        ("machine-config-worker.yaml", worker_documents(CLUSTER, WORKER)),
        (
            "machine-config-private-control-plane.yaml",
            control_plane_documents(PRIVATE, replace(CONTROL_PLANE, public=False)),
        ),
        (
            "machine-config-private-worker.yaml",
            worker_documents(PRIVATE, replace(WORKER, public=False)),
        ),
    ],
)
def test_documents_are_those_of_the_golden_file(file: str, documents: list[object]) -> None:
    golden = list(yaml.safe_load_all((GOLDEN / file).read_text()))

    assert documents == golden
    assert list(yaml.safe_load_all(to_patch(documents))) == golden  # type: ignore[arg-type]


def test_the_same_documents_give_the_same_patch_text() -> None:
    patches = {to_patch(control_plane_documents(CLUSTER, CONTROL_PLANE)) for _ in range(3)}

    assert len(patches) == 1


def test_a_node_without_public_addresses_goes_out_through_the_network_and_nowhere_else() -> None:
    node = replace(WORKER, public=False)
    documents = {(d.get("kind"), d.get("name")): d for d in worker_documents(PRIVATE, node)}

    link = documents["LinkConfig", "eth0"]
    assert link["routes"] == [{"gateway": "10.0.0.1"}]
    assert link["mtu"] == 1450
    assert ("LinkConfig", "eth1") not in documents
    assert documents["ResolverConfig", None]["nameservers"]


def test_the_load_balancers_addresses_are_added_to_the_certificate() -> None:
    patch = yaml.safe_load(api_certificate_patch(["10.0.0.254", "203.0.113.9"]))

    # Talos appends lists of names, so the others stay.
    assert patch == {"cluster": {"apiServer": {"certSANs": ["10.0.0.254", "203.0.113.9"]}}}


def test_every_node_resolves_the_endpoint_to_every_control_plane() -> None:
    hosts = [d for d in worker_documents(CLUSTER, WORKER) if d.get("kind") == "StaticHostConfig"]

    assert {d["name"]: d["hostnames"] for d in hosts} == {
        address: ["api.demo.internal"] for address in CLUSTER.control_plane_addresses
    }


def test_without_workers_control_planes_take_pods_and_load_balancer_traffic() -> None:
    alone = ClusterSettings(**{**vars(CLUSTER), "schedulable_control_planes": True})
    main = control_plane_documents(alone, CONTROL_PLANE)[0]

    assert main["cluster"]["allowSchedulingOnControlPlanes"] is True
    assert main["machine"]["nodeLabels"][
        "node.kubernetes.io/exclude-from-external-load-balancers"
    ] == {"$patch": "delete"}


def test_worker_taints_are_given_at_registration_because_kubelets_may_not_add_them_later() -> None:
    machine = worker_documents(CLUSTER, WORKER)[0]["machine"]

    assert machine["kubelet"]["extraConfig"]["registerWithTaints"] == [
        {"key": "dedicated", "value": "db", "effect": "NoSchedule"}
    ]
    assert "nodeTaints" not in machine


def test_a_control_plane_taint_without_value_is_written_as_its_effect() -> None:
    tainted = NodeSettings(
        name="demo-cp-1", pool="cp", taints=[{"key": "a", "value": "", "effect": "NoExecute"}]
    )

    machine = control_plane_documents(CLUSTER, tainted)[0]["machine"]

    assert machine["nodeTaints"] == {"a": "NoExecute"}


def test_the_cloud_provider_and_the_serving_certificates_are_settings_of_every_node() -> None:
    """Off, they leave the configs as they are; the golden files hold that."""
    switched_on = replace(CLUSTER, external_cloud_provider=True, kubelet_serving_certificates=True)
    for documents in (
        control_plane_documents(switched_on, CONTROL_PLANE),
        worker_documents(switched_on, WORKER),
    ):
        assert documents[0]["cluster"]["externalCloudProvider"] == {"enabled": True}
        kubelet = documents[0]["machine"]["kubelet"]
        assert kubelet["extraArgs"] == {"rotate-server-certificates": "true"}
