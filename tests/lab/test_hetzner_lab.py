"""The Hetzner emulator: actions, errors, faults and accounting."""

from __future__ import annotations

import re
import time
from http.client import RemoteDisconnected
from typing import Any

import pytest
from hcloud import Client
from hcloud.actions import ActionFailedException
from hcloud.server_types import ServerType

from lab.hetzner.settings import Settings
from lab.hetzner.testing import TOKEN, ask, running
from tests.lab.hetzner_support import finish, new_server, refusal, talos

pytest_plugins = ["tests.lab.hetzner_fixtures"]


def test_actions_can_be_asked_for_in_bulk_and_by_object(cloud: Client, root: str) -> None:
    created = cloud.servers.create("a", ServerType("cx33"), talos(cloud))
    ids = [created.action.id, created.next_actions[0].id]
    query = "&".join(f"id={key}" for key in ids)
    _, body, _ = ask("GET", f"{root}/v1/actions?sort=status&sort=id&{query}")
    assert [(a["id"], a["command"]) for a in body["actions"]] == [
        (ids[0], "create_server"),
        (ids[1], "start_server"),
    ]
    finish(created.action, *created.next_actions)
    assert {a.status for a in created.server.get_actions()} == {"success"}
    assert ask("GET", f"{root}/v1/actions")[0] == 410


def test_faults_hit_the_requests_they_are_planned_for(cloud: Client, root: str) -> None:
    def plan(**fault: Any) -> None:
        assert ask("POST", f"{root}/_lab/faults", fault)[0] == 201

    plan(kind="no_stock", server_type="cx33", count=1)
    assert refusal(new_server, cloud, "a") == "resource_unavailable"
    plan(kind="error", method="GET", path="^/networks", status=503, count=2)
    assert refusal(cloud.networks.get_all) == "unavailable"
    plan(kind="action_fails", method="POST", path="^/servers$", code="action_failed")
    with pytest.raises(ActionFailedException):
        new_server(cloud, "b")
    plan(kind="lost_response", method="POST", path="^/networks$")
    with pytest.raises((ConnectionError, RemoteDisconnected)):
        ask("POST", f"{root}/v1/networks", {"name": "lost", "ip_range": "10.0.0.0/16"})
    assert ask("DELETE", f"{root}/_lab/faults")[0] == 200
    assert [network.name for network in cloud.networks.get_all()] == ["lost"]
    plan(kind="delay", seconds=0.1)
    began = time.monotonic()
    ask("GET", f"{root}/v1/locations")
    assert time.monotonic() - began >= 0.1
    plan(kind="rate_limit", seconds=30)
    status, body, headers = ask("GET", f"{root}/v1/servers")
    assert (status, body["error"]["code"]) == (429, "rate_limit_exceeded")
    assert headers["RateLimit-Remaining"] == "0"
    assert ask("POST", f"{root}/_lab/faults", {"kind": "slow_boot", "server": "*"})[0] == 422


def test_requests_are_counted_by_template_and_limited_by_token(root: str) -> None:
    ask("GET", f"{root}/v1/servers/4711")
    _, body, _ = ask("GET", f"{root}/_lab/requests")
    assert body["requests"] == {"GET /servers/{id}": 1}
    assert ask("DELETE", f"{root}/_lab/requests")[1]["total"] == 0
    with running(Settings(token="", requests_per_hour=2)) as other:
        seen = [ask("GET", f"{other}/v1/locations", token="a") for _ in range(3)]
        assert [status for status, _, _ in seen] == [200, 200, 429]
        assert [headers["RateLimit-Remaining"] for _, _, headers in seen] == ["1", "0", "0"]
        assert ask("GET", f"{other}/v1/locations", token="b")[0] == 200


def test_errors_have_the_api_s_form(root: str) -> None:
    for request, status, code in (
        (("GET", "/v1/servers", None, "wrong"), 401, "unauthorized"),
        (("GET", "/v1/servers", None, ""), 401, "unauthorized"),
        (("GET", "/v1/nonsense", None, TOKEN), 404, "not_found"),
        (("DELETE", "/v1/locations", None, TOKEN), 405, "method_not_allowed"),
        (("GET", "/v1/servers/1", None, TOKEN), 404, "not_found"),
        (("POST", "/v1/servers", b"{", TOKEN), 400, "json_error"),
        (("POST", "/v1/servers", b"[]", TOKEN), 400, "json_error"),
    ):
        method, path, body, token = request
        answer, error, _ = ask(method, root + path, body, token)
        assert (answer, error["error"]["code"]) == (status, code), request
        assert re.match(r"\S", error["error"]["message"])
