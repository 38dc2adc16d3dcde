"""The HTTP client of the machine daemon."""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from lab.hetzner.actions import ActionFailed

TIMEOUT = 30.0
"""Seconds for one exchange."""

_PAUSE = 0.2


class NodeUnreachable(ActionFailed):
    """The daemon did not answer."""

    def __init__(self, url: str, reason: object) -> None:
        super().__init__("server_error", f"the machines at {url} do not answer: {reason}")


class NodeClient:
    """Speaks the control API of the daemon that runs the machines.

    Args:
        url: its base URL.
        patience: seconds for which a refused connection is tried again.
    """

    def __init__(self, url: str, patience: float) -> None:
        parts = urlsplit(url)
        self._url = url
        self._host = parts.hostname or "127.0.0.1"
        self._port = parts.port or 80
        self._patience = patience
        self._threads = ThreadPoolExecutor(max_workers=16, thread_name_prefix="nodes")

    async def call(
        self, method: str, path: str, body: Any = None, *, patience: float | None = None
    ) -> Any:
        """Send a request and return the JSON answer; None for 404 and for an empty one.

        Raises:
            NodeUnreachable: no answer within the patience.
            ActionFailed: the daemon refused.
        """
        deadline = time.monotonic() + (self._patience if patience is None else patience)
        loop = asyncio.get_running_loop()
        while True:
            try:
                status, text = await loop.run_in_executor(
                    self._threads, self._exchange, method, path, body
                )
                break
            except (OSError, http.client.HTTPException) as error:
                if time.monotonic() >= deadline:
                    raise NodeUnreachable(self._url, error) from None
                await asyncio.sleep(_PAUSE)
        if status == 404:
            return None
        if status >= 400:
            raise ActionFailed("server_error", f"the machine refused {method} {path}: {text[:200]}")
        return json.loads(text) if text.strip() else None

    def _exchange(self, method: str, path: str, body: Any) -> tuple[int, str]:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT)
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def close(self) -> None:
        """Stop waiting for answers."""
        self._threads.shutdown(wait=False, cancel_futures=True)
