"""The way into a lab's private networks: an HTTP proxy, as a bastion offers it."""

from __future__ import annotations

from lab import api
from lab.errors import LabError
from lab.instance import Lab


def connect(lab: Lab, network: str = "") -> str:
    """Lets the lab's commands reach private addresses, and returns the proxy's URL.

    Args:
        lab: the instance; it must run where a network is named.
        network: name or id of the only network to be in; default: all of them, which is enough
            while no address is in two.

    Raises:
        LabError: there is no such network.
    """
    chosen = ""
    if network:
        found = api.call(lab, "GET", "/v1/networks?per_page=50")["networks"]
        known = {reference: str(n["id"]) for n in found for reference in (n["name"], str(n["id"]))}
        if network not in known:
            raise LabError(f"there is no network {network}: the lab has {sorted(known) or 'none'}")
        chosen = known[network]
    lab.vpn_file.write_text(chosen)
    return lab.vpn_url or ""


def disconnect(lab: Lab) -> None:
    """Makes private addresses unreachable again."""
    lab.vpn_file.unlink(missing_ok=True)
