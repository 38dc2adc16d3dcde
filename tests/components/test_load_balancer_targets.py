"""Control planes behind the API's load balancer: out before they go down, in again once they serve, whatever happened."""

from collections.abc import Callable
from typing import Any

import pytest

from oxide_components import hetzner_api, roster
from oxide_components.errors import OxideError
from oxide_components.load_balancer_targets import join, leave
from oxide_components.node_config import NodeConfigProvider

from .fake_balancer import FakeBalancer, refused
from .leaving_cluster import leaving_cluster, roster_props, update_roster
from .living import NEEDS_REBOOT, Living, config

CP = "demo-cp-1"
BEHIND: dict[str, Any] = {"load_balancer": "demo-api"}


@pytest.fixture
def balancer(living: Living, monkeypatch: pytest.MonkeyPatch) -> FakeBalancer:
    balancer = FakeBalancer(living.cluster.done, 11, 12, 13)
    monkeypatch.setattr(hetzner_api, "client", lambda: balancer)
    return balancer


def _configure(living: Living, name: str, **changes: Any) -> None:
    NodeConfigProvider().update(
        name, living.props(name, **BEHIND), living.props(name, **BEHIND, **changes)
    )


def test_a_control_plane_leaves_after_its_drain_and_joins_when_it_serves_again(
    living: Living, balancer: FakeBalancer
) -> None:
    _configure(living, CP, **config(CP, **NEEDS_REBOOT))

    done = living.cluster.done
    assert done.index(f"cordon {CP}") < done.index("leave 11") < done.index("join 11")
    assert living.cluster.boots[CP] == 2
    assert balancer.server_ids == [12, 13, 11]


def test_a_worker_does_not_ask_for_the_load_balancer(
    living: Living, balancer: FakeBalancer
) -> None:
    balancer.refusal = refused("forbidden")

    _configure(living, "demo-worker-1", **config("demo-worker-1", **NEEDS_REBOOT))

    assert living.cluster.boots["demo-worker-1"] == 2


def test_nothing_is_touched_while_hetzner_refuses_to_let_a_control_plane_out(
    living: Living, balancer: FakeBalancer
) -> None:
    balancer.refusal = refused("forbidden")

    with pytest.raises(OxideError, match="load balancer demo-api: Hetzner: planted refusal"):
        _configure(living, CP, **config(CP, **NEEDS_REBOOT))

    assert living.cluster.boots[CP] == 1
    assert f"uncordon {CP}" in living.cluster.done


def test_a_run_that_was_cut_off_is_made_good_by_the_next_one(
    living: Living, balancer: FakeBalancer
) -> None:
    """Killed after the control plane had left: nothing recorded says so, and there may be nothing else to do."""
    balancer.server_ids.remove(11)

    _configure(living, CP)

    assert 11 in balancer.server_ids


@pytest.mark.parametrize("call", [leave, join])
def test_a_load_balancer_of_another_cluster_is_left_alone(
    call: Callable[..., bool], living: Living
) -> None:
    balancer: Any = FakeBalancer(living.cluster.done, 12, 13)
    balancer.labels = {"cluster": "other"}

    assert not call(balancer, "demo", "demo-api", 11 if call is join else 12)
    assert living.cluster.done == []


def test_the_only_target_stays(living: Living) -> None:
    balancer: Any = FakeBalancer(living.cluster.done, 11)

    assert not leave(balancer, "demo", "demo-api", 11)
    assert balancer.server_ids == [11]


def test_a_target_that_another_run_has_added_is_no_error(living: Living) -> None:
    class Racing(FakeBalancer):
        @property
        def targets(self) -> list[Any]:
            return []

    balancer: Any = Racing(living.cluster.done, 11)
    assert not join(balancer, "demo", "demo-api", 11)


def test_a_control_plane_that_is_removed_leaves_before_its_member_of_etcd(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    cluster = leaving_cluster(monkeypatch, tmp_path, control_planes=3, workers=1)
    balancer = FakeBalancer(cluster.done, 11, 12, 13)
    monkeypatch.setattr(roster, "client", lambda: balancer)
    monkeypatch.setattr(roster, "server_id", lambda _cluster, name: 10 + int(name[-1]))

    update_roster({**roster_props(3, 1), **BEHIND}, {**roster_props(1, 1), **BEHIND})

    for index in (3, 2):
        assert cluster.done.index(f"leave 1{index}") < cluster.done.index(f"leave demo-cp-{index}")
    assert balancer.server_ids == [11]
