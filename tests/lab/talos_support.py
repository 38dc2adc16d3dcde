"""A lab-node daemon of its own and a cluster on it, driven with the real talosctl and kubectl."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

from tests.lab.node_events import Event, parse

ROOT = Path(__file__).resolve().parents[2]
BIN = ROOT / ".lab" / "bin"
KUBERNETES = ROOT / ".lab" / "kubernetes"
KUBERNETES_VERSION = "1.35.4"
OLDER_KUBERNETES_VERSION = "1.34.4"
ENDPOINT = "api.demo.internal"
NETWORK = "10.0.0.0/21"


T = TypeVar("T")


def eventually(what: str, probe: Callable[[], T | None], seconds: float = 120) -> T:
    """Wait until probe returns something true; a probe that raises is asked again."""
    deadline = time.monotonic() + seconds
    last: object = None
    while time.monotonic() < deadline:
        try:
            last = probe()
            if last:
                return last
        except (AssertionError, CommandFailed, OSError, LookupError, ValueError) as error:
            last = error
        time.sleep(0.5)
    raise AssertionError(f"not within {seconds} s: {what}; last: {last}")


class CommandFailed(Exception):
    """A command ended with an error; the text is what it wrote."""


def run(*command: str, stdin: str | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, input=stdin, timeout=300)
    if done.returncode:
        raise CommandFailed(done.stderr)
    # talosctl writes what it did to stderr and what it was asked for to stdout.
    return done.stdout or done.stderr


class NodeLab:
    """A lab-node daemon with its own range of loopback addresses."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.octet, self.port = self._free_octet(), self._free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def _free_port() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    @staticmethod
    def _free_octet() -> int:
        octets = range(200, 250, 2)
        # Two test processes that look at the same moment begin at different places: a range is taken only when its daemon runs.
        first = os.getpid() % len(octets)
        for octet in [*octets[first:], *octets[:first]]:
            with socket.socket() as probe, contextlib.suppress(OSError):
                probe.bind((f"127.{octet}.0.1", 49999))
                return octet
        raise AssertionError("no free address range for a lab")

    def start(self) -> None:
        command = [
            str(BIN / "lab-node"),
            f"--state-dir={self.directory / 'nodes'}",
            f"--listen=127.0.0.1:{self.port}",
            f"--internal-prefix=127.{self.octet + 1}",
            f"--bin-dir={BIN}",
            f"--kubernetes-dir={KUBERNETES}",
            f"--claim=127.{self.octet}.0.1:49999",
            "--boot-seconds=0.3",
        ]
        with (self.directory / "lab-node.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        eventually("lab-node answers", lambda: self.call("GET", "/_lab/health"), 20)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        assert self.process
        self.process.send_signal(how)
        self.process.wait(timeout=30)

    def call(self, method: str, path: str, body: object = None) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)

    def public(self, server: int) -> str:
        return f"127.{self.octet}.1.{server - 1000}"

    def put(self, server: int, name: str, private: str, user_data: str, **changes: object) -> None:
        self.call(
            "PUT",
            f"/servers/{server}",
            {
                "id": server,
                "name": name,
                "user_data": user_data,
                "image": {"os": "talos", "talos_version": "v1.13.9"},
                "architecture": "x86",
                "server_type": {"name": "cx33", "cores": 4, "memory_gb": 8, "disk_gb": 80},
                "location": "nbg1",
                "public_ipv4": self.public(server),
                "public_ipv6": None,
                "private": [
                    {
                        "network_id": 1,
                        "network_cidr": NETWORK,
                        "ip": private,
                        "mac": "86:00:00:00:00:01",
                    }
                ],
                "firewall": None,
                "power": "on",
                "labels": {},
            }
            | changes,
        )

    def status(self, server: int) -> dict[str, Any]:
        return dict(self.call("GET", f"/servers/{server}"))

    def events(self, after: int = 0) -> list[Event]:
        """What happened to all servers, oldest first."""
        return parse(self.call("GET", f"/events?after={after}"))

    def fault(self, kind: str, server: str, **fields: object) -> None:
        """Plan a fault."""
        self.call("POST", "/faults", {"kind": kind, "server": server, **fields})

    def commands(self) -> list[str]:
        """Command lines of everything that runs from this lab's state directory."""
        found = []
        for pid in self.children():
            with contextlib.suppress(OSError):
                text = Path(f"/proc/{pid}/cmdline").read_text()
                found.append(text.replace("\0", " "))
        return found

    def children(self) -> list[int]:
        """Process ids of everything that runs from this lab's state directory."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                arguments = (entry / "cmdline").read_bytes()
                if str(self.directory).encode() in arguments and b"lab-node\0" not in arguments:
                    found.append(int(entry.name))
        return found


class Cluster:
    """
    Configs of one cluster made by talosctl, and clients to it.

    Args:
        directory: Keeps the files.
        endpoint: Public address of its first control plane.
        kubernetes: Version that its configs name.
    """

    def __init__(
        self, directory: Path, endpoint: str, kubernetes: str = KUBERNETES_VERSION
    ) -> None:
        self.directory, self.endpoint, self.kubernetes = directory, endpoint, kubernetes
        self.control_planes = ["10.0.0.11", "10.0.0.12", "10.0.0.13"]
        self.talosconfig = directory / "talosconfig"
        self.kubeconfig = directory / "kubeconfig"
        self.secrets = directory / "secrets.yaml"
        self._talosctl("gen", "secrets", "-o", str(self.secrets), "--talos-version", "v1.13")
        self.base = self.generate(self.secrets)

    @staticmethod
    def binary(name: str) -> Path:
        return BIN / name

    def _talosctl(self, *arguments: str) -> str:
        return run(str(BIN / "talosctl"), *arguments)

    def generate(self, secrets: Path) -> Path:
        out = self.directory / f"config-{secrets.stem}"
        self._talosctl(
            *("gen", "config", "demo", f"https://{ENDPOINT}:6443"),
            *("--with-secrets", str(secrets), "--output", str(out), "--force"),
            *("--talos-version", "v1.13", "--kubernetes-version", self.kubernetes),
        )
        config = yaml.safe_load((out / "talosconfig").read_text())
        config["contexts"]["demo"]["endpoints"] = [self.endpoint]
        if secrets == self.secrets:
            self.talosconfig.write_text(yaml.safe_dump(config))
        return out

    def config(
        self, role: str, name: str, *patches: dict[str, Any], base: Path | None = None
    ) -> str:
        common: list[dict[str, Any]] = [
            {
                "cluster": {
                    "network": {
                        "cni": {"name": "none"},
                        "podSubnets": ["10.0.16.0/20"],
                        "serviceSubnets": ["10.0.8.0/21"],
                    },
                    "proxy": {"disabled": True},
                }
                if role == "controlplane"
                else {
                    "network": {"podSubnets": ["10.0.16.0/20"], "serviceSubnets": ["10.0.8.0/21"]}
                },
                "machine": {"kubelet": {"nodeIP": {"validSubnets": ["10.0.0.0/22"]}}},
            },
            {"apiVersion": "v1alpha1", "kind": "HostnameConfig", "auto": "off", "hostname": name},
        ]
        if role == "controlplane":
            common[0]["cluster"]["etcd"] = {"advertisedSubnets": ["10.0.0.0/24"]}
        common += [
            {
                "apiVersion": "v1alpha1",
                "kind": "StaticHostConfig",
                "name": ip,
                "hostnames": [ENDPOINT],
            }
            for ip in self.control_planes
        ]
        source = (base or self.base) / f"{role}.yaml"
        arguments = ["machineconfig", "patch", str(source)]
        for index, patch in enumerate([*common, *patches]):
            file = self.directory / f"patch-{name}-{index}.yaml"
            file.write_text(yaml.safe_dump(patch))
            arguments += ["--patch", f"@{file}"]
        return self._talosctl(*arguments)

    def talosctl(self, node: str, *arguments: str) -> str:
        return self._talosctl("--talosconfig", str(self.talosconfig), "-n", node, *arguments)

    def get(self, node: str, resource: str) -> list[dict[str, Any]]:
        decoder, text = json.JSONDecoder(), self.talosctl(node, "get", resource, "-o", "json")
        found = []
        while text := text.lstrip():
            value, end = decoder.raw_decode(text)
            found.append(value)
            text = text[end:]
        return found

    def apply(self, node: str, text: str, *options: str) -> str:
        """`talosctl apply-config` of this text; what it said."""
        file = self.directory / f"apply-{node}.yaml"
        file.write_text(text)
        return self.talosctl(node, "apply-config", "-f", str(file), *options)

    def live_config(self, node: str, version: str = "v1alpha1") -> list[dict[str, Any]]:
        """Documents of a node's active config, or of the `persistent` one."""
        shown = yaml.safe_load(self.talosctl(node, "get", "mc", version, "-o", "yaml"))
        return list(yaml.safe_load_all(shown["spec"]))

    def boot_id(self, node: str) -> str:
        return self.talosctl(node, "read", "/proc/sys/kernel/random/boot_id").strip()

    def fetch_kubeconfig(self) -> None:
        self.talosctl("10.0.0.11", "kubeconfig", str(self.kubeconfig), "--force", "--merge=false")
        config = yaml.safe_load(self.kubeconfig.read_text())
        assert config["clusters"][0]["cluster"]["server"] == f"https://{ENDPOINT}:6443"
        config["clusters"][0]["cluster"]["server"] = f"https://{self.endpoint}:6443"
        self.kubeconfig.write_text(yaml.safe_dump(config))

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return run(str(BIN / "kubectl"), f"--kubeconfig={self.kubeconfig}", *arguments, stdin=stdin)

    def nodes(self) -> dict[str, dict[str, Any]]:
        items = json.loads(self.kubectl("get", "nodes", "-o", "json"))["items"]
        return {item["metadata"]["name"]: item for item in items}

    def ready(self) -> dict[str, bool]:
        return {
            name: any(
                c["type"] == "Ready" and c["status"] == "True" for c in node["status"]["conditions"]
            )
            for name, node in self.nodes().items()
        }


NETWORK_PLUGIN = """
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: cilium, namespace: kube-system, labels: {k8s-app: cilium}}
spec:
  selector: {matchLabels: {k8s-app: cilium}}
  template:
    metadata: {labels: {k8s-app: cilium}}
    spec:
      hostNetwork: true
      tolerations: [{operator: Exists}]
      containers: [{name: cilium-agent, image: "quay.io/cilium/cilium:v1.19.6"}]
"""


def refusal(call: Callable[[], object]) -> str:
    """The error text of a call that must fail."""
    with pytest.raises(CommandFailed) as failure:
        call()
    return str(failure.value)
