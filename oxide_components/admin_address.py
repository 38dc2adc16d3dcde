"""Finds the operator's own public address, once, so that the firewall can admit it."""

import http.client
import ipaddress
import urllib.request
from collections.abc import Callable, Iterable

from .errors import OxideError

LOOKUP_TIMEOUT = 5.0
"""Seconds that one lookup may take."""

_IPV4_SERVICE = "https://ipv4.icanhazip.com"
_IPV6_SERVICE = "https://ipv6.icanhazip.com"
_IPV6_SITE_PREFIX = 64


def detect_admin_cidrs(fetch: Callable[[str], str] | None = None) -> list[str]:
    """
    The operator's public addresses: IPv4 as a /32, IPv6 as its /64.

    Args:
        fetch: Returns the text behind a URL. Default: an HTTPS request of at most `LOOKUP_TIMEOUT` seconds.

    Raises:
        OxideError: The IPv4 address could not be found; the text names the setting that makes the lookup needless.
    """
    fetch = fetch or _fetch
    found, reasons = [], []
    for url, prefix in ((_IPV4_SERVICE, 32), (_IPV6_SERVICE, _IPV6_SITE_PREFIX)):
        try:
            address = ipaddress.ip_address(fetch(url).strip())
        except (OSError, ValueError, http.client.HTTPException) as error:
            reasons.append(f"{url}: {getattr(error, 'reason', error)}")
            continue
        if address.is_global:
            found.append(str(ipaddress.ip_network(f"{address}/{prefix}", strict=False)))
        else:
            reasons.append(f"{url}: {address} is not a public address")
    # Nodes are reached over IPv4: an IPv6 address alone would lock its owner out.
    if not any("." in cidr for cidr in found):
        raise OxideError(
            "your own public IPv4 address could not be found "
            f"({'; '.join(reasons)}); name the addresses that may reach the cluster: "
            "pulumi config set --path 'adminCidrs[0]' <address>/32"
        )
    return found


def stranger_address(cidrs: Iterable[str], fetch: Callable[[str], str] | None = None) -> str | None:
    """
    The operator's IPv4 address if it is in none of the ranges; None if it is, or if it cannot be found.

    Args:
        fetch: See `detect_admin_cidrs`.
    """
    try:
        address = ipaddress.ip_address((fetch or _fetch)(_IPV4_SERVICE).strip())
        networks = [ipaddress.ip_network(cidr) for cidr in cidrs]
    except (OSError, ValueError, http.client.HTTPException):
        return None
    same_family = [network for network in networks if network.version == address.version]
    return None if any(address in network for network in same_family) else str(address)


def _fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=LOOKUP_TIMEOUT) as response:  # noqa: S310  # constant https URLs
        text: str = response.read(64).decode("ascii", errors="replace")
        return text
