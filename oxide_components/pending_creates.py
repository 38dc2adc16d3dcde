"""Finds at Hetzner what a killed engine had begun to create, whatever kind of object it is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from hcloud import APIException, Client

from .naming import LABEL_CLUSTER


@dataclass(frozen=True, kw_only=True)
class PendingCreate:
    """A creation that the engine had begun and did not see the end of."""

    urn: str
    type: str
    inputs: Mapping[str, Any]


LISTS: Final[Mapping[str, Callable[[Client], Any]]] = {
    "hcloud:index/network:Network": lambda client: client.networks,
    "hcloud:index/firewall:Firewall": lambda client: client.firewalls,
    "hcloud:index/placementGroup:PlacementGroup": lambda client: client.placement_groups,
    "hcloud:index/primaryIp:PrimaryIp": lambda client: client.primary_ips,
    "hcloud:index/server:Server": lambda client: client.servers,
    "hcloud:index/loadBalancer:LoadBalancer": lambda client: client.load_balancers,
}
"""Pulumi type -> where Hetzner lists such objects, which have names and labels."""

MADE_AGAIN: Final = frozenset({"hcloud:index/rdns:Rdns"})
"""Types whose creation can be repeated: it sets a value that is always there."""


def pending_creates(deployment: Mapping[str, Any]) -> list[PendingCreate]:
    """Pending creations in an exported stack."""
    operations = deployment.get("deployment", {}).get("pending_operations") or []
    return [
        PendingCreate(
            urn=operation["resource"]["urn"],
            type=operation["resource"]["type"],
            inputs=operation["resource"].get("inputs") or {},
        )
        for operation in operations
        if operation.get("type") == "creating"
    ]


def existing_id(pending: PendingCreate, client: Client) -> str | None:
    """
    Id, as the provider writes it, of the object that the pending creation made; None where there is none.

    Of objects with names only those with this name and this cluster's label count: nobody else's are ever adopted. Parts of an
    object belong to whom the object does.
    """
    if find := PARTS.get(pending.type):
        try:
            return find(pending.inputs, client)
        except APIException as error:
            # The object that it would be part of is gone.
            if error.code == "not_found":
                return None
            raise
    if pending.type not in LISTS:
        return None
    name = pending.inputs.get("name")
    cluster = (pending.inputs.get("labels") or {}).get(LABEL_CLUSTER)
    if not name or not cluster:
        return None
    found = LISTS[pending.type](client).get_all(
        name=name, label_selector=f"{LABEL_CLUSTER}={cluster}"
    )
    return str(found[0].id) if found else None


def _subnet(inputs: Mapping[str, Any], client: Client) -> str | None:
    network = client.networks.get_by_id(int(inputs["networkId"]))
    ranges = [subnet.ip_range for subnet in network.subnets or []]
    return f"{network.id}-{inputs['ipRange']}" if inputs.get("ipRange") in ranges else None


def _route(inputs: Mapping[str, Any], client: Client) -> str | None:
    network = client.networks.get_by_id(int(inputs["networkId"]))
    wanted = (inputs["destination"], inputs["gateway"])
    routes = [(route.destination, route.gateway) for route in network.routes or []]
    return f"{network.id}-{inputs['destination']}" if wanted in routes else None


def _load_balancer_network(inputs: Mapping[str, Any], client: Client) -> str | None:
    balancer = client.load_balancers.get_by_id(int(inputs["loadBalancerId"]))
    network_id = int(str(inputs.get("networkId") or inputs["subnetId"]).split("-")[0])
    if network_id not in [net.network.id for net in balancer.private_net or [] if net.network]:
        return None
    # The provider switches the public interface after it has attached, and could not do so later without attaching anew.
    wanted = inputs.get("enablePublicInterface", True)
    if balancer.public_net and balancer.public_net.enabled != wanted:
        switch = balancer.enable_public_interface if wanted else balancer.disable_public_interface
        switch().wait_until_finished()
    return f"{balancer.id}-{network_id}"


def _load_balancer_service(inputs: Mapping[str, Any], client: Client) -> str | None:
    balancer = client.load_balancers.get_by_id(int(inputs["loadBalancerId"]))
    port = int(inputs["listenPort"])
    ports = [service.listen_port for service in balancer.services or []]
    return f"{balancer.id}__{port}" if port in ports else None


def _load_balancer_target(inputs: Mapping[str, Any], client: Client) -> str | None:
    balancer = client.load_balancers.get_by_id(int(inputs["loadBalancerId"]))
    server_id = int(inputs["serverId"])
    servers = [target.server.id for target in balancer.targets or [] if target.server]
    return f"lb-srv-tgt-{server_id}-{balancer.id}" if server_id in servers else None


PARTS: Final[Mapping[str, Callable[[Mapping[str, Any], Client], str | None]]] = {
    "hcloud:index/networkSubnet:NetworkSubnet": _subnet,
    "hcloud:index/networkRoute:NetworkRoute": _route,
    "hcloud:index/loadBalancerNetwork:LoadBalancerNetwork": _load_balancer_network,
    "hcloud:index/loadBalancerService:LoadBalancerService": _load_balancer_service,
    "hcloud:index/loadBalancerTarget:LoadBalancerTarget": _load_balancer_target,
}
"""Pulumi type -> the part of another object that it is. The ids are those that terraform-provider-hcloud writes."""
