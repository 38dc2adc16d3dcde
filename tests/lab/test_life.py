"""A cluster's life with the real engine: created, left alone, looked at, grown, destroyed. The tests build on each other."""

import base64
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from oxide_components.kubeconfig import credentials
from oxide_components.packed import PACKED

from .stacks import TRACEBACK, Stack

NODES = ["life-cp-1", "life-cp-2", "life-cp-3", "life-worker-1", "life-worker-2"]
SERVER = "hcloud:index/server:Server"


@pytest.fixture(scope="module")
def life(new_stack: Callable[..., Stack]) -> Stack:
    """A cluster of three control planes and two workers."""
    stack = new_stack("life", controlPlanes="3", workers="2")
    stack.up()
    return stack


def test_every_node_is_ready_at_the_configured_version(life: Stack) -> None:
    assert life.ready_nodes() == NODES
    versions = {n["status"]["nodeInfo"]["kubeletVersion"] for n in life.nodes().values()}
    assert versions == {"v1.35.4"}


def test_nodes_use_private_addresses_among_themselves(life: Stack) -> None:
    addresses = {
        name: [a["address"] for a in node["status"]["addresses"] if a["type"] == "InternalIP"]
        for name, node in life.nodes().items()
    }

    assert addresses["life-cp-1"] == ["10.0.0.11"]
    assert addresses["life-cp-3"] == ["10.0.0.13"]
    assert all(a[0].startswith("10.0.1.") for n, a in addresses.items() if "worker" in n)


def test_cilium_is_a_deployed_release_that_goes_through_kubeprism(life: Stack) -> None:
    (release,) = json.loads(life.helm("list", "-A", "-o", "json"))
    values = json.loads(life.helm("get", "values", "-n", "kube-system", "cilium", "-o", "json"))

    assert (release["name"], release["status"]) == ("cilium", "deployed")
    assert values["k8sServiceHost"] == "localhost"
    assert values["k8sServicePort"] == 7445
    assert values["kubeProxyReplacement"] is True


def test_pods_are_kept_from_the_metadata_address(life: Stack) -> None:
    (policy,) = json.loads(life.kubectl("get", "ciliumclusterwidenetworkpolicies", "-o", "json"))[
        "items"
    ]

    assert policy["spec"]["egressDeny"] == [{"toCIDR": ["169.254.169.254/32"]}]
    assert policy["spec"]["enableDefaultDeny"]["egress"] is False


def test_etcd_has_one_member_per_control_plane_on_private_addresses(life: Stack) -> None:
    members = life.talosctl("-n", "10.0.0.12", "etcd", "members")

    for index in (1, 2, 3):
        assert f"life-cp-{index}" in members
        assert f"https://10.0.0.1{index}:2380" in members


def test_every_context_of_the_kubeconfig_works(life: Stack) -> None:
    contexts = life.kubectl("config", "get-contexts", "-o", "name").split()

    assert contexts == ["admin@life", "admin@life-cp-1", "admin@life-cp-2", "admin@life-cp-3"]
    for context in contexts:
        assert life.kubectl("--context", context, "get", "--raw", "/readyz") == "ok"


def test_outputs_name_every_node(life: Stack) -> None:
    outputs = life.outputs()

    assert [node["name"] for node in outputs["nodes"]] == NODES
    assert set(outputs["nodes"][0]) == {"name", "role", "pool", "privateAddress", "publicAddress"}
    assert outputs["endpoint"] == f"https://{outputs['nodes'][0]['publicAddress']}:6443"
    assert outputs["versions"] == {"talos": "v1.13.9", "kubernetes": "1.35.4", "cilium": "1.19.6"}


def test_a_second_up_changes_nothing(life: Stack) -> None:
    assert life.up().changes == {}


def test_a_refresh_finds_no_drift(life: Stack) -> None:
    life.ok("refresh", "--yes", "--skip-preview")

    assert life.planned() == {}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("talosVersion", "v1.13.8"),
        ("kubernetesVersion", "1.35.3"),
        ("configPatches", '[{"machine": {"sysctls": {"vm.max_map_count": "262144"}}}]'),
        ("controlPlaneServerType", "cx43"),
    ],
)
def test_no_changed_setting_replaces_or_updates_a_server(life: Stack, key: str, value: str) -> None:
    life.set(key, value)
    try:
        touched = [step for step in life.planned() if step[1] == SERVER]
    finally:
        life.unset(key)

    assert touched == []


def test_a_changed_identity_is_refused_in_the_preview_with_the_way_out(life: Stack) -> None:
    life.set("podCidr", "10.8.0.0/16")
    try:
        run = life.run("preview")
    finally:
        life.unset("podCidr")

    assert run.code != 0
    assert "oxide:podCidr: 10.0.16.0/20 cannot become 10.8.0.0/16" in run.text
    assert "second cluster" in run.text
    assert TRACEBACK not in run.text


def test_five_workers_add_exactly_three_servers_and_their_nodes(life: Stack) -> None:
    before = {r["urn"]: r.get("id") for r in life.resources()}
    life.set("workers", "5")
    run = life.up()
    after = {r["urn"]: r.get("id") for r in life.resources()}

    added = sorted(urn.rsplit("::", 1)[-1] for urn in after.keys() - before.keys())
    assert added == sorted(
        f"{kind}-{i}"
        for kind in ("worker", "node-life-worker", "config-life-worker")
        for i in (3, 4, 5)
    )
    assert {urn: after.get(urn) for urn in before} == before
    # The roster is the list of nodes.
    assert run.changes == {"created": 9, "updated": 1}
    assert len(life.ready_nodes()) == 8


def test_a_kubeconfig_is_made_anew_without_anything_else(life: Stack) -> None:
    before = life.outputs()["kubeconfig"]
    run = life.ok(
        *("up", "--yes", "--skip-preview"),
        *("--replace", "**talos:cluster/kubeconfig:Kubeconfig::control-plane-kubeconfig"),
    )

    after = credentials(life.outputs()["kubeconfig"])
    assert after.client_certificate != credentials(before).client_certificate
    assert after.certificate_authority == credentials(before).certificate_authority
    # The Kubernetes provider takes the new one; servers and nodes stay untouched.
    assert run.changes == {"replaced": 1, "updated": 1}
    assert life.up().changes == {}


def test_no_secret_is_in_the_state_or_in_anything_that_was_printed(life: Stack) -> None:
    plain = json.loads(life.state(plain=True))
    secrets = _planted(plain)
    verbose = life.run(
        "preview", "--diff", "--show-sames", "--show-replacement-steps", "--show-config"
    )
    stored = "\n".join(
        file.read_text(errors="replace")
        for file in (life.lab.state_dir / "pulumi").rglob("*.json*")
    )

    assert len(secrets) >= 15
    for where, text in (("output", life.log + verbose.text), ("state", stored + life.state())):
        for name, value in secrets.items():
            assert value not in text, f"{name} stands in plain text in the {where}"


def test_destroy_without_any_flag_leaves_nothing_at_hetzner(life: Stack) -> None:
    run = life.destroy()

    assert life.cloud_objects() == {}
    assert life.cloud.servers.get_all() == [] or all(
        not s.name.startswith("life-") for s in life.cloud.servers.get_all()
    )
    assert TRACEBACK not in run.text


def test_nothing_that_was_printed_in_this_life_is_a_traceback(life: Stack) -> None:
    assert TRACEBACK not in life.log


def _planted(plain: dict[str, Any]) -> dict[str, str]:
    """The cluster's real secrets by name, out of the decrypted state: whole values and the bodies of keys."""
    resources = plain["deployment"]["resources"]
    (secrets,) = (r for r in resources if r["type"] == "talos:machine/secrets:Secrets")
    outputs = {name: _reveal(value) for name, value in secrets["outputs"].items()}
    found: dict[str, str] = {}

    def collect(path: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, entry in value.items():
                collect(f"{path}.{key}", entry)
        elif isinstance(value, str) and re.search(r"(key|token|secret|Secret)$", path):
            found[path] = value
            decoded = _decoded(value)
            if "PRIVATE KEY" in decoded:
                found[f"{path} (PEM)"] = decoded.splitlines()[2]

    collect("secrets", outputs)
    (stack,) = (r for r in resources if r["type"] == "pulumi:pulumi:Stack")
    kubeconfig = yaml.safe_load(_reveal(stack["outputs"]["kubeconfig"]))
    found["kubeconfig key"] = kubeconfig["users"][0]["user"]["client-key-data"]
    talosconfig = yaml.safe_load(_reveal(stack["outputs"]["talosconfig"]))
    found["talosconfig key"] = next(iter(talosconfig["contexts"].values()))["key"]
    # Packed, none of the above would be seen in them.
    packed = {
        f"{key} of {resource['urn']}": text
        for resource in resources
        for key, value in resource.get("inputs", {}).items()
        if isinstance(text := _reveal(value), str) and text.startswith(PACKED)
    }
    assert packed
    return found | packed


def _reveal(value: Any) -> Any:
    if isinstance(value, dict):
        if "plaintext" in value:
            return _reveal(json.loads(value["plaintext"]))
        return {key: _reveal(entry) for key, entry in value.items()}
    return value


def _decoded(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode("ascii")
    except ValueError:
        return ""
