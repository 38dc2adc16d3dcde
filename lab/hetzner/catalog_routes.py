"""Read-only endpoints: locations, types, ISOs, prices."""

from __future__ import annotations

from collections.abc import Callable

from lab.hetzner import catalog
from lab.hetzner.api import Call, Handler, Reply, Route
from lab.hetzner.errors import ApiError, not_found
from lab.hetzner.paging import Record

_DATACENTERS_GONE = "https://docs.hetzner.cloud/changelog#2026-06-02-datacenters-deprecated"


def _pair(path: str, key: str, things: dict[str, Record]) -> list[Route]:
    plural = path.lstrip("/")

    def listed(call: Call) -> Reply:
        return call.listing(
            plural, list(things.values()), dict, sort=("id", "name"), exact=("architecture",)
        )

    def one(call: Call) -> Reply:
        found = catalog.lookup(things, str(call.params["id"]))
        if found is None:
            raise not_found(key, call.params["id"])
        return Reply(200, {key: found})

    return [Route("GET", path, listed), Route("GET", path + "/{id:int}", one)]


def _gone(announcement: str) -> Callable[[Call], Reply]:
    def handler(_: Call) -> Reply:
        details = {"announcement": announcement}
        message = "API functionality was removed"
        raise ApiError(410, "deprecated_api_endpoint", message, details)

    return handler


def _pricing(_: Call) -> Reply:
    def listed(kinds: dict[str, Record]) -> list[Record]:
        return [{name: kind[name] for name in ("id", "name", "prices")} for kind in kinds.values()]

    def per_place(monthly: float) -> list[Record]:
        return [
            {
                "location": place,
                "price_hourly": catalog.price(monthly / 624),
                "price_monthly": catalog.price(monthly),
            }
            for place in catalog.LOCATIONS
        ]

    addresses = (("ipv4", 0.5), ("ipv6", 0.0))
    pricing = {
        "currency": "EUR",
        "vat_rate": "19.000000",
        "image": {"price_per_gb_month": catalog.price(0.011)},
        "floating_ip": {"price_monthly": catalog.price(3.0)},
        "floating_ips": [
            {"type": version, "prices": per_place(price)}
            for version, price in (("ipv4", 3.0), ("ipv6", 1.0))
        ],
        "primary_ips": [
            {"type": version, "prices": per_place(price)} for version, price in addresses
        ],
        "traffic": {"price_per_tb": catalog.price(0.0)},
        "server_backup": {"percentage": "20.000000"},
        "volume": {"price_per_gb_month": catalog.price(0.044)},
        "server_types": listed(catalog.SERVER_TYPES),
        "load_balancer_types": listed(catalog.LOAD_BALANCER_TYPES),
    }
    return Reply(200, {"pricing": pricing})


_no_datacenters: Handler = _gone(_DATACENTERS_GONE)

ROUTES = [
    *_pair("/locations", "location", catalog.LOCATIONS),
    *_pair("/server_types", "server_type", catalog.SERVER_TYPES),
    *_pair("/load_balancer_types", "load_balancer_type", catalog.LOAD_BALANCER_TYPES),
    *_pair("/isos", "iso", catalog.ISOS),
    Route("GET", "/datacenters", _no_datacenters),
    Route("GET", "/datacenters/{id:int}", _no_datacenters),
    Route("GET", "/pricing", _pricing),
]
