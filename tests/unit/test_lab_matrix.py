"""The lab's matrix holds what it promises, and its stacks are legal."""

from pathlib import Path

import pytest

from oxide_components.config import ClusterConfig
from tests.lab import matrix

from .stack_values import raw


def test_every_value_and_every_possible_pair_of_values_occurs() -> None:
    found = set().union(*map(matrix.pairs, matrix.ROWS))

    assert matrix.possible_pairs() - found == set()
    assert found - matrix.possible_pairs() == set()
    for axis, values in matrix.AXES.items():
        assert {row[axis] for row in matrix.ROWS} == set(values)


def test_it_has_no_more_rows_than_it_needs_and_different_ones() -> None:
    assert 12 <= len(matrix.ROWS) <= 16
    assert len({row["id"] for row in matrix.ROWS}) == len(matrix.ROWS)


@pytest.mark.parametrize("row", matrix.ROWS, ids=lambda row: row["id"])
def test_the_configuration_accepts_every_row(row: matrix.Row, tmp_path: Path) -> None:
    manifest = tmp_path / "gateway-api.yaml"
    manifest.touch()
    network = 1 if row["network"] == "given" else None
    values = matrix.settings(row, network, manifest)

    config = ClusterConfig.parse(raw({"clusterName": row["id"], **values}))

    assert config.control_planes == int(row["controlPlanes"])


def test_a_seed_always_draws_the_same_few_rows_and_seeds_draw_all_of_them() -> None:
    assert matrix.select("", 7) == matrix.select("", 7)
    drawn = [row["id"] for seed in range(200) for row in matrix.select("", seed)]
    assert set(drawn) == {row["id"] for row in matrix.ROWS}
    assert len(drawn) == 200 * matrix.DEFAULT_ROWS
    assert matrix.select("all", 7) == list(matrix.ROWS)
    last = matrix.ROWS[-1]["id"]
    assert [row["id"] for row in matrix.select(last, 7)] == [last]
