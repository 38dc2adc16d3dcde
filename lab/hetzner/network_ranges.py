"""Ranges and addresses of private networks: what fits, what is free."""

from __future__ import annotations

from typing import Any

from lab.hetzner import addresses, catalog
from lab.hetzner.addresses import Address, Network, NoAddress
from lab.hetzner.bodies import Body
from lab.hetzner.errors import invalid_field, limit_exceeded, refused
from lab.hetzner.store import Record, Store

MOST_SUBNETS = 50
MOST_ROUTES = 100
MOST_ATTACHMENTS = 100

SUBNET_TYPES = ("cloud", "server", "vswitch")


def read_range(
    body: Body, name: str, *, longest_prefix: int, required: bool = True
) -> Network | None:
    """A private IPv4 range out of a request; problems are noted in the body."""
    text = body.text(name, required=required)
    if text is None:
        return None
    network = addresses.parse_network(text)
    if network is None:
        body.fail(name, "is not an IPv4 range in CIDR notation without host bits")
    elif not addresses.is_private(network):
        body.fail(name, "is not within a private range of RFC 1918")
    elif network.prefixlen > longest_prefix:
        body.fail(name, f"is too small, a /{longest_prefix} is the smallest possible")
    else:
        return network
    return None


def new_subnet(network: Record, body: Body) -> Record:
    """A subnet as a request asks for it, checked against what the network has already."""
    kind = body.text("type", required=True, choices=SUBNET_TYPES)
    zone = body.text("network_zone", required=True, choices=catalog.ZONES)
    wanted = read_range(body, "ip_range", longest_prefix=30, required=False)
    vswitch = body.integer("vswitch_id", required=kind == "vswitch")
    body.check()
    whole = Network(network["ip_range"])
    taken = [Network(s["ip_range"]) for s in network["subnets"]]
    if len(taken) >= MOST_SUBNETS:
        raise limit_exceeded(["subnets"], f"a network has at most {MOST_SUBNETS} subnets")
    if wanted is None:
        wanted = _first_free_24(whole, taken)
    if not wanted.subnet_of(whole):
        raise invalid_field("ip_range", f"{wanted} is not within the network's range {whole}")
    routes = [Network(route["destination"]) for route in network["routes"]]
    for other in taken + [route for route in routes if route.prefixlen]:
        if wanted.overlaps(other):
            raise invalid_field("ip_range", f"{wanted} overlaps with {other}")
    subnet: Record = {
        "type": kind,
        "ip_range": str(wanted),
        "network_zone": zone,
        "gateway": addresses.gateway_of(network["ip_range"]),
    }
    return {**subnet, "vswitch_id": vswitch} if kind == "vswitch" else subnet


def _first_free_24(whole: Network, taken: list[Network]) -> Network:
    sizes = whole.subnets(new_prefix=24) if whole.prefixlen <= 24 else iter([whole])
    for candidate in sizes:
        if not any(candidate.overlaps(other) for other in taken):
            return candidate
    raise invalid_field("ip_range", "no /24 range is left in the network")


def new_route(network: Record, body: Body) -> Record:
    """A route as a request asks for it, checked against the network."""
    destination = body.text("destination", required=True) or ""
    gateway = body.text("gateway", required=True) or ""
    body.check()
    target, via = addresses.parse_network(destination), addresses.parse_address(gateway)
    if target is None or (target.prefixlen and not addresses.is_private(target)):
        raise invalid_field("destination", "is neither a private IPv4 range nor 0.0.0.0/0")
    if via is None or via not in Network(network["ip_range"]):
        raise invalid_field("gateway", "is not an address of the network")
    if gateway == addresses.gateway_of(network["ip_range"]) or via == addresses.PUBLIC_GATEWAY:
        raise invalid_field("gateway", "is reserved")
    if len(network["routes"]) >= MOST_ROUTES:
        raise limit_exceeded(["routes"], f"a network has at most {MOST_ROUTES} routes")
    others = [Network(route["destination"]) for route in network["routes"]]
    subnets = (
        [Network(subnet["ip_range"]) for subnet in network["subnets"]] if target.prefixlen else []
    )
    for other in subnets + others:
        if target == other or (target.prefixlen and other.prefixlen and target.overlaps(other)):
            raise invalid_field("destination", f"{target} overlaps with {other}")
    return {"destination": destination, "gateway": gateway}


def attachments(store: Store, network: Record) -> list[tuple[str, Record, dict[str, Any]]]:
    """What is in the network: kind, object and its `private_net` entry."""
    return [
        (kind, record, attachment)
        for kind in ("server", "load_balancer")
        for record in store.all(kind)
        for attachment in record["private_net"]
        if attachment["network"] == network["id"]
    ]


def used_addresses(store: Store, network: Record) -> set[str]:
    """The addresses in use inside the network."""
    inside = attachments(store, network)
    used = {attachment["ip"] for _, _, attachment in inside}
    return used.union(*(attachment.get("alias_ips", []) for _, _, attachment in inside))


def require_room(store: Store, network: Record) -> None:
    """Raise `resource_limit_exceeded` if nothing more can be attached to the network."""
    if len(attachments(store, network)) >= MOST_ATTACHMENTS:
        message = f"a network takes at most {MOST_ATTACHMENTS} resources"
        raise limit_exceeded(["network_attachments"], message)


def choose_address(
    store: Store, network: Record, location: str, ip: str | None, ip_range: str | None
) -> str:
    """The address that an attachment gets.

    Args:
        store: the project's objects.
        network: where to attach.
        location: where the object stands; only subnets of its network zone are for it.
        ip: the address asked for, if any.
        ip_range: the subnet asked for, if any.

    Raises:
        ApiError: no_subnet_available, ip_not_available or invalid_input.
    """
    zone = catalog.zone_of(location)
    candidates = addresses.subnet_to_use(network["subnets"], zone)
    if ip_range is not None:
        candidates = [subnet for subnet in candidates if str(subnet) == ip_range]
    if not candidates:
        raise refused("no_subnet_available", f"no subnet for {zone} in network {network['id']}")
    used = used_addresses(store, network)
    if ip is not None:
        return checked_address(network, candidates, ip, used)
    for subnet in candidates:
        try:
            return addresses.first_free(subnet, network["ip_range"], used)
        except NoAddress:
            continue
    raise refused("no_subnet_available", f"no free address in network {network['id']}")


def checked_address(network: Record, subnets: list[Network], ip: str, used: set[str]) -> str:
    """The address, if it may be given out.

    Raises:
        ApiError: ip_not_available or invalid_input.
    """
    address: Address | None = addresses.parse_address(ip)
    if address is None:
        raise invalid_field("ip", f"'{ip}' is not an IPv4 address")
    home = next((subnet for subnet in subnets if address in subnet), None)
    if home is None:
        raise invalid_field("ip", f"{ip} is not part of the subnet")
    if not addresses.is_assignable(address, home, network["ip_range"]):
        raise refused("ip_not_available", f"IP {ip} is reserved")
    if str(address) in used:
        raise refused("ip_not_available", f"IP {ip} is not available")
    return str(address)
