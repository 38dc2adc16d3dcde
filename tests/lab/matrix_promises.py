"""What a row of the matrix promises, looked up at Hetzner and in the cluster."""

from collections.abc import Callable
from ipaddress import ip_address, ip_network
from typing import Any

from hcloud.servers import BoundServer

from lab import vpn
from oxide_components.naming import api_load_balancer_name

from . import matrix
from .addons import objects, pod_routes, signed_kubelets, until, wanted_pod_routes
from .api_addresses import api_contexts, balancer_targets
from .cilium_agents import GATEWAY_DEFINITIONS, agent_config
from .matrix import Row
from .stacks import Stack

WORKER_SUBNET = ip_network("10.0.1.0/24")

AGENT_SWITCHES = {
    "enable-gateway-api": "gateway",
    "enable-egress-gateway": "egress",
    "enable-bandwidth-manager": "bandwidth",
    "enable-node-ipam": "nodeIpam",
}
"""Options of Cilium's agents and the axes that they follow."""


def nodes_have_the_addresses_that_they_may_have(row: Row, stack: Stack) -> None:
    """A private node has no public address; a public one has a firewall, and IPv6 and reverse names as asked for."""
    shown = {one["name"]: one["publicAddress"] for one in stack.outputs()["nodes"]}
    network = stack.cloud.networks.get_by_name(matrix.network_name(row))
    assert network is not None
    for server in _servers(stack):
        public = server.public_net
        assert [link.network.id for link in server.private_net] == [network.id]
        if _is_private(row, server):
            assert (public.ipv4, public.ipv6, shown[server.name]) == (None, None, "")
            continue
        assert public.ipv4.ip == shown[server.name]
        assert [one.status for one in public.firewalls] == ["applied"]
        assert (public.ipv6 is not None) == (row["ipv6"] == "yes")
        named = public.ipv4.dns_ptr == f"{server.name}.example.com"
        assert named == (row["rdns"] == "yes")
    if row["access"] != "public":
        assert pod_routes(stack, network.name)["0.0.0.0/0"] == matrix.NAT[row["network"]]


def the_api_is_served_at_every_address(row: Row, stack: Stack) -> None:
    """The kubeconfig names them, all answer, and their certificates have the name for people."""
    contexts = api_contexts(stack)
    planes = [name for name in matrix.nodes(row) if "-cp-" in name]
    balancer = f"admin@{api_load_balancer_name(stack.name)}"
    named = [f"admin@{name}" for name in planes]
    first = contexts[named[0]]
    if row["balancer"] == "none":
        assert stack.cloud.load_balancers.get_all() == []
    else:
        named.append(balancer)
        assert balancer_targets(stack) == planes
        if row["balancer"] == "public" or row["access"] == "private":
            first = contexts[balancer]
        if row["balancer"] == "private":
            assert contexts[balancer] == "https://10.0.0.254:6443"
    if row["hostname"] == "yes":
        first = f"https://{matrix.hostname(row)}:6443"
    assert set(contexts) == {*named, f"admin@{stack.name}", ""}
    assert contexts[""] == contexts[f"admin@{stack.name}"] == first
    assert stack.outputs()["endpoint"] == first

    names = [f"api.{stack.name}.internal"]
    if row["hostname"] == "yes":
        names.append(matrix.hostname(row))
    outside = stack.lab.vpn_url is None
    vpn.connect(stack.lab, matrix.network_name(row))
    for context in named:
        for name in names:
            answer = stack.kubectl(
                f"--context={context}", f"--tls-server-name={name}", "get", "--raw=/readyz"
            )
            assert answer == "ok"
    if outside:
        vpn.disconnect(stack.lab)


def agents_run_everywhere_as_they_were_told(row: Row, stack: Stack) -> None:
    """Cilium's rendered configuration has the modes, and what belongs to them runs."""
    config = agent_config(stack)
    assert config["routing-mode"] == row["routing"]
    assert config["ipv4-native-routing-cidr"] == (
        matrix.network_range(row) if row["routing"] == "native" else "10.0.16.0/20"
    )
    for kind in ("wireguard", "ipsec"):
        assert _on(config, f"enable-{kind}") == (row["encryption"] == kind)
    for option, axis in AGENT_SWITCHES.items():
        assert _on(config, option) == (row[axis] == "yes"), option
    assert _on(config, "enable-hubble") == (row["hubble"] != "off")

    secrets = _names(stack, "secrets")
    assert ("cilium-ipsec-keys" in secrets) == (row["encryption"] == "ipsec")
    (agents,) = (one for one in objects(stack, "daemonsets") if one["metadata"]["name"] == "cilium")
    assert agents["status"]["numberReady"] == len(matrix.nodes(row))
    wanted = {"relay": {"hubble-relay"}, "ui": {"hubble-relay", "hubble-ui"}}
    until(
        f"hubble {row['hubble']} runs",
        lambda: _available(stack, "hubble") == wanted.get(row["hubble"], set()),
    )
    definitions = [name for name in _names(stack, "customresourcedefinitions") if "gateway" in name]
    if row["gateway"] == "yes":
        assert sorted(definitions) == GATEWAY_DEFINITIONS
        assert _names(stack, "gatewayclasses") == ["cilium"]
    else:
        assert definitions == []


def addons_are_there_and_work(row: Row, stack: Stack) -> None:
    """Each has its release, and the nodes have what it gives them."""
    charts = {
        "cloudController": "hcloud-cloud-controller-manager",
        "csi": "hcloud-csi",
        "metricsServer": "metrics-server",
    }
    names = matrix.ADDONS[row["addons"]]
    releases = stack.helm("list", "--namespace", "kube-system", "--short").split()
    assert sorted(releases) == sorted(["cilium", *(charts[name] for name in names)])

    nodes = stack.nodes()
    servers = {server.name: server for server in _servers(stack)}
    for name, node in nodes.items():
        assert not [taint for taint in node["spec"].get("taints", ()) if "cloud" in taint["key"]]
        if "cloudController" in names:
            assert node["spec"]["providerID"] == f"hcloud://{servers[name].id}"
            external = [a for a in node["status"]["addresses"] if a["type"] == "ExternalIP"]
            assert bool(external) != _is_private(row, servers[name])
        else:
            assert "providerID" not in node["spec"]
    if "metricsServer" in names:
        assert signed_kubelets(stack) == {f"system:node:{name}" for name in nodes}
        until("metrics-server runs", lambda: _available(stack, "metrics-server"))
    if row["routing"] == "native":
        wanted = wanted_pod_routes(stack)
        assert len(wanted) == len(nodes)
        until("there is a route for each node", lambda: wanted.items() <= _routes(row, stack))


def the_application_has_what_it_asked_for(row: Row, stack: Stack) -> None:
    """A load balancer that reaches the nodes that take pods through the network, and a volume of this cluster."""
    names = matrix.ADDONS[row["addons"]]
    if "cloudController" in names:
        (balancer,) = stack.cloud.load_balancers.get_all(label_selector="hcloud-ccm/service-uid")
        assert ip_address(balancer.private_net[0].ip) in WORKER_SUBNET
        takers = [n for n in matrix.nodes(row) if "-worker-" in n] or matrix.nodes(row)
        ids = {server.name: server.id for server in _servers(stack)}
        assert {target.server.id for target in balancer.targets} == {ids[name] for name in takers}
        assert {target.use_private_ip for target in balancer.targets} == {True}
    if "csi" in names:
        (volume,) = stack.cloud.volumes.get_all()
        assert volume.labels["cluster"] == stack.name


ALL: tuple[Callable[[Row, Stack], None], ...] = (
    nodes_have_the_addresses_that_they_may_have,
    the_api_is_served_at_every_address,
    agents_run_everywhere_as_they_were_told,
    addons_are_there_and_work,
)


def _servers(stack: Stack) -> list[BoundServer]:
    found: list[BoundServer] = stack.cloud.servers.get_all(label_selector=f"cluster={stack.name}")
    return found


def _is_private(row: Row, server: BoundServer) -> bool:
    return row["access"] == "private" or (
        row["access"] == "workers" and server.labels["role"] != "control-plane"
    )


def _routes(row: Row, stack: Stack) -> Any:
    return pod_routes(stack, matrix.network_name(row)).items()


def _names(stack: Stack, kind: str) -> list[str]:
    return [one["metadata"]["name"] for one in objects(stack, kind)]


def _available(stack: Stack, prefix: str) -> set[str]:
    """Deployments of which all replicas are available."""
    return {
        one["metadata"]["name"]
        for one in objects(stack, "deployments")
        if one["metadata"]["name"].startswith(prefix)
        and one["status"].get("availableReplicas") == one["spec"]["replicas"]
    }


def _on(config: dict[str, str], option: str) -> bool:
    return config.get(option, "false") == "true"
