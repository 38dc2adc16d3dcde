"""A server's buttons, and the changes of it that need it off."""

from __future__ import annotations

from collections.abc import Callable

from lab.hetzner import catalog, placement_groups
from lab.hetzner.api import Call, Reply, Route
from lab.hetzner.errors import protected, refused
from lab.hetzner.firewall_match import has_public_net
from lab.hetzner.image_seed import system_of
from lab.hetzner.primary_ips import require_off
from lab.hetzner.server_create import MOST_USER_DATA, orderable_type, usable_image
from lab.hetzner.store import Record

SHARE = 0.5
"""Length of a press of a button, relative to a server creation."""


def target(call: Call) -> Record:
    """The server of the path, which no other action may hold."""
    server = call.target("server")
    call.project.require_unlocked("server", server["id"])
    return server


def _press(
    call: Call, command: str, verb: str, shown: str | None, then: Callable[[Record], object]
) -> Reply:
    server = target(call)
    key, machines = server["id"], call.project.machines
    action = call.begin(
        command,
        ("server", key),
        share=SHARE,
        work=lambda: machines.power(key, verb),
        then=lambda: then(server),
        holds=[("server", key)],
        transition=(server, shown) if shown else None,
    )
    return call.started(action)


def _turn(power: str) -> Callable[[Record], object]:
    return lambda server: server.update(power=power)


def _leave(_: Record) -> None:
    return None


def _poweron(call: Call) -> Reply:
    server = call.target("server")
    if not server["private_net"] and not has_public_net(call.store, server):
        message = f"server {server['id']} needs a network interface to be powered on"
        raise refused("service_error", message)
    return _press(call, "start_server", "poweron", "starting", _turn("on"))


def _poweroff(call: Call) -> Reply:
    return _press(call, "stop_server", "poweroff", "stopping", _turn("off"))


def _shutdown(call: Call) -> Reply:
    # The action only says that the signal was sent; a real machine goes off when its system obeys.
    then = _leave if call.project.machines.exist else _turn("off")
    return _press(call, "shutdown_server", "shutdown", None, then)


def _reboot(call: Call) -> Reply:
    return _press(call, "reboot_server", "reboot", None, _leave)


def _reset(call: Call) -> Reply:
    return _press(call, "reset_server", "reset", None, _leave)


def _change_type(call: Call) -> Reply:
    server, body = target(call), call.body()
    reference = body.reference("server_type", required=True)
    upgrade_disk = body.flag("upgrade_disk")
    if upgrade_disk is None:
        body.fail("upgrade_disk", "Missing data for required field.")
    body.check()
    old, new = catalog.server_type(server["server_type"]), orderable_type(reference or "")
    require_off(server)
    sold = {place["name"] for place in new["locations"] if place["available"]}
    if (
        new["architecture"] != old["architecture"]
        or new["disk"] < server["primary_disk_size"]
        or new["name"] == old["name"]
        or server["location"] not in sold
    ):
        message = f"server type {new['name']} does not fit for server {server['id']}"
        raise refused("invalid_server_type", message)
    key, machines = server["id"], call.project.machines

    async def migrate() -> None:
        server["server_type"] = new["name"]
        if upgrade_disk:
            server["primary_disk_size"] = new["disk"]
        await machines.apply(key)
        await machines.power(key, "poweron")

    action = call.begin(
        "change_server_type",
        ("server", key),
        share=1.0,
        work=migrate,
        then=lambda: _turn("on")(server),
        holds=[("server", key)],
        transition=(server, "migrating"),
    )
    return call.started(action)


def _rebuild(call: Call) -> Reply:
    server, body = target(call), call.body()
    reference = body.reference("image", required=True)
    user_data = body.text("user_data")
    if user_data is not None and len(user_data.encode()) > MOST_USER_DATA:
        body.fail("user_data", f"is too long (maximum is {MOST_USER_DATA} bytes)")
    body.check()
    if server["protection"]["rebuild"]:
        raise protected("server", "rebuild")
    architecture = catalog.server_type(server["server_type"])["architecture"]
    image = usable_image(call, reference or "", architecture)
    key, machines = server["id"], call.project.machines

    async def rebuild() -> None:
        server.update(image=image["id"], os=system_of(image), power="on")
        if user_data is not None:
            server["user_data"] = user_data
        await machines.rebuild(key)

    action = call.begin(
        "rebuild_server",
        ("server", key),
        share=1.0,
        work=rebuild,
        holds=[("server", key)],
        transition=(server, "rebuilding"),
    )
    return call.started(action, root_password=None)


def _join_group(call: Call) -> Reply:
    server, body = target(call), call.body()
    key = body.integer("placement_group", required=True)
    body.check()
    group = call.store.find("placement_group", key or 0)
    if server["placement_group"]:
        message = f"server {server['id']} is already part of a placement group"
        raise refused("already_in_placement_group", message)
    require_off(server)
    placement_groups.require_room(call.store, group)
    server["placement_group"] = group["id"]
    subjects = [("placement_group", group["id"]), ("server", server["id"])]
    return call.started(call.begin("add_to_placement_group", *subjects))


def _leave_group(call: Call) -> Reply:
    server = target(call)
    if not server["placement_group"]:
        message = f"server {server['id']} is not part of a placement group"
        raise refused("not_in_placement_group", message)
    subjects = [("placement_group", server["placement_group"]), ("server", server["id"])]
    server["placement_group"] = None
    return call.started(call.begin("remove_from_placement_group", *subjects))


ROUTES = [
    Route("POST", f"/servers/{{id:int}}/actions/{name}", handler)
    for name, handler in (
        ("poweron", _poweron),
        ("poweroff", _poweroff),
        ("shutdown", _shutdown),
        ("reboot", _reboot),
        ("reset", _reset),
        ("change_type", _change_type),
        ("rebuild", _rebuild),
        ("add_to_placement_group", _join_group),
        ("remove_from_placement_group", _leave_group),
    )
]
