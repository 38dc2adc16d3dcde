"""`pulumi-language-python`: serves the engine until it ends.

The engine passes its address as the only argument and reads the port from the first line of output.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])

import grpc  # noqa: E402
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS  # noqa: E402
from pulumi.runtime.proto import language_pb2_grpc  # noqa: E402

from lab.host.service import LanguageHost  # noqa: E402
from lab.host.watchdog import when_engine_is_gone  # noqa: E402

VERSION = "0.1.0"


def main() -> int:
    """Serves until the engine interrupts the host or is gone."""
    parser = argparse.ArgumentParser(prog="pulumi-language-python")
    parser.add_argument("engine", nargs="?", default="")
    parser.add_argument("--version", action="version", version=VERSION)
    args, _ = parser.parse_known_args()

    # An unserved method is answered with UNIMPLEMENTED; its traceback is of no use to anybody.
    logging.getLogger("grpc").setLevel(logging.CRITICAL)
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())

    host = LanguageHost(
        args.engine, lambda address: when_engine_is_gone(address, over.set), VERSION
    )
    server = grpc.server(ThreadPoolExecutor(max_workers=64), options=_GRPC_CHANNEL_OPTIONS)
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(host, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    over.wait()
    host.children.end_all()
    server.stop(0)
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # Threads of finished calls may still wait for a dead engine.
    os._exit(code)
