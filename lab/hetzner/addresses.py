"""Which addresses are free, inside private networks and in the public pools."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping, Sequence
from typing import Any

Network = ipaddress.IPv4Network
Address = ipaddress.IPv4Address

PUBLIC_GATEWAY = Address("172.31.1.1")
DEFAULT_ROUTE = "0.0.0.0/0"
_PRIVATE = [Network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]
_IPV6_POOL = int(ipaddress.IPv6Address("2001:db8::"))
_HOSTS_PER_OCTET = 254


class NoAddress(Exception):
    """The pool or the range has no free address."""


def parse_network(text: str) -> Network | None:
    """An IPv4 range in CIDR notation without host bits, or None."""
    try:
        return Network(text) if "/" in text else None
    except ValueError:
        return None


def parse_address(text: str) -> Address | None:
    """An IPv4 address, or None."""
    try:
        return Address(text)
    except ValueError:
        return None


def is_private(network: Network) -> bool:
    """Whether the range lies inside one of RFC 1918."""
    return any(network.subnet_of(private) for private in _PRIVATE)


def gateway_of(ip_range: str) -> str:
    """The router of a private network: the first address of its range."""
    return str(Network(ip_range).network_address + 1)


def is_assignable(address: Address, subnet: Network, ip_range: str) -> bool:
    """Whether a machine may have the address; the ends and the routers are reserved."""
    reserved = {
        subnet.network_address,
        subnet.broadcast_address,
        subnet.network_address + 1,
        Address(gateway_of(ip_range)),
        PUBLIC_GATEWAY,
    }
    return address in subnet and address not in reserved


def first_free(subnet: Network, ip_range: str, used: Collection[str]) -> str:
    """The lowest assignable address of the subnet that is not used.

    Raises:
        NoAddress: there is none.
    """
    for address in subnet.hosts():
        if is_assignable(address, subnet, ip_range) and str(address) not in used:
            return str(address)
    raise NoAddress(str(subnet))


def subnet_to_use(subnets: Sequence[Mapping[str, Any]], zone: str) -> list[Network]:
    """The subnets of the zone, the last by range first: where unguided attachments land."""
    ranges = [Network(s["ip_range"]) for s in subnets if s["network_zone"] == zone]
    return sorted(ranges, reverse=True)


def public_ipv4(prefix: str, number: int) -> str:
    """The n-th address (from 0) of the public pool: prefix.1.1 upwards, no .0 and no .255.

    Raises:
        NoAddress: the pool is not that large.
    """
    third, fourth = divmod(number, _HOSTS_PER_OCTET)
    if third >= _HOSTS_PER_OCTET:
        raise NoAddress(prefix)
    return f"{prefix}.{third + 1}.{fourth + 1}"


def public_ipv6(number: int) -> str:
    """The n-th /64 (from 0) of the documentation range, as `2001:db8:0:1::/64`."""
    return f"{ipaddress.IPv6Address(_IPV6_POOL + ((number + 1) << 64))}/64"


def first_host(network: str) -> str:
    """The address that a server uses out of its /64."""
    return str(ipaddress.IPv6Network(network).network_address + 1)


def reverse_name(address: str) -> str:
    """The reverse DNS name that an address has until it is changed."""
    reversed_octets = ".".join(reversed(address.split(".")))
    return f"static.{reversed_octets}.clients.your-server.de"


def is_inside(address: str, network: str) -> bool:
    """Whether the IPv6 address belongs to the network."""
    try:
        return ipaddress.IPv6Address(address) in ipaddress.IPv6Network(network)
    except ValueError:
        return False
