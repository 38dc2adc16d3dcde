"""
What Cilium's agents are configured with in every mode: the ConfigMap that the chart renders.

OXIDE_CILIUM_CHART names another chart than the lab's, such as an unpacked official one.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab import paths
from oxide_components.cilium_chart import cilium_values
from oxide_components.cilium_modes import CiliumModes

CHART = Path(
    os.environ.get("OXIDE_CILIUM_CHART", Path(__file__).parents[2] / "lab" / "charts" / "cilium")
)

Objects = dict[tuple[str, str], dict[str, Any]]

ALWAYS = {
    "auto-direct-node-routes": "false",
    "bpf-lb-acceleration": "best-effort",
    "cgroup-root": "/sys/fs/cgroup",
    "enable-bpf-masquerade": "true",
    "enable-ipv4": "true",
    "enable-ipv6": "false",
    "ipam": "kubernetes",
    "k8s-require-ipv4-pod-cidr": "true",
    "kube-proxy-replacement": "true",
    "mtu": "1450",
}

SWITCHED = (
    "enable-bandwidth-manager",
    "enable-egress-gateway",
    "enable-gateway-api",
    "enable-ipsec",
    "enable-node-ipam",
    "enable-wireguard",
)

TUNNEL = {
    "routing-mode": "tunnel",
    "tunnel-protocol": "vxlan",
    "ipv4-native-routing-cidr": "10.0.16.0/20",
}

IPSEC = {
    "enable-ipsec": "true",
    "ipsec-key-file": "/etc/ipsec/keys",
    "enable-ipsec-key-watcher": "true",
    "enable-host-legacy-routing": "true",
}

GATEWAY = {"enable-gateway-api": "true", "enable-envoy-config": "true"}

FLOWS = {"enable-hubble": "true", "hubble-metrics-server": ":9965"}


@pytest.mark.parametrize(
    ("modes", "expected"),
    [
        (CiliumModes(), {**TUNNEL, **FLOWS}),
        (
            CiliumModes(routing_mode="native"),
            {"routing-mode": "native", "ipv4-native-routing-cidr": "10.0.0.0/16"},
        ),
        (CiliumModes(encryption="wireguard"), {**TUNNEL, "enable-wireguard": "true"}),
        (CiliumModes(encryption="ipsec"), {**TUNNEL, **IPSEC}),
        (CiliumModes(hubble="off"), {"enable-hubble": "false"}),
        (CiliumModes(hubble="relay"), FLOWS),
        (CiliumModes(gateway_api=True), GATEWAY),
        (CiliumModes(egress_gateway=True), {"enable-egress-gateway": "true"}),
        (CiliumModes(bandwidth_manager=True), {"enable-bandwidth-manager": "true"}),
        (
            CiliumModes(node_ipam=True),
            {"enable-node-ipam": "true", "default-lb-service-ipam": "lbipam"},
        ),
        (
            CiliumModes(routing_mode="native", encryption="ipsec", gateway_api=True),
            {**IPSEC, **GATEWAY, "routing-mode": "native"},
        ),
    ],
    ids=lambda value: _name(value) if isinstance(value, CiliumModes) else "",
)
def test_agents_are_configured_for_their_mode(modes: CiliumModes, expected: dict[str, str]) -> None:
    config = _config(_rendered(modes))

    wanted = {**ALWAYS, **expected}
    assert {option: config.get(option) for option in wanted} == wanted
    # What was not asked for is off.
    on = {option for option in SWITCHED if config.get(option, "false") != "false"}
    assert on == {option for option in SWITCHED if option in expected}


@pytest.mark.parametrize(
    ("hubble", "deployments"),
    [
        ("off", set()),
        ("metrics", set()),
        ("relay", {"hubble-relay"}),
        ("ui", {"hubble-relay", "hubble-ui"}),
    ],
)
def test_hubble_runs_as_far_as_it_was_asked_for(hubble: Any, deployments: set[str]) -> None:
    objects = _rendered(CiliumModes(hubble=hubble))
    found = {name for kind, name in objects if kind == "Deployment" and name.startswith("hubble")}
    assert found == deployments


def test_a_changed_configuration_rolls_the_agents_and_the_operator() -> None:
    def annotations(user: dict[str, Any]) -> list[dict[str, str]]:
        objects = _rendered(CiliumModes(), user)
        return [
            objects[key]["spec"]["template"]["metadata"]["annotations"]
            for key in (("DaemonSet", "cilium"), ("Deployment", "cilium-operator"))
        ]

    for before, after in zip(
        annotations({}), annotations({"debug": {"enabled": True}}), strict=True
    ):
        assert before != after


def test_agents_mount_the_ipsec_key_that_oxide_makes() -> None:
    volumes = _rendered(CiliumModes(encryption="ipsec"))["DaemonSet", "cilium"]["spec"]["template"][
        "spec"
    ]["volumes"]
    assert "cilium-ipsec-keys" in [volume.get("secret", {}).get("secretName") for volume in volumes]


def test_the_gateway_class_does_not_depend_on_what_helm_has_noticed() -> None:
    assert ("GatewayClass", "cilium") in _rendered(CiliumModes(gateway_api=True))
    assert ("GatewayClass", "cilium") not in _rendered(CiliumModes())


def _name(modes: CiliumModes) -> str:
    plain = CiliumModes()
    changed = [value for key, value in vars(modes).items() if value != vars(plain)[key]]
    return "-".join(map(str, changed)) or "default"


def _rendered(modes: CiliumModes, user: dict[str, Any] | None = None) -> Objects:
    values = cilium_values(
        control_plane_count=3,
        worker_count=2,
        network_cidr="10.0.0.0/16",
        pod_cidr="10.0.16.0/20",
        modes=modes,
        user_values=user,
    )
    done = subprocess.run(
        [
            str(paths.BIN / "helm"),
            "template",
            "cilium",
            str(CHART),
            "--namespace=kube-system",
            "--kube-version=1.35.4",
            "--values=-",
        ],
        input=json.dumps(values),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    documents = [document for document in yaml.safe_load_all(done.stdout) if document]
    return {(one["kind"], one["metadata"]["name"]): one for one in documents}


def _config(objects: Objects) -> dict[str, str]:
    data: dict[str, str] = objects["ConfigMap", "cilium-config"]["data"]
    return data
