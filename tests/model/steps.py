"""Steps of a cluster's life: what its user changes, and what happens to it meanwhile."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from .life import NONE, Life, Trouble
from .things import Server
from .wish import Pool, Wish


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step. Its text is what a failed test shows."""

    what: str
    value: int = 0
    pool: str = ""
    trouble: Trouble = NONE
    pause: float = 0.0
    skipped: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        shown = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name != "what" and getattr(self, field.name) != field.default
        }
        return " ".join([self.what, *(f"{key}={value}" for key, value in shown.items())])

    def on(self, life: Life) -> None:
        """Take the step."""
        life.world.sleep(self.pause)
        if self.what in _EVENTS:
            _EVENTS[self.what](life, self)
            return
        wish = self._wish(life.wish)
        calm = self.trouble == NONE and life.must_succeed(wish)
        run = life.up(wish, self.trouble)
        if calm and not run.refused:
            assert run.ok, f"nothing was wrong, and yet: {run.failures}"

    def _wish(self, wish: Wish) -> Wish:
        if self.what in _OF_CLUSTER:
            return dataclasses.replace(wish, **{self.what: self.value})
        if self.what == "skip":
            return dataclasses.replace(wish, skip=self.skipped)
        pools = dict(wish.pools)
        if self.what == "remove pool":
            pools.pop(self.pool, None)
        elif self.what == "reorder pools":
            pools = dict(reversed(pools.items()))
        else:
            assert self.what in _OF_POOL, self.what
            pool = pools.get(self.pool, Pool(count=1))
            pools[self.pool] = dataclasses.replace(pool, **{self.what: self.value})
        return dataclasses.replace(wish, pools=pools)


_OF_CLUSTER = (
    "control_planes",
    "sysctl",
    "udev",
    "api_argument",
    "control_plane_type",
    "talos",
    "kubernetes",
    "max_unavailable",
)
_OF_POOL = ("count", "label", "taint", "pool_sysctl", "pool_udev", "type", "generation")


def _lose_a_node(life: Life, step: Step) -> None:
    servers = sorted(life.world.servers.values(), key=lambda server: server.name)
    if servers and life.can_lose(server := servers[step.value % len(servers)]):
        server.dead = True


def _replace_a_broken_node(life: Life, step: Step) -> None:
    _replace(life, step, [server for server in life.broken() if life.is_wanted(server)])


def _replace_a_worker(life: Life, step: Step) -> None:
    workers = [
        s for s in life.world.servers.values() if life.is_wanted(s) and not s.is_control_plane
    ]
    _replace(life, step, workers[step.value % len(workers) :] if workers else [])


def _replace(life: Life, step: Step, servers: Sequence[Server]) -> None:
    names = [server.name for server in servers[:1]]
    calm = step.trouble == NONE and life.must_succeed(life.wish, names)
    run = life.up(life.wish, step.trouble, replace=names)
    assert run.ok or not calm, f"the replacement of {names} failed: {run.failures}"


def _cordon_by_hand(life: Life, step: Step) -> None:
    nodes = sorted(life.world.nodes)
    if nodes and not (node := life.world.nodes[nodes[step.value % len(nodes)]]).cordoned:
        node.cordoned = True
        life.cordoned_by_hand.add(node.name)


def _settle(life: Life, _step: Step) -> None:
    life.settle()


def _skip_broken_nodes(life: Life, step: Step) -> None:
    names = frozenset(server.name for server in life.broken())
    Step(what="skip", skipped=names, trouble=step.trouble).on(life)


def _recover(life: Life, step: Step) -> None:
    if life.killed:
        life.recover(step.trouble.kill_at)


def _repeat(life: Life, step: Step) -> None:
    life.up(life.wish, step.trouble)


_EVENTS: dict[str, Callable[[Life, Step], None]] = {
    "lose a node": _lose_a_node,
    "replace a broken node": _replace_a_broken_node,
    "replace a worker": _replace_a_worker,
    "cordon by hand": _cordon_by_hand,
    "settle": _settle,
    "up again": _repeat,
    "skip broken nodes": _skip_broken_nodes,
    "recover": _recover,
}

_troubles = st.one_of(
    st.just(NONE),
    st.just(NONE),
    st.builds(Trouble, interrupt_after=st.integers(0, 20)),
    st.builds(Trouble, kill_at=st.integers(0, 150)),
    st.builds(Trouble, worker_dies_at=st.integers(0, 60)),
    st.builds(Trouble, no_stock=st.integers(1, 2)),
    st.builds(Trouble, cloud_refusals=st.integers(1, 2)),
    st.builds(Trouble, api_refusals=st.integers(1, 40)),
    st.builds(Trouble, talos_refusals=st.integers(1, 40)),
    st.builds(Trouble, apply_refusals=st.integers(1, 2)),
)
_pauses = st.sampled_from((0.0, 5.0, 40.0, 300.0))
_small = st.integers(0, 2)
_extra_pool = st.sampled_from(("a", "b"))
_no_pool = st.just("")


def _step(
    what: str, value: st.SearchStrategy[int] = _small, pool: st.SearchStrategy[str] = _no_pool
) -> st.SearchStrategy[Step]:
    return st.builds(
        Step, what=st.just(what), value=value, pool=pool, trouble=_troubles, pause=_pauses
    )


creations = st.builds(
    Step,
    what=st.just("control_planes"),
    value=st.sampled_from((1, 3)),
    trouble=_troubles,
)
steps = st.one_of(
    _step("control_planes", st.sampled_from((1, 3, 5))),
    _step("count", st.integers(0, 4), st.just("worker")),
    _step("count", st.integers(0, 3), _extra_pool),
    _step("remove pool", pool=_extra_pool),
    _step("reorder pools"),
    st.one_of([_step(what, pool=_extra_pool) for what in _OF_POOL[1:5]]),
    st.one_of([_step(what) for what in ("sysctl", "udev", "api_argument")]),
    _step("type", pool=st.sampled_from(("worker", "a"))),
    _step("control_plane_type"),
    _step("talos"),
    _step("kubernetes"),
    _step("generation", st.integers(1, 3), st.sampled_from(("worker", "a"))),
    _step("skip broken nodes"),
    st.builds(Step, what=st.just("recover"), trouble=_troubles),
    _step("max_unavailable", st.integers(1, 3)),
    _step("up again"),
    _step("lose a node", st.integers(0, 20)),
    _step("replace a broken node"),
    _step("replace a worker", st.integers(0, 20)),
    st.builds(Step, what=st.just("cordon by hand"), value=st.integers(0, 20)),
    st.builds(Step, what=st.just("settle")),
)
