"""Helm values of the add-ons: what live clusters depend on."""

from typing import Any

import pytest

from oxide_components.addon_values import (
    cloud_controller_values,
    csi_values,
    metrics_server_values,
)
from oxide_components.certificate_approver import approver_objects
from oxide_components.kubeprism import KUBEPRISM_HOST, KUBEPRISM_PORT


def controller(**changes: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "control_plane_count": 3,
        "pod_cidr": "10.0.16.0/20",
        "subnet_cidr": "10.0.1.0/24",
        "location": "fsn1",
        "pod_routes": False,
        "secret_name": "hcloud",
        "credentials": "abc",
    }
    return cloud_controller_values(**{**settings, **changes})


def csi(**changes: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "cluster_name": "demo",
        "network_id": "4711",
        "control_plane_count": 3,
        "location": "fsn1",
        "secret_name": "hcloud",
        "credentials": "abc",
    }
    return csi_values(**{**settings, **changes})


def test_the_controller_starts_where_no_network_is_yet() -> None:
    values = controller()

    assert values["networking"]["enabled"] is True
    assert values["env"]["KUBERNETES_SERVICE_HOST"] == {"value": KUBEPRISM_HOST}
    assert values["env"]["KUBERNETES_SERVICE_PORT"] == {"value": str(KUBEPRISM_PORT)}
    (toleration,) = values["additionalTolerations"]
    assert (toleration["key"], toleration["effect"]) == (
        "node.kubernetes.io/not-ready",
        "NoSchedule",
    )


@pytest.mark.parametrize(("native", "text"), [(True, "true"), (False, "false")])
def test_pod_routes_exist_with_native_routing_only(native: bool, text: str) -> None:
    environment = controller(pod_routes=native)["env"]

    assert environment["HCLOUD_NETWORK_ROUTES_ENABLED"] == {"value": text}


def test_load_balancers_reach_nodes_through_the_subnet_by_which_a_destroy_finds_them() -> None:
    environment = controller()["env"]

    assert environment["HCLOUD_LOAD_BALANCERS_USE_PRIVATE_IP"] == {"value": "true"}
    assert environment["HCLOUD_LOAD_BALANCERS_PRIVATE_SUBNET_IP_RANGE"] == {"value": "10.0.1.0/24"}
    assert environment["HCLOUD_LOAD_BALANCERS_LOCATION"] == {"value": "fsn1"}


def test_a_new_controller_pod_never_waits_for_the_port_of_the_old_one() -> None:
    assert controller(control_plane_count=1)["strategy"]["rollingUpdate"]["maxSurge"] == 0


@pytest.mark.parametrize(("control_planes", "pods"), [(1, 1), (3, 2), (5, 2)])
def test_controllers_have_as_many_pods_as_control_planes_and_at_most_two(
    control_planes: int, pods: int
) -> None:
    assert controller(control_plane_count=control_planes)["replicaCount"] == pods
    driver = csi(control_plane_count=control_planes)["controller"]
    assert driver["replicaCount"] == pods
    assert driver["podDisruptionBudget"]["create"] is (pods > 1)


def test_volumes_carry_the_cluster_and_its_network() -> None:
    assert csi()["controller"]["volumeExtraLabels"] == {"cluster": "demo", "network": "4711"}


def test_the_drivers_nodes_reach_the_metadata_service_and_run_everywhere() -> None:
    node = csi()["node"]

    assert node["hostNetwork"] is True
    assert node["tolerations"] == [{"operator": "Exists"}]


@pytest.mark.parametrize("default", ["hcloud-volumes", "hcloud-volumes-encrypted", None])
def test_at_most_one_storage_class_is_the_default(default: str | None) -> None:
    classes = csi(encrypted_storage_class=True, default_storage_class=default)["storageClasses"]

    assert [one["name"] for one in classes] == ["hcloud-volumes", "hcloud-volumes-encrypted"]
    assert [one["name"] for one in classes if one["defaultStorageClass"]] == (
        [default] if default else []
    )
    assert "extraParameters" not in classes[0]
    secret = classes[1]["extraParameters"]["csi.storage.k8s.io/node-publish-secret-name"]
    assert secret == "hcloud-csi-encryption"


def test_the_api_of_a_lab_reaches_both_controllers_and_nobody_else() -> None:
    assert "HCLOUD_ENDPOINT" not in controller()["env"]
    assert csi()["controller"]["extraEnvVars"] == []
    there = "http://127.0.0.1:1/v1"
    assert controller(endpoint=there)["env"]["HCLOUD_ENDPOINT"] == {"value": there}
    assert csi(endpoint=there)["controller"]["extraEnvVars"] == [
        {"name": "HCLOUD_ENDPOINT", "value": there}
    ]


@pytest.mark.parametrize(("workers", "pods"), [(0, 1), (1, 1), (2, 2), (9, 2)])
def test_metrics_server_can_always_be_drained(workers: int, pods: int) -> None:
    values = metrics_server_values(schedulable_workers=workers)

    assert values["replicas"] == pods
    assert values["podDisruptionBudget"]["enabled"] is (pods > 1)


def test_the_approver_may_approve_serving_certificates_alone() -> None:
    (role,) = (one for one in approver_objects("image") if one["kind"] == "ClusterRole")
    (signers,) = (rule for rule in role["rules"] if "signers" in rule["resources"])

    assert signers["resourceNames"] == ["kubernetes.io/kubelet-serving"]
    assert not [rule for rule in role["rules"] if "*" in rule["verbs"] or "*" in rule["resources"]]
