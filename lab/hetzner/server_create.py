"""POST /servers."""

from __future__ import annotations

import secrets
from typing import Any

from lab.hetzner import catalog, firewalls, placement_groups, primary_ips
from lab.hetzner.actions import now
from lab.hetzner.api import Call, Reply, Route
from lab.hetzner.bodies import HOSTNAME, Body
from lab.hetzner.errors import invalid_field, limit_exceeded, refused
from lab.hetzner.image_seed import system_of
from lab.hetzner.server_attach import attach
from lab.hetzner.server_view import view
from lab.hetzner.store import Record

MOST_USER_DATA = 32 * 1024
"""Bytes."""

DEFAULT_LOCATIONS = ("fsn1", "nbg1", "hel1", "ash", "hil", "sin")
"""Tried in this order when a request names none."""


def orderable_type(reference: str) -> Record:
    """The server type, if it is still sold somewhere.

    Raises:
        ApiError: invalid_input.
    """
    kind = catalog.lookup(catalog.SERVER_TYPES, reference)
    if kind is None:
        raise invalid_field("server_type", f"server type {reference} not found")
    if kind["deprecated"]:
        raise invalid_field("server_type", f"server type {kind['id']} is deprecated")
    return kind


def usable_image(call: Call, reference: str, architecture: str) -> Record:
    """The image that is meant, if servers of the architecture can boot it.

    Raises:
        ApiError: invalid_input.
    """
    named = call.store.where("image", name=reference, architecture=architecture)
    image = next(named, None) or call.store.named("image", reference)
    if image is None:
        raise invalid_field("image", f"image {reference} not found")
    if image["architecture"] != architecture:
        message = f"image is for {image['architecture']}, the server type is {architecture}"
        raise invalid_field("image", message)
    return image


def _place(body: Body, kind: Record, ips: dict[str, Record]) -> str:
    """The location: as asked for, else where the primary IPs are, else any that has the type."""
    sold = {place["name"]: place["available"] for place in kind["locations"]}
    wanted = body.reference("location")
    body.check()
    if wanted is None:
        homes = [ip["location"] for ip in ips.values()] + list(DEFAULT_LOCATIONS)
        wanted = next((name for name in homes if sold.get(name)), "")
    place = catalog.lookup(catalog.LOCATIONS, wanted)
    if place is None:
        raise invalid_field("location", f"location {wanted} not found")
    if place["name"] not in sold:
        raise invalid_field("location", "unsupported location for server type")
    if not sold[place["name"]]:
        message = f"server type {kind['name']} is not available in {place['name']}"
        raise refused("resource_unavailable", message, 412)
    return str(place["name"])


def _own_ips(call: Call, net: Body | None) -> dict[str, Record]:
    """The primary IPs that the request brings along, by type."""
    found = {}
    for version in primary_ips.TYPES:
        key = net.integer(version) if net else None
        if not key:
            continue
        ip = call.store.find("primary_ip", key)
        if ip["type"] != version:
            message = f"primary IP {key} is not of type {version}"
            raise refused("primary_ip_version_mismatch", message, 412)
        if ip["assignee_id"]:
            raise refused("primary_ip_assigned", f"primary IP {key} is already assigned")
        found[version] = ip
    return found


def _checked_user_data(body: Body) -> str:
    user_data = body.text("user_data") or ""
    if len(user_data.encode()) > MOST_USER_DATA:
        body.fail("user_data", f"is too long (maximum is {MOST_USER_DATA} bytes)")
    return user_data


def _create(call: Call) -> Reply:
    store, body = call.store, call.body()
    name = body.text("name", required=True, pattern=HOSTNAME)
    type_name = body.reference("server_type", required=True)
    image_name = body.reference("image", required=True)
    labels, user_data = body.labels(), _checked_user_data(body)
    start = body.flag("start_after_create", True)
    keys = body.references("ssh_keys")
    network_ids, volume_ids = body.integers("networks"), body.integers("volumes")
    firewall_ids = [item.integer("firewall", required=True) for item in body.children("firewalls")]
    group_id = body.integer("placement_group")
    net = body.child("public_net")
    enabled = {v: net.flag(f"enable_{v}", True) if net else True for v in primary_ips.TYPES}
    if body.has("datacenter"):
        body.fail("datacenter", "was removed, use location")
    body.check()

    store.require_free_name("server", name)
    kind = orderable_type(type_name or "")
    image = usable_image(call, image_name or "", kind["architecture"])
    ips = _own_ips(call, net)
    location = _place(body, kind, ips)
    for ip in ips.values():
        if ip["location"] != location:
            message = f"primary IP {ip['id']} is in {ip['location']}, the server in {location}"
            raise refused("primary_ip_datacenter_mismatch", message)
    versions = [version for version in primary_ips.TYPES if enabled[version] or version in ips]
    if start and not versions and not network_ids:
        raise invalid_field("public_net", "a server needs a network interface to be started")
    group = store.find("placement_group", group_id) if group_id else None
    if group:
        placement_groups.require_room(store, group)
    networks = [store.find("network", key) for key in network_ids]
    walls = [store.find("firewall", key or 0) for key in firewall_ids]
    if len(walls) > firewalls.MOST_ON_A_SERVER:
        message = f"a server has at most {firewalls.MOST_ON_A_SERVER} firewalls"
        raise limit_exceeded(["firewalls_per_server"], message)
    if walls and not versions:
        message = "firewalls need a server with a public network interface"
        raise refused("private_net_only_server", message)
    ssh_keys = [call.named("ssh_key", key)["id"] for key in keys]
    volumes = [store.find("volume", key) for key in volume_ids]
    for volume in volumes:
        if volume["location"] != location or volume["server"]:
            raise invalid_field("volumes", f"volume {volume['id']} cannot be attached here")
    if len(store.all("server")) >= call.project.settings.server_limit:
        raise limit_exceeded(["server_limit"], "server limit reached")

    fields: dict[str, Any] = {
        "name": name,
        "created": now(),
        "server_type": kind["name"],
        "location": location,
        "image": image["id"],
        "os": system_of(image),
        "user_data": user_data,
        "labels": labels or {},
        "placement_group": group["id"] if group else None,
        "private_net": [],
        "protection": {"delete": False, "rebuild": False},
        "power": "on" if start else "off",
        "transition": None,
        "primary_disk_size": kind["disk"],
        "backup_window": None,
        "rescue_enabled": False,
        "ssh_keys": ssh_keys,
    }
    server = store.add("server", fields)
    key = server["id"]
    try:
        for network in networks:
            attach(call, server, network)
    except Exception:
        store.remove("server", key)
        raise
    for version in versions:
        ip = ips.get(version) or primary_ips.new(call.project, version, location, auto_delete=True)
        ip["assignee_id"] = key
    for firewall in walls:
        resource = {"type": "server", "server": {"id": key}}
        if resource not in firewall["applied_to"]:
            firewall["applied_to"].append(resource)
    for volume in volumes:
        volume["server"] = key
    return _begin(call, server, bool(start), with_password=not ssh_keys)


def _begin(call: Call, server: Record, start: bool, *, with_password: bool) -> Reply:
    key, machines, board = server["id"], call.project.machines, call.project.board
    if call.failure:
        server["power"] = "off"
    action, *following = call.begin_several(
        "create_server",
        ("server", key),
        share=1.0,
        work=lambda: machines.create(key),
        holds=[("server", key)],
        transition=(server, "initializing"),
        next_command="start_server" if start else "",
    )
    return call.started(
        action,
        server=view(call.store, server),
        next_actions=[board.view(record) for record in following],
        root_password=secrets.token_urlsafe(15) if with_password else None,
    )


ROUTES = [Route("POST", "/servers", _create)]
