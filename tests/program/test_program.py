"""The program as a whole: which resources a stack consists of, and how it ends on a bad configuration."""

import json
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pulumi
import pytest

from tests.components.recording import Recorder, prepare, record, resolve

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"

TOPOLOGIES: dict[str, dict[str, str]] = {
    "default": {},
    "single": {"controlPlanes": "1", "workers": "0"},
    "load-balancer": {
        "apiLoadBalancer": "public",
        "allowPublicApi": "true",
        "workers": "1",
        "rdns": "{name}.example.com",
    },
    "private": {
        "access": "private",
        "adminCidrs": "",
        "apiLoadBalancer": "private",
        "natGateway": "10.0.2.2",
        "workers": "1",
    },
    "pools": {
        "workers": "1",
        "workerPools": '[{"name": "db", "count": 2, "serverType": "cax21"}, {"name": "empty", "count": 0}]',
    },
}


def _configure(settings: dict[str, str]) -> None:
    values = {"clusterName": "demo", "adminCidrs": '["203.0.113.7/32"]', **settings}
    pulumi.runtime.set_all_config({f"oxide:{key}": value for key, value in values.items()})


def _run(settings: dict[str, str]) -> Recorder:
    _configure(settings)

    def build() -> None:
        runpy.run_path(str(ROOT / "__main__.py"))

    return record(build)


@pytest.fixture(autouse=True)
def _leave_no_traces(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("signal.signal", lambda *_: None)
    # Nobody's real account is asked.
    monkeypatch.delenv("HCLOUD_TOKEN", raising=False)
    yield
    # The SDK keeps one configuration for the process, and other tests read it.
    pulumi.runtime.set_all_config({})


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_a_stack_consists_of_these_resources(topology: str) -> None:
    """
    A changed URN replaces what people run.

    It needs an alias in the same commit as the changed golden file. Under mocks the stack's own type leads each URN;
    everything after it is what a real stack has.
    """
    urns = sorted(r.urn.split("::", 2)[2] for r in _run(TOPOLOGIES[topology]).registrations)

    golden = GOLDEN / f"urns-{topology}.txt"
    assert urns == golden.read_text().splitlines()


def test_scaling_workers_adds_resources_and_changes_only_the_roster() -> None:
    def inputs(workers: int) -> dict[str, Any]:
        return {r.urn: r.inputs for r in _run({"workers": str(workers)}).registrations}

    two, five = inputs(2), inputs(5)

    changed = {urn.rsplit("::", 1)[-1] for urn in two if five[urn] != two[urn]}
    # The list of nodes, so that the new ones can leave properly one day.
    assert changed == {"control-plane-roster"}
    # A server, the node on it and the node's config, three times.
    assert len(five.keys() - two.keys()) == 9


def test_only_resources_inside_the_cluster_go_with_it() -> None:
    """`deleted_with` on anything that Hetzner bills would leave it behind after a destroy."""
    carriers = {r.type for r in _run({}).registrations if r.deleted_with}

    # The engine hands it down to the component's children: the release and the policy.
    assert carriers == {"oxide:index:CiliumRelease"}


def test_deletion_protection_covers_what_neither_scaling_nor_replacing_removes() -> None:
    protected = {r.name for r in _run({}).registrations if r.protect and r.custom}

    assert protected == {
        "cluster",
        "network",
        "secrets",
        "control-plane-1-ipv4",
    }
    assert not any(r.protect for r in _run({"deletionProtection": "false"}).registrations)


def test_the_identity_records_how_pods_are_routed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HCLOUD_TOKEN", "planted")

    def recorded(settings: dict[str, str]) -> object:
        (identity,) = (r for r in _run(settings).registrations if r.name == "cluster")
        return identity.inputs["routing_mode"]

    native = {
        "routingMode": "native",
        "networkCidr": "10.0.0.0/16",
        "addons": '{"cloudController": true}',
    }
    assert recorded({}) == "tunnel"
    assert recorded(native) == "native"


def test_everything_waits_for_the_identity_so_that_its_refusal_comes_first() -> None:
    recorder = _run({})
    first = next(r.name for r in recorder.registrations if r.custom)

    assert first == "cluster"
    for name in ("network", "secrets", "firewall-control-plane", "control-plane-1"):
        found = [r for r in recorder.registrations if r.name == name and r.custom]
        assert "cluster" in found[0].dependencies, name


def test_a_bad_configuration_ends_the_program_before_any_resource() -> None:
    recorder = prepare()
    _configure({"controlPlanes": "2", "podCidr": "10.0.0.0/16", "wrokers": "3"})

    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "__main__.py"))

    # What tells Pulumi's host that the user has been told.
    assert ended.value.code == 32
    assert recorder.registrations == []


def test_what_the_configuration_permits_the_components_take() -> None:
    rules = [
        {"protocol": "tcp", "port": 50000, "sourceCidrs": ["::/0"]},
        {"protocol": "icmp", "direction": "out", "destinationCidrs": ["0.0.0.0/0"]},
        {"protocol": "udp", "port": "any", "role": "worker", "sourceCidrs": ["192.0.2.1"]},
    ]
    recorder = _run(
        {
            "adminCidrs": '["0.0.0.0/0"]',
            "allowPublicApi": "true",
            "extraFirewallRules": json.dumps(rules),
        }
    )

    assert len(recorder.named("firewall-worker").inputs["rules"]) == 6


def test_credentials_leave_the_stack_as_secrets_only(monkeypatch: pytest.MonkeyPatch) -> None:
    exported: dict[str, Any] = {}
    monkeypatch.setattr(pulumi, "export", exported.__setitem__)
    _run({})

    secrets = {"kubeconfig", "talosconfig", "machineSecrets"}
    for name in secrets:
        assert resolve(exported[name])[1], name
    planted = re.compile("planted|c2VjcmV0LWtleQ|cGxhbnRlZC1rZXk")
    for name in exported.keys() - secrets:
        assert not planted.search(str(resolve(pulumi.Output.from_input(exported[name]))[0])), name


def test_the_documented_pool_joins_the_cluster_of_another_program() -> None:
    text = (ROOT / "docs" / "components.md").read_text().partition("## A pool for a cluster")[2]
    example = text.partition("```python\n")[2].partition("```")[0]

    recorder = record(lambda: exec(compile(example, "components.md", "exec"), {}))  # noqa: S102

    # Nothing that the cluster's own program has made already.
    assert {r.type for r in recorder.registrations} == {
        "oxide:index:WorkerPool",
        "hcloud:index/placementGroup:PlacementGroup",
        "hcloud:index/server:Server",
    }
    server = recorder.named("batch-1")
    assert server.inputs["networks"] == [{"subnetId": "12-10.0.1.0/24"}]
    assert (server.inputs["image"], server.inputs["firewallIds"]) == ("4711", [79])
    (config, _) = (a for t, a in recorder.invokes if "getConfiguration" in t)
    assert config["machineSecrets"]["trustdinfo"] == {"token": "planted-trustd-token"}
    assert "userData" in server.secret_inputs


ADDONS = {"addons": '{"cloudController": true, "csi": true, "metricsServer": true}'}


def _with_addons() -> Recorder:
    values = {"clusterName": "demo", "adminCidrs": '["203.0.113.7/32"]', **ADDONS}
    pulumi.runtime.set_all_config(
        {"hcloud:token": "planted", **{f"oxide:{key}": value for key, value in values.items()}}
    )
    return record(lambda: runpy.run_path(str(ROOT / "__main__.py")) and None)


def _waits_for(recorder: Recorder, name: str) -> set[str]:
    """Names of everything that a resource waits for, directly or not; a component and its main child share one name."""
    edges: dict[str, set[str]] = {}
    for r in recorder.registrations:
        edges.setdefault(r.name, set()).update(r.dependencies)
    found: set[str] = set()
    todo = [name]
    while todo:
        for other in edges.get(todo.pop(), set()) - found:
            found.add(other)
            todo.append(other)
    return found


def test_the_cloud_controller_comes_before_cilium_and_the_other_addons_after_the_nodes() -> None:
    recorder = _with_addons()

    assert "cloud-controller" in _waits_for(recorder, "cilium")
    for name in ("csi", "metrics-server"):
        waited = _waits_for(recorder, name)
        assert {"config-demo-worker-2", "cloud-nodes", "cilium"} <= waited
    assert "certificate-approver-deployment" in _waits_for(recorder, "node-demo-cp-1")


def test_the_clearing_is_deleted_after_the_servers_and_before_the_subnets() -> None:
    recorder = _with_addons()
    servers = [r.name for r in recorder.of_type("hcloud:index/server:Server")]

    assert len(servers) == 5
    for name in servers:
        assert "cloud-cleanup" in _waits_for(recorder, name), name
    cleanup = recorder.named("cloud-cleanup")
    assert {"network-control", "network-worker", "cluster"} <= set(cleanup.dependencies)
    # With the identity it would be skipped when everything is destroyed.
    assert cleanup.deleted_with == ""


def test_everything_inside_the_cluster_goes_with_it_whatever_becomes_of_its_api() -> None:
    carriers = {r.name for r in _with_addons().registrations if r.deleted_with == "cluster"}

    # The engine hands it down to what the components are made of.
    assert carriers >= {
        *("hcloud", "cloud-controller", "csi", "metrics-server"),
        *("certificate-approver", "cilium"),
    }


def test_no_token_is_an_error_of_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HCLOUD_TOKEN", raising=False)
    with pytest.raises(pulumi.RunError, match=r"oxide:addons: .* API token"):
        _run(ADDONS)
