"""Reads every setting of a stack and checks them against each other."""

from __future__ import annotations

import re
from typing import Any, Final

from . import firewall_rules, versions
from .addressing import AddressPlan
from .config_access import read_access
from .config_addons import read_addons
from .config_cilium import check_cloud_controller, check_node_addresses, read_cilium
from .config_exposure import nat_gateway_warnings
from .config_firewall import outbound_warnings
from .config_limits import check_limits, server_type_warnings
from .config_locations import location_warnings, read_locations
from .config_placement import check_placement
from .config_pools import check_server_type, read_patches, read_pools
from .config_reader import Reader
from .config_rollout import read_rollout
from .config_schema import DEFAULT_IMAGE_SELECTOR, SETTINGS_BY_KEY
from .config_upgrades import read_upgrades
from .errors import Problem
from .hetzner import server_type_architecture
from .naming import is_dns_label

MAX_CONTROL_PLANES: Final = 9
"""etcd gets slower with every member; beyond seven to nine more of them only cost."""

_SCHEMATIC_ID: Final = re.compile(r"[0-9a-f]{64}")
_SELECTOR: Final = re.compile(
    r"[A-Za-z0-9._/-]+((==?|!=)[A-Za-z0-9._-]+)?(,[A-Za-z0-9._/-]+((==?|!=)[A-Za-z0-9._-]+)?)*"
)


def read(reader: Reader, stack: str) -> tuple[dict[str, Any], list[Problem]]:
    """Fields of a ClusterConfig, and what deserves a warning. Problems stay in the reader."""
    fields: dict[str, Any] = {}
    fields["cluster_name"] = cluster_name = _cluster_name(reader, stack)
    fields["location"] = location = reader.text("location")
    fields["control_planes"] = _control_planes(reader)
    fields["control_plane_server_type"] = reader.text("controlPlaneServerType")
    check_server_type(reader, "controlPlaneServerType", fields["control_plane_server_type"])
    fields["worker_pools"] = read_pools(reader, cluster_name, location)
    read_locations(reader, fields)
    read_cilium(reader, fields)
    warnings = _ranges(reader, fields)
    _versions(reader, fields)
    _image(reader, fields)
    read_access(reader, fields)
    read_addons(reader, fields)
    check_node_addresses(reader, fields)
    check_cloud_controller(reader, fields)
    for key, name in (
        ("configPatches", "config_patches"),
        ("controlPlaneConfigPatches", "control_plane_config_patches"),
        ("workerConfigPatches", "worker_config_patches"),
    ):
        fields[name] = read_patches(reader, key, reader.array(key), cluster_name)
    warnings += check_placement(reader, fields)
    fields["deletion_protection"] = reader.boolean("deletionProtection")
    check_limits(reader, fields)
    read_rollout(reader, fields)
    read_upgrades(reader, fields)
    warnings += [
        *location_warnings(fields),
        *nat_gateway_warnings(fields),
        *server_type_warnings(fields),
        *firewall_rules.admin_cidr_warnings(fields["admin_cidrs"] or ()),
        *outbound_warnings(fields["extra_firewall_rules"]),
    ]
    return fields, warnings


def _cluster_name(reader: Reader, stack: str) -> str:
    if reader.is_set("clusterName"):
        name = reader.text("clusterName")
        if not is_dns_label(name):
            reader.add(
                "clusterName",
                name,
                "is not part of a host name",
                "use lower-case letters, digits and inner hyphens",
            )
        return name
    if not is_dns_label(stack):
        reader.add(
            "clusterName",
            stack,
            "is the stack's name, which is used where no name is set, and is not part of a host name",
            "set clusterName to lower-case letters, digits and inner hyphens",
        )
    return stack


def _control_planes(reader: Reader) -> int:
    count = reader.integer("controlPlanes", 1, MAX_CONTROL_PLANES)
    check_parity(reader, "controlPlanes", count)
    return count


def check_parity(reader: Reader, path: str, count: int) -> None:
    """Reports an even number of control planes."""
    if count % 2 == 0:
        reader.add(
            path,
            count,
            "is even, which tolerates no more failures than one less",
            f"use {count - 1} or {count + 1}",
        )


def _ranges(reader: Reader, fields: dict[str, Any]) -> list[Problem]:
    names = {
        "networkCidr": "network_cidr",
        "controlSubnetCidr": "control_subnet_cidr",
        "workerSubnetCidr": "worker_subnet_cidr",
        "podCidr": "pod_cidr",
        "serviceCidr": "service_cidr",
    }
    fields.update({name: reader.cidr(key) for key, name in names.items()})
    fields["node_cidr_mask_size"] = reader.integer("nodeCidrMaskSize", 1, 32)
    if not reader.ok(*names, "nodeCidrMaskSize"):
        return []
    plan = AddressPlan(
        network=fields["network_cidr"],
        control_subnet=fields["control_subnet_cidr"],
        worker_subnet=fields["worker_subnet_cidr"],
        pods=fields["pod_cidr"],
        services=fields["service_cidr"],
        node_cidr_mask_size=fields["node_cidr_mask_size"],
        native_routing=fields["cilium_modes"].routing_mode == "native",
    )
    # Ranges are checked for an empty cluster where its size cannot be read.
    counted = reader.sizes_are_known()
    control_planes = fields["control_planes"] if counted else 0
    workers = sum(pool.count for pool in fields["worker_pools"]) if counted else 0
    problems = plan.problems(control_planes=control_planes, workers=workers)
    reader.add_all(problems)
    return [] if problems else plan.warnings(control_planes=control_planes, workers=workers)


def _versions(reader: Reader, fields: dict[str, Any]) -> None:
    parsed: dict[str, versions.Version] = {}
    for key, name, parse in (
        ("talosVersion", "talos_version", versions.parse_talos),
        ("kubernetesVersion", "kubernetes_version", versions.parse),
        ("ciliumVersion", "cilium_version", versions.parse),
    ):
        fields[name] = text = reader.text(key)
        version = parse(text)
        if version is not None:
            parsed[key] = version
        elif reader.ok(key):
            problem = versions.version_problem(key, text, str(SETTINGS_BY_KEY[key].default))
            reader.add_all([problem] if problem else [])
    fields["config_contract"] = contract = reader.text("configContract") or None
    if "talosVersion" in parsed and contract is not None:
        problem = versions.contract_problem(contract, parsed["talosVersion"])
        reader.add_all([problem] if problem else [])
    if len(parsed) == 3:
        reader.add_all(
            versions.skew_problems(
                parsed["talosVersion"], parsed["kubernetesVersion"], parsed["ciliumVersion"]
            ),
        )


def check_schematic(reader: Reader, path: str, schematic: str) -> None:
    """Reports a text that is no schematic."""
    if not _SCHEMATIC_ID.fullmatch(schematic):
        reader.add(
            path,
            schematic,
            "is not a schematic of Image Factory",
            "use the 64 hexadecimal digits that factory.talos.dev shows",
        )


def _image(reader: Reader, fields: dict[str, Any]) -> None:
    fields["schematic_id"] = schematic = reader.text("schematicId")
    if reader.ok("schematicId"):
        check_schematic(reader, "schematicId", schematic)
    has_id = reader.is_set("imageId")
    fields["image_id"] = reader.integer("imageId", 1, 2**53) if has_id else None
    fields["image_selector"] = reader.text("imageSelector") or DEFAULT_IMAGE_SELECTOR
    if reader.is_set("imageSelector"):
        if has_id:
            reader.add(
                "imageId",
                fields["image_id"],
                f"is set together with imageSelector {fields['image_selector']}",
                "remove one of the two",
            )
        if not _SELECTOR.fullmatch(fields["image_selector"]):
            reader.add(
                "imageSelector",
                fields["image_selector"],
                "is not a label selector",
                "write one like os=talos,version=v1.13.9",
            )
    types = {fields["control_plane_server_type"]: fields["control_planes"]}
    for pool in fields["worker_pools"]:
        types[pool.server_type] = types.get(pool.server_type, 0) + pool.count
    wanted = {server_type_architecture(name) for name, count in types.items() if count}
    if has_id and len(wanted) > 1:
        reader.add(
            "imageId",
            fields["image_id"],
            "is one image and the server types need both x86 and arm",
            "use imageSelector, which finds one image per architecture",
        )
