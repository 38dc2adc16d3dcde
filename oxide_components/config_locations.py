"""Locations in a stack's configuration: where nodes stand, all in one network zone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from . import naming
from .config_reader import Reader
from .errors import Problem
from .hetzner import ZONES


def read_locations(reader: Reader, fields: dict[str, Any]) -> None:
    """Reads the control planes' locations and the network zone; the pools must have been read."""
    own = _control_plane_locations(reader)
    fields["control_plane_locations"] = tuple(own.values()) or (fields["location"],)
    places = {"location": fields["location"], **own}
    places |= {
        f"workerPools[{index}].location": pool.location
        for index, pool in enumerate(fields["worker_pools"][1:])
    }
    fields["network_zone"] = _network_zone(reader, places)


def location_warnings(fields: dict[str, Any]) -> list[Problem]:
    """Several locations of which one holds the quorum."""
    locations, count = fields["control_plane_locations"], fields["control_planes"]
    used = [naming.in_turn(locations, index) for index in range(1, count + 1)]
    heaviest = max(locations, key=used.count)
    if len(set(used)) < 2 or used.count(heaviest) <= count // 2:
        return []
    return [
        Problem(
            setting="controlPlaneLocations",
            value=", ".join(locations),
            reason=f"puts {used.count(heaviest)} of {count} control planes into {heaviest}, without which there is no quorum",
            way_out="use three locations if the cluster is to outlive the loss of any one",
        )
    ]


def _control_plane_locations(reader: Reader) -> dict[str, str]:
    """The setting's locations by their path."""
    found: dict[str, str] = {}
    for index, value in enumerate(reader.array("controlPlaneLocations")):
        path = f"controlPlaneLocations[{index}]"
        if not isinstance(value, str) or not value:
            reader.add(path, value, "is not a location", f"use {', '.join(ZONES)}")
        elif value in found.values():
            reader.add(path, value, "is listed twice", "remove one of them")
        else:
            found[path] = value
    return found


def _network_zone(reader: Reader, places: Mapping[str, str]) -> str:
    zone = reader.text("networkZone")
    if zone and zone not in ZONES.values() and not re.fullmatch(r"[a-z]{2}-[a-z]+", zone):
        reader.add(
            "networkZone",
            zone,
            "is not a network zone",
            f"use one of {', '.join(sorted(set(ZONES.values())))}, or remove the key",
        )
        return zone
    zone = zone or ZONES.get(places["location"], "")
    for path, place in places.items():
        known = ZONES.get(place)
        if known is None and not reader.is_set("networkZone"):
            reader.add(
                path,
                place,
                "is not a location that this release knows",
                f"use one of {', '.join(ZONES)}, or set networkZone too if Hetzner has added it",
            )
        elif known is not None and zone and known != zone:
            reader.add(
                path,
                place,
                f"is in network zone {known} and the cluster is in {zone}",
                "keep all nodes in one zone, because a network has only one",
            )
    return zone
