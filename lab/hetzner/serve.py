"""Running the application on a loopback port."""

from __future__ import annotations

import functools
import socket
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from lab.hetzner.app import create_app
from lab.hetzner.settings import Settings


class CuttableProtocol(H11Protocol):
    """HTTP whose requests can cut their own connection: `scope["lab.abort"]()`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.app = functools.partial(self._with_abort, self.app)

    async def _with_abort(self, app: Any, scope: Any, receive: Any, send: Any) -> None:
        scope["lab.abort"] = self.transport.abort
        await app(scope, receive, send)


def listen(address: str) -> socket.socket:
    """A bound socket for HOST:PORT; port 0 takes a free one.

    Raises:
        OSError: the address is taken.
        ValueError: not HOST:PORT, or not loopback.
    """
    host, _, port = address.rpartition(":")
    if not host.startswith("127.") and host != "localhost":
        raise ValueError(
            f"'{address}': only loopback addresses are allowed, such as 127.0.0.1:8080"
        )
    # asyncio turns Nagle off only for sockets that say they are TCP; with it, answers take 40 ms.
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, int(port)))
    except OSError:
        bound.close()
        raise
    return bound


def server(settings: Settings) -> uvicorn.Server:
    """A server for the emulator; it ends within a second of SIGTERM or of `should_exit`."""
    config = uvicorn.Config(
        create_app(settings),
        http=CuttableProtocol,
        ws="none",
        log_level="warning",
        access_log=False,
        lifespan="on",
        timeout_graceful_shutdown=1,
        timeout_keep_alive=75,
        backlog=1024,
    )
    return uvicorn.Server(config)
