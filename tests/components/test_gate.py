"""Gates: what keeps a node from being touched, and what a node is waited for afterwards."""

from collections.abc import Collection
from typing import Any

import pytest

from oxide_components.errors import OxideError
from oxide_components.gate import GATE_TIMEOUT, Gate
from oxide_components.kubernetes_api import CORDONED

from .living import Living


def _gate(living: Living, skipped: Collection[str] = ()) -> Gate:
    fakes: Any = living.cluster
    return Gate(
        talosctl=fakes,
        api=fakes,
        control_planes=living.props("demo-cp-1")["control_planes"],
        skipped=skipped,
        urn=None,
    )


def _not_ready(living: Living, name: str) -> None:
    living.cluster.nodes[name]["status"]["conditions"] = [
        {"type": "Ready", "status": "False", "message": "no network"}
    ]


def _mark_cordoned(living: Living, *names: str) -> None:
    for name in names:
        living.cluster.set_unschedulable(name, True)


@pytest.mark.parametrize("goes_down", [True, False])
def test_a_healthy_cluster_lets_every_node_be_touched_at_once(
    living: Living, goes_down: bool
) -> None:
    gate = _gate(living)
    gate.before_control_plane("demo-cp-2", goes_down=goes_down)
    gate.before_worker("demo-worker-2", "worker", 1)
    gate.after("demo-cp-2", 10)
    gate.after("demo-worker-2", 10)

    assert living.cluster.clock.now == 0


def test_the_only_control_plane_may_go_down(living: Living) -> None:
    fakes: Any = living.cluster
    (only, *_) = living.props("demo-cp-1")["control_planes"]
    Gate(
        talosctl=fakes, api=fakes, control_planes=[only], skipped=(), urn=None
    ).before_control_plane("demo-cp-1", goes_down=True)

    assert living.cluster.clock.now == 0


@pytest.mark.parametrize("goes_down", [True, False])
@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda living: _not_ready(living, "demo-cp-3"), "node demo-cp-3 not ready: no network"),
        (lambda living: living.cluster.nodes.pop("demo-cp-3"), "demo-cp-3 has not joined"),
        (lambda living: living.cluster.api_unready.add("192.0.2.3"), "API of demo-cp-3: HTTP 500"),
        (lambda living: living.cluster.sick.add("demo-cp-3"), "etcd: demo-cp-3: unwell"),
        (lambda living: living.cluster.learners.add("demo-cp-3"), "demo-cp-3: is a learner"),
        (lambda living: setattr(living.cluster, "leader", "0000"), "knows no leader"),
        (lambda living: setattr(living.cluster, "api_down", True), "timed out"),
        (lambda living: living.cluster.kill("demo-cp-3"), "demo-cp-3"),
    ],
)
def test_no_control_plane_is_touched_beside_another_that_is_not_well(
    living: Living, harm: Any, reason: str, goes_down: bool
) -> None:
    harm(living)

    with pytest.raises(OxideError, match=f"before demo-cp-1: not within .*{reason}"):
        _gate(living).before_control_plane("demo-cp-1", goes_down=goes_down)

    assert GATE_TIMEOUT <= living.cluster.clock.now < GATE_TIMEOUT + 10


def test_the_state_of_the_node_itself_counts_only_afterwards(living: Living) -> None:
    living.cluster.kill("demo-cp-1")
    living.cluster.sick.add("demo-cp-1")

    _gate(living).before_control_plane("demo-cp-1", goes_down=True)

    with pytest.raises(OxideError, match="demo-cp-1: not within 10 s"):
        _gate(living).after("demo-cp-1", 10)


def test_beside_a_skipped_control_plane_only_what_keeps_the_quorum_is_allowed(
    living: Living,
) -> None:
    living.cluster.kill("demo-cp-3")
    gate = _gate(living, skipped=["demo-cp-3"])

    gate.before_control_plane("demo-cp-1", goes_down=False)
    with pytest.raises(
        OxideError,
        match=r"etcd needs 2 of its 3 members without this one and has 1: skipNodes leaves out demo-cp-3; repair",
    ):
        gate.before_control_plane("demo-cp-1", goes_down=True)
    # Waiting would change nothing.
    assert living.cluster.clock.now < 10


def test_a_skipped_control_plane_that_is_no_member_costs_no_vote(living: Living) -> None:
    # Two members are left; without one of them there is no quorum, with a third there is.
    living.cluster.kill("demo-cp-3")
    del living.cluster.members["demo-cp-3"]
    gate = _gate(living, skipped=["demo-cp-3"])

    with pytest.raises(OxideError, match="etcd needs 2 of its 2 members"):
        gate.before_control_plane("demo-cp-1", goes_down=True)


def _taint_control_planes(living: Living) -> None:
    for index in (1, 2, 3):
        taint = {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}
        living.cluster.nodes[f"demo-cp-{index}"]["spec"]["taints"] = [taint]


@pytest.mark.parametrize("most", [1, 2])
def test_as_many_workers_of_a_pool_may_be_out_as_the_setting_allows(
    living: Living, most: int
) -> None:
    others = ["demo-worker-2", "demo-worker-3"]
    _mark_cordoned(living, *others[: most - 1])
    _gate(living).before_worker("demo-worker-1", "worker", most)

    _not_ready(living, others[most - 1])
    with pytest.raises(OxideError, match=rf"{others[most - 1]} of pool worker .*at most {most}"):
        _gate(living).before_worker("demo-worker-1", "worker", most)


def test_the_last_place_for_pods_stays_whatever_the_setting_allows(living: Living) -> None:
    _taint_control_planes(living)
    _mark_cordoned(living, "demo-worker-2", "demo-worker-3")
    back = lambda: living.cluster.set_unschedulable("demo-worker-3", False)  # noqa: E731
    living.cluster.clock.after(400, back)

    with pytest.raises(
        OxideError,
        match=r"no other node takes its pods until demo-worker-2, demo-worker-3 is back; .*kubectl uncordon demo-worker-2 demo-worker-3`",
    ):
        _gate(living).before_worker("demo-worker-1", "worker", 3)
    _gate(living).before_worker("demo-worker-1", "worker", 3, timeout=600)
    assert living.cluster.clock.now >= 400


def test_a_change_without_a_restart_needs_no_place_for_pods(living: Living) -> None:
    _taint_control_planes(living)
    _mark_cordoned(living, "demo-worker-2", "demo-worker-3")

    _gate(living).before_worker("demo-worker-1", "worker", 3, goes_down=False)
    assert living.cluster.clock.now == 0


def test_a_worker_that_nobody_could_ever_replace_need_not_wait(living: Living) -> None:
    _taint_control_planes(living)
    for name in ("demo-worker-2", "demo-worker-3"):
        del living.cluster.nodes[name]

    _gate(living).before_worker("demo-worker-1", "worker", 1)
    assert living.cluster.clock.now == 0


def test_a_worker_that_an_earlier_run_has_left_cordoned_is_named_with_the_way_out(
    living: Living,
) -> None:
    _mark_cordoned(living, "demo-worker-2")
    _not_ready(living, "demo-worker-3")

    with pytest.raises(OxideError, match=r"`kubectl uncordon demo-worker-2`"):
        _gate(living).before_worker("demo-worker-1", "worker", 1)


def test_workers_of_other_pools_skipped_ones_and_the_node_itself_do_not_count(
    living: Living,
) -> None:
    _not_ready(living, "demo-worker-1")
    _not_ready(living, "demo-worker-2")
    living.cluster.nodes["demo-worker-3"]["metadata"]["labels"]["oxide/pool"] = "other"
    _not_ready(living, "demo-worker-3")

    _gate(living, skipped=["demo-worker-2"]).before_worker("demo-worker-1", "worker", 1)


def test_a_worker_that_a_person_has_cordoned_is_in_service(living: Living) -> None:
    living.cluster.nodes["demo-worker-2"]["spec"]["unschedulable"] = True

    _gate(living).before_worker("demo-worker-1", "worker", 1)


def test_a_worker_that_a_person_has_uncordoned_is_in_service(living: Living) -> None:
    # kubectl knows nothing of the mark and leaves it.
    living.cluster.nodes["demo-worker-2"]["metadata"]["annotations"][CORDONED] = "true"

    _gate(living).before_worker("demo-worker-1", "worker", 1)


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda living: living.cluster.api_unready.add("192.0.2.1"), "HTTP 500"),
        (lambda living: living.cluster.sick.add("demo-cp-1"), "unwell"),
        (lambda living: living.cluster.learners.add("demo-cp-1"), "learner"),
        (
            lambda living: living.cluster.outdated.update({"kube-scheduler-demo-cp-1": "6"}),
            "kube-scheduler has not restarted yet",
        ),
    ],
)
def test_a_control_plane_is_well_only_when_it_serves(
    living: Living, harm: Any, reason: str
) -> None:
    harm(living)

    with pytest.raises(OxideError, match=reason):
        _gate(living).after("demo-cp-1", 10)


def test_a_restarted_node_is_well_only_with_its_new_boot_id(living: Living) -> None:
    gate = _gate(living)
    gate.after("demo-worker-1", 10, "boot-1")

    with pytest.raises(OxideError, match="its kubelet has not reported since the restart"):
        gate.after("demo-worker-1", 10, "boot-2")


def test_a_ready_node_without_network_is_not_well_yet(living: Living) -> None:
    taints = [{"key": "node.cilium.io/agent-not-ready", "effect": "NoSchedule"}]
    living.cluster.nodes["demo-worker-1"]["spec"]["taints"] = taints

    with pytest.raises(OxideError, match="its Cilium agent is not up"):
        _gate(living).after("demo-worker-1", 10)


def test_the_api_may_be_away_while_a_node_is_waited_for(living: Living) -> None:
    living.cluster.api_down = True
    living.cluster.clock.after(30, lambda: setattr(living.cluster, "api_down", False))

    _gate(living).after("demo-cp-1", 60)

    assert 30 <= living.cluster.clock.now < 40
