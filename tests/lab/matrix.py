"""
The matrix: stacks that together combine what a cluster can be, and which of them a run takes.

The table was found by simulated annealing over random rows that the configuration allows, with as few large control
planes as four kinds of add-ons permit: a covering array of strength two. tests/unit/test_lab_matrix.py counts its pairs.
"""

import random
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

from . import addons

_TABLE = """
id  controlPlanes workers balancer hostname access  network routing encryption hubble  gateway egress bandwidth nodeIpam addons  ipv6 rdns deleteVolumes
m01 1             0       private  yes      private given   tunnel  wireguard  metrics yes     yes    -         -        none    -    -    -
m02 1             0       public   -        public  given   tunnel  none       off     yes     yes    -         -        storage yes  -    -
m03 1             1       public   -        public  own     native  wireguard  relay   -       -      yes       yes      cloud   yes  yes  -
m04 1             1       none     yes      public  given   tunnel  ipsec      metrics -       yes    -         yes      all     yes  yes  yes
m05 1             2       public   yes      private given   native  ipsec      off     -       yes    yes       -        cloud   -    -    -
m06 1             2       private  -        workers given   tunnel  ipsec      relay   yes     yes    yes       -        none    yes  -    -
m07 1             2       none     -        workers given   native  wireguard  ui      -       yes    yes       -        all     -    -    -
m08 3             0       none     yes      private own     tunnel  ipsec      relay   -       yes    -         -        storage -    -    yes
m09 3             1       private  -        private own     tunnel  ipsec      ui      -       yes    yes       -        storage -    -    yes
m10 3             1       public   yes      public  given   tunnel  none       ui      yes     -      -         -        none    yes  -    -
m11 3             2       private  yes      public  own     native  wireguard  off     yes     -      yes       yes      all     -    -    yes
m12 3             2       none     -        workers given   native  none       metrics yes     yes    -         -        cloud   -    yes  -
m13 5             0       public   yes      private given   native  none       relay   yes     -      yes       -        all     -    -    yes
m14 5             0       private  yes      public  own     tunnel  none       ui      -       yes    -         yes      cloud   yes  yes  -
m15 5             1       none     yes      workers own     tunnel  ipsec      off     -       -      -         -        none    yes  yes  -
m16 5             2       public   -        workers own     tunnel  wireguard  metrics yes     -      yes       -        storage -    yes  yes
"""

Row = Mapping[str, str]
"""Value of each axis; `id` is the name of the stack."""

_HEAD, *_LINES = (line.split() for line in _TABLE.strip().splitlines())

ROWS: tuple[Row, ...] = tuple(dict(zip(_HEAD, line, strict=True)) for line in _LINES)

AXES: Mapping[str, tuple[str, ...]] = {
    "controlPlanes": ("1", "3", "5"),
    "workers": ("0", "1", "2"),
    "balancer": ("none", "private", "public"),
    "hostname": ("-", "yes"),
    "access": ("public", "workers", "private"),
    "network": ("own", "given"),
    "routing": ("tunnel", "native"),
    "encryption": ("none", "wireguard", "ipsec"),
    "hubble": ("off", "metrics", "relay", "ui"),
    "gateway": ("-", "yes"),
    "egress": ("-", "yes"),
    "bandwidth": ("-", "yes"),
    "nodeIpam": ("-", "yes"),
    "addons": ("none", "cloud", "storage", "all"),
    "ipv6": ("-", "yes"),
    "rdns": ("-", "yes"),
    "deleteVolumes": ("-", "yes"),
}
"""
Values of each axis. `access` says which nodes are private, `workers` only these; `network` whether it was there before.
"""

ADDONS: Mapping[str, tuple[str, ...]] = {
    "none": (),
    "cloud": ("cloudController",),
    "storage": ("csi", "metricsServer"),
    "all": ("cloudController", "csi", "metricsServer"),
}

IMPOSSIBLE = (
    # The configuration refuses these: nobody would make the routes, or know the nodes' public addresses.
    ("routing", "native", "addons", ("none", "storage")),
    ("nodeIpam", "yes", "addons", ("none", "storage")),
    ("nodeIpam", "yes", "access", ("workers", "private")),
    # It refuses this one too; the other says nothing.
    ("access", "private", "rdns", ("yes",)),
    ("access", "private", "ipv6", ("yes",)),
    ("access", "workers", "workers", ("0",)),
    ("deleteVolumes", "yes", "addons", ("none", "cloud")),
)
"""Pairs that do not exist: an axis with its value, and values of another that do not go with it."""

DEFAULT_ROWS = 2
"""Rows that a run takes which asks for none."""

NAT = {"own": "10.0.2.2", "given": "10.0.4.2"}
"""Address of the gateway to the internet; in the given network it is in the company's own subnet."""


def pairs(row: Row) -> set[tuple[str, str, str, str]]:
    """Every two axes with their values."""
    return {(one, row[one], other, row[other]) for one, other in combinations(AXES, 2)}


def possible_pairs() -> set[tuple[str, str, str, str]]:
    """Pairs of values that some stack could have."""
    return {
        (one, value, other, another)
        for one, other in combinations(AXES, 2)
        for value in AXES[one]
        for another in AXES[other]
        if not _excluded({one: value, other: another})
    }


def select(wish: str, seed: int) -> list[Row]:
    """
    Rows of a run.

    Args:
        wish: `all`, ids with commas between, or nothing for a drawn few.
        seed: What draws them. A row is the less likely the more control planes it has, because these cost the time.
    """
    if wish == "all":
        return list(ROWS)
    if wish:
        known = {row["id"]: row for row in ROWS}
        return [known[one] for one in wish.split(",")]
    draw = random.Random(seed)  # noqa: S311
    # Efraimidis and Spirakis: a draw without replacement with weights, here 1 / controlPlanes.
    luck = {row["id"]: draw.random() ** int(row["controlPlanes"]) for row in ROWS}
    return sorted(ROWS, key=lambda row: luck[row["id"]], reverse=True)[:DEFAULT_ROWS]


def nodes(row: Row) -> list[str]:
    """Names of the nodes, sorted."""
    return [
        *(f"{row['id']}-cp-{index + 1}" for index in range(int(row["controlPlanes"]))),
        *(f"{row['id']}-worker-{index + 1}" for index in range(int(row["workers"]))),
    ]


def network_name(row: Row) -> str:
    """Name of the Hetzner network."""
    return f"{row['id']}-company" if row["network"] == "given" else row["id"]


def hostname(row: Row) -> str:
    """Name of the API for people. Nobody resolves it, as long as its DNS entry has not been made."""
    return f"api.{row['id']}.example.com"


def settings(row: Row, network_id: int | None, gateway_manifest: Path) -> dict[str, Any]:
    """
    Settings of the stack.

    Args:
        network_id: Network that it lives in, where that was there before.
        gateway_manifest: File with the definitions of the Gateway API.
    """
    found: dict[str, Any] = {
        "controlPlanes": row["controlPlanes"],
        "workers": row["workers"],
        "apiLoadBalancer": row["balancer"],
        "routingMode": row["routing"],
        "encryption": row["encryption"],
        "hubble": row["hubble"],
        "addons": {name: addons.ALL[name] for name in ADDONS[row["addons"]]},
    }
    switches = {
        "allowPublicApi": row["balancer"] == "public",
        "gatewayApi": row["gateway"] == "yes",
        "egressGateway": row["egress"] == "yes",
        "bandwidthManager": row["bandwidth"] == "yes",
        "nodeIpam": row["nodeIpam"] == "yes",
        "ipv6": row["ipv6"] == "yes",
        "deleteVolumes": row["deleteVolumes"] == "yes",
    }
    found |= {key: str(on).lower() for key, on in switches.items()}
    if row["hostname"] == "yes":
        found["apiHostname"] = hostname(row)
    if row["gateway"] == "yes":
        found["gatewayApiManifest"] = str(gateway_manifest)
    if row["rdns"] == "yes":
        found["rdns"] = "{name}.example.com"
    if row["routing"] == "native":
        found |= {
            "networkCidr": network_range(row),
            "podCidr": "10.0.128.0/20",
            "serviceCidr": "10.96.0.0/16",
        }
    if network_id is not None:
        found["networkId"] = str(network_id)
    return found | _exposure(row)


def network_range(row: Row) -> str:
    """Range of the network: with native routing, pods are in it."""
    return "10.0.0.0/16" if row["routing"] == "native" else "10.0.0.0/21"


def route_was_there(row: Row) -> bool:
    """Whether the network has a default route before the cluster comes."""
    return row["access"] == "private" and row["network"] == "given"


def needs_gateway(row: Row) -> bool:
    """Whether some nodes get to the internet through a NAT gateway only."""
    return row["access"] != "public"


def _exposure(row: Row) -> dict[str, Any]:
    if row["access"] == "public":
        return {}
    key = "access" if row["access"] == "private" else "workerAccess"
    if route_was_there(row):
        return {key: "private", "existingNatRoute": "true"}
    return {key: "private", "natGateway": NAT[row["network"]]}


def _excluded(values: Row) -> bool:
    return any(
        values.get(axis) == value and values.get(other) in others
        for axis, value, other, others in IMPOSSIBLE
    )
