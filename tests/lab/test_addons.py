"""Add-ons on the lab: Kubernetes' own cloud controllers make load balancers, claims get volumes, a destroy clears what they made."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hcloud.load_balancer_types import LoadBalancerType
from hcloud.locations import Location

from lab import api

from .stacks import TRACEBACK, Stack

ALL: dict[str, Any] = {
    "cloudController": {"chart": "./lab/charts/hcloud-cloud-controller-manager"},
    "csi": {"chart": "./lab/charts/hcloud-csi", "encryptedStorageClass": True},
    "metricsServer": {"chart": "./lab/charts/metrics-server"},
}

PATIENCE = 120.0
"""Seconds for what controllers do within a few on a machine without load."""

WEB = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec:
  storageClassName: hcloud-volumes-encrypted
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 12Gi}}
---
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  containers: [{name: web, image: nginx, volumeMounts: [{name: data, mountPath: /data}]}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
"""


@pytest.fixture
def make(new_stack: Callable[..., Stack]) -> Iterator[Callable[..., Stack]]:
    """Makes stacks with add-ons; whatever of their volumes is left is removed at the end."""
    made: list[Stack] = []

    def new(name: str, *addons: str, **settings: object) -> Stack:
        made.append(new_stack(name, controlPlanes="1", workers="1", **settings))
        switch_on(made[-1], *addons)
        return made[-1]

    yield new
    for stack in made:
        api.clear_faults(stack.lab)
        stack.discard()
        for left in (*stack.cloud.load_balancers.get_all(), *stack.cloud.volumes.get_all()):
            left.delete()


def until(what: str, found: Callable[[], Any]) -> Any:
    """What `found` returns once it is true."""
    end = time.monotonic() + PATIENCE
    while not (value := found()):
        assert time.monotonic() < end, f"not within {PATIENCE:.0f} s: {what}"
        time.sleep(1)
    return value


def objects(stack: Stack, kind: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        stack.kubectl("get", kind, "--all-namespaces", "-o", "json")
    )["items"]
    return found


def deploy_web(stack: Stack) -> None:
    """An application with a load balancer and a volume, both of which exist when this returns."""
    file = stack.project / "web.yaml"
    file.write_text(WEB)
    stack.kubectl("apply", "-f", str(file))
    until(
        "the Service has an address",
        lambda: [
            ingress
            for service in objects(stack, "services")
            for ingress in service["status"]["loadBalancer"].get("ingress", ())
        ],
    )
    until(
        "the volume is attached",
        lambda: [volume for volume in stack.cloud.volumes.get_all() if volume.server],
    )


def switch_on(stack: Stack, *names: str) -> None:
    for name in names:
        for key, value in ALL[name].items():
            stack.set(f'addons["{name}"]["{key}"]', value)


def switch_off(stack: Stack, *names: str) -> None:
    for name in names:
        stack.ok("config", "rm", "--path", f'addons["{name}"]')


def test_add_ons_work_and_are_switched_off_only_when_nothing_needs_them(
    make: Callable[..., Stack],
) -> None:
    stack = make("addons", *ALL)
    stack.up()

    nodes = stack.nodes()
    assert {node["spec"]["providerID"][:9] for node in nodes.values()} == {"hcloud://"}
    assert not [
        taint
        for node in nodes.values()
        for taint in node["spec"].get("taints", ())
        if "cloudprovider" in taint["key"]
    ]
    assert stack.ready_nodes() == sorted(nodes)
    assert _signed(stack) == {f"system:node:{name}" for name in nodes}
    assert stack.ok("preview").changes == {}
    _assert_no_token(stack)

    deploy_web(stack)
    (balancer,) = stack.cloud.load_balancers.get_all()
    assert balancer.load_balancer_type.name == "lb11"
    assert balancer.private_net[0].ip.startswith("10.0.1.")
    assert [target.use_private_ip for target in balancer.targets] == [True]
    (volume,) = stack.cloud.volumes.get_all()
    assert volume.labels["cluster"] == "addons"
    assert volume.size == 12

    switch_off(stack, "cloudController", "csi")
    for arguments in (["preview"], ["up", "--yes", "--skip-preview"]):
        refused = stack.run(*arguments)
        assert refused.code != 0
        assert "oxide:addons.cloudController cannot be switched off" in refused.text
        assert "default/web" in refused.text
        assert "oxide:addons.csi cannot be switched off" in refused.text
        assert volume.name in refused.text
        assert TRACEBACK not in refused.text
    assert "hcloud-csi" in stack.helm("list", "--namespace", "kube-system", "--short")

    api.plan_fault(stack.lab, {"kind": "dead", "server": "addons-cp-1"})
    silent = stack.run("preview")
    assert silent.code != 0
    assert "the cluster does not answer" in silent.text


def test_what_nothing_needs_any_more_goes_and_comes_back(make: Callable[..., Stack]) -> None:
    stack = make("toggle", *ALL)
    stack.up()
    deploy_web(stack)
    switch_off(stack, *ALL)
    assert stack.run("preview").code != 0

    stack.kubectl("delete", "-f", str(stack.project / "web.yaml"), "--grace-period=1")
    until("the load balancer is gone", lambda: not stack.cloud.load_balancers.get_all())
    until("the volume is gone", lambda: not stack.cloud.volumes.get_all())
    until("nothing of it is left in Kubernetes", lambda: not objects(stack, "persistentvolumes"))
    stack.up()
    assert stack.helm("list", "--namespace", "kube-system", "--short").split() == ["cilium"]
    assert stack.ok("preview").changes == {}

    # Nodes that registered without a cloud controller are initialised later.
    stack.set("workers", "2")
    stack.up()
    assert "providerID" not in stack.nodes()["toggle-worker-2"]["spec"]
    switch_on(stack, "cloudController")
    stack.up()
    assert stack.nodes()["toggle-worker-2"]["spec"]["providerID"].startswith("hcloud://")
    assert len(stack.agreed()) == 3
    assert stack.ok("preview").changes == {}


@pytest.mark.parametrize("calamity", ["none", "dead"])
def test_a_destroy_clears_load_balancers_and_keeps_volumes_unless_told_otherwise(
    make: Callable[..., Stack], calamity: str
) -> None:
    name = f"clear-{calamity}"
    stack = make(name, "cloudController", "csi")
    stack.up()
    deploy_web(stack)
    (volume,) = stack.cloud.volumes.get_all()
    stranger = _stranger(stack)
    told = stack.ok("refresh", "--yes").text
    assert "will be deleted with the cluster" in told
    assert f"volume {volume.name} (12 GB) will be kept" in told
    assert "a destroy takes the passphrase of encrypted volumes with it" in told
    if calamity == "dead":
        api.plan_fault(stack.lab, {"kind": "dead", "server": f"{name}-cp-1"})

    run = stack.destroy()

    assert f"{volume.name} (12 GB)" in run.text
    assert f"hcloud volume delete {volume.id}" in run.text
    assert TRACEBACK not in run.text
    assert stack.resources() == []
    assert [found.id for found in stack.cloud.load_balancers.get_all()] == [stranger]
    assert [found.id for found in stack.cloud.volumes.get_all()] == [volume.id]
    assert stack.cloud.networks.get_by_name(name) is None
    assert stack.cloud.servers.get_all(label_selector=f"cluster={name}") == []


def test_a_destroy_deletes_volumes_where_the_stack_says_so(make: Callable[..., Stack]) -> None:
    stack = make("volumes", "cloudController", "csi")
    stack.up()
    deploy_web(stack)
    kept = stack.cloud.volumes.create(size=10, name="other", location=Location(name="nbg1")).volume
    api.plan_fault(stack.lab, {"kind": "dead", "server": "volumes-cp-1"})

    stack.set("deleteVolumes", "true")
    stack.ok("up", "--yes", "--skip-preview", "--target", "**::cloud-cleanup")
    stack.destroy()

    assert [volume.id for volume in stack.cloud.volumes.get_all()] == [kept.id]
    assert stack.cloud.load_balancers.get_all() == []


def test_native_routing_has_a_route_for_each_node_and_can_be_destroyed(
    make: Callable[..., Stack],
) -> None:
    stack = make(
        "native",
        "cloudController",
        routingMode="native",
        networkCidr="10.0.0.0/16",
        podCidr="10.0.128.0/20",
        serviceCidr="10.96.0.0/16",
    )
    stack.up()

    wanted = {
        node["spec"]["podCIDR"]: address["address"]
        for node in stack.nodes().values()
        for address in node["status"]["addresses"]
        if address["type"] == "InternalIP"
    }
    assert len(wanted) == 2
    until("there is a route for each node", lambda: _routes(stack) == wanted)

    stack.destroy()
    assert stack.cloud_objects() == {}


def _routes(stack: Stack) -> dict[str, str]:
    network = stack.cloud.networks.get_by_name(stack.name)
    assert network is not None
    return {route.destination: route.gateway for route in network.routes or ()}


def _signed(stack: Stack) -> set[str]:
    """Kubelets whose serving certificates have been approved."""
    return {
        request["spec"]["username"]
        for request in until("requests are answered", lambda: _serving_requests(stack))
        if any(c["type"] == "Approved" for c in request["status"].get("conditions", ()))
    }


def _serving_requests(stack: Stack) -> list[dict[str, Any]]:
    found = [
        request
        for request in objects(stack, "csr")
        if request["spec"]["signerName"] == "kubernetes.io/kubelet-serving"
    ]
    return found if all(request["status"].get("conditions") for request in found) else []


def _assert_no_token(stack: Stack) -> None:
    token = stack.lab.token
    state = stack.state()
    assert token not in state
    assert base64.b64encode(token.encode()).decode() not in state
    assert token not in stack.log


def _stranger(stack: Stack) -> int:
    """A load balancer of another cluster's Service."""
    made = stack.cloud.load_balancers.create(
        name=f"stranger-of-{stack.name}",
        load_balancer_type=LoadBalancerType(name="lb11"),
        location=Location(name="nbg1"),
        labels={"hcloud-ccm/service-uid": "somebody-elses"},
    )
    return int(made.load_balancer.id)
