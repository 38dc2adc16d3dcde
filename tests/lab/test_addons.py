"""Add-ons on the lab: Kubernetes' own cloud controllers make load balancers, claims get volumes, a destroy clears what they made."""

import base64
from collections.abc import Callable, Iterator

import pytest
from hcloud.load_balancer_types import LoadBalancerType
from hcloud.locations import Location

from lab import api
from oxide_components.kubernetes_api import KubernetesApi

from .addons import (
    ALL,
    deploy_web,
    objects,
    pod_routes,
    signed_kubelets,
    switch_on,
    until,
    wanted_pod_routes,
)
from .stacks import TRACEBACK, Stack


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
    assert signed_kubelets(stack) == {f"system:node:{name}" for name in nodes}
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
    # What a drain waits for.
    client = KubernetesApi(stack.outputs()["kubeconfig"])
    assert client.volumes_of(client.items("/api/v1/namespaces/default/pods")) == {volume.name}
    until("it is attached", lambda: client.attached_volumes("addons-worker-1") == {volume.name})

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

    wanted = wanted_pod_routes(stack)
    assert len(wanted) == 2
    until("there is a route for each node", lambda: pod_routes(stack, stack.name) == wanted)

    stack.destroy()
    assert stack.cloud_objects() == {}


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
