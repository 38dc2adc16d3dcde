"""What Hetzner sells: places and types. Prices are of the right order, not exact."""

from __future__ import annotations

from typing import Any

from lab.hetzner.paging import Record

EU = ("fsn1", "nbg1", "hel1")
US = ("ash", "hil")
SIN = ("sin",)
EVERYWHERE = EU + US + SIN

_VAT = 1.19


def _location(
    key: int, name: str, country: str, city: str, latitude: float, longitude: float, zone: str
) -> Record:
    return {
        "id": key,
        "name": name,
        "description": f"{city} DC Park 1" if zone == "eu-central" else city,
        "country": country,
        "city": city,
        "latitude": latitude,
        "longitude": longitude,
        "network_zone": zone,
    }


LOCATIONS: dict[str, Record] = {
    place["name"]: place
    for place in (
        _location(1, "fsn1", "DE", "Falkenstein", 50.47612, 12.370071, "eu-central"),
        _location(2, "nbg1", "DE", "Nuremberg", 49.452102, 11.076665, "eu-central"),
        _location(3, "hel1", "FI", "Helsinki", 60.169855, 24.938379, "eu-central"),
        _location(4, "ash", "US", "Ashburn, VA", 39.045821, -77.487073, "us-east"),
        _location(5, "hil", "US", "Hillsboro, OR", 45.54222, -122.951924, "us-west"),
        _location(6, "sin", "SG", "Singapore", 1.283333, 103.833333, "ap-southeast"),
    )
}

ZONES = sorted({place["network_zone"] for place in LOCATIONS.values()})


def price(net: float, digits: int = 4) -> dict[str, str]:
    """A price as the API writes it, in euros."""
    return {"net": f"{net:.{digits}f}", "gross": f"{net * _VAT:.{digits}f}"}


def _prices(monthly: float, places: tuple[str, ...]) -> list[dict[str, Any]]:
    return [
        {
            "location": place,
            "price_hourly": price(monthly / 624),
            "price_monthly": price(monthly),
            "included_traffic": 20 * 1024**4 if place in EU else 1024**4,
            "price_per_tb_traffic": price(1.0 if place in EU else 7.4),
        }
        for place in places
    ]


_ANNOUNCED_2024 = {"announced": "2024-06-06T08:00:00Z", "unavailable_after": "2024-09-06T08:00:00Z"}
_ANNOUNCED_2025 = {"announced": "2025-10-16T06:00:00Z", "unavailable_after": "2025-12-31T23:59:59Z"}


def _server_type(
    key: int,
    name: str,
    size: tuple[int, float, int],
    monthly: float,
    places: tuple[str, ...],
    *,
    retired: dict[str, str] | None = None,
    retired_in: tuple[str, ...] = (),
) -> Record:
    dedicated, arm = name.startswith("ccx"), name.startswith("cax")
    category = "General Purpose" if dedicated else "Cost-Optimized"
    if name.startswith("cpx"):
        category = "Regular Performance"
    return {
        "id": key,
        "name": name,
        "description": name.upper(),
        "category": category,
        "cores": size[0],
        "memory": size[1],
        "disk": size[2],
        "deprecated": retired is not None and not retired_in,
        "prices": _prices(monthly, places),
        "storage_type": "local",
        "cpu_type": "dedicated" if dedicated else "shared",
        "architecture": "arm" if arm else "x86",
        "included_traffic": 0,
        "deprecation": None if retired_in else retired,
        "locations": [
            {
                "id": LOCATIONS[place]["id"],
                "name": place,
                "recommended": retired is None,
                "available": retired is None or (bool(retired_in) and place not in retired_in),
                "deprecation": retired if not retired_in or place in retired_in else None,
            }
            for place in places
        ],
    }


_OLD = _ANNOUNCED_2024
_GONE_EU: dict[str, Any] = {"retired": _ANNOUNCED_2025, "retired_in": EU}

SERVER_TYPES: dict[str, Record] = {
    kind["name"]: kind
    for kind in (
        _server_type(1, "cx11", (1, 2, 20), 3.29, EU, retired=_OLD),
        _server_type(3, "cx21", (2, 4, 40), 4.85, EU, retired=_OLD),
        _server_type(22, "cpx11", (2, 2, 40), 4.49, EVERYWHERE, **_GONE_EU),
        _server_type(23, "cpx21", (3, 4, 80), 8.49, EVERYWHERE, **_GONE_EU),
        _server_type(24, "cpx31", (4, 8, 160), 15.49, EVERYWHERE, **_GONE_EU),
        _server_type(25, "cpx41", (8, 16, 240), 28.49, EVERYWHERE, **_GONE_EU),
        _server_type(26, "cpx51", (16, 32, 360), 60.49, EVERYWHERE, **_GONE_EU),
        _server_type(45, "cax11", (2, 4, 40), 3.79, EU),
        _server_type(93, "cax21", (4, 8, 80), 6.49, EU),
        _server_type(94, "cax31", (8, 16, 160), 12.49, EU),
        _server_type(95, "cax41", (16, 32, 320), 24.49, EU),
        _server_type(96, "ccx13", (2, 8, 80), 12.49, EVERYWHERE),
        _server_type(97, "ccx23", (4, 16, 160), 24.49, EVERYWHERE),
        _server_type(98, "ccx33", (8, 32, 240), 48.49, EVERYWHERE),
        _server_type(99, "ccx43", (16, 64, 360), 96.49, EVERYWHERE),
        _server_type(100, "ccx53", (32, 128, 600), 192.49, EVERYWHERE),
        _server_type(101, "ccx63", (48, 192, 960), 288.49, EVERYWHERE),
        _server_type(104, "cx22", (2, 4, 40), 3.79, EU, retired=_ANNOUNCED_2025),
        _server_type(105, "cx32", (4, 8, 80), 6.80, EU, retired=_ANNOUNCED_2025),
        _server_type(106, "cx42", (8, 16, 160), 16.40, EU, retired=_ANNOUNCED_2025),
        _server_type(107, "cx52", (16, 32, 320), 32.40, EU, retired=_ANNOUNCED_2025),
        _server_type(108, "cpx12", (1, 2, 40), 6.49, EU + SIN),
        _server_type(109, "cpx22", (2, 4, 80), 7.99, EU + SIN),
        _server_type(110, "cpx32", (4, 8, 160), 13.99, EU + SIN),
        _server_type(111, "cpx42", (8, 16, 320), 25.49, EU + SIN),
        _server_type(112, "cpx52", (12, 24, 480), 36.49, EU + SIN),
        _server_type(113, "cpx62", (16, 32, 640), 50.49, EU + SIN),
        _server_type(114, "cx23", (2, 4, 40), 3.49, EU),
        _server_type(115, "cx33", (4, 8, 80), 5.49, EU),
        _server_type(116, "cx43", (8, 16, 160), 9.49, EU),
        _server_type(117, "cx53", (16, 32, 320), 17.49, EU),
    )
}


def _balancer_type(
    key: int, name: str, connections: int, services: int, targets: int, monthly: float
) -> Record:
    return {
        "id": key,
        "name": name,
        "description": name.upper(),
        "max_connections": connections,
        "max_services": services,
        "max_targets": targets,
        "max_assigned_certificates": 10 if name == "lb11" else services,
        "deprecated": None,
        "deprecation": None,
        "prices": _prices(monthly, EVERYWHERE),
    }


LOAD_BALANCER_TYPES: dict[str, Record] = {
    kind["name"]: kind
    for kind in (
        _balancer_type(1, "lb11", 10_000, 5, 25, 5.39),
        _balancer_type(2, "lb21", 20_000, 15, 75, 16.40),
        _balancer_type(3, "lb31", 40_000, 30, 150, 32.90),
    )
}

ISOS: dict[str, Record] = {}
"""None: nothing in the lab boots from one."""


def lookup(things: dict[str, Record], reference: str) -> Record | None:
    """The entry with this name or id, or None."""
    by_id = (thing for thing in things.values() if str(thing["id"]) == reference)
    return things.get(reference) or next(by_id, None)


def server_type(name: str) -> Record:
    """The server type of an existing server."""
    return SERVER_TYPES[name]


def zone_of(location: str) -> str:
    """The network zone that a location belongs to."""
    return str(LOCATIONS[location]["network_zone"])
