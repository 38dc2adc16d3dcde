"""
Random lives of clusters: whatever is changed, killed or interrupted, in whatever order, the invariants hold.

The real program and the real life-cycle providers run on a world in memory. `OXIDE_SEQUENCES=200` runs that many lives,
other ones each time; without it a few fixed ones run.
"""

import os

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .life import Life, Trouble
from .steps import Step, creations, steps

SEQUENCES = os.environ.get("OXIDE_SEQUENCES")


@settings(
    max_examples=int(SEQUENCES or 15),
    derandomize=SEQUENCES is None,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(
    seed=st.integers(0, 2**16), first=creations, sequence=st.lists(steps, min_size=5, max_size=9)
)
def test_every_life_of_a_cluster_keeps_the_invariants(
    seed: int, first: Step, sequence: list[Step]
) -> None:
    life = Life(seed)
    for step in [first, *sequence]:
        step.on(life)
    life.settle()


def test_a_cluster_that_never_came_up_takes_the_old_number_back() -> None:
    life = Life(404)
    for step in (
        Step(what="control_planes", value=1, trouble=Trouble(interrupt_after=0)),
        Step(what="control_planes", value=1, trouble=Trouble(interrupt_after=2)),
        Step(what="taint", value=1, pool="a", trouble=Trouble(no_stock=2)),
        Step(what="type", value=1, pool="worker", trouble=Trouble(cloud_refusals=1)),
        # No control plane was ever made, so that nobody can leave.
        Step(what="count", value=1, pool="worker", trouble=Trouble(cloud_refusals=1)),
    ):
        step.on(life)
    assert "control-plane-roster" in life.engine.last.failures

    life.settle()


def test_a_replaced_worker_has_the_taints_of_today_on_the_node_object_of_its_predecessor() -> None:
    life = Life(258)
    for step in (
        Step(what="control_planes", value=1, trouble=Trouble(worker_dies_at=36)),
        Step(what="label", value=2, pool="a", trouble=Trouble(talos_refusals=1), pause=40.0),
        Step(what="cordon by hand", value=16),
        Step(what="taint", value=2, pool="a", trouble=Trouble(talos_refusals=1)),
        Step(what="count", value=0, pool="worker", trouble=Trouble(worker_dies_at=5), pause=5.0),
        Step(what="replace a broken node", trouble=Trouble(worker_dies_at=43)),
    ):
        step.on(life)

    life.settle()
