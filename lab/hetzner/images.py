"""/images: list, rename, protect, delete."""

from __future__ import annotations

from lab.hetzner.api import Call, Reply, Route
from lab.hetzner.errors import protected, refused


def _list(call: Call) -> Reply:
    images = call.store.all("image")
    if call.query.get("include_deprecated") != "true":
        images = [image for image in images if not image["deprecated"]]
    return call.listing(
        "images", images, dict, exact=("type", "status", "bound_to", "architecture")
    )


def _get(call: Call) -> Reply:
    return Reply(200, {"image": call.target("image")})


def _update(call: Call) -> Reply:
    image, body = call.target("image"), call.body()
    description = body.text("description", maximum=256)
    kind = body.text("type", choices=("snapshot",))
    call.rename("image", image, body, None)
    if description is not None:
        image["description"] = description
    if kind is not None:
        image["type"], image["bound_to"] = kind, None
    return Reply(200, {"image": image})


def _delete(call: Call) -> Reply:
    image = call.target("image")
    if image["type"] not in ("snapshot", "backup"):
        raise refused("forbidden", "only snapshots and backups can be deleted", 403)
    if image["protection"]["delete"]:
        raise protected("image")
    call.store.remove("image", image["id"])
    return Reply(204)


def _protect(call: Call) -> Reply:
    image, body = call.target("image"), call.body()
    delete = body.flag("delete", image["protection"]["delete"])
    body.check()
    image["protection"] = {"delete": delete}
    return call.started(call.begin("change_protection", ("image", image["id"])))


ROUTES = [
    Route("GET", "/images", _list),
    Route("GET", "/images/{id:int}", _get),
    Route("PUT", "/images/{id:int}", _update),
    Route("DELETE", "/images/{id:int}", _delete),
    Route("POST", "/images/{id:int}/actions/change_protection", _protect),
]
