"""/volumes: the objects; nothing is stored on them."""

from __future__ import annotations

from typing import Any

from lab.hetzner import catalog
from lab.hetzner.actions import now
from lab.hetzner.api import Call, Reply, Route
from lab.hetzner.bodies import NAME
from lab.hetzner.errors import protected, refused
from lab.hetzner.store import Record

SIZES = {"low": 10, "high": 10240}
"""Gigabytes."""


def view(volume: Record) -> dict[str, Any]:
    """The volume as the API shows it."""
    return {
        **volume,
        "location": catalog.LOCATIONS[volume["location"]],
        "linux_device": f"/dev/disk/by-id/scsi-0HC_Volume_{volume['id']}",
    }


def _list(call: Call) -> Reply:
    return call.listing("volumes", call.store.all("volume"), view, exact=("status",))


def _create(call: Call) -> Reply:
    body = call.body()
    name = body.text("name", required=True, pattern=NAME)
    size = body.integer("size", required=True, **SIZES)
    labels, layout = body.labels(), body.text("format", choices=("ext4", "xfs"))
    server_id, location = body.integer("server"), body.reference("location")
    if (server_id is None) == (location is None):
        body.fail("location", "exactly one of location and server is required")
    place = catalog.lookup(catalog.LOCATIONS, location) if location else None
    if location and place is None:
        body.fail("location", f"'{location}' does not exist")
    body.check()
    call.store.require_free_name("volume", name)
    server = call.store.find("server", server_id) if server_id else None
    fields: Record = {
        "name": name,
        "size": size,
        "server": server_id,
        "status": "available",
        "location": place["name"] if place else server["location"] if server else "",
        "format": layout,
        "protection": {"delete": False},
        "labels": labels or {},
        "created": now(),
    }
    volume = call.store.add("volume", fields)
    action = call.begin("create_volume", ("volume", volume["id"]), share=0.25)
    attached = [("volume", volume["id"]), ("server", server_id or 0)]
    following = [call.begin("attach_volume", *attached)] if server else []
    views = [call.project.board.view(record) for record in following]
    return call.started(action, volume=view(volume), next_actions=views)


def _get(call: Call) -> Reply:
    return Reply(200, {"volume": view(call.target("volume"))})


def _update(call: Call) -> Reply:
    volume, body = call.target("volume"), call.body()
    call.rename("volume", volume, body, body.text("name", pattern=NAME))
    return Reply(200, {"volume": view(volume)})


def _delete(call: Call) -> Reply:
    volume = call.target("volume")
    if volume["protection"]["delete"]:
        raise protected("volume")
    if volume["server"]:
        raise refused("service_error", f"volume {volume['id']} is still attached to a server")
    call.store.remove("volume", volume["id"])
    return Reply(204)


def _attach(call: Call) -> Reply:
    volume, body = call.target("volume"), call.body()
    key = body.integer("server", required=True)
    body.check()
    server = call.store.find("server", key or 0)
    if volume["server"]:
        raise refused("volume_already_attached", f"volume {volume['id']} is already attached")
    if server["location"] != volume["location"]:
        raise refused("service_error", "volume and server are in different locations")
    volume["server"] = server["id"]
    subjects = [("volume", volume["id"]), ("server", server["id"])]
    return call.started(call.begin("attach_volume", *subjects, share=0.25))


def _detach(call: Call) -> Reply:
    volume = call.target("volume")
    if not volume["server"]:
        raise refused("service_error", f"volume {volume['id']} is not attached")
    subjects = [("volume", volume["id"]), ("server", volume["server"])]
    volume["server"] = None
    return call.started(call.begin("detach_volume", *subjects, share=0.25))


def _resize(call: Call) -> Reply:
    volume, body = call.target("volume"), call.body()
    size = body.integer("size", required=True, low=volume["size"], high=SIZES["high"])
    body.check()
    volume["size"] = size
    return call.started(call.begin("resize_volume", ("volume", volume["id"]), share=0.25))


def _protect(call: Call) -> Reply:
    volume, body = call.target("volume"), call.body()
    delete = body.flag("delete", volume["protection"]["delete"])
    body.check()
    volume["protection"] = {"delete": delete}
    return call.started(call.begin("change_protection", ("volume", volume["id"])))


ROUTES = [
    Route("GET", "/volumes", _list),
    Route("POST", "/volumes", _create),
    Route("GET", "/volumes/{id:int}", _get),
    Route("PUT", "/volumes/{id:int}", _update),
    Route("DELETE", "/volumes/{id:int}", _delete),
    Route("POST", "/volumes/{id:int}/actions/attach", _attach),
    Route("POST", "/volumes/{id:int}/actions/detach", _detach),
    Route("POST", "/volumes/{id:int}/actions/resize", _resize),
    Route("POST", "/volumes/{id:int}/actions/change_protection", _protect),
]
