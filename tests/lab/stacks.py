"""A Pulumi stack on a lab, driven as a user drives it: with the command line."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from hcloud import Client

from lab import orphans
from lab.instance import Lab

_SUMMARY = re.compile(
    r"^\s+[+~\-> ]*(\d+) (created|updated|deleted|replaced|unchanged)\b", re.MULTILINE
)

_ROOT = Path(__file__).parents[2]

TRACEBACK = "Traceback (most recent call last)"

SERVER = "hcloud:index/server:Server"
NODE = "pulumi-python:dynamic/oxide:Node"


class Run:
    """What one pulumi command said and did."""

    def __init__(self, code: int, text: str) -> None:
        self.code = code
        self.text = text

    @property
    def changes(self) -> dict[str, int]:
        """Operations by kind, as the summary counts them; unchanged resources left out."""
        found = {kind: int(count) for count, kind in _SUMMARY.findall(self.text)}
        found.pop("unchanged", None)
        return found


class Stack:
    """
    One stack.

    Args:
        lab: Lab that it lives on.
        project: Directory of the project.
        name: Name of the stack.
    """

    def __init__(self, lab: Lab, project: Path, name: str) -> None:
        self.lab = lab
        self.project = project
        self.name = name
        self.log = ""
        """Everything that all commands of this stack have printed."""

    def create(self, settings: Mapping[str, object]) -> None:
        """Make the stack with these settings and the lab's cloud."""
        self.ok("stack", "init", self.name)
        self.ok("config", "set", "hcloud:endpoint", self.lab.endpoint)
        self.ok("config", "set", "--secret", "hcloud:token", self.lab.token)
        for key, value in settings.items():
            self.set(key, value)

    def set(self, key: str, value: object) -> None:
        """`pulumi config set`; structures go in as JSON, paths in brackets work."""
        text = value if isinstance(value, str) else json.dumps(value)
        path = ["--path"] if "[" in key else []
        self.ok("config", "set", *path, "--", key, text)

    def unset(self, key: str) -> None:
        """`pulumi config rm`."""
        self.ok("config", "rm", key)

    def run(self, *arguments: str, timeout: float = 600) -> Run:
        """Run a command and keep what it says."""
        done = subprocess.run(
            ["pulumi", "--non-interactive", "--color=never", *arguments],
            cwd=self.project,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
        self.log += done.stdout
        return Run(done.returncode, done.stdout)

    def ok(self, *arguments: str) -> Run:
        """Run a command that must succeed."""
        run = self.run(*arguments)
        assert run.code == 0, f"pulumi {' '.join(arguments[:2])}:\n{run.text}"
        return run

    def up(self) -> Run:
        """`pulumi up` that must succeed."""
        return self.ok("up", "--yes", "--skip-preview")

    def destroy(self) -> Run:
        """`pulumi destroy --yes` without any other flag, which must succeed."""
        return self.ok("destroy", "--yes")

    def planned(self) -> Counter[tuple[str, str]]:
        """Operation and resource type of every step of a preview, unchanged ones left out."""
        run = self.ok("preview", "--json")
        plan = json.loads(run.text[run.text.index("{") :])
        return Counter(
            (step["op"], step["urn"].split("::")[2].rsplit("$", 1)[-1])
            for step in plan["steps"]
            if step["op"] != "same"
        )

    def start(
        self, *arguments: str, output: int | IO[str] = subprocess.PIPE
    ) -> subprocess.Popen[str]:
        """Start a command in a process group of its own, to be interrupted; it writes to `output`."""
        return subprocess.Popen(
            ["pulumi", "--non-interactive", "--color=never", *arguments],
            cwd=self.project,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def outputs(self) -> dict[str, Any]:
        """All outputs in plain text. Not kept in the log."""
        shown = self._quiet("stack", "output", "--json", "--show-secrets")
        outputs: dict[str, Any] = json.loads(shown)
        return outputs

    def state(self, *, plain: bool = False) -> str:
        """The exported state, encrypted or in plain text. Not kept in the log."""
        return self._quiet("stack", "export", *(["--show-secrets"] if plain else []))

    def resources(self) -> list[dict[str, Any]]:
        """Resources in the state."""
        found: list[dict[str, Any]] = json.loads(self.state())["deployment"].get("resources", [])
        return found

    def server_urn(self, name: str) -> str:
        """URN of the server of that name."""
        (urn,) = (
            resource["urn"]
            for resource in self.resources()
            if resource["type"] == SERVER and resource["outputs"]["name"] == name
        )
        return str(urn)

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl with the stack's kubeconfig."""
        return self._tool("kubectl", "KUBECONFIG", "kubeconfig", *arguments)

    def helm(self, *arguments: str) -> str:
        """Run helm with the stack's kubeconfig."""
        return self._tool("helm", "KUBECONFIG", "kubeconfig", *arguments)

    def talosctl(self, *arguments: str) -> str:
        """Run talosctl with the stack's talosconfig."""
        return self._tool("talosctl", "TALOSCONFIG", "talosconfig", *arguments)

    def nodes(self) -> dict[str, dict[str, Any]]:
        """Node objects by name."""
        items = json.loads(self.kubectl("get", "nodes", "-o", "json"))["items"]
        return {item["metadata"]["name"]: item for item in items}

    def ready_nodes(self) -> list[str]:
        """Names of Ready nodes, sorted."""
        return sorted(
            name
            for name, node in self.nodes().items()
            if any(
                c["type"] == "Ready" and c["status"] == "True" for c in node["status"]["conditions"]
            )
        )

    def members(self, via: str = "10.0.0.11") -> list[str]:
        """
        Names of etcd's voting members, sorted.

        Args:
            via: Private address of the control plane that is asked.
        """
        head, *rows = self.talosctl("-n", via, "etcd", "members").splitlines()
        name = slice(head.index("HOSTNAME"), head.index("PEER URLS"))
        return sorted(row[name].strip() for row in rows if row.split()[-1] == "false")

    def agreed(self) -> list[str]:
        """Names of the nodes on which Hetzner, etcd, Kubernetes and the state agree; fails where they do not."""
        labelled = self.cloud.servers.get_all(label_selector=f"cluster={self.name}")
        servers = sorted(server.name for server in labelled)
        control_planes = [s.name for s in labelled if s.labels["role"] == "control-plane"]
        resources = self.resources()
        assert _named(resources, SERVER, "name") == servers
        assert _named(resources, NODE, "node_name") == servers
        nodes = self.nodes()
        assert sorted(nodes) == servers
        assert self.ready_nodes() == servers
        assert [n for n in servers if nodes[n]["spec"].get("unschedulable")] == []
        assert self.members() == sorted(control_planes)
        return servers

    def apply(self, *objects: Mapping[str, object]) -> None:
        """`kubectl apply` of these objects."""
        file = self.project / "objects.json"
        file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))
        self.kubectl("apply", "-f", str(file))

    def recover(self) -> Run:
        """The recovery command, as after a killed engine."""
        done = subprocess.run(
            [sys.executable, "-m", "oxide_components.recover", "--yes"],
            cwd=self.project,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
            check=False,
        )
        self.log += done.stdout
        return Run(done.returncode, done.stdout)

    def helpers_left(self, within: float) -> list[str]:
        """What still runs of an engine that is gone after some seconds; returns early once nothing does."""
        deadline = time.monotonic() + within
        while (left := orphans.find(self.lab.home)) and time.monotonic() < deadline:
            time.sleep(0.2)
        return [" ".join(process.command) for process in left]

    @property
    def cloud(self) -> Client:
        """Hetzner's official client on the lab."""
        return Client(token=self.lab.token, api_endpoint=self.lab.endpoint)

    def cloud_objects(self) -> dict[str, list[str]]:
        """Names of this cluster's objects at Hetzner, by kind; kinds without any left out."""
        cloud, selector = self.cloud, f"cluster={self.name}"
        kinds = {
            "servers": cloud.servers,
            "networks": cloud.networks,
            "firewalls": cloud.firewalls,
            "primary IPs": cloud.primary_ips,
            "placement groups": cloud.placement_groups,
            "load balancers": cloud.load_balancers,
        }
        found = {
            kind: sorted(one.name for one in listing.get_all(label_selector=selector))
            for kind, listing in kinds.items()
        }
        return {kind: names for kind, names in found.items() if names}

    def discard(self) -> None:
        """Give the machine its processor back; what is left goes with the lab."""
        for server in self.cloud.servers.get_all(label_selector=f"cluster={self.name}"):
            server.delete()

    @property
    def env(self) -> dict[str, str]:
        """Environment of all commands."""
        return self.lab.env()

    def _quiet(self, *arguments: str) -> str:
        return subprocess.run(
            ["pulumi", "--non-interactive", *arguments],
            cwd=self.project,
            env=self.env,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    def _tool(self, tool: str, variable: str, output: str, *arguments: str) -> str:
        file = self.project / f"{output}.secret"
        if not file.exists():
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
            with os.fdopen(descriptor, "w") as stream:
                stream.write(self.outputs()[output])
        done = subprocess.run(
            [tool, *arguments],
            env={**self.env, variable: str(file)},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, f"{tool} {' '.join(arguments)}: {done.stderr}"
        return done.stdout


def _named(resources: list[dict[str, Any]], kind: str, key: str) -> list[str]:
    return sorted(r["outputs"][key] for r in resources if r["type"] == kind)


def make_stack(lab: Lab, project: Path, name: str, **settings: object) -> Stack:
    """
    A stack of the Oxide program in a project directory of its own; nothing is deployed yet.

    Args:
        lab: Lab that it lives on.
        project: Empty directory.
        name: Name of stack and cluster.
        settings: What differs from the smallest stack that lives on a lab.
    """
    for file in ("Pulumi.yaml", "__main__.py", "requirements.txt"):
        shutil.copy(_ROOT / file, project / file)
    for folder in ("oxide_components", "lab", ".venv"):
        (project / folder).symlink_to(_ROOT / folder)
    stack = Stack(lab, project, name)
    stack.create(
        {
            "clusterName": name,
            "adminCidrs[0]": "127.0.0.0/8",
            "deletionProtection": "false",
            "ciliumChart": "./lab/charts/cilium",
            **settings,
        }
    )
    return stack
