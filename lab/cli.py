"""`python -m lab`: the commands behind the Makefile's targets."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from lab import paths
from lab.errors import LabError
from lab.foreground import INTERRUPTED
from lab.tools.errors import InstallError


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    args = _parser().parse_args(arguments)
    try:
        if args.command == "install":
            from lab.tools.install import install

            install(set(args.only) or None)
            return 0
        # Everything but the installation needs packages of the virtualenv.
        from lab import commands

        return int(getattr(commands, args.command)(args))
    except (LabError, InstallError) as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 1
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lab",
        description="A Hetzner Cloud with Talos nodes on this machine.",
        epilog=f"LAB_STATE chooses the instance (now {paths.default_state()}).",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    one = commands.add_parser("install", help="virtualenv, tools and the lab's own programs")
    one.add_argument("only", nargs="*", metavar="TOOL", help="only these tools")
    commands.add_parser("up", help="start the lab and bring the stack `lab` up")
    one = commands.add_parser("down", help="destroy the stack and end the lab")
    one.add_argument("--force", action="store_true", help="throw the lab away without Pulumi")
    commands.add_parser("env", help="shell exports for pulumi, kubectl, talosctl and helm")
    commands.add_parser("start", help="start the daemons only")
    commands.add_parser("stop", help="end the daemons, keep all state")
    commands.add_parser("status", help="daemons, addresses, servers and nodes")
    commands.add_parser("recover", help="finish what a killed pulumi left behind")
    one = commands.add_parser("fault", help="let something go wrong, for example: lost_response")
    one.add_argument(
        "kind", help="a kind of fault; `list` shows the planned ones, `clear` drops all"
    )
    one.add_argument(
        "field", nargs="*", metavar="KEY=VALUE", help="server=lab-cp-1, seconds=30 ..."
    )
    one = commands.add_parser("vpn", help="reach private addresses, or no longer")
    one.add_argument("switch", choices=("on", "off"))
    one.add_argument("network", nargs="?", default="", help="name or id; default: all networks")
    one = commands.add_parser("logs", help="what the daemons wrote")
    one.add_argument("name", nargs="*", help="lab-node, hetzner; default: both")
    one.add_argument("-n", "--lines", type=int, default=40, help="default: 40")
    one.add_argument("-f", "--follow", action="store_true", help="go on until Ctrl-C")
    return parser
