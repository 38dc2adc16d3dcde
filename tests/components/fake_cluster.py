"""A cluster in memory that stands in for talosctl and the Kubernetes API."""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

import yaml

from oxide_components.kubernetes_api import CORDONED, ApiUnavailableError
from oxide_components.talosctl import TalosError

from .clock import Clock

_STATIC_PODS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
_MARK = "talos.dev/config-version"

BOOT_SECONDS = 20.0
"""How long a node is away when it restarts; its kubelet reports ten seconds later."""


def address_of(index: int) -> str:
    """Private address of a control plane."""
    return f"10.0.0.1{index}"


class FakeCluster:
    """Nodes, members and Node objects; every call that changes something is kept in `done`."""

    def __init__(self, control_planes: int, workers: int) -> None:
        self.members = {f"demo-cp-{i}": address_of(i) for i in range(1, control_planes + 1)}
        self.alive = {address_of(i): f"demo-cp-{i}" for i in range(1, control_planes + 1)}
        self.alive |= {f"10.0.1.{i}": f"demo-worker-{i}" for i in range(1, workers + 1)}
        self.addresses = {name: address for address, name in self.alive.items()}
        self.nodes = {name: _node(name, address) for name, address in self.addresses.items()}
        self.sick: set[str] = set()
        self.blocked: set[str] = set()
        self.leave_refused = False
        self.api_down = False
        self.reporting: set[str] = set()
        self._reports = 0
        self.done: list[str] = []
        self.recorded: list[dict[str, Any]] = []
        """What the engine records of changes that failed."""
        self.clock = Clock()
        self.configs = dict.fromkeys(self.nodes, "")
        self.staged: dict[str, str] = {}
        self.boots = dict.fromkeys(self.nodes, 1)
        self.lost: set[str] = set()
        """Nodes that do not come back from a restart."""
        self.versions = dict.fromkeys(self.nodes, "v1.13.9")
        """Talos version that each node runs."""
        self.installed: dict[str, str] = {}
        """Talos version that each node boots next."""
        self.falls_back: set[str] = set()
        """Nodes that do not boot what was installed."""
        self.images_missing = False
        self.boot_seconds = BOOT_SECONDS
        self.dead_kubelets: set[str] = set()
        self.learners: set[str] = set()
        self.leader = "id-demo-cp-1"
        self.no_data: set[str] = set()
        self.api_unready: set[str] = set()
        """Public addresses whose Kubernetes API does not serve."""
        self.outdated: dict[str, str] = {}
        """Static pods by their name, each with the mark that it still carries."""
        self.conflicts = 0
        self.keeps_cordons = False
        self.calls: list[str] = []
        self.lists = 0
        """How often Node objects were listed."""
        self.during: dict[str, Callable[[], None]] = {}
        """What happens right before a call, by the call's first words."""
        self.client = "v1.13.9"
        """Version of talosctl."""
        self._files: dict[str, str] = {}

    # talosctl

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run(self, *args: str, node: str, endpoint: str, timeout: float = 30) -> str:
        if "," in node:
            return "".join(self.run(*args, node=one, endpoint=endpoint) for one in node.split(","))
        words = [arg for arg in args if not arg.startswith("--")]
        via = address_of(int(endpoint.rsplit(".", 1)[1]))
        if via not in self.alive or node not in self.alive:
            raise TalosError(f"talosctl {words[0]} on {node}: no route to host")
        name = self.alive[node]
        self.calls.append(f"{' '.join(words)} {name}")
        if happening := self.during.get(words[0]):
            happening()
        match words:
            case ["get", "machineconfig", "v1alpha1", "-o", "yaml"]:
                return yaml.safe_dump({"node": node, "spec": self.configs[name]})
            case ["get", "machineconfig", "v1alpha1", "-o", "json"]:
                return json.dumps({"node": node, "spec": self.configs[name]}, indent=4) + "\n"
            case ["get", "staticpods", "-o", "yaml"]:
                return yaml.safe_dump_all(_static_pod(name) for name in _STATIC_PODS)
            case ["get", "extensions", "-o", "yaml"]:
                extension = {"name": "schematic", "version": "abc"}
                return yaml.safe_dump({"node": node, "spec": {"metadata": extension}})
            case ["apply-config"]:
                return self._apply(name, dict(arg[2:].split("=", 1) for arg in args[1:]))
            case ["read", "/proc/sys/kernel/random/boot_id"]:
                return f"boot-{self.boots[name]}\n"
            case ["reboot"]:
                self.done.append(f"reboot {name}")
                self.goes_down(name)
                return ""
            case ["version"]:
                return f"Client:\n\tTag:  v1.13.0\nServer:\n\tTag:  {self.versions[name]}\n"
            case ["upgrade"]:
                return self._upgrade(name, dict(arg[2:].split("=", 1) for arg in args[1:]))
            case ["kubeconfig", "-"]:
                return "answer"
            case ["list", "/var/lib/etcd"]:
                holds = name in self.members and name not in self.no_data
                return "NODE   NAME\n.\nmember\n" if holds else "NODE   NAME\n.\n"
            case ["etcd", "members"]:
                rows = [
                    ["NODE", "ID", "HOSTNAME", "PEER URLS", "CLIENT URLS", "LEARNER"],
                    *(
                        [node, f"id-{n}", n, f"https://{a}:2380", f"https://{a}:2379", "false"]
                        for n, a in self.members.items()
                    ),
                ]
                return _table(rows)
            case ["etcd", "status"]:
                state = ["unwell" if name in self.sick else ""]
                heads = ["NODE", "MEMBER", "LEADER", "LEARNER", "ERRORS"]
                learner = str(name in self.learners).lower()
                return _table([heads, [node, f"id-{name}", self.leader, learner, *state]])
            case ["etcd", "leave"]:
                if self.leave_refused:
                    raise TalosError("talosctl etcd on node: etcdserver: unhealthy cluster")
                self.done.append(f"leave {name}")
                del self.members[name]
                return ""
            case ["etcd", "remove-member", member]:
                self.done.append(f"remove {member.removeprefix('id-')}")
                del self.members[member.removeprefix("id-")]
                return ""
            case ["reset"]:
                graceful = "graceful" if "--graceful=true" in args else "hard"
                assert "--reboot=false" in args
                self.done.append(f"reset {name} {graceful}")
                del self.alive[node]
                return ""
        raise AssertionError(words)

    def client_version(self) -> str:
        return self.client

    def _upgrade(self, name: str, flags: Mapping[str, str]) -> str:
        image = flags["image"]
        if self.images_missing:
            raise TalosError(f"talosctl upgrade on node: failed to pull image {image}: not found")
        version = image.rpartition(":")[2]
        self.done.append(f"upgrade {name} {version}")
        self.installed[name] = version
        self.goes_down(name)
        return ""

    @contextlib.contextmanager
    def file(self, text: str) -> Iterator[str]:
        name = f"/dev/shm/input-{len(self._files)}"  # noqa: S108 - no file is written
        self._files[name] = text
        yield name
        self._files[name] = "gone"

    def goes_down(self, name: str) -> None:
        """Take the node away; it boots into what is staged for it, unless it is lost."""
        address = self.addresses[name]
        del self.alive[address]
        if name not in self.lost:
            self.clock.after(self.boot_seconds, lambda: self.boot(name))

    def boot(self, name: str) -> None:
        """Bring a node up with what was installed and staged."""
        self.alive[self.addresses[name]] = name
        self.boots[name] += 1
        self.nodes[name]["status"]["nodeInfo"].setdefault(
            "osImage", f"Talos ({self.versions[name]})"
        )
        installed = self.installed.pop(name, self.versions[name])
        if name not in self.falls_back:
            self.versions[name] = installed
        self.configs[name] = self.staged.pop(name, self.configs[name])
        report = self.nodes[name]["status"]["nodeInfo"]
        shown = {"bootID": f"boot-{self.boots[name]}", "osImage": f"Talos ({self.versions[name]})"}
        self.clock.after(10, lambda: report.update(shown))

    def _apply(self, name: str, flags: Mapping[str, str]) -> str:
        config = self._files[flags["file"]]
        mode = flags["mode"]
        if "unknown-key" in config:
            raise TalosError(
                "talosctl apply-config on node: unknown-key",
                "error applying new configuration: rpc error: code = InvalidArgument desc = unknown keys found during "
                f"decoding:\n{config}\n",
            )
        if "refused-by-talos" in config:
            raise TalosError(
                "talosctl apply-config on node: * a label is refused",
                "error applying new configuration: rpc error: code = InvalidArgument desc = 1 error occurred:\n"
                "\t* a label is refused\n",
            )
        # One of the keys that Talos cannot take over at once.
        if mode == "no-reboot" and _udev(config) != _udev(self.configs[name]):
            raise TalosError(
                f"talosctl apply-config on node: {config.splitlines()[-1]}",
                "error applying new configuration: rpc error: code = InvalidArgument desc = this config change can't be "
                f"applied in immediate mode\ndiff: {config}",
            )
        self.done.append(f"apply {name} {mode}")
        self.staged.pop(name, None)
        (self.configs if mode == "no-reboot" else self.staged)[name] = config
        return ""

    # Kubernetes

    def node(self, name: str) -> dict[str, Any] | None:
        if self.api_down:
            raise ApiUnavailableError("https://192.0.2.1:6443: timed out")
        return self._shown(name) if name in self.nodes else None

    def _shown(self, name: str) -> dict[str, Any]:
        shown: dict[str, Any] = json.loads(json.dumps(self.nodes[name]))
        shown["status"]["nodeInfo"].setdefault("osImage", f"Talos ({self.versions[name]})")
        return shown

    def pod(self, namespace: str, name: str) -> dict[str, Any] | None:
        assert namespace == "kube-system"
        return {
            "metadata": {"name": name, "annotations": {_MARK: self.outdated.get(name, "7")}},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        }

    def not_ready_reason(self, server: str) -> str | None:
        address = server.removeprefix("https://").partition(":")[0]
        via = address_of(int(address.rsplit(".", 1)[1]))
        if via not in self.alive:
            return "Connection refused"
        return "HTTP 500 etcd" if address in self.api_unready else None

    def last_report(self, name: str) -> str | None:
        lives = name in self.alive.values() and name not in self.dead_kubelets
        self._reports += lives or name in self.reporting
        return f"report {self._reports}"

    def patch_node(self, name: str, patch: Mapping[str, Any]) -> bool:
        if self.conflicts:
            self.conflicts -= 1
            raise ApiUnavailableError(f"PATCH node {name}: the object has been modified")
        node = self.nodes[name]
        version = node["metadata"]["resourceVersion"]
        assert patch["metadata"]["resourceVersion"] == version, "nobody else's change may get lost"
        node["metadata"]["resourceVersion"] = str(int(version) + 1)
        node["spec"].update(patch["spec"])
        self.done.append(f"taints {name}")
        return True

    def items(self, path: str) -> list[dict[str, Any]]:
        if self.api_down:
            raise ApiUnavailableError("https://192.0.2.1:6443: timed out")
        name = path.rpartition("%3D")[2]
        if path.startswith("/api/v1/nodes"):
            self.lists += 1
            return [self._shown(name) for name in self.nodes]
        pod = {"metadata": {"name": f"pod-on-{name}", "namespace": "default"}}
        return [pod] if name in self.blocked else []

    def volumes_of(self, pods: object) -> set[str]:
        return set()

    def evict(self, namespace: str, pod: str) -> str | None:
        return "The disruption budget web needs 3 healthy pods and has 3 currently"

    def set_unschedulable(self, name: str, unschedulable: bool) -> bool:
        node = self.nodes[name]
        node["spec"]["unschedulable"] = unschedulable
        if unschedulable:
            node["metadata"]["annotations"][CORDONED] = "true"
        else:
            node["metadata"]["annotations"].pop(CORDONED, None)
        if self.keeps_cordons:
            self.done.append(f"{'' if unschedulable else 'un'}cordon {name}")
        return True

    def delete_node(self, name: str) -> None:
        if self.nodes.pop(name, None):
            self.done.append(f"delete {name}")

    # Hetzner

    def power(self, cluster_name: str, name: str, *, on: bool) -> bool:
        assert cluster_name == "demo"
        runs = name in self.alive.values()
        if name not in self.addresses or runs == on:
            return False
        self.done.append(f"power {'on' if on else 'off'} {name}")
        address = self.addresses[name]
        if on:
            self.alive[address] = name
            self.nodes[name] = _node(name, address)
        else:
            del self.alive[address]
        return True

    def server_id(self, cluster_name: str, name: str) -> int | None:
        assert cluster_name == "demo"
        return 11 if name in self.addresses else None

    def kill(self, name: str) -> None:
        del self.alive[self.addresses[name]]
        self.nodes[name]["status"]["conditions"] = [{"type": "Ready", "status": "Unknown"}]

    def cordoned(self) -> list[str]:
        return sorted(n for n, node in self.nodes.items() if node["spec"].get("unschedulable"))


def _table(rows: list[list[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) + 3 for column in range(len(rows[0]))]
    return "\n".join(
        "".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _udev(config: str) -> Any:
    return (next(yaml.safe_load_all(config)) or {}).get("machine", {}).get("udev")


def _static_pod(component: str) -> dict[str, Any]:
    return {
        "metadata": {"id": component},
        "spec": {"metadata": {"annotations": {_MARK: "7", "example.com/other": "1"}}},
    }


def _node(name: str, address: str) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "resourceVersion": "1",
            "labels": {"oxide/pool": name.split("-")[1]},
            "annotations": {},
        },
        "spec": {},
        "status": {
            "nodeInfo": {"bootID": "boot-1"},
            "conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": address}],
        },
    }
