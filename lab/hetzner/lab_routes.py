"""/_lab: what the real API does not have. Needs no token, is neither counted nor limited."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lab.hetzner.accounting import Accounting
from lab.hetzner.actions import ActionFailed
from lab.hetzner.faults import KINDS
from lab.hetzner.project import Project
from lab.hetzner.server_view import status
from lab.hetzner.store import Record


def routes(project: Project, accounting: Accounting) -> list[Route]:
    """The endpoints for tests and for people who run the lab."""

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok", "machines_synced": project.machines.synced})

    async def state(_: Request) -> Response:
        await project.machines.refresh()
        store = project.store
        counts = {f"{kind}s": number for kind, number in store.counts().items() if kind != "action"}
        counts["running_actions"] = len(list(store.where("action", status="running")))
        servers = [_summary(server) for server in store.all("server")]
        return JSONResponse({"counts": counts, "servers": servers})

    async def requests(request: Request) -> Response:
        if request.method == "DELETE":
            accounting.reset()
        return JSONResponse(accounting.summary())

    async def faults(request: Request) -> Response:
        try:
            if request.method == "GET":
                planned = [asdict(fault) for fault in project.faults.planned]
                if project.machines.exist:
                    planned += await project.machines.fault("GET") or []
                return JSONResponse({"faults": planned})
            if request.method == "DELETE":
                project.faults.clear()
                if project.machines.exist:
                    await project.machines.fault("DELETE")
                return JSONResponse({"faults": []})
            fields = await request.json()
            if fields.get("kind") not in KINDS:
                await project.machines.fault("POST", fields)
                return JSONResponse({"forwarded": True}, 201)
            return JSONResponse(asdict(project.faults.plan(fields)), 201)
        except ActionFailed as error:
            return _bad(error.message)
        except (ValueError, TypeError, AttributeError, re.error) as error:
            return _bad(f"not a fault: {error}")

    return [
        Route("/_lab/health", health),
        Route("/_lab/state", state),
        Route("/_lab/requests", requests, methods=["GET", "DELETE"]),
        Route("/_lab/faults", faults, methods=["GET", "POST", "DELETE"]),
    ]


def _summary(server: Record) -> dict[str, Any]:
    return {
        "id": server["id"],
        "name": server["name"],
        "status": status(server),
        "private_ips": [attachment["ip"] for attachment in server["private_net"]],
        "labels": server["labels"],
    }


def _bad(message: str) -> Response:
    return JSONResponse({"error": {"code": "invalid_input", "message": message}}, 422)
