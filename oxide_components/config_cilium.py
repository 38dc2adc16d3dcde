"""Cilium in a stack's configuration: its chart, and the ways in which it runs the cluster's network."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

from .cilium_modes import ENCRYPTIONS, HUBBLES, MAX_IPSEC_KEY_ID, ROUTING_MODES, CiliumModes
from .cilium_user_values import value_problems
from .config_addons import POD_ROUTES, Addon
from .config_charts import read_chart_place
from .config_exposure import PRIVATE, PUBLIC
from .config_reader import Reader
from .config_schema import CILIUM_REPOSITORY
from .user_values import as_text, find

_Choice = TypeVar("_Choice", bound=str)

_PINNED_URL: Final = re.compile(r"https?://[^\s/#]+[^\s#]*#sha256=[0-9a-f]{64}")


def read_cilium(reader: Reader, fields: dict[str, Any]) -> None:
    """Reads the settings of Cilium."""
    fields["cilium_chart"] = chart = reader.text("ciliumChart")
    fields["cilium_repository"] = read_chart_place(
        reader,
        chart=("ciliumChart", chart),
        repository=("ciliumRepository", reader.text("ciliumRepository")),
        official=CILIUM_REPOSITORY,
        example="./charts/cilium",
    )
    fields["cilium_timeout"] = reader.integer("ciliumTimeout", 1, 86400)
    fields["cilium_modes"] = modes = CiliumModes(
        routing_mode=_choice(reader, "routingMode", ROUTING_MODES),
        encryption=_choice(reader, "encryption", ENCRYPTIONS),
        hubble=_choice(reader, "hubble", HUBBLES),
        gateway_api=reader.boolean("gatewayApi"),
        egress_gateway=reader.boolean("egressGateway"),
        bandwidth_manager=reader.boolean("bandwidthManager"),
        node_ipam=reader.boolean("nodeIpam"),
    )
    fields["ipsec_key_id"] = reader.integer("ipsecKeyId", 1, MAX_IPSEC_KEY_ID)
    fields["gateway_api_manifest"] = _manifest(reader)
    fields["cilium_values"] = values = reader.mapping("ciliumValues")
    if reader.ok(
        "routingMode",
        "encryption",
        "hubble",
        "gatewayApi",
        "egressGateway",
        "bandwidthManager",
        "nodeIpam",
    ):
        reader.add_all(value_problems(values, modes))


def check_node_addresses(reader: Reader, fields: dict[str, Any]) -> None:
    """Reports Node IPAM where the nodes that it would take addresses of have private ones only; access must have been read."""
    # Talos excludes control planes from load balancers, unless they are the only nodes.
    workers = any(pool.count for pool in fields["worker_pools"])
    key = "workerAccess" if workers and fields["access"] == PUBLIC else "access"
    access = fields["worker_access"] if workers else fields["access"]
    if fields["cilium_modes"].node_ipam and access == PRIVATE and reader.ok("access", key):
        reader.add(
            "nodeIpam",
            "true",
            f"would give services private addresses, because {key} is private and no node has an ExternalIP",
            f"remove it and use services of type LoadBalancer (addons.cloudController), or set {key} to public in a new cluster",
        )


def check_cloud_controller(reader: Reader, fields: dict[str, Any]) -> None:
    """Reports what only the cloud controller can provide, where it does not; the add-ons must have been read."""
    if not reader.ok("addons"):
        return
    modes: CiliumModes = fields["cilium_modes"]
    controller: Addon | None = fields["addons"].cloud_controller
    if controller is not None:
        _check_pod_routes(reader, controller.values, modes)
        return
    if modes.routing_mode == "native":
        reader.add(
            "routingMode",
            modes.routing_mode,
            "needs a route per node in the Hetzner network, which the cloud controller makes",
            "set addons.cloudController to true, or use tunnel",
        )
    if modes.node_ipam and reader.ok("nodeIpam"):
        reader.add(
            "nodeIpam",
            "true",
            "would give services private addresses, because only the cloud controller sets a node's ExternalIP",
            "set addons.cloudController to true, or remove it",
        )


def _check_pod_routes(reader: Reader, values: Mapping[str, Any], modes: CiliumModes) -> None:
    found = find(values, f"env.{POD_ROUTES}.value")
    if found is None or not reader.ok("routingMode"):
        return
    place, value = found
    wanted = modes.routing_mode == "native"
    if as_text(value) != as_text(wanted):
        need = "needs" if wanted else "has no use for"
        why = (
            "because null means the chart's own default"
            if value is None
            else f"which {need} a route per node"
        )
        reader.add(
            f"addons.cloudController.values.{place}",
            value,
            f"contradicts routingMode {modes.routing_mode}, {why}",
            "remove it; routingMode decides",
        )


def _choice(reader: Reader, key: str, choices: Sequence[_Choice]) -> _Choice:
    text = reader.text(key)
    for choice in choices:
        if text == choice:
            return choice
    if reader.ok(key):
        reader.add(key, text, "is not one of the choices", f"use {' or '.join(choices)}")
    return choices[0]


def _manifest(reader: Reader) -> str | None:
    """Path or pinned address of the Gateway API's definitions; None means the official ones."""
    place = reader.text("gatewayApiManifest")
    if not place:
        return None
    if "://" in place:
        if not _PINNED_URL.fullmatch(place):
            reader.add(
                "gatewayApiManifest",
                place,
                "does not say what it has to hold",
                "write https://HOST/FILE.yaml#sha256=CHECKSUM, or the path of a file",
            )
    elif not os.path.isfile(place):
        reader.add(
            "gatewayApiManifest",
            place,
            "is no file",
            "give the path of a file with the definitions, or remove the key to use the official ones",
        )
    return place
