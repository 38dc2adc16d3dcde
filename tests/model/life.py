"""The life of one cluster in the model, with everything that must hold after each step of it."""

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass

from oxide_components.errors import ConfigError

from .engine import Engine
from .machine_config_text import main_document
from .order import CHANGES, unordered
from .program import DYNAMIC, ROSTER, SERVER, Goal, wanted
from .state import Run, recovered
from .things import Server
from .wish import TYPES, Wish, node_of, pool_of
from .world import World

_NODE_KINDS = (SERVER, f"{DYNAMIC}Node", f"{DYNAMIC}NodeConfig")


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """What disturbs one `up`. Nothing by default."""

    interrupt_after: int | None = None
    kill_at: int | None = None
    worker_dies_at: int | None = None
    no_stock: int = 0
    cloud_refusals: int = 0
    api_refusals: int = 0
    talos_refusals: int = 0
    apply_refusals: int = 0


NONE = Trouble()


class Life:
    """A stack, its cluster, and the person who runs `up`."""

    def __init__(self, seed: int) -> None:
        self.world = World(seed)
        self.engine = Engine(self.world, seed)
        self.wish = Wish()
        self.killed = False
        self.cordoned_by_hand: set[str] = set()
        self.runs = 0
        self._on_roster: Wish | None = None
        self._settled: dict[str, tuple[object, ...]] = {}
        self._owed: set[str] = set()

    def up(self, wish: Wish, trouble: Trouble = NONE, replace: Collection[str] = ()) -> Run:
        """Run `up` for these values, after `recover` where the last one was killed; check what always holds."""
        while self.killed:
            self.recover()
        before = self.wish
        jump = sorted(
            name for name in self._recorded_nodes() - set(wish.nodes()) if pool_of(name) == "cp"
        )
        # What replacing a server has begun may end in a later run.
        self._owed |= set(replace)
        concerned = self._concerned(wish)
        started = len(self.world.touched)
        self._bring_on(trouble)
        run = self._run(wish, trouble, replace)
        self._end_trouble()
        self.cordoned_by_hand &= set(self.world.nodes)
        self.runs += 1
        self._check(run, wish, concerned, started)
        if self._recorded_nodes() == set(wish.nodes()):
            self._on_roster = wish
        assert run.refused == (len(jump) > 2), (
            f"a jump of the control planes was not refused: {jump}" if jump else run.failures
        )
        if run.refused:
            assert len(self.world.touched) == started, "a refused preview touched a node"
            self.wish = before
            return run
        self.wish, self.killed = wish, run.killed
        if run.ok:
            self._note_success()
        return run

    def _recorded_nodes(self) -> set[str]:
        return {
            node["name"]
            for resource in self.engine.state.resources.values()
            if resource.type == ROSTER
            for node in resource.outputs["nodes"]
        }

    def recover(self, kill_at: int | None = None) -> bool:
        """The recovery command, for the values of the killed run; it may be killed as well."""
        concerned = self._concerned(self.wish)
        started = len(self.world.touched)
        self.world.calls_until_kill = kill_at
        done = recovered(self.engine, self._goals(self.wish))
        self.world.calls_until_kill = None
        self.runs += 1
        self._check(self.engine.last, self.wish, concerned, started)
        self.killed = self.engine.last.killed
        if done:
            self._note_success()
        return done

    def _note_success(self) -> None:
        skipped, before = self.wish.skip, self._settled
        self._settled = {
            name: before.get(name, ()) if name in skipped else spec
            for name, spec in self.wish.nodes().items()
        }
        self._owed &= skipped

    def settle(self) -> None:
        """Repair what is broken; then `up` converges, everything agrees, and a second `up` is empty."""
        while self.killed:
            self.recover()
        self.wish = dataclasses.replace(self.wish, skip=frozenset())
        self._repair(self.wish)
        self.world.sleep(200)
        for name, node in self.world.nodes.items():
            if node.cordoned and name in self.wish.nodes() and name not in self.cordoned_by_hand:
                # The error of the failed leave says so.
                node.cordoned = False
                node.annotations.pop("oxide/cordoned", None)
        self._replace_lost(self.wish)
        if not self.world.founded and self._on_roster is not None:
            # Nobody can leave a cluster that never came up; its error says to set the old numbers back first.
            wish, before = self.wish, self._on_roster
            self._repair(before)
            self._replace_lost(before)
            run = self.up(before)
            assert run.ok, f"up with the old numbers does not converge: {run.failures}"
            self.wish = wish
        run = self.up(self.wish)
        assert run.ok, f"up does not converge: {run.failures}"
        self.check_agreement()
        self.check_repeated()

    def _repair(self, wish: Wish) -> None:
        """Start what can be started of these nodes."""
        for server in self.broken():
            if server.name in wish.nodes() and self._is_repairable(server):
                self.world.boot(server)

    def _replace_lost(self, wish: Wish) -> None:
        for name in [s.name for s in self.broken() if s.name in wish.nodes()]:
            self.up(wish, replace=[name])

    def check_repeated(self) -> None:
        """A second `up` does nothing."""
        started = len(self.world.touched)
        run = self.engine.up(self._goals(self.wish))
        assert run.ok, run.failures
        assert run.ops == [], "the second up is not empty"
        assert len(self.world.touched) == started, self.world.touched[started:]

    def check_agreement(self) -> None:
        """Servers, etcd, Kubernetes and the state hold the same nodes, and each node runs what is wanted."""
        world, nodes = self.world, set(self.wish.nodes())
        world.sleep(60)
        resources = list(self.engine.state.resources.values())
        assert {s.name for s in world.servers.values()} == nodes, "servers"
        assert {m.name for m in world.members.values()} == self.wish.control_plane_names(), "etcd"
        assert len(world.voters()) == self.wish.control_planes, "etcd has learners"
        assert set(world.nodes) == nodes, "Node objects"
        silent = [n.name for n in world.nodes.values() if not world.node_is_ready(n)]
        assert silent == [], "not Ready"
        cordoned = {n.name for n in world.nodes.values() if n.cordoned}
        assert cordoned == self.cordoned_by_hand & nodes, "cordoned"
        assert {r.inputs["name"] for r in resources if r.type == SERVER} == nodes, "state: servers"
        recorded = {r.inputs["node_name"] for r in resources if r.type == f"{DYNAMIC}Node"}
        assert recorded == nodes, "state: nodes"
        assert self.engine.state.pending == [], "pending operations"
        known = {(r.type, r.id) for r in resources if r.type.startswith("hcloud:")}
        there = {*world.objects, *((SERVER, id_) for id_ in world.servers)}
        assert known == there, "objects at Hetzner"
        self._check_configs()

    def broken(self) -> list[Server]:
        """Servers that do not do their work and never will by themselves."""
        world = self.world
        return [
            server
            for server in world.servers.values()
            if server.dead
            or not server.on
            or (server.etcd_left and server.is_control_plane)
            or (server.etcd_data and world.member_on(server) is None)
        ]

    def must_succeed(self, wish: Wish, replace: Collection[str] = ()) -> bool:
        """Whether an `up` for these values has every reason to succeed: what is broken is none of its business."""
        if self.killed or not (self.world.founded or self.runs == 0):
            return False
        nodes = wish.nodes()
        changes = {n for n in self._concerned(wish) | set(replace) if n in nodes} - wish.skip
        pools = {pool_of(name) for name in changes}
        for server in self.broken():
            if server.name in replace:
                continue
            if server.labels["role"] == "control-plane":
                return False
            stays = server.name in nodes
            if stays and server.name not in wish.skip and pool_of(server.name) in pools:
                return False
            if changes and stays and server.name in self.world.nodes:
                # Kubernetes does not move past a Node object that does not answer.
                return False
        return True

    def is_wanted(self, server: Server) -> bool:
        """Whether it is to stay."""
        return server.name in self.wish.nodes()

    def can_lose(self, server: Server) -> bool:
        """Whether a test may break this server without breaking the cluster itself."""
        member = self.world.member_on(server)
        return self.world.could_lose(member) and not server.dead

    def _is_repairable(self, server: Server) -> bool:
        gone = server.etcd_data and self.world.member_on(server) is None
        return not gone

    def _run(self, wish: Wish, trouble: Trouble, replace: Collection[str]) -> Run:
        urns = [
            resource.urn
            for resource in self.engine.state.resources.values()
            if resource.type == SERVER and resource.inputs["name"] in replace
        ]
        return self.engine.up(
            self._goals(wish), interrupt_after=trouble.interrupt_after, replace=urns
        )

    def _goals(self, wish: Wish) -> tuple[Goal, ...]:
        try:
            return wanted(wish.settings())
        except ConfigError as error:
            raise AssertionError(f"the model asks for what is no configuration: {error}") from None

    def _concerned(self, wish: Wish) -> set[str]:
        """Nodes that an `up` may touch: new ones, leavers, and those that the change, or an unfinished one, is about."""
        nodes, world = wish.nodes(), self.world
        there = {s.name for s in world.servers.values()} | set(world.nodes)
        there |= {m.name for m in world.members.values()}
        changed = {name for name, spec in nodes.items() if self._settled.get(name) != spec}
        self._owed |= changed | (there - set(nodes))
        return self._owed | (set(nodes) - there)

    def _check(self, run: Run, wish: Wish, concerned: set[str], started: int) -> None:
        assert not self.world.violations, "; ".join(self.world.violations)
        done = self.world.touched[started:]
        assert {name for name, _ in done} <= concerned, f"touched without need: {done}"
        left_alone = wish.skip & set(wish.nodes())
        changed_ones = [one for one in done if one[0] in left_alone and one[1] in CHANGES]
        assert changed_ones == [], "skipNodes are left alone"
        beside = unordered(self._goals(wish), done, wish.max_unavailable)
        assert beside is None, f"{beside} could be changed at the same time"
        changed = {node_of(name) for _, kind, name in run.ops if kind in _NODE_KINDS}
        assert changed <= concerned, f"changed without need: {run.ops}"

    def _check_configs(self) -> None:
        if not any(goal.type == f"{DYNAMIC}NodeConfig" for goal in self._goals(self.wish)):
            return
        wants = {
            goal.inputs["name"]: goal.inputs["userData"]
            for goal in self._goals(self.wish)
            if goal.type == SERVER
        }
        for server in self.world.servers.values():
            live, meant = main_document(server.config or ""), main_document(wants[server.name])
            assert live["machine"] == meant["machine"], f"config of {server.name}"
            assert live["cluster"] == meant["cluster"], f"config of {server.name}"
            labels = self.world.nodes[server.name].labels
            assert labels == (meant["machine"].get("nodeLabels") or {}), f"labels of {server.name}"
            assert self._taints_of(server.name) == self.wish.taints_of(server.name), (
                f"taints of {server.name}"
            )
            assert server.talos == self.wish.talos_version, f"Talos of {server.name}"
            assert server.type == self._type_of(server.name), f"type of {server.name}"

    def _taints_of(self, name: str) -> list[str]:
        return [taint["value"] for taint in self.world.nodes[name].taints]

    def _type_of(self, name: str) -> str:
        return TYPES[int(str(self.wish.nodes()[name][-1]))]

    def _bring_on(self, trouble: Trouble) -> None:
        world = self.world
        world.calls_until_kill = trouble.kill_at
        for fault in (
            "no_stock",
            "cloud_refusals",
            "api_refusals",
            "talos_refusals",
            "apply_refusals",
        ):
            setattr(world, fault, getattr(trouble, fault))
        if trouble.worker_dies_at is not None:
            world.at_call(trouble.worker_dies_at, self._lose_a_worker)

    def _end_trouble(self) -> None:
        self._bring_on(NONE)
        self.world.at_call(None, None)

    def _lose_a_worker(self) -> None:
        workers = [s for s in self.world.servers.values() if not s.is_control_plane and s.on]
        if workers:
            self.world.random.choice(workers).dead = True
