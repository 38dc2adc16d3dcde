"""What the components of the add-ons declare."""

from typing import Any

import pulumi

from oxide_components import (
    CertificateApprover,
    HcloudCloudController,
    HcloudCloudControllerArgs,
    HcloudCredentials,
    HcloudCredentialsArgs,
    HcloudCsi,
    HcloudCsiArgs,
    MetricsServer,
    MetricsServerArgs,
)

from .recording import Recorder, record, resolve

RELEASE = "kubernetes:helm.sh/v3:Release"
SECRET = "kubernetes:core/v1:Secret"
TOKEN = "planted-token-of-many-characters"


def csi(**changes: Any) -> Recorder:
    args = HcloudCsiArgs(
        secret_name="hcloud",
        fingerprint="abc",
        cluster_name="demo",
        network_id=4711,
        control_plane_count=3,
        location="fsn1",
    )
    return record(lambda: HcloudCsi("csi", {**args, **changes}) and None)  # type: ignore[typeddict-item]


def test_the_token_is_in_one_secret_and_nowhere_in_plain_text() -> None:
    made: list[HcloudCredentials] = []
    recorder = record(
        lambda: made.append(
            HcloudCredentials("hcloud", HcloudCredentialsArgs(token=TOKEN, network_id=4711))
        )
    )
    secret = recorder.named("hcloud", SECRET)

    assert secret.inputs["metadata"] == {"name": "hcloud", "namespace": "kube-system"}
    assert secret.inputs["stringData"] == {"token": TOKEN, "network": "4711"}
    assert "stringData" in secret.secret_inputs
    fingerprint, hidden = resolve(made[0].fingerprint)
    assert not hidden
    assert len(fingerprint) == 16
    assert fingerprint not in TOKEN


def test_the_controller_is_not_waited_for_and_gets_no_token_of_its_own() -> None:
    args = HcloudCloudControllerArgs(
        secret_name="hcloud",
        fingerprint="abc",
        control_plane_count=3,
        pod_cidr="10.0.16.0/20",
        subnet_cidr="10.0.1.0/24",
        location="fsn1",
        values={"env": {"HCLOUD_LOAD_BALANCERS_TYPE": {"value": "lb21"}}},
    )
    recorder = record(lambda: HcloudCloudController("cc", args) and None)
    release = recorder.named("cc", RELEASE)

    assert release.inputs["skipAwait"] is True
    assert release.inputs["namespace"] == "kube-system"
    assert release.inputs["repositoryOpts"] == {"repo": "https://charts.hetzner.cloud"}
    environment = release.inputs["values"]["env"]
    assert environment["HCLOUD_TOKEN"]["valueFrom"]["secretKeyRef"]["name"] == "hcloud"
    assert environment["HCLOUD_LOAD_BALANCERS_TYPE"] == {"value": "lb21"}
    assert environment["HCLOUD_LOAD_BALANCERS_LOCATION"] == {"value": "fsn1"}


def test_the_driver_is_waited_for_and_has_no_passphrase_unless_it_encrypts() -> None:
    recorder = csi()

    assert recorder.named("csi", RELEASE).inputs["skipAwait"] is False
    assert recorder.of_type(SECRET) == []


def test_an_encrypted_class_comes_after_its_passphrase_which_is_secret() -> None:
    recorder = csi(encrypted_storage_class=True)
    release = recorder.named("csi", RELEASE)
    secret = recorder.named("csi-encryption", SECRET)

    assert "csi-encryption" in release.dependencies
    assert "csi-passphrase" in secret.dependencies
    assert secret.inputs["metadata"]["name"] == "hcloud-csi-encryption"


def test_secret_values_stay_secret() -> None:
    recorder = csi(values=pulumi.Output.secret({"controller": {"extra": "planted"}}))

    assert "values" in recorder.named("csi", RELEASE).secret_inputs


def test_a_chart_with_a_path_has_no_repository() -> None:
    recorder = csi(chart="./charts/hcloud-csi", repository=None)

    assert "repositoryOpts" not in recorder.named("csi", RELEASE).inputs


def test_metrics_server_and_approver_are_apart() -> None:
    def build() -> None:
        CertificateApprover("approver")
        MetricsServer("metrics", MetricsServerArgs(schedulable_workers=2))

    recorder = record(build)

    assert [kind.rsplit(":", 1)[-1] for kind, _ in recorder.children_of("approver")] == [
        "Deployment",
        "ServiceAccount",
        "ClusterRole",
        "ClusterRoleBinding",
    ]
    assert recorder.named("approver-clusterrolebinding").inputs["roleRef"]["kind"] == "ClusterRole"
    assert recorder.named("metrics", RELEASE).inputs["name"] == "metrics-server"
