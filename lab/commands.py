"""What each command of `python -m lab` does; every function returns the exit code."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess

from lab import api, foreground, nodes_table, paths, stack
from lab import vpn as inside
from lab.errors import LabError
from lab.instance import FOREIGN, Lab

_NEXT = """
Next:
  eval "$(make -s env)"        this shell's pulumi, kubectl, talosctl and helm act on the lab
  pulumi config set workers 5
  pulumi up                    three more workers
  kubectl get nodes
  make down                    destroys the cluster and ends the lab"""


def up(_args: argparse.Namespace) -> int:
    """Starts the lab, brings the stack up and shows the nodes."""
    lab = Lab()
    lab.start()
    stack.select(lab)
    if code := stack.up(lab):
        print(f"\n{_way_out(code)}; make down removes everything.")
        return code
    print(f"\n{_finished(lab)}\n{_NEXT}")
    return 0


def down(args: argparse.Namespace) -> int:
    """Destroys the stack, removes it and ends the daemons."""
    lab = Lab()
    lab.kill_orphans()
    if args.force:
        lab.stop()
        shutil.rmtree(lab.state_dir)
        print("the lab is gone, with all its state")
        return 0
    if stack.exists(lab):
        lab.start()
        if code := stack.destroy(lab):
            print(
                "\nThe lab still runs. make down tries again, make recover mends a killed run, "
                "`.venv/bin/python -m lab down --force` throws the lab away."
            )
            return code
        stack.remove(lab)
    lab.stop()
    return 0


def env(_args: argparse.Namespace) -> int:
    """Prints shell commands that make this lab's tools the shell's."""
    lab = Lab()
    lab.prepare()
    for name in FOREIGN:
        if name in os.environ:
            print(f"unset {name}")
    for name in ("HTTPS_PROXY", "https_proxy"):
        if os.environ.get(name, "").endswith(lab.settings.vpn):
            print(f"unset {name}")
    for name, value in lab.variables().items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


def start(_args: argparse.Namespace) -> int:
    """Starts the daemons."""
    lab = Lab()
    lab.start()
    print(f"Hetzner Cloud API at {lab.endpoint}, servers at {lab.settings.public_prefix}.x.y")
    return 0


def stop(_args: argparse.Namespace) -> int:
    """Ends the daemons; their state stays."""
    ended = Lab().stop()
    print(f"ended: {', '.join(ended)}" if ended else "nothing was running")
    return 0


def status(_args: argparse.Namespace) -> int:
    """Shows daemons, servers and nodes."""
    lab = Lab()
    print(f"state      {lab.state_dir}")
    print(f"api        {lab.endpoint}")
    print(f"addresses  {lab.settings.public_prefix}.0.0/16")
    for daemon in lab.daemons:
        process = daemon.running()
        told = f"pid {process.pid}" if process else "stopped"
        print(f"{daemon.name:<10} {told}{'' if not process or daemon.answers() else ', no answer'}")
    if not lab.running():
        return 0
    servers = api.servers(lab)
    print(f"servers    {len(servers)}")
    for server in servers:
        address = server["public_net"]["ipv4"]
        print(f"  {server['name']:<24} {server['status']:<12} {address['ip'] if address else '-'}")
    if servers and lab.kubeconfig.exists():
        print(f"\n{nodes_table.read(lab)}")
    return 0


def vpn(args: argparse.Namespace) -> int:
    """Lets the lab's commands into the private networks, or out again."""
    lab = Lab()
    if args.switch == "off":
        inside.disconnect(lab)
        print('private addresses are unreachable: eval "$(make -s env)" in open shells')
        return 0
    lab.start()
    proxy = inside.connect(lab, args.network)
    print(f'inside through {proxy}: eval "$(make -s env)" in open shells')
    return 0


def recover(_args: argparse.Namespace) -> int:
    """Ends orphans, starts the lab and runs the product's recovery on the stack."""
    lab = Lab()
    for one in lab.kill_orphans():
        print(f"ended {one}: its pulumi is gone")
    lab.start()
    if not stack.exists(lab):
        raise LabError(f"there is no stack {paths.STACK} to recover: run make up")
    command = [str(paths.PYTHON), "-m", "oxide_components.recover", "--stack", paths.STACK, "--yes"]
    if code := foreground.run(command, env=lab.env(), cwd=paths.ROOT):
        return code
    print(f"\n{_finished(lab)}")
    return 0


def fault(args: argparse.Namespace) -> int:
    """Plans, lists or clears faults."""
    lab = Lab()
    if args.kind == "clear":
        api.clear_faults(lab)
        return 0
    if args.kind != "list":
        fields = dict(item.partition("=")[::2] for item in args.field)
        api.plan_fault(lab, {"kind": args.kind, **{k: _number(v) for k, v in fields.items()}})
    for planned in api.faults(lab):
        print("  ".join(f"{name}={value}" for name, value in planned.items() if value != ""))
    return 0


def logs(args: argparse.Namespace) -> int:
    """Shows the ends of the daemons' logs."""
    lab = Lab()
    files = [str(d.log) for d in lab.daemons if not args.name or d.name in args.name]
    files = [file for file in files if os.path.exists(file)]
    if not files:
        raise LabError(f"no such log in {lab.state_dir}: the lab has not run yet")
    follow = ["-F"] if args.follow else []
    return subprocess.run(["tail", "-n", str(args.lines), *follow, *files], check=False).returncode


def _way_out(code: int) -> str:
    if code == foreground.KILLED:
        return "pulumi was killed: make recover finishes what it began"
    return "make up goes on from here"


def _finished(lab: Lab) -> str:
    """Saves the credentials of a cluster that is up and returns its table of nodes."""
    outputs = stack.save_credentials(lab)
    roles = {node["name"]: node["role"] for node in outputs.get("nodes", [])}
    return nodes_table.read(lab, roles)


def _number(text: str) -> str | float:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text
