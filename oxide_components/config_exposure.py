"""How nodes and the API are reached: public addresses or none, the load balancer, the way out for private nodes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address
from typing import Any, Final

from .addressing import AddressPlan
from .config_reader import Reader
from .errors import Problem
from .firewall_rules import DEFAULT_WORKER_INGRESS_PORTS
from .naming import CONTROL_PLANE_POOL, is_dns_name, server_name

PUBLIC: Final = "public"
PRIVATE: Final = "private"
NO_LOAD_BALANCER: Final = "none"

_ACCESS: Final = (PUBLIC, PRIVATE)
_LOAD_BALANCERS: Final = (NO_LOAD_BALANCER, PRIVATE, PUBLIC)
_LOAD_BALANCER_TYPE: Final = re.compile(r"lb[1-9][0-9]")
_NAME: Final = "{name}"


def read_exposure(reader: Reader, fields: dict[str, Any]) -> None:
    """Reads what decides which addresses nodes have, and what stands before the API."""
    fields["access"] = access = _choice(reader, "access", _ACCESS)
    fields["worker_access"] = _worker_access(reader, access)
    fields["ipv6"] = reader.boolean("ipv6")
    fields["network_id"] = (
        reader.integer("networkId", 1, 2**53) if reader.is_set("networkId") else None
    )
    _load_balancer(reader, fields)
    fields["rdns"] = reader.text("rdns") or None


def check_exposure(reader: Reader, fields: dict[str, Any]) -> None:
    """Checks it against the rest of the stack."""
    workers = any(pool.count for pool in fields["worker_pools"])
    _nat(reader, fields, workers=workers)
    named = reader.ok("clusterName")
    check_rdns(reader, fields["rdns"], fields["cluster_name"] if named else "cluster")
    if fields["access"] == PRIVATE and reader.ok("access"):
        # The project file hands defaults over as if they were set.
        meant = {
            "adminCidrs": reader.is_set("adminCidrs"),
            "extraFirewallRules": fields["extra_firewall_rules"],
            "workerIngressPorts": fields["worker_ingress_ports"] != DEFAULT_WORKER_INGRESS_PORTS,
            "rdns": fields["rdns"],
        }
        for key, value in meant.items():
            if value and reader.ok(key):
                reader.add_shown(
                    key,
                    "a value",
                    "is set although access is private: it is about public addresses, and no node has one",
                    "remove it, or set access to public",
                )
    elif fields["worker_access"] == PRIVATE and reader.ok("access", "workerAccess"):
        _private_workers(reader, fields, workers=workers)


def _private_workers(reader: Reader, fields: dict[str, Any], *, workers: bool) -> None:
    """Reports openings of a firewall that private workers do not have."""
    ports = fields["worker_ingress_ports"]
    meant = {
        f"extraFirewallRules[{index}]": "role worker"
        for index, extra in enumerate(fields["extra_firewall_rules"])
        if extra.role == "worker" and reader.ok("extraFirewallRules")
    }
    # Without workers the control planes open them.
    if workers and ports and ports != DEFAULT_WORKER_INGRESS_PORTS:
        meant["workerIngressPorts"] = ", ".join(map(str, ports))
    for key, value in meant.items():
        if reader.ok(key):
            reader.add_shown(
                key,
                value,
                "is set although workerAccess is private: it is about public addresses, and no worker has one",
                "remove it, or set workerAccess to public",
            )


def _choice(reader: Reader, key: str, choices: Sequence[str]) -> str:
    value = reader.text(key)
    if value in choices:
        return value
    reader.add(key, value, "is no choice", f"use {', '.join(choices[:-1])} or {choices[-1]}")
    return choices[0]


def _worker_access(reader: Reader, access: str) -> str:
    if not reader.is_set("workerAccess"):
        return access
    worker_access = _choice(reader, "workerAccess", _ACCESS)
    if access == PRIVATE and worker_access == PUBLIC and reader.ok("access", "workerAccess"):
        reader.add(
            "workerAccess",
            worker_access,
            "gives workers public addresses although access is private",
            "remove it, or set access to public",
        )
    return worker_access


def _load_balancer(reader: Reader, fields: dict[str, Any]) -> None:
    fields["api_load_balancer"] = wanted = _choice(reader, "apiLoadBalancer", _LOAD_BALANCERS)
    fields["api_load_balancer_type"] = kind = reader.text("apiLoadBalancerType")
    if reader.ok("apiLoadBalancerType"):
        check_load_balancer_type(reader, "apiLoadBalancerType", kind)
    if wanted == PUBLIC and not reader.boolean("allowPublicApi") and reader.ok("allowPublicApi"):
        reader.add(
            "apiLoadBalancer",
            wanted,
            "lets everybody reach the Kubernetes API, because no Hetzner firewall covers a load balancer",
            "set allowPublicApi to true, or use private",
        )


def check_load_balancer_type(reader: Reader, path: str, kind: str) -> None:
    """Reports a text that is no type of load balancer."""
    if not _LOAD_BALANCER_TYPE.fullmatch(kind):
        reader.add(path, kind, "is not a Hetzner load balancer type", "use lb11, lb21 or lb31")


def _nat(reader: Reader, fields: dict[str, Any], *, workers: bool) -> None:
    fields["existing_nat_route"] = existing = reader.boolean("existingNatRoute")
    text = reader.text("natGateway")
    fields["nat_gateway"] = gateway = _nat_gateway(reader, fields, text) if text else None
    if existing and text:
        reader.add(
            "existingNatRoute",
            existing,
            f"is set together with natGateway {text}",
            "remove one of the two",
        )
    elif existing and fields["network_id"] is None and reader.ok("networkId"):
        reader.add(
            "existingNatRoute",
            existing,
            "cannot be so: the network that Oxide makes has no route",
            "set natGateway to the private address of a NAT gateway, or networkId to the network that has the route",
        )
    private = fields["access"] == PRIVATE or (fields["worker_access"] == PRIVATE and workers)
    if private and gateway is None and not text and not existing:
        key = "access" if fields["access"] == PRIVATE else "workerAccess"
        reader.add(
            key,
            PRIVATE,
            "leaves nodes without a way to the internet, from which they pull their images",
            "set natGateway to the private address of a NAT gateway, or existingNatRoute to true where the network has a "
            "default route",
        )


def _nat_gateway(reader: Reader, fields: dict[str, Any], text: str) -> IPv4Address | None:
    try:
        address = IPv4Address(text)
    except ValueError:
        reader.add("natGateway", text, "is not an IPv4 address", "write one like 10.0.2.2")
        return None
    if not reader.ok(
        "networkCidr", "controlSubnetCidr", "workerSubnetCidr", "podCidr", "serviceCidr"
    ):
        return address
    plan = AddressPlan(
        network=fields["network_cidr"],
        control_subnet=fields["control_subnet_cidr"],
        worker_subnet=fields["worker_subnet_cidr"],
        pods=fields["pod_cidr"],
        services=fields["service_cidr"],
        node_cidr_mask_size=fields["node_cidr_mask_size"],
    )
    subnets = {"networkCidr": plan.network, "controlSubnetCidr": plan.control_subnet}
    taken = {
        **{cidr.network_address: f"the first address of {key}" for key, cidr in subnets.items()},
        **{cidr.broadcast_address: f"the last address of {key}" for key, cidr in subnets.items()},
        plan.gateway: "the gateway of the network itself",
        plan.load_balancer_address: "the address of the API's load balancer",
        **dict.fromkeys(
            plan.control_plane_addresses(fields["control_planes"]), "the address of a control plane"
        ),
    }
    if address not in plan.network:
        reader.add(
            "natGateway",
            text,
            f"is not in networkCidr {plan.network}",
            "give the address that the NAT gateway has in the cluster's network",
        )
    elif address in taken:
        reader.add(
            "natGateway", text, f"is {taken[address]}", "give the NAT gateway an address of its own"
        )
    return address


def nat_gateway_warnings(fields: Mapping[str, Any]) -> list[Problem]:
    """
    An address of the NAT gateway that the cluster may give to somebody else one day.

    No more than a warning: the ranges of a living cluster are fixed, and it needs its gateway while that one moves.
    """
    address = fields["nat_gateway"]
    ranges = (
        ("workerSubnetCidr", fields["worker_subnet_cidr"], "Hetzner may give it to a worker"),
        ("podCidr", fields["pod_cidr"], "it may become a pod's"),
        ("serviceCidr", fields["service_cidr"], "it may become a service's"),
    )
    return [
        Problem(
            setting="natGateway",
            value=str(address),
            reason=f"is in {key} {cidr}, where {danger}",
            way_out="put the NAT gateway into a subnet of its own",
        )
        for key, cidr, danger in ranges
        if address is not None and address in cidr
    ]


def check_rdns(reader: Reader, template: str | None, cluster_name: str) -> None:
    """Reports a template that makes no DNS names, or the same for all nodes."""
    if template is None:
        return
    example = server_name(cluster_name, CONTROL_PLANE_POOL, 1)
    if _NAME not in template:
        reader.add(
            "rdns", template, "gives all nodes the same name", "write one like {name}.example.com"
        )
    elif not is_dns_name(template.replace(_NAME, example)):
        reader.add(
            "rdns",
            template,
            f"makes no DNS name ({template.replace(_NAME, example)})",
            "write one like {name}.example.com; {name} is the server's name",
        )
