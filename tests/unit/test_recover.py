"""What the recovery command takes over, forgets and leaves alone."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hcloud import APIException

from oxide_components import recover
from oxide_components.pending_creates import (
    LISTS,
    MADE_AGAIN,
    PARTS,
    PendingCreate,
    existing_id,
    pending_creates,
)
from oxide_components.recover import strangers, taken_over, wait_for_api

SERVER = "hcloud:index/server:Server"


class _Listing:
    def __init__(self, *found: tuple[int, str, str]) -> None:
        self._found = found

    def get_all(self, name: str | None = None, label_selector: str = "") -> list[Any]:
        cluster = label_selector.removeprefix("cluster=")
        return [
            SimpleNamespace(id=id_, name=found)
            for id_, found, owner in self._found
            if owner == cluster and name in (None, found)
        ]

    def get_by_id(self, id_: int) -> Any:
        if id_ == 404:
            raise APIException(code="not_found", message="not found", details=None)
        return SimpleNamespace(
            id=id_,
            subnets=[SimpleNamespace(ip_range="10.0.0.0/24")],
            routes=[SimpleNamespace(destination="0.0.0.0/0", gateway="10.0.2.2")],
        )


class _Balancer(SimpleNamespace):
    """Hetzner's load balancer 9 in network 5, with server 7 behind port 6443."""

    def __init__(self, *, public: bool) -> None:
        super().__init__(
            id=9,
            private_net=[SimpleNamespace(network=SimpleNamespace(id=5))],
            public_net=SimpleNamespace(enabled=public),
            services=[SimpleNamespace(listen_port=6443)],
            targets=[SimpleNamespace(server=SimpleNamespace(id=7)), SimpleNamespace(server=None)],
        )

    def disable_public_interface(self) -> Any:
        return SimpleNamespace(
            wait_until_finished=lambda: setattr(self.public_net, "enabled", False)
        )


def _client(*servers: tuple[int, str, str]) -> Any:
    empty = _Listing()
    return SimpleNamespace(
        servers=_Listing(*servers),
        networks=empty,
        firewalls=empty,
        placement_groups=empty,
        primary_ips=empty,
        load_balancers=empty,
    )


def _pending(name: str, type_token: str = SERVER, **inputs: Any) -> PendingCreate:
    return PendingCreate(
        urn=f"urn:pulumi:s::p::{type_token}::{name}",
        type=type_token,
        inputs={"name": name, "labels": {"cluster": "demo"}, **inputs},
    )


def test_only_creations_are_pending_creates() -> None:
    operation = {"resource": {"urn": "u", "type": SERVER, "inputs": {"name": "n"}}}
    deployment = {
        "deployment": {
            "pending_operations": [
                {**operation, "type": "creating"},
                {**operation, "type": "updating"},
                {**operation, "type": "deleting"},
            ]
        }
    }

    assert [p.inputs for p in pending_creates(deployment)] == [{"name": "n"}]


def test_a_stack_without_pending_operations_has_none() -> None:
    assert pending_creates({"deployment": {"pending_operations": None}}) == []


def test_an_object_with_this_name_and_label_is_taken_over() -> None:
    assert existing_id(_pending("demo-cp-1"), _client((7, "demo-cp-1", "demo"))) == "7"


@pytest.mark.parametrize("server", [(7, "demo-cp-1", "other"), (7, "demo-cp-2", "demo")])
def test_another_clusters_object_is_never_taken_over(server: tuple[int, str, str]) -> None:
    assert existing_id(_pending("demo-cp-1"), _client(server)) is None


def test_an_object_without_our_label_in_the_plan_is_never_taken_over() -> None:
    pending = PendingCreate(urn="u", type=SERVER, inputs={"name": "demo-cp-1"})

    assert existing_id(pending, _client((7, "demo-cp-1", "demo"))) is None


@pytest.mark.parametrize(
    ("ip_range", "expected"), [("10.0.0.0/24", "5-10.0.0.0/24"), ("10.0.1.0/24", None)]
)
def test_a_subnet_is_found_by_its_network_and_range(ip_range: str, expected: str | None) -> None:
    pending = _pending(
        "x", "hcloud:index/networkSubnet:NetworkSubnet", networkId=5, ipRange=ip_range
    )

    assert existing_id(pending, _client()) == expected


@pytest.mark.parametrize(
    ("kind", "inputs", "expected"),
    [
        ("networkRoute:NetworkRoute", {"networkId": 5, "gateway": "10.0.2.2"}, "5-0.0.0.0/0"),
        ("networkRoute:NetworkRoute", {"networkId": 5, "gateway": "10.0.2.3"}, None),
        ("networkRoute:NetworkRoute", {"networkId": 404, "gateway": "10.0.2.2"}, None),
        ("loadBalancerNetwork:LoadBalancerNetwork", {"subnetId": "5-10.0.0.0/24"}, "9-5"),
        ("loadBalancerNetwork:LoadBalancerNetwork", {"subnetId": "6-10.0.0.0/24"}, None),
        ("loadBalancerService:LoadBalancerService", {"listenPort": 6443}, "9__6443"),
        ("loadBalancerService:LoadBalancerService", {"listenPort": 443}, None),
        ("loadBalancerTarget:LoadBalancerTarget", {"serverId": 7}, "lb-srv-tgt-7-9"),
        ("loadBalancerTarget:LoadBalancerTarget", {"serverId": 8}, None),
    ],
)
def test_a_part_of_an_object_is_found_in_it(
    kind: str, inputs: dict[str, Any], expected: str | None
) -> None:
    pending = PendingCreate(
        urn="u",
        type=f"hcloud:index/{kind}",
        inputs={"destination": "0.0.0.0/0", "loadBalancerId": "9", **inputs},
    )
    client = _client()
    client.load_balancers = SimpleNamespace(get_by_id=lambda _id: _Balancer(public=True))

    assert existing_id(pending, client) == expected


def test_a_load_balancer_that_was_to_be_private_is_so_before_it_is_taken_over() -> None:
    balancer = _Balancer(public=True)
    client = _client()
    client.load_balancers = SimpleNamespace(get_by_id=lambda _id: balancer)
    pending = PendingCreate(
        urn="u",
        type="hcloud:index/loadBalancerNetwork:LoadBalancerNetwork",
        inputs={"loadBalancerId": 9, "subnetId": "5-10.0.0.0/24", "enablePublicInterface": False},
    )

    assert existing_id(pending, client) == "9-5"
    assert not balancer.public_net.enabled


def test_every_kind_of_object_that_oxide_makes_at_hetzner_is_known() -> None:
    root = Path(__file__).parents[2]
    golden = "".join(file.read_text() for file in root.glob("tests/golden/urns-*.txt"))
    declared = set(re.findall(r"hcloud:index/\w+:\w+", golden))
    sources = "".join(file.read_text() for file in root.glob("oxide_components/*.py"))
    made = {
        kind for kind in re.findall(r"\bhcloud\.([A-Z]\w+)\(\n", sources) if kind[-4:] != "Args"
    }

    # No stack of the golden files leaves one out.
    assert {kind.split(":")[-1] for kind in declared} == made
    assert declared == {*LISTS, *PARTS, *MADE_AGAIN}


def test_kinds_that_hetzner_does_not_know_are_forgotten() -> None:
    assert existing_id(_pending("x", "kubernetes:core/v1:Secret"), _client()) is None


def test_labelled_objects_outside_the_state_are_named_with_the_command_that_removes_them() -> None:
    deployment = {
        "deployment": {
            "resources": [
                {"type": SERVER, "id": "7", "inputs": {"labels": {"cluster": "demo"}}},
                {"type": "pulumi:pulumi:Stack"},
            ]
        }
    }
    client = _client((7, "demo-cp-1", "demo"), (8, "demo-cp-2", "demo"), (9, "x", "other"))

    (line,) = strangers(deployment, client)

    assert "demo-cp-2" in line
    assert "hcloud server delete 8" in line


def test_what_exists_becomes_a_resource_and_the_rest_stays_pending() -> None:
    def operation(urn: str) -> dict[str, Any]:
        inputs = {"name": urn, "userData": {"ciphertext": "x"}, "networks": [{"ip": "10.0.0.11"}]}
        return {"type": "creating", "resource": {"urn": urn, "type": SERVER, "inputs": inputs}}

    deployment = {
        "version": 3,
        "deployment": {
            "resources": [{"urn": "old"}],
            "pending_operations": [operation("made"), operation("not-made")],
        },
    }

    result = taken_over(deployment, {"made": "7"})["deployment"]

    assert [r["urn"] for r in result["resources"]] == ["old", "made"]
    assert [o["resource"]["urn"] for o in result["pending_operations"]] == ["not-made"]
    made = result["resources"][1]
    assert made["id"] == "7"
    assert made["outputs"] == made["inputs"] == {"name": "made", "networks": [{"ip": "10.0.0.11"}]}
    # The original stays as it was: it may be needed when the import fails.
    assert len(deployment["deployment"]["pending_operations"]) == 2


class _RestartingApi:
    """A control plane that serves after some answers."""

    servers = ("https://192.0.2.1:6443", "https://192.0.2.2:6443")

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals
        self.asked: list[str] = []

    def not_ready_reason(self, server: str) -> str | None:
        self.asked.append(server)
        return "Connection refused" if len(self.asked) <= self.refusals else None


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Time that passes in sleep alone; its only entry is now."""
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr("time.sleep", sleep)
    return now


def _with_gate(monkeypatch: pytest.MonkeyPatch, api: _RestartingApi) -> dict[str, Any]:
    def client(kubeconfig: str) -> _RestartingApi:
        assert kubeconfig == "planted-kubeconfig"
        return api

    monkeypatch.setattr(recover, "KubernetesApi", client)
    gate = {
        "type": "pulumi-python:dynamic/oxide:ApiGate",
        "inputs": {"kubeconfig": {"plaintext": '"planted-kubeconfig"'}},
    }
    return {"deployment": {"resources": [{"type": SERVER}, gate]}}


def test_the_control_plane_that_pulumi_goes_through_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    api = _RestartingApi(refusals=50)
    wait_for_api(_with_gate(monkeypatch, api))

    assert api.asked == ["https://192.0.2.1:6443"] * 51
    (line,) = capsys.readouterr().out.splitlines()
    assert line == "waiting for the Kubernetes API at https://192.0.2.1:6443: Connection refused"


def test_a_control_plane_that_serves_costs_one_question(
    monkeypatch: pytest.MonkeyPatch, clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    api = _RestartingApi(refusals=0)
    wait_for_api(_with_gate(monkeypatch, api))

    assert len(api.asked) == 1
    assert clock == [0.0]
    assert capsys.readouterr().out == ""


def test_a_dead_control_plane_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    wait_for_api(_with_gate(monkeypatch, _RestartingApi(refusals=10**6)))

    assert 300 < clock[0] < 900


@pytest.mark.parametrize("resources", [None, [], [{"type": SERVER}]])
def test_before_the_api_has_ever_served_nobody_waits_for_it(
    clock: list[float], resources: list[dict[str, str]] | None
) -> None:
    wait_for_api({"deployment": {"resources": resources}})

    assert clock == [0.0]


def test_a_server_that_takes_anothers_place_stands_where_that_one_is_recorded() -> None:
    new = {"urn": "server", "type": SERVER, "inputs": {"name": "demo-cp-1"}}
    deployment = {
        "deployment": {
            "resources": [
                {"urn": "network"},
                {**new, "id": "5", "pendingReplacement": True},
                {"urn": "node", "dependencies": ["server"]},
            ],
            "pending_operations": [{"type": "creating", "resource": new}],
        }
    }

    found = taken_over(deployment, {"server": "9"})["deployment"]

    assert [(one["urn"], one.get("id")) for one in found["resources"]] == [
        ("network", None),
        ("server", "9"),
        ("node", None),
    ]
    assert "pendingReplacement" not in found["resources"][1]
    assert found["pending_operations"] == []
