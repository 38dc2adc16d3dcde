"""What Hetzner offers right now, as a preview needs to know it: one look, time-boxed, and no failure of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv4Network

from hcloud import APIException, Client
from requests import RequestException

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


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a stack needs to know."""

    cluster_name: str
    network_id: int | None = None
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
        network=_network(client, wanted.network_id),
    )


def _network(client: Client, network_id: int | None) -> ExistingNetwork | None:
    if network_id is None:
        return None
    try:
        found = client.networks.get_by_id(network_id)
    except APIException as error:
        if error.code == "not_found":
            return None
        raise
    return ExistingNetwork(
        range=IPv4Network(found.ip_range),
        subnets={
            IPv4Network(subnet.ip_range): str(subnet.network_zone) for subnet in found.subnets or ()
        },
        has_default_route=any(route.destination == "0.0.0.0/0" for route in found.routes or ()),
    )
