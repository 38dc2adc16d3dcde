"""
A cluster in memory: servers that boot, etcd with its quorum, kubelets that register, and a clock of its own.

It behaves like Hetzner and Talos as far as a roll-out can tell. What must never happen is kept in `violations`; what
was done to each node is kept in `touched`.
"""

import random
from collections.abc import Callable, Mapping
from typing import Any

from .machine_config_text import kubelet_version, main_document
from .things import Member, Node, Server

KUBELET_SECONDS = 3.0
API_SECONDS = 15.0
LEARNER_SECONDS = 4.0
NODE_GRACE = 40.0
STATIC_PODS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
MARK = "talos.dev/config-version"


class KilledError(BaseException):
    """The engine is gone; its provider processes end with it."""


class World:
    """Everything outside the engine."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311  a test repeats itself
        self.now = 1000.0
        self.servers: dict[str, Server] = {}
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.members: dict[str, Member] = {}
        self.nodes: dict[str, Node] = {}
        self.founded = False
        self.violations: list[str] = []
        self.touched: list[tuple[str, str]] = []
        self.calls_until_kill: int | None = None
        self.calls = 0
        self.no_stock = 0
        self.cloud_refusals = 0
        self.api_refusals = 0
        self.talos_refusals = 0
        self.apply_refusals = 0
        self._ids = 100
        self._event: tuple[int, Callable[[], None]] | None = None

    # Time

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        # Steps, so that what depends on each other happens in order.
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + 5)
            self.settle()

    def monotonic(self) -> float:
        """The clock."""
        return self.now

    def call(self) -> None:
        """Every call from outside takes time, and may be the one at which the engine dies."""
        self.calls += 1
        if self.calls_until_kill is not None:
            self.calls_until_kill -= 1
            if self.calls_until_kill < 0:
                raise KilledError
        if self._event is not None and self.calls >= self._event[0]:
            event, self._event = self._event[1], None
            event()
        self.sleep(0.2)

    def at_call(self, number: int | None, event: Callable[[], None] | None) -> None:
        """Let something happen after so many more calls; None takes it back."""
        self._event = None
        if number is not None and event is not None:
            self._event = (self.calls + number, event)

    def settle(self) -> None:
        """What goes on by itself: members join, kubelets register, pods end and start."""
        for server in list(self.servers.values()):
            if not self.is_up(server):
                continue
            if server.is_control_plane:
                self._join_etcd(server)
                self._start_api(server)
            if not server.registered and self.api_serves():
                self._register(server)
        for name, node in self.nodes.items():
            runs = self.server_named(name)
            if runs is None or not (self.is_up(runs) and runs.registered):
                continue
            node.last_sign = self.now
            node.pods = {
                p: gone for p, gone in node.pods.items() if gone is None or gone > self.now
            }
            if not node.pods and not node.cordoned and not runs.is_control_plane:
                node.pods[f"web-{name}-{int(self.now)}"] = None

    # Servers

    def is_up(self, server: Server) -> bool:
        """Whether its Talos API answers."""
        return (
            server.on and not server.dead and server.config is not None and self.now >= server.up_at
        )

    def server_named(self, name: str) -> Server | None:
        """The server of that name, which is unique."""
        return next((s for s in self.servers.values() if s.name == name), None)

    def server_at(self, private: str) -> Server | None:
        """The server with that private address."""
        return next((s for s in self.servers.values() if s.private == private), None)

    def new_id(self) -> str:
        """An id that was never used."""
        self._ids += 1
        return str(self._ids)

    def free_worker_address(self) -> str:
        """Hetzner takes the lowest free one."""
        taken = {server.private for server in self.servers.values()}
        return next(a for i in range(2, 250) if (a := f"10.0.1.{i}") not in taken)

    def boot(self, server: Server) -> None:
        """Start a server that is off; whatever was staged counts from now on."""
        server.on, server.dead, server.registered = True, False, False
        server.etcd_left = False
        server.waits_to_serve = None
        server.boot += 1
        server.up_at = self.now + self.random.randint(20, 90)
        if server.config is None:
            # A reset leaves the system on the disk; it finds its first config at Hetzner.
            server.config = server.user_data
        if server.staged is not None:
            server.config, server.staged = server.staged, None
            server.config_version += 1
        self.settle()

    def apply(self, server: Server, config: str) -> None:
        """A config that takes effect at once; the API of a control plane restarts with it."""
        self.touch(server.name, "config applied")
        before, server.config = server.config, config
        server.config_version += 1
        if server.is_control_plane and server.waits_to_serve is not None:
            if main_document(before or "")["cluster"] != main_document(config)["cluster"]:
                server.waits_to_serve = self.now + API_SECONDS
            if len(self.voters()) > 1 and not self.api_serves():
                self.violations.append(f"nothing served the API when {server.name} got its config")
        self.apply_labels(server)

    def stop(self, server: Server, what: str, *, for_good: bool) -> None:
        """Power off, wipe or delete; a member that its cluster cannot spare is a violation."""
        self.touch(server.name, what)
        member = self.member_on(server)
        server.on = False
        if member is not None and (for_good or len(self.voters()) > 1) and not self.has_quorum():
            self.violations.append(f"{what} of {server.name} took etcd's quorum")

    def touch(self, name: str, what: str) -> None:
        """Note what was done to a node."""
        self.touched.append((name, what))

    # etcd

    def voters(self) -> list[Member]:
        """Members that vote."""
        return [m for m in self.members.values() if self.now >= m.votes_at]

    def started(self, member: Member) -> bool:
        """Whether its server runs it."""
        server = self.servers.get(member.server)
        return server is not None and self.is_up(server) and server.etcd_data

    def has_quorum(self) -> bool:
        """Whether etcd can decide anything."""
        voters = self.voters()
        return sum(map(self.started, voters)) > len(voters) // 2

    def could_lose(self, member: Member | None) -> bool:
        """Whether the quorum would survive this member's failure."""
        if member is None:
            return True
        voters = self.voters()
        return sum(self.started(m) for m in voters if m is not member) > len(voters) // 2

    def member_on(self, server: Server) -> Member | None:
        """The member that this very server runs."""
        return next((m for m in self.members.values() if m.server == server.id), None)

    def found_etcd(self, server: Server) -> None:
        """Bootstrap; twice in a cluster's life is the worst that can happen."""
        if self.founded:
            self.violations.append(f"a second cluster was founded on {server.name}")
        self.founded = True
        self._add_member(server, votes_at=self.now)
        self.settle()

    def removal_refusal(self, member: Member) -> str | None:
        """etcd's own check before it removes a member."""
        if not self.has_quorum():
            return "etcdserver: request timed out"
        if self.now < member.votes_at:
            return None
        rest = [m for m in self.voters() if m is not member]
        if sum(map(self.started, rest)) <= len(rest) // 2:
            return "etcdserver: unhealthy cluster"
        return None

    def remove_member(self, member: Member) -> None:
        """Take a member out."""
        self.touch(member.name, "remove from etcd")
        del self.members[member.id]
        if not self.has_quorum():
            self.violations.append(f"the removal of {member.name} took etcd's quorum")

    def _add_member(self, server: Server, votes_at: float) -> None:
        id_ = f"{int(server.id):x}{self.new_id()}"
        self.members[id_] = Member(
            id=id_, name=server.name, address=server.private, server=server.id, votes_at=votes_at
        )
        server.etcd_data = True

    def _join_etcd(self, server: Server) -> None:
        if server.etcd_data or server.etcd_left or not self.founded or not self.has_quorum():
            return
        if len(self.voters()) < len(self.members):
            return
        # Talos removes a member of its own name: its disk is empty, so that one is history.
        for stale in [m for m in self.members.values() if m.name == server.name]:
            if self.removal_refusal(stale) is not None:
                return
            del self.members[stale.id]
        self._add_member(server, votes_at=self.now + LEARNER_SECONDS)

    # Kubernetes

    def _start_api(self, server: Server) -> None:
        member = self.member_on(server)
        if member is None or self.now < member.votes_at:
            server.waits_to_serve = None
        elif server.waits_to_serve is None:
            server.waits_to_serve = self.now + API_SECONDS

    def serves(self, server: Server) -> bool:
        """Whether the Kubernetes API answers on this server."""
        return (
            self.is_up(server)
            and server.waits_to_serve is not None
            and self.now >= server.waits_to_serve
            and self.member_on(server) is not None
            and self.has_quorum()
        )

    def api_serves(self) -> bool:
        """Whether it answers anywhere."""
        return any(map(self.serves, self.servers.values()))

    def node_is_ready(self, node: Node) -> bool:
        """As the control plane sees it."""
        return node.ready_at <= self.now and self.now - node.last_sign < NODE_GRACE

    def apply_labels(self, server: Server) -> None:
        """Talos brings labels and annotations of the config to the Node object."""
        node = self.nodes.get(server.name)
        if node is None or server.config is None:
            return
        machine = main_document(server.config)["machine"]
        labels, annotations = machine.get("nodeLabels") or {}, machine.get("nodeAnnotations") or {}
        for there, owned, wanted in (
            (node.labels, node.of_talos[0], labels),
            (node.annotations, node.of_talos[1], annotations),
        ):
            for key in owned - wanted.keys():
                there.pop(key, None)
            there.update(wanted)
            owned.clear()
            owned.update(wanted)

    def _register(self, server: Server) -> None:
        server.registered = True
        node = self.nodes.get(server.name)
        if node is None:
            node = Node(name=server.name, address=server.private, made_at=self.now)
            node.taints = _taints(server.config or "")
            self.nodes[server.name] = node
        node.address = server.private
        node.boot_id = server.boot_id
        node.kubelet = kubelet_version(server.config or "")
        node.talos = server.talos
        node.ready_at = self.now + KUBELET_SECONDS
        node.last_sign = self.now
        self.apply_labels(server)


def _taints(config: str) -> list[dict[str, str]]:
    """What a kubelet sets while it registers, and never again."""
    kubelet = main_document(config)["machine"].get("kubelet") or {}
    return [
        dict(taint) for taint in (kubelet.get("extraConfig") or {}).get("registerWithTaints", [])
    ]


def labels_match(labels: Mapping[str, str], selector: str) -> bool:
    """Hetzner's selector, as far as it is used: `key=value`."""
    key, _, value = selector.partition("=")
    return labels.get(key) == value
