"""For tests: an emulator in this process, and a stand-in for the daemon that runs the machines."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from lab.hetzner import serve
from lab.hetzner.settings import Settings

TOKEN = "t" * 64


@contextmanager
def running(settings: Settings) -> Iterator[str]:
    """Run an emulator on a free port; the value is its root URL, without /v1."""
    bound = serve.listen("127.0.0.1:0")
    server = serve.server(settings)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started and thread.is_alive() and time.monotonic() < deadline:
        time.sleep(0.005)
    try:
        if not server.started:
            raise RuntimeError("the emulator did not start")
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=5)


def ask(method: str, url: str, body: Any = None, token: str = TOKEN) -> tuple[int, Any, Any]:
    """Send one request: status, decoded JSON (None if empty) and headers of the answer."""
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(url, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            text = response.read()
            return response.status, json.loads(text) if text else None, response.headers
    except urllib.error.HTTPError as error:
        text = error.read()
        return error.code, json.loads(text) if text else None, error.headers


class FakeMachines:
    """Answers the machine daemon's control API and remembers what it was told."""

    def __init__(self) -> None:
        self.machines: dict[int, dict[str, Any]] = {}
        """The last PUT of each machine that exists, with its live `power`."""
        self.calls: list[tuple[str, str]] = []
        """Method and path of every request except readings of status."""
        self.balancers: dict[int, dict[str, Any]] = {}
        """The last PUT of each load balancer that exists."""
        self.health: dict[int, dict[str, str]] = {}
        """Health of servers by listening port, for all load balancers."""
        self.faults: list[dict[str, Any]] = []
        """The planned faults."""

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        """What the daemon would say."""
        if method != "GET":
            self.calls.append((method, path))
        parts = path.strip("/").split("/")
        if parts == ["faults"]:
            if method == "GET":
                return 200, self.faults
            self.faults = [*self.faults, body] if method == "POST" else []
            return 200, {}
        if parts[0] == "load_balancers":
            return self._balance(method, parts, body)
        if parts == ["servers"]:
            return 200, [{"id": key, "power": m["power"]} for key, m in self.machines.items()]
        key = int(parts[1])
        if method == "PUT":
            self.machines[key] = body
        if key not in self.machines:
            return 404, {}
        if method == "DELETE":
            return 200, self.machines.pop(key) and {}
        if method == "POST":
            power = {"poweron": "on", "poweroff": "off", "shutdown": "off"}
            self.machines[key]["power"] = power.get(parts[3], self.machines[key]["power"])
        return 200, {"id": key, "power": self.machines[key]["power"]}

    def _balance(self, method: str, parts: list[str], body: Any) -> tuple[int, Any]:
        if method == "GET":
            statuses = []
            for key, spec in self.balancers.items():
                targets = [
                    {**target, "health": self.health.get(target.get("server", 0), {})}
                    for target in spec["targets"]
                ]
                statuses.append({"id": key, "targets": targets})
            return 200, statuses
        if method == "PUT":
            self.balancers[int(parts[1])] = body
        else:
            self.balancers.pop(int(parts[1]), None)
        return 200, {}


@contextmanager
def fake_machines() -> Iterator[tuple[FakeMachines, str]]:
    """Run a FakeMachines on a free port; the values are it and its URL."""
    fake = FakeMachines()

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, body = fake.answer(self.command, self.path, json.loads(text or b"null"))
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PUT = do_POST = do_DELETE = _serve  # noqa: N815 - http.server's names

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield fake, f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
