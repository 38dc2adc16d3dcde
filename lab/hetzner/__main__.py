"""`python -m lab.hetzner`: run the emulator until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from lab.hetzner import serve
from lab.hetzner.settings import Settings


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m lab.hetzner", description=__doc__)
    add = parser.add_argument
    add("--listen", default="127.0.0.1:0", metavar="HOST:PORT", help="loopback only")
    add("--state-file", type=Path, metavar="FILE", help="default: in memory only")
    add("--nodes", metavar="URL", help="daemon that runs the machines; default: no machines")
    add("--public-prefix", default="127.16", metavar="A.B", help="of public IPv4 addresses")
    add("--token", default="", help="the accepted API token; default: any")
    add("--talos-version", action="append", metavar="VERSION", help="seed snapshots; repeatable")
    add("--action-seconds", type=float, default=0.2, help="duration of a server creation")
    add("--requests-per-hour", type=int, default=3600, help="rate limit; 0: none")
    add("--server-limit", type=int, default=250, help="servers in the project")
    return parser.parse_args()


def main() -> int:
    """Run and return the exit code."""
    given = _arguments()
    defaults = Settings(token="")
    settings = Settings(
        token=given.token,
        state_file=given.state_file,
        nodes_url=given.nodes,
        public_prefix=given.public_prefix,
        talos_versions=tuple(given.talos_version or defaults.talos_versions),
        action_seconds=given.action_seconds,
        requests_per_hour=given.requests_per_hour,
        server_limit=given.server_limit,
    )
    try:
        bound = serve.listen(given.listen)
    except (OSError, ValueError) as error:
        print(f"hetzner: cannot listen on {given.listen}: {error}", file=sys.stderr)
        return 1
    host, port = bound.getsockname()
    print(f"hetzner: http://{host}:{port}/v1", flush=True)
    server = serve.server(settings)
    # uvicorn raises the signal again once it has stopped; a requested stop is not a failure.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
    server.run(sockets=[bound])
    return 0 if server.started else 1


if __name__ == "__main__":
    sys.exit(main())
