"""The guard over what cannot change on a live cluster. Provider methods are called as the engine calls them."""

from typing import Any

import pytest

from oxide_components import cluster_identity
from oxide_components.cluster_identity import ClusterIdentityProvider

BORN: dict[str, Any] = {
    "cluster_name": "demo",
    "network_cidr": "10.0.0.0/21",
    "control_subnet_cidr": "10.0.0.0/24",
    "worker_subnet_cidr": "10.0.1.0/24",
    "pod_cidr": "10.0.16.0/20",
    "service_cidr": "10.0.8.0/21",
    "node_cidr_mask_size": 25,
    "network_zone": "eu-central",
    "access": "public",
    "worker_access": "public",
    "network_id": 0,
    "routing_mode": "tunnel",
    "talos_version": "v1.13.4",
    "contract": None,
    "detect_admin_cidrs": False,
    "admin_cidrs": None,
}

provider = ClusterIdentityProvider()


def _recorded() -> dict[str, Any]:
    inputs = provider.check({}, dict(BORN)).inputs
    return provider.create(inputs).outs or {}


def test_the_contract_is_the_minor_of_the_first_talos_version_and_stays() -> None:
    recorded = _recorded()
    later = provider.check(recorded, {**BORN, "talos_version": "v1.14.0"})

    assert recorded["contract"] == "v1.13"
    assert later.failures == []
    assert later.inputs["contract"] == "v1.13"
    assert not provider.diff("demo", recorded, later.inputs).changes


@pytest.mark.parametrize(
    ("key", "setting", "value"),
    [
        ("cluster_name", "clusterName", "other"),
        ("network_cidr", "networkCidr", "10.1.0.0/21"),
        ("control_subnet_cidr", "controlSubnetCidr", "10.0.2.0/24"),
        ("worker_subnet_cidr", "workerSubnetCidr", "10.0.3.0/24"),
        ("pod_cidr", "podCidr", "10.2.0.0/16"),
        ("service_cidr", "serviceCidr", "10.3.0.0/21"),
        ("node_cidr_mask_size", "nodeCidrMaskSize", 24),
        ("network_zone", "location", "us-east"),
        ("routing_mode", "routingMode", "native"),
        ("access", "access", "private"),
        ("worker_access", "workerAccess", "private"),
        ("network_id", "networkId", 7),
        ("contract", "configContract", "v1.12"),
    ],
)
def test_a_changed_identity_is_refused_with_setting_values_and_way_out(
    key: str, setting: str, value: object
) -> None:
    (failure,) = provider.check(_recorded(), {**BORN, key: value}).failures

    assert failure.property == ""
    assert f"oxide:{setting}: " in failure.reason
    assert f"cannot become {value}" in failure.reason
    assert "second cluster" in failure.reason


def test_all_changes_are_refused_in_one_error() -> None:
    (failure,) = provider.check(
        _recorded(), {**BORN, "pod_cidr": "10.2.0.0/16", "cluster_name": "other"}
    ).failures

    assert "podCidr" in failure.reason
    assert "clusterName" in failure.reason


def test_a_talos_older_than_the_contract_is_refused() -> None:
    (failure,) = provider.check(_recorded(), {**BORN, "talos_version": "v1.12.4"}).failures

    assert "oxide:talosVersion: v1.12.4" in failure.reason
    assert "v1.13.0 or newer" in failure.reason


def test_what_an_older_release_did_not_record_is_no_change() -> None:
    old = _recorded()
    del old["network_zone"]

    assert provider.check(old, dict(BORN)).failures == []


def test_a_native_cluster_that_was_recorded_as_tunnel_stays_native() -> None:
    native = {**BORN, "network_cidr": "10.0.0.0/16"}
    old = provider.create(provider.check({}, native).inputs).outs or {}

    assert provider.check(old, {**native, "routing_mode": "native"}).failures == []
    assert provider.check(old, native).failures == []
    new = provider.check(old, {**native, "routing_mode": "native"}).inputs
    (failure,) = provider.check(new, native).failures
    assert "oxide:routingMode: native cannot become tunnel" in failure.reason


def test_an_address_is_detected_once_and_never_again(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def detect() -> list[str]:
        calls.append(1)
        return ["203.0.113.7/32"]

    monkeypatch.setattr(cluster_identity, "detect_admin_cidrs", detect)
    wanted = {**BORN, "detect_admin_cidrs": True}
    recorded = provider.create(provider.check({}, wanted).inputs).outs or {}
    checked = provider.check(recorded, wanted).inputs

    assert recorded["admin_cidrs"] == ["203.0.113.7/32"]
    assert not provider.diff("demo", recorded, checked).changes
    assert provider.update("demo", recorded, checked).outs["admin_cidrs"] == ["203.0.113.7/32"]  # type: ignore[index]
    assert len(calls) == 1


def test_unsetting_admin_cidrs_later_records_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_identity, "detect_admin_cidrs", lambda: ["203.0.113.9/32"])
    recorded = _recorded()
    checked = provider.check(recorded, {**BORN, "detect_admin_cidrs": True}).inputs

    assert provider.diff("demo", recorded, checked).changes
    assert provider.update("demo", recorded, checked).outs["admin_cidrs"] == ["203.0.113.9/32"]  # type: ignore[index]
