"""What a load balancer listens to."""

from __future__ import annotations

from typing import Any

from lab.hetzner import catalog
from lab.hetzner.api import Call, Reply, Route
from lab.hetzner.bodies import Body
from lab.hetzner.errors import limit_exceeded, not_found, refused
from lab.hetzner.store import Record

PROTOCOLS = ("tcp", "http", "https")
_USUAL_PORTS = {"http": (80, 80), "https": (443, 80)}
_PORT: dict[str, Any] = {"low": 1, "high": 65535}


def _http(body: Body, old: Record | None) -> Record:
    base = old or {
        "cookie_name": "HCLBSTICKY",
        "cookie_lifetime": 300,
        "certificates": [],
        "redirect_http": False,
        "sticky_sessions": False,
        "timeout_idle": 60,
    }
    given = {
        "cookie_name": body.text("cookie_name"),
        "cookie_lifetime": body.integer("cookie_lifetime", low=1, high=86400),
        "certificates": body.integers("certificates") if body.has("certificates") else None,
        "redirect_http": body.flag("redirect_http"),
        "sticky_sessions": body.flag("sticky_sessions"),
        "timeout_idle": body.integer("timeout_idle", low=1, high=3600),
    }
    return {**base, **{name: value for name, value in given.items() if value is not None}}


def _health_check(body: Body, old: Record) -> Record:
    given: dict[str, Any] = {
        "protocol": body.text("protocol", choices=("tcp", "http")),
        "port": body.integer("port", **_PORT),
        "interval": body.integer("interval", low=3, high=60),
        "timeout": body.integer("timeout", low=1, high=60),
        "retries": body.integer("retries", low=1, high=5),
    }
    check = {**old, **{name: value for name, value in given.items() if value is not None}}
    http = body.child("http")
    if check["protocol"] == "tcp":
        return {**check, "http": None}
    base = old["http"] or _default_http_check()
    asked = (
        {
            "domain": http.text("domain", maximum=128),
            "path": http.text("path", maximum=256),
            "response": http.text("response", maximum=256),
            "status_codes": http.strings("status_codes"),
            "tls": http.flag("tls"),
        }
        if http
        else {}
    )
    return {**check, "http": {**base, **{n: v for n, v in asked.items() if v is not None}}}


def _default_http_check() -> Record:
    codes = ["2??", "3??"]
    return {"domain": "", "path": "/", "response": "", "status_codes": codes, "tls": False}


def new_service(body: Body) -> Record:
    """A service as a request asks for it; problems are noted in the body."""
    protocol = body.text("protocol", required=True, choices=PROTOCOLS)
    usual = _USUAL_PORTS.get(protocol or "", (None, None))
    listen = body.integer("listen_port", required=usual[0] is None, **_PORT) or usual[0]
    destination = body.integer("destination_port", required=usual[1] is None, **_PORT) or usual[1]
    web = protocol in ("http", "https")
    check: Record = {
        "protocol": "http" if web else "tcp",
        "port": destination,
        "interval": 15,
        "timeout": 10,
        "retries": 3,
        "http": _default_http_check() if web else None,
    }
    wanted_check, wanted_http = body.child("health_check"), body.child("http")
    return {
        "protocol": protocol,
        "listen_port": listen,
        "destination_port": destination,
        "proxyprotocol": body.flag("proxyprotocol", False),
        "http": _http(wanted_http or Body({}), None) if web else None,
        "health_check": _health_check(wanted_check, check) if wanted_check else check,
    }


def add(balancer: Record, service: Record) -> None:
    """Add the service, if the load balancer can take it.

    Raises:
        ApiError: source_port_already_used or resource_limit_exceeded.
    """
    kind = catalog.LOAD_BALANCER_TYPES[balancer["load_balancer_type"]]
    if any(other["listen_port"] == service["listen_port"] for other in balancer["services"]):
        message = f"source port {service['listen_port']} is already in use"
        raise refused("source_port_already_used", message)
    if len(balancer["services"]) >= kind["max_services"]:
        message = (
            f"a load balancer of type {kind['name']} has at most {kind['max_services']} services"
        )
        raise limit_exceeded(["load_balancer_services"], message)
    balancer["services"].append(service)


def _target(call: Call) -> Record:
    balancer = call.target("load_balancer")
    call.project.require_unlocked("load_balancer", balancer["id"])
    return balancer


def _done(call: Call, command: str, balancer: Record) -> Reply:
    subject, work = ("load_balancer", balancer["id"]), call.project.balancers.sync
    return call.started(call.begin(command, subject, work=work))


def _find(balancer: Record, body: Body) -> int:
    port = body.integer("listen_port", required=True)
    body.check()
    for place, service in enumerate(balancer["services"]):
        if service["listen_port"] == port:
            return place
    raise not_found("service", port)


def _add(call: Call) -> Reply:
    balancer, body = _target(call), call.body()
    service = new_service(body)
    body.check()
    add(balancer, service)
    return _done(call, "add_service", balancer)


def _update(call: Call) -> Reply:
    balancer, body = _target(call), call.body()
    place = _find(balancer, body)
    old = balancer["services"][place]
    protocol = body.text("protocol", choices=PROTOCOLS) or old["protocol"]
    destination = body.integer("destination_port", **_PORT) or old["destination_port"]
    check, http = body.child("health_check"), body.child("http")
    web = protocol in ("http", "https")
    new = {
        **old,
        "protocol": protocol,
        "destination_port": destination,
        "proxyprotocol": body.flag("proxyprotocol", old["proxyprotocol"]),
        "http": _http(http or Body({}), old["http"]) if web else None,
        "health_check": _health_check(check, old["health_check"]) if check else old["health_check"],
    }
    body.check()
    balancer["services"][place] = new
    return _done(call, "update_service", balancer)


def _delete(call: Call) -> Reply:
    balancer = _target(call)
    del balancer["services"][_find(balancer, call.body())]
    return _done(call, "delete_service", balancer)


ROUTES = [
    Route("POST", "/load_balancers/{id:int}/actions/add_service", _add),
    Route("POST", "/load_balancers/{id:int}/actions/update_service", _update),
    Route("POST", "/load_balancers/{id:int}/actions/delete_service", _delete),
]
