"""The ASGI application: every request passes the same gates before its handler."""

from __future__ import annotations

import asyncio
import json
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Match
from starlette.routing import Route as HttpRoute

from lab.hetzner import (
    action_routes,
    catalog_routes,
    certificates,
    firewalls,
    floating_ips,
    images,
    lab_routes,
    load_balancer_services,
    load_balancer_targets,
    load_balancers,
    networks,
    placement_groups,
    primary_ips,
    server_actions,
    server_attach,
    server_create,
    server_power,
    servers,
    ssh_keys,
    volumes,
)
from lab.hetzner.accounting import Accounting
from lab.hetzner.actions import ActionFailed
from lab.hetzner.api import Call, Reply, Route
from lab.hetzner.errors import ApiError, no_such_route
from lab.hetzner.project import Project
from lab.hetzner.ratelimit import Bucket
from lab.hetzner.settings import Settings

PREFIX = "/v1"

ROUTES: list[Route] = [
    route
    for module in (
        action_routes,
        catalog_routes,
        certificates,
        firewalls,
        floating_ips,
        images,
        load_balancer_services,
        load_balancer_targets,
        load_balancers,
        networks,
        placement_groups,
        primary_ips,
        server_actions,
        server_attach,
        server_create,
        server_power,
        servers,
        ssh_keys,
        volumes,
    )
    for route in module.ROUTES
]
"""Everything that is served below /v1."""

_READS_POWER = ("/servers", "/primary_ips")


class Dropped(Exception):
    """The answer must never reach the client."""


class Api:
    """Takes requests through authentication, rate limit, faults, handler and saving."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self.accounting = Accounting()
        settings = project.settings
        self._buckets: defaultdict[str, Bucket] = defaultdict(
            lambda: Bucket(settings.requests_per_hour, time.monotonic, time.time)
        )

    def endpoint(self, route: Route | None) -> Callable[[Request], Any]:
        """The ASGI side of a route; None stands for paths that do not exist."""
        template = route.path.replace(":int", "") if route else ""

        async def handle(request: Request) -> Response:
            path = request.url.path.removeprefix(PREFIX)
            shown = template or "(unknown)"
            headers = {"X-Correlation-Id": uuid.uuid4().hex[:16]}
            try:
                reply = await self._answer(request, path, route, headers)
            except ApiError as error:
                reply = Reply(error.status, error.body())
            except Dropped:
                self.accounting.count(request.method, shown, 0)
                abort = request.scope.get("lab.abort")
                if abort:
                    abort()
                return Response(status_code=502)
            except Exception as error:
                print(f"hetzner: {request.method} {path}: {error!r}", file=sys.stderr)
                message = "internal error of the emulator, see its log"
                reply = Reply(500, ApiError(500, "server_error", message).body())
            self.accounting.count(request.method, shown, reply.status)
            if reply.body is None:
                return Response(status_code=reply.status, headers=headers)
            if pagination := reply.body.get("meta", {}).get("pagination"):
                headers["Link"] = _links(request, pagination)
            return JSONResponse(reply.body, reply.status, headers)

        return handle

    async def _answer(
        self, request: Request, path: str, route: Route | None, headers: dict[str, str]
    ) -> Reply:
        faults, method = self._project.faults, request.method
        text = await request.body()
        if fault := faults.take("delay", method, path):
            await asyncio.sleep(fault.seconds)
        if fault := faults.take("error", method, path):
            message = fault.message or "planned fault"
            raise ApiError(fault.status or 503, fault.code or "unavailable", message)
        token = self._authenticate(request)
        self._limit(method, path, token, headers)
        if route is None:
            raise _unknown(request, path)
        fields = _fields(text)
        if fault := faults.take("no_stock", method, path, fields):
            message = fault.message or "server location is currently out of stock"
            raise ApiError(fault.status or 412, fault.code or "resource_unavailable", message)
        if path.startswith(_READS_POWER):
            await self._project.machines.refresh()
        if path.startswith("/load_balancers"):
            await self._project.balancers.refresh()
        failure = None
        if method != "GET" and (fault := faults.take("action_fails", method, path)):
            message = fault.message or "planned fault"
            failure = ActionFailed(fault.code or "action_failed", message)
        call = Call(self._project, request.path_params, request.query_params, fields, failure)
        reply = route.handler(call)
        if method != "GET":
            self._project.balancers.touch()
            await self._project.file.flush()
        if faults.take("lost_response", method, path):
            raise Dropped
        return reply

    def _authenticate(self, request: Request) -> str:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        wanted = self._project.settings.token
        if scheme != "Bearer" or not token or (wanted and token != wanted):
            raise ApiError(401, "unauthorized", "unable to authenticate")
        return token

    def _limit(self, method: str, path: str, token: str, headers: dict[str, str]) -> None:
        bucket = self._buckets[token]
        taken = bucket.take()
        headers.update(bucket.headers())
        fault = self._project.faults.take("rate_limit", method, path)
        if fault:
            headers["RateLimit-Remaining"] = "0"
            headers["RateLimit-Reset"] = str(int(time.time() + fault.seconds))
        if fault or not taken:
            raise ApiError(429, "rate_limit_exceeded", "Limit of requests per hour reached")


def _fields(text: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(text) if text.strip() else {}
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        raise ApiError(400, "json_error", "invalid JSON in request body")
    return fields


def _unknown(request: Request, path: str) -> ApiError:
    routes: Sequence[BaseRoute] = request.app.routes
    if any(route.matches(request.scope)[0] is Match.PARTIAL for route in routes):
        return ApiError(405, "method_not_allowed", f"{request.method} is not allowed for {path}")
    print(f"hetzner: unknown route {request.method} {path}", file=sys.stderr)
    return no_such_route(path)


def _links(request: Request, pagination: dict[str, int | None]) -> str:
    links = []
    for relation, key in (("prev", "previous_page"), ("next", "next_page"), ("last", "last_page")):
        if pagination[key] is not None:
            query = [(k, v) for k, v in request.query_params.multi_items() if k != "page"]
            target = request.url.replace(query=urlencode([*query, ("page", pagination[key])]))
            links.append(f'<{target}>; rel="{relation}"')
    return ", ".join(links)


def create_app(settings: Settings) -> Starlette:
    """The emulator as an ASGI application with its own, separate project."""
    project = Project(settings)
    api = Api(project)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await project.open()
        try:
            yield
        finally:
            await project.close()

    served = [
        HttpRoute(PREFIX + route.path, api.endpoint(route), methods=[route.method])
        for route in ROUTES
    ]
    methods = ["GET", "POST", "PUT", "DELETE", "PATCH"]
    rest = HttpRoute("/{path:path}", api.endpoint(None), methods=methods)
    lab = lab_routes.routes(project, api.accounting)
    return Starlette(routes=[*served, *lab, rest], lifespan=lifespan)
