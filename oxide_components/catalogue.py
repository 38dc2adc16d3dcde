"""What Hetzner offers right now, as a preview needs to know it: one look, time-boxed, and no failure of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv4Address, IPv4Network

from hcloud import APIException, Client
from hcloud.networks import BoundNetwork
from requests import RequestException

from .hetzner import SERVICE_LABEL
from .naming import LABEL_CLUSTER

TIMEOUT = 10.0
"""Seconds that one request may take."""


@dataclass(frozen=True, kw_only=True)
class ExistingNetwork:
    """The network that a cluster is to live in."""

    range: IPv4Network
    subnets: Mapping[IPv4Network, str]
    """Range and network zone of each."""
    has_default_route: bool
    routes: Mapping[IPv4Network, IPv4Address] = field(default_factory=dict)
    """Gateway of each route by its destination."""
    strangers: Mapping[IPv4Address, str] = field(default_factory=dict)
    """Servers and load balancers in it that are not the cluster's; looked up only where no run has begun with the cluster."""
    begun: bool = False
    """Whether a run has begun with the cluster: its servers, or what outlives them, exist."""


@dataclass(frozen=True, kw_only=True)
class ExistingImage:
    """The image that new servers are to boot from."""

    status: str
    """available once it can be booted."""
    architecture: str
    """x86 or arm."""


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """Hetzner's offers, and what of the cluster exists."""

    locations: Mapping[str, str]
    """Network zone of each location."""
    server_types: Mapping[str, Mapping[str, datetime | None]]
    """Of each server type the locations that have it, with the time after which no more can be made there."""
    load_balancer_types: frozenset[str] = frozenset()
    """Empty where nobody has asked for one."""
    servers: frozenset[str] = frozenset()
    """Names of the cluster's servers."""
    without_ipv6: frozenset[str] = frozenset()
    """Names of those that have no IPv6 network."""
    network: ExistingNetwork | None = None
    """None where there is no network of that id, or none was asked for."""
    image: ExistingImage | None = None
    """None where there is no image of that id, or none was asked for."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a stack needs to know."""

    cluster_name: str
    network_id: int | None = None
    image_id: int | None = None
    load_balancer: bool = False


@dataclass(frozen=True, kw_only=True)
class Hetzner:
    """Access to one Hetzner project. The repr hides the token."""

    token: str = field(repr=False)
    endpoint: str | None = None

    def look(self, wanted: Wanted) -> Catalogue | None:
        """The catalogue, or None where Hetzner does not answer."""
        where = {"api_endpoint": self.endpoint} if self.endpoint else {}
        try:
            return _look(Client(token=self.token, timeout=TIMEOUT, **where), wanted)
        except (APIException, RequestException):
            return None


def _look(client: Client, wanted: Wanted) -> Catalogue:
    servers = client.servers.get_all(label_selector=f"{LABEL_CLUSTER}={wanted.cluster_name}")
    return Catalogue(
        locations={one.name: one.network_zone for one in client.locations.get_all()},
        server_types={
            one.name: {
                place.location.name: place.deprecation.unavailable_after
                if place.deprecation
                else None
                for place in one.locations or ()
            }
            for one in client.server_types.get_all()
        },
        load_balancer_types=frozenset(
            one.name
            for one in (client.load_balancer_types.get_all() if wanted.load_balancer else ())
        ),
        servers=frozenset(one.name for one in servers),
        without_ipv6=frozenset(
            one.name for one in servers if one.public_net is None or one.public_net.ipv6 is None
        ),
        network=_network(client, wanted, servers=bool(servers)),
        image=_image(client, wanted.image_id),
    )


def _image(client: Client, image_id: int | None) -> ExistingImage | None:
    if image_id is None:
        return None
    try:
        found = client.images.get_by_id(image_id)
    except APIException as error:
        if error.code == "not_found":
            return None
        raise
    return ExistingImage(status=str(found.status), architecture=str(found.architecture))


def _network(client: Client, wanted: Wanted, *, servers: bool) -> ExistingNetwork | None:
    if wanted.network_id is None:
        return None
    try:
        found = client.networks.get_by_id(wanted.network_id)
    except APIException as error:
        if error.code == "not_found":
            return None
        raise
    routes = {
        IPv4Network(route.destination, strict=False): IPv4Address(route.gateway)
        for route in found.routes or ()
    }
    # Whoever has lost all servers still has these, beside subnets and routes of the cluster's own.
    begun = servers or bool(
        client.placement_groups.get_all(label_selector=f"{LABEL_CLUSTER}={wanted.cluster_name}")
    )
    return ExistingNetwork(
        range=IPv4Network(found.ip_range),
        subnets={
            IPv4Network(subnet.ip_range): str(subnet.network_zone) for subnet in found.subnets or ()
        },
        has_default_route=IPv4Network("0.0.0.0/0") in routes,
        routes=routes,
        strangers={} if begun else _strangers(client, found, wanted.cluster_name),
        begun=begun,
    )


def _strangers(client: Client, network: BoundNetwork, cluster_name: str) -> dict[IPv4Address, str]:
    servers = client.servers.get_all() if network.servers else []
    found: dict[IPv4Address, str] = {}
    for one in (*servers, *client.load_balancers.get_all()):
        labels = one.labels or {}
        # Nobody can tell whose Service a load balancer stands for; it may have outlived this cluster's servers.
        if labels.get(LABEL_CLUSTER) == cluster_name or SERVICE_LABEL in labels:
            continue
        for link in one.private_net or ():
            if link.network.id == network.id:
                found[IPv4Address(link.ip)] = str(one.name)
    return found
