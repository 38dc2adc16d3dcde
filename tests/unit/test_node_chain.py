"""The order in which living nodes are changed, played through for every pace that nodes may have."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from oxide_components.node_chain import _ordered

sizes = st.tuples(
    st.sampled_from([1, 3, 5]), st.lists(st.integers(0, 7), max_size=4), st.integers(1, 3)
)


def _stages(control_planes: int, pools: list[int]) -> list[list[Any]]:
    named = [("cp", control_planes), *((f"pool{i}", count) for i, count in enumerate(pools))]
    return [[{"name": f"{name}-{i}"} for i in range(1, count + 1)] for name, count in named]


def _order(control_planes: int, pools: list[int], width: int) -> dict[str, list[str]]:
    found = _ordered(_stages(control_planes, pools), width)
    return {node["name"]: before for node, before in found}


def test_control_planes_are_changed_strictly_one_after_another() -> None:
    assert _order(3, [], 3) == {"cp-1": [], "cp-2": ["cp-1"], "cp-3": ["cp-2"]}


def test_workers_are_changed_as_wide_as_allowed() -> None:
    order = _order(1, [5], 2)

    assert order["pool0-1"] == order["pool0-2"] == ["cp-1"]
    assert [order[f"pool0-{i}"] for i in (3, 4, 5)] == [["pool0-1"], ["pool0-2"], ["pool0-3"]]


def test_a_pool_begins_when_every_node_of_the_one_before_is_done() -> None:
    order = _order(1, [3, 2], 2)

    assert order["pool1-1"] == order["pool1-2"] == ["pool0-2", "pool0-3"]


def test_an_empty_pool_does_not_let_the_next_begin_early() -> None:
    assert _order(3, [0, 1], 2)["pool1-1"] == ["cp-3"]


@given(sizes)
def test_every_node_stands_after_those_that_it_waits_for(size: tuple[int, list[int], int]) -> None:
    control_planes, pools, width = size
    found = _ordered(_stages(control_planes, pools), width)
    names = [node["name"] for node, _ in found]

    assert names == [node["name"] for stage in _stages(control_planes, pools) for node in stage]
    for place, (_, before) in enumerate(found):
        assert set(before) <= set(names[:place])


@given(sizes, st.data())
def test_at_no_pace_are_more_nodes_under_change_than_allowed_or_two_stages_at_once(
    size: tuple[int, list[int], int], data: st.DataObject
) -> None:
    control_planes, pools, width = size
    order = _order(control_planes, pools, width)
    done: set[str] = set()
    under_change: set[str] = set()
    while len(done) < len(order):
        under_change |= {
            name
            for name, before in order.items()
            if name not in done | under_change and set(before) <= done
        }
        assert under_change, "nobody waits for itself"
        assert len({name.partition("-")[0] for name in under_change}) == 1
        (stage,) = {name.partition("-")[0] for name in under_change}
        assert len(under_change) <= (1 if stage == "cp" else width)
        finished = data.draw(st.sampled_from(sorted(under_change)))
        under_change.remove(finished)
        done.add(finished)


@given(st.integers(1, 7), st.integers(1, 3))
def test_the_width_is_really_used(count: int, width: int) -> None:
    order = _order(1, [count], width)
    first = [name for name, before in order.items() if before == ["cp-1"]]

    assert len(first) == min(count, width)
