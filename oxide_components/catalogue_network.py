"""Checks of a stack against the existing network that it is to live in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network
from typing import Any

from .catalogue import Catalogue, ExistingNetwork
from .config_reader import Reader
from .errors import Problem


def check_network(reader: Reader, fields: dict[str, Any], catalogue: Catalogue) -> list[Problem]:
    """
    Reports a network that has no room for the cluster's ranges.

    Returns:
        What may be right or wrong, and only the user can tell.
    """
    reader.add_all(_network_problems(fields, catalogue.network))
    warnings = list(_doubtful_subnets(fields, catalogue))
    if reader.ok("podCidr", "serviceCidr"):
        routed = list(_routed_problems(fields, catalogue.network))
        if catalogue.network and catalogue.network.begun:
            # The ranges of a living cluster are fixed: refused, it could not be changed any more.
            warnings += routed
        else:
            reader.add_all(routed)
    return warnings


def _network_problems(
    fields: Mapping[str, Any], network: ExistingNetwork | None
) -> Iterator[Problem]:
    network_id = str(fields["network_id"])
    if network is None:
        yield Problem(
            setting="networkId",
            value=network_id,
            reason="is no network of this Hetzner project",
            way_out="give the id that `hcloud network list` shows",
        )
        return
    if network.range != fields["network_cidr"]:
        yield Problem(
            setting="networkCidr",
            value=str(fields["network_cidr"]),
            reason=f"is not the range of network {network_id}, {network.range}",
            way_out=f"set it to {network.range}",
        )
    yield from _subnet_problems(fields, network)
    zones = {zone for zone in network.subnets.values() if zone != fields["network_zone"]}
    for zone in sorted(zones):
        yield Problem(
            setting="networkId",
            value=network_id,
            reason=f"has subnets in zone {zone} and the cluster is in {fields['network_zone']}",
            way_out="use a network of the cluster's zone",
        )
    if fields["existing_nat_route"] and not network.has_default_route:
        yield Problem(
            setting="existingNatRoute",
            value="true",
            reason=f"is not so: network {network_id} has no route for 0.0.0.0/0",
            way_out="add the route, or set natGateway",
        )


def _own_subnets(fields: Mapping[str, Any]) -> dict[str, IPv4Network]:
    return {
        "controlSubnetCidr": fields["control_subnet_cidr"],
        "workerSubnetCidr": fields["worker_subnet_cidr"],
    }


def _subnet_problems(fields: Mapping[str, Any], network: ExistingNetwork) -> Iterator[Problem]:
    for setting, cidr in _own_subnets(fields).items():
        for subnet in network.subnets:
            reason = ""
            # The same range may be the cluster's own subnet of an earlier run.
            if subnet != cidr and subnet.overlaps(cidr):
                reason = f"overlaps subnet {subnet} of network {fields['network_id']}"
            elif subnet == cidr and (names := _inside(network, cidr)):
                reason = f"is a subnet of network {fields['network_id']} where others live: {', '.join(names[:5])}"
            if reason:
                yield Problem(
                    setting=setting,
                    value=str(cidr),
                    reason=reason,
                    way_out="choose a free part of the network",
                )


def _doubtful_subnets(fields: Mapping[str, Any], catalogue: Catalogue) -> Iterator[Problem]:
    """Subnets of the cluster's ranges, in which nobody lives: an earlier run may have made them, or somebody else."""
    network = catalogue.network
    if network is None or catalogue.servers:
        return
    for setting, cidr in _own_subnets(fields).items():
        if cidr in network.subnets and not _inside(network, cidr):
            yield Problem(
                setting=setting,
                value=str(cidr),
                reason=f"is a subnet of network {fields['network_id']} already, and Hetzner takes no second one",
                way_out="if an earlier run of this stack made it, all is well; else choose a free part of the network, or delete it",
            )


def _inside(network: ExistingNetwork, cidr: IPv4Network) -> list[str]:
    return sorted({name for address, name in network.strangers.items() if address in cidr})


def _routed_problems(
    fields: Mapping[str, Any], network: ExistingNetwork | None
) -> Iterator[Problem]:
    """With native routing the network holds pods and services, too."""
    if network is None or fields["cilium_modes"].routing_mode != "native":
        return
    network_id, own = fields["network_id"], _own_subnets(fields).values()
    for setting, cidr in (("podCidr", fields["pod_cidr"]), ("serviceCidr", fields["service_cidr"])):
        taken = [
            f"overlaps subnet {subnet} of network {network_id}"
            for subnet in network.subnets
            if subnet not in own and subnet.overlaps(cidr)
        ]
        # Once there were nodes, the cloud controller has made routes to their pods, which outlive the servers.
        if setting == "podCidr" and not network.begun:
            taken += [
                f"holds the route of network {network_id} to {destination} through {gateway}"
                for destination, gateway in network.routes.items()
                if destination.subnet_of(cidr)
            ]
        for reason in taken:
            yield Problem(
                setting=setting,
                value=str(cidr),
                reason=reason,
                way_out="let whoever made it move it"
                if network.begun
                else "choose a free part of the network",
            )
