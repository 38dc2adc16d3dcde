"""A cluster in memory that stands in for talosctl and the Kubernetes API."""

from typing import Any, Self

from oxide_components.kubernetes_api import ApiUnavailableError
from oxide_components.talosctl import TalosError


def address_of(index: int) -> str:
    """Private address of a control plane."""
    return f"10.0.0.1{index}"


class FakeCluster:
    """Nodes, members and Node objects; every call that changes something is kept in `done`."""

    def __init__(self, control_planes: int, workers: int) -> None:
        self.members = {f"demo-cp-{i}": address_of(i) for i in range(1, control_planes + 1)}
        self.alive = {address_of(i): f"demo-cp-{i}" for i in range(1, control_planes + 1)}
        self.alive |= {f"10.0.1.{i}": f"demo-worker-{i}" for i in range(1, workers + 1)}
        self.nodes = {name: _node(name, address) for address, name in self.alive.items()}
        self.sick: set[str] = set()
        self.blocked: set[str] = set()
        self.leave_refused = False
        self.api_down = False
        self.reporting: set[str] = set()
        self._reports = 0
        self.done: list[str] = []

    # talosctl

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run(self, *args: str, node: str, endpoint: str, timeout: float = 30) -> str:
        words = [arg for arg in args if not arg.startswith("--")]
        via = address_of(int(endpoint.rsplit(".", 1)[1]))
        if via not in self.alive or node not in self.alive:
            raise TalosError(f"talosctl {words[0]} on {node}: no route to host")
        name = self.alive[node]
        match words:
            case ["version"] | ["kubeconfig", "-"]:
                return "answer"
            case ["list", "/var/lib/etcd"]:
                return "NODE   NAME\n.\nmember\n" if name in self.members else "NODE   NAME\n.\n"
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
                return _table([heads, [node, f"id-{name}", "id-demo-cp-1", "false", *state]])
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

    # Kubernetes

    def node(self, name: str) -> dict[str, Any] | None:
        return self.nodes.get(name)

    def items(self, path: str) -> list[dict[str, Any]]:
        if self.api_down:
            raise ApiUnavailableError("https://192.0.2.1:6443: timed out")
        name = path.rpartition("%3D")[2]
        if "/leases" in path:
            self._reports += name in self.reporting
            return [{"spec": {"renewTime": f"report {self._reports}"}}]
        if path.startswith("/api/v1/nodes"):
            return list(self.nodes.values())
        pod = {"metadata": {"name": f"pod-on-{name}", "namespace": "default"}}
        return [pod] if name in self.blocked else []

    def evict(self, namespace: str, pod: str) -> str | None:
        return "The disruption budget web needs 3 healthy pods and has 3 currently"

    def set_unschedulable(self, name: str, unschedulable: bool) -> bool:
        self.nodes[name]["spec"]["unschedulable"] = unschedulable
        return True

    def delete_node(self, name: str) -> None:
        if self.nodes.pop(name, None):
            self.done.append(f"delete {name}")

    def kill(self, name: str) -> None:
        (address,) = (a for a, n in self.alive.items() if n == name)
        del self.alive[address]
        self.nodes[name]["status"]["conditions"] = [{"type": "Ready", "status": "Unknown"}]

    def cordoned(self) -> list[str]:
        return sorted(n for n, node in self.nodes.items() if node["spec"].get("unschedulable"))


def _table(rows: list[list[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) + 3 for column in range(len(rows[0]))]
    return "\n".join(
        "".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _node(name: str, address: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": address}],
        },
    }
