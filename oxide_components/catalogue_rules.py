"""Checks of a stack against what Hetzner offers and what exists there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from ipaddress import IPv4Network
from typing import Any

from .catalogue import Catalogue, ExistingNetwork
from .config_exposure import PUBLIC
from .config_reader import Reader
from .errors import Problem
from .naming import CONTROL_PLANE_POOL, in_turn, server_name


def check_catalogue(
    reader: Reader, fields: dict[str, Any], catalogue: Catalogue, now: datetime | None = None
) -> list[Problem]:
    """
    Reports what Hetzner does not have. Servers that exist are never in question: only new ones need an offer.

    Returns:
        What works and deserves attention.
    """
    now = now or datetime.now(UTC)
    warnings: list[Problem] = []
    seen: set[tuple[str, str]] = set()
    for key, path, place, server_type, location, names in _uses(fields):
        if not names:
            continue
        zone = catalogue.locations.get(location)
        if ("location", location) not in seen and reader.ok(
            key, "location", "controlPlaneLocations", "networkZone"
        ):
            seen.add(("location", location))
            if zone is None:
                reader.add(
                    place,
                    location,
                    "does not exist at Hetzner",
                    f"use one of {', '.join(sorted(catalogue.locations))}",
                )
            elif zone != fields["network_zone"]:
                reader.add(
                    place,
                    location,
                    f"is in network zone {zone} and the cluster is in {fields['network_zone']}",
                    "keep all nodes in one zone, because a network has only one",
                )
        if (server_type, location) in seen or not reader.ok(key):
            continue
        seen.add((server_type, location))
        is_new = not names <= catalogue.servers
        warnings += _offer(reader, path, server_type, location, catalogue, now=now, is_new=is_new)
    kind = fields["api_load_balancer_type"]
    if catalogue.load_balancer_types and kind not in catalogue.load_balancer_types:
        reader.add(
            "apiLoadBalancerType",
            kind,
            "does not exist at Hetzner",
            f"use one of {', '.join(sorted(catalogue.load_balancer_types))}",
        )
    if fields["network_id"] is not None and reader.ok("networkId"):
        reader.add_all(_network_problems(fields, catalogue.network))
        if reader.ok("podCidr", "serviceCidr"):
            reader.add_all(_routed_problems(fields, catalogue))
        warnings += _doubtful_subnets(fields, catalogue)
    reader.add_all(_reverse_name_problems(fields, catalogue))
    return warnings


def _reverse_name_problems(fields: Mapping[str, Any], catalogue: Catalogue) -> Iterator[Problem]:
    """A server gets its IPv6 network when it is made, and without one there is nothing to name."""
    if not fields["rdns"] or not fields["ipv6"]:
        return
    public = {
        name
        for key, *_, names in _uses(fields)
        for name in names
        if fields["access" if key == "controlPlaneServerType" else "worker_access"] == PUBLIC
    }
    if bare := sorted(public & catalogue.without_ipv6):
        yield Problem(
            setting="ipv6",
            value="true",
            reason=f"gives {', '.join(bare)} no IPv6 network, which only new servers get, and rdns has to name one",
            way_out="set it to false as long as they are there, or take rdns away",
        )


def _uses(fields: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str, str, frozenset[str]]]:
    """Setting, path of the type, path of the location, server type, location and server names of each group of nodes."""
    cluster, locations = fields["cluster_name"], fields["control_plane_locations"]
    for place, location in enumerate(locations):
        yield (
            "controlPlaneServerType",
            "controlPlaneServerType",
            "location" if locations == (fields["location"],) else f"controlPlaneLocations[{place}]",
            fields["control_plane_server_type"],
            location,
            frozenset(
                server_name(cluster, CONTROL_PLANE_POOL, index)
                for index in range(1, fields["control_planes"] + 1)
                if in_turn(locations, index) == location
            ),
        )
    for place, pool in enumerate(fields["worker_pools"], start=-1):
        names = frozenset(
            server_name(cluster, pool.name, index, pool.generation)
            for index in range(1, pool.count + 1)
        )
        key = "workerServerType" if place < 0 else "workerPools"
        path = key if place < 0 else f"workerPools[{place}].serverType"
        where = "location" if place < 0 else f"workerPools[{place}].location"
        yield key, path, where, pool.server_type, pool.location, names


def _offer(
    reader: Reader,
    path: str,
    server_type: str,
    location: str,
    catalogue: Catalogue,
    *,
    now: datetime,
    is_new: bool,
) -> list[Problem]:
    offers = catalogue.server_types.get(server_type)
    others = sorted(
        name
        for name, places in catalogue.server_types.items()
        if location in places and (places[location] is None or places[location] > now)  # type: ignore[operator]
    )
    way_out = f"use one that {location} has: {', '.join(others[:12])}"
    if not is_new:
        return []
    if location not in catalogue.locations:
        # What such a place has is anybody's guess.
        others = sorted(catalogue.server_types)
        way_out = f"use another, such as {', '.join(others[:12])}"
    if not offers:
        reader.add(path, server_type, "does not exist at Hetzner", way_out)
    elif location not in catalogue.locations:
        return []
    elif location not in offers:
        reader.add(path, server_type, f"is not to be had in {location}", way_out)
    elif (end := offers[location]) is not None and end <= now:
        reader.add(
            path,
            server_type,
            f"can no longer be ordered in {location} since {end:%Y-%m-%d}",
            way_out,
        )
    elif end is not None:
        return [
            Problem(
                setting=path,
                value=server_type,
                reason=f"can be ordered in {location} until {end:%Y-%m-%d} only",
                way_out="choose another type for nodes to come",
            )
        ]
    return []


def _network_problems(
    fields: Mapping[str, Any], network: ExistingNetwork | None
) -> Iterator[Problem]:
    network_id = str(fields["network_id"])
    if network is None:
        yield Problem(
            setting="networkId",
            value=network_id,
            reason="is no network of this Hetzner project",
            way_out="give the id that `hcloud network list` shows",
        )
        return
    if network.range != fields["network_cidr"]:
        yield Problem(
            setting="networkCidr",
            value=str(fields["network_cidr"]),
            reason=f"is not the range of network {network_id}, {network.range}",
            way_out=f"set it to {network.range}",
        )
    yield from _subnet_problems(fields, network)
    zones = {zone for zone in network.subnets.values() if zone != fields["network_zone"]}
    for zone in sorted(zones):
        yield Problem(
            setting="networkId",
            value=network_id,
            reason=f"has subnets in zone {zone} and the cluster is in {fields['network_zone']}",
            way_out="use a network of the cluster's zone",
        )
    if fields["existing_nat_route"] and not network.has_default_route:
        yield Problem(
            setting="existingNatRoute",
            value="true",
            reason=f"is not so: network {network_id} has no route for 0.0.0.0/0",
            way_out="add the route, or set natGateway",
        )


def _own_subnets(fields: Mapping[str, Any]) -> dict[str, IPv4Network]:
    return {
        "controlSubnetCidr": fields["control_subnet_cidr"],
        "workerSubnetCidr": fields["worker_subnet_cidr"],
    }


def _subnet_problems(fields: Mapping[str, Any], network: ExistingNetwork) -> Iterator[Problem]:
    for setting, cidr in _own_subnets(fields).items():
        for subnet in network.subnets:
            reason = ""
            # The same range may be the cluster's own subnet of an earlier run.
            if subnet != cidr and subnet.overlaps(cidr):
                reason = f"overlaps subnet {subnet} of network {fields['network_id']}"
            elif subnet == cidr and (names := _inside(network, cidr)):
                reason = f"is a subnet of network {fields['network_id']} where others live: {', '.join(names[:5])}"
            if reason:
                yield Problem(
                    setting=setting,
                    value=str(cidr),
                    reason=reason,
                    way_out="choose a free part of the network",
                )


def _doubtful_subnets(fields: Mapping[str, Any], catalogue: Catalogue) -> Iterator[Problem]:
    """Subnets of the cluster's ranges, in which nobody lives: an earlier run may have made them, or somebody else."""
    network = catalogue.network
    if network is None or catalogue.servers:
        return
    for setting, cidr in _own_subnets(fields).items():
        if cidr in network.subnets and not _inside(network, cidr):
            yield Problem(
                setting=setting,
                value=str(cidr),
                reason=f"is a subnet of network {fields['network_id']} already, and Hetzner takes no second one",
                way_out="if an earlier run of this stack made it, all is well; else choose a free part of the network, or delete it",
            )


def _inside(network: ExistingNetwork, cidr: IPv4Network) -> list[str]:
    return sorted({name for address, name in network.strangers.items() if address in cidr})


def _routed_problems(fields: Mapping[str, Any], catalogue: Catalogue) -> Iterator[Problem]:
    """With native routing the network holds pods and services, too."""
    network = catalogue.network
    if network is None or fields["cilium_modes"].routing_mode != "native":
        return
    network_id, own = fields["network_id"], _own_subnets(fields).values()
    for setting, cidr in (("podCidr", fields["pod_cidr"]), ("serviceCidr", fields["service_cidr"])):
        taken = [
            f"overlaps subnet {subnet} of network {network_id}"
            for subnet in network.subnets
            if subnet not in own and subnet.overlaps(cidr)
        ]
        # Once there are nodes, the cloud controller has routes to their pods.
        if setting == "podCidr" and not catalogue.servers:
            taken += [
                f"holds the route of network {network_id} to {destination} through {gateway}"
                for destination, gateway in network.routes.items()
                if destination.subnet_of(cidr)
            ]
        for reason in taken:
            yield Problem(
                setting=setting,
                value=str(cidr),
                reason=reason,
                way_out="choose a free part of the network",
            )
