"""Checks of a stack against what Hetzner offers and what exists there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from .catalogue import Catalogue
from .catalogue_network import check_network
from .config_exposure import PUBLIC
from .config_reader import Reader
from .errors import Problem
from .hetzner import server_type_architecture
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
        warnings += check_network(reader, fields, catalogue)
    if fields["image_id"] is not None and reader.ok("imageId"):
        reader.add_all(_image_problems(fields, catalogue))
    reader.add_all(_reverse_name_problems(fields, catalogue))
    return warnings


def _image_problems(fields: Mapping[str, Any], catalogue: Catalogue) -> Iterator[Problem]:
    """Only servers to be made boot from it: those that exist outlive their image."""
    wanted = {
        server_type_architecture(server_type)
        for _, _, _, server_type, _, names in _uses(fields)
        if not names <= catalogue.servers
    }
    image, reason, way_out = catalogue.image, "", ""
    if image is None:
        reason = "is no image of this Hetzner project"
        way_out = "give the id that `hcloud image list --type snapshot` shows"
    elif image.status != "available":
        reason = f"is {image.status}, and servers boot from nothing but what is available"
        way_out = "wait until it is, or use another image"
    elif wanted - {image.architecture}:
        reason = f"is an image for {image.architecture}, and new servers need {', '.join(sorted(wanted))}"
        way_out = "give an image of that architecture, or use imageSelector"
    if wanted and reason:
        yield Problem(
            setting="imageId", value=str(fields["image_id"]), reason=reason, way_out=way_out
        )


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
