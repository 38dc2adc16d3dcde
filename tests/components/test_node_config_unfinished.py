"""Configs that do not reach their node at once: failures, cut runs, nodes that are left alone, drift, taints."""

from typing import Any

import pytest
import yaml

from oxide_components.errors import OxideError
from oxide_components.kubernetes_api import CORDONED
from oxide_components.node_config import NodeConfigProvider
from oxide_components.talosctl import TalosError

from .living import LABELS, NEEDS_REBOOT, Living, config, config_of, taints, update

# Failures


def _records(living: Living, error: str) -> dict[str, Any]:
    ((id_, outs, reason),) = living.recorded
    assert id_ == outs["node_name"]
    assert outs["pending"] is True
    assert error in reason
    assert "No node after it is touched" in reason
    assert "`pulumi up` again" in reason
    return outs


def test_a_silent_node_fails_with_the_ways_out_and_is_recorded(living: Living) -> None:
    living.cluster.kill("demo-worker-1")

    with pytest.raises(OxideError, match=r"does not answer.*replaced.*skipNodes"):
        update(living, "demo-worker-1", **config("demo-worker-1", **LABELS))

    _records(living, "demo-worker-1 does not answer")
    assert living.cluster.done == []


def test_a_drain_that_fails_lets_the_node_take_pods_again(living: Living) -> None:
    living.cluster.blocked = {"demo-worker-1"}
    changed = config("demo-worker-1", **NEEDS_REBOOT)

    with pytest.raises(OxideError, match=r"not drained.*pod-on-demo-worker-1"):
        update(living, "demo-worker-1", **changed)

    assert living.cluster.done == ["cordon demo-worker-1", "uncordon demo-worker-1"]
    outs = _records(living, "not drained")
    # What failed is on record, so that taking it back is a change.
    assert outs["machine_configuration"] == changed["machine_configuration"]


def test_a_refused_config_fails_with_its_reason_and_is_recorded(living: Living) -> None:
    labels = {"nodeLabels": {"a": "refused-by-talos"}}

    with pytest.raises(OxideError, match="a label is refused"):
        update(living, "demo-worker-1", **config("demo-worker-1", **labels))

    _records(living, "a label is refused")


def test_a_config_refused_when_it_is_staged_leaves_its_control_plane_in_service(
    living: Living,
) -> None:
    main, hostname = yaml.safe_load_all(
        config_of("demo-cp-1", nodeLabels={"a": "refused-by-talos"})
    )
    main["cluster"]["etcd"] = {"extraArgs": {"quota-backend-bytes": "1"}}

    with pytest.raises(OxideError, match="a label is refused"):
        update(living, "demo-cp-1", machine_configuration=yaml.safe_dump_all([main, hostname]))

    assert living.cluster.done == ["cordon demo-cp-1", "uncordon demo-cp-1"]
    _records(living, "a label is refused")


def test_a_node_that_does_not_come_back_fails_in_time(living: Living) -> None:
    living.cluster.lost = {"demo-worker-1"}

    with pytest.raises(OxideError, match="demo-worker-1 to boot: not within 300 s"):
        update(living, "demo-worker-1", **config("demo-worker-1", **NEEDS_REBOOT))

    _records(living, "to boot")


def test_a_restart_whose_answer_is_lost_is_a_restart(living: Living) -> None:
    def lost() -> None:
        living.cluster.goes_down("demo-worker-1")
        raise TalosError("talosctl reboot on 10.0.1.1: rpc error: code = Unavailable desc = EOF")

    living.cluster.during["reboot"] = lost
    update(living, "demo-worker-1", **config("demo-worker-1", **NEEDS_REBOOT))

    assert living.cluster.boots["demo-worker-1"] == 2
    assert living.cluster.cordoned() == []


@pytest.mark.parametrize("taken_back", [True, False])
def test_the_next_run_finishes_a_change_that_was_cut_before_its_reboot(
    living: Living, taken_back: bool
) -> None:
    class Cut(BaseException):
        pass

    def cut() -> None:
        living.cluster.during.clear()
        raise Cut

    name = "demo-worker-1"
    before, changed = living.props(name), living.props(name, **config(name, **NEEDS_REBOOT))
    living.cluster.during["apply-config"] = lambda: living.cluster.during.update(reboot=cut)
    with pytest.raises(Cut):
        NodeConfigProvider().update(name, before, changed)
    news = before if taken_back else changed
    NodeConfigProvider().update(name, {**changed, "pending": True}, news)

    wanted = str(news["machine_configuration"])
    assert living.cluster.cordoned() == []
    assert living.cluster.configs[name] == wanted
    # Nothing else lies in wait for the next boot.
    assert living.cluster.staged.get(name, wanted) == wanted


def test_a_node_that_a_person_has_cordoned_stays_cordoned(living: Living) -> None:
    living.cluster.nodes["demo-worker-1"]["spec"]["unschedulable"] = True

    update(living, "demo-worker-1", **config("demo-worker-1", **NEEDS_REBOOT))

    assert living.cluster.cordoned() == ["demo-worker-1"]
    assert "uncordon demo-worker-1" not in living.cluster.done
    assert "reboot demo-worker-1" in living.cluster.done


def test_a_node_that_a_cut_off_run_has_cordoned_takes_pods_again(living: Living) -> None:
    node = living.cluster.nodes["demo-worker-1"]
    node["spec"]["unschedulable"] = True
    node["metadata"]["annotations"][CORDONED] = "true"

    update(living, "demo-worker-1")

    assert living.cluster.cordoned() == []


# Nodes that are left alone


def test_a_skipped_node_is_left_alone_and_stays_on_record_as_open(living: Living) -> None:
    provider = NodeConfigProvider()
    name = "demo-worker-1"
    skipped = living.props(name, skip_nodes=[name], **config(name, **LABELS))

    assert not living.preview(provider, living.props(name), skipped)
    assert living.said == ["skipped (skipNodes); changes machine.nodeLabels.tier without a reboot"]
    outs = provider.create(skipped).outs or {}
    assert outs["pending"] is True
    assert provider.update(name, living.props(name), skipped).outs == outs
    assert living.cluster.calls == []
    assert living.cluster.done == []


def test_a_skipped_node_is_picked_up_when_its_name_is_taken_off(living: Living) -> None:
    provider = NodeConfigProvider()
    name = "demo-worker-1"
    skipped = living.props(name, skip_nodes=[name], **config(name, **LABELS))
    outs = provider.create(skipped).outs or {}
    news = {**skipped, "skip_nodes": []}

    assert living.preview(provider, outs, news)
    assert (provider.update(name, outs, news).outs or {})["pending"] is False
    assert living.cluster.done == [f"apply {name} no-reboot"]


# Drift


def test_a_config_that_somebody_else_has_changed_is_found_and_repaired(living: Living) -> None:
    provider = NodeConfigProvider()
    name = "demo-worker-1"
    props = living.props(name)
    living.cluster.configs[name] = config_of(name, **LABELS)

    outs = provider.read(name, props).outs or {}

    assert outs["pending"] is True
    assert living.preview(provider, outs, props)
    provider.update(name, outs, props)
    assert living.cluster.configs[name] == props["machine_configuration"]
    assert (provider.read(name, props).outs or {}).get("pending") in (None, False)


def test_a_node_that_a_cut_off_run_has_left_cordoned_is_open(living: Living) -> None:
    name = "demo-worker-1"
    living.cluster.set_unschedulable(name, True)

    outs = NodeConfigProvider().read(name, living.props(name)).outs or {}
    assert outs["pending"] is True


def test_other_component_versions_are_no_drift(living: Living) -> None:
    name = "demo-worker-1"
    props = living.props(name)
    living.cluster.configs[name] = config_of(name, kubernetes="v1.36.0")

    assert NodeConfigProvider().read(name, props).outs == props


@pytest.mark.parametrize(
    "lack", ["dead", "no api", "no talosconfig", "no config", "skipped", "garbage"]
)
def test_reading_never_fails_and_changes_nothing_that_it_cannot_see(
    living: Living, lack: str
) -> None:
    name = "demo-worker-1"
    props = living.props(name, **config(name, **LABELS))
    if lack == "dead":
        living.cluster.alive.clear()
    elif lack == "no api":
        living.cluster.api_down = True
    elif lack == "garbage":
        living.cluster.configs[name] = "{[planted-value"
    elif lack == "skipped":
        props["skip_nodes"] = [name]
    else:
        del props["talosconfig" if lack == "no talosconfig" else "machine_configuration"]

    assert NodeConfigProvider().read(name, props).outs == props


def test_reading_a_dead_cluster_ends_soon(living: Living) -> None:
    living.cluster.alive.clear()
    NodeConfigProvider().read("demo-worker-1", living.props("demo-worker-1"))

    # Nobody waits for a node to come back; the rest are the limits of single calls.
    assert living.cluster.clock.now == 0


# Taints


def test_taints_of_a_living_worker_are_replaced_and_foreign_ones_stay(living: Living) -> None:
    name = "demo-worker-1"
    foreign = {"key": "node.example.com/foreign", "effect": "NoExecute"}
    old = {"key": "old", "value": "", "effect": "NoSchedule"}
    living.cluster.nodes[name]["spec"]["taints"] = [foreign, old]
    living.cluster.configs[name] = config_of(name, **taints("old"))

    update(living, name, **config(name, **taints("new")))

    assert living.cluster.nodes[name]["spec"]["taints"] == [
        foreign,
        {"key": "new", "value": "", "effect": "NoSchedule"},
    ]


def test_a_replaced_worker_gets_its_own_taints_even_after_a_first_run_that_failed(
    living: Living,
) -> None:
    name = "demo-worker-1"
    old = {"key": "old", "value": "", "effect": "NoSchedule"}
    # Of the earlier server; the new one found it and runs with today's config.
    living.cluster.nodes[name]["spec"]["taints"] = [old]
    living.cluster.configs[name] = config_of(name, **taints("new"))
    before = living.props(name, server_id="10", **config(name, **taints("old")))
    after = living.props(name, server_id="11", **config(name, **taints("new")))
    living.cluster.kill(name)
    with pytest.raises(OxideError):
        NodeConfigProvider().update(name, before, after)
    living.cluster.alive[living.cluster.addresses[name]] = name
    living.cluster.nodes[name]["status"]["conditions"] = [{"type": "Ready", "status": "True"}]

    NodeConfigProvider().update(name, _records(living, "does not answer"), after)

    assert living.cluster.nodes[name]["spec"]["taints"] == [
        {"key": "new", "value": "", "effect": "NoSchedule"},
    ]


def test_taints_of_a_control_plane_are_no_business_of_a_config(living: Living) -> None:
    name = "demo-cp-1"
    update(living, name, **config(name, **taints("new")))

    assert f"taints {name}" not in living.cluster.done


@pytest.mark.parametrize("taken_back", [True, False])
def test_taints_that_could_not_be_set_are_set_by_the_next_run(
    living: Living, taken_back: bool
) -> None:
    name = "demo-worker-1"
    old = {"key": "old", "value": "", "effect": "NoSchedule"}
    living.cluster.nodes[name]["spec"]["taints"] = [old]
    living.cluster.configs[name] = config_of(name, **taints("old"))
    before = living.props(name)
    living.cluster.conflicts = 100
    with pytest.raises(OxideError, match="taints of demo-worker-1 cannot be set"):
        update(living, name, **config(name, **taints("new")))
    ((_, outs, _),) = living.recorded
    living.cluster.conflicts = 0
    news = before if taken_back else {**outs}

    NodeConfigProvider().update(name, outs, news)

    (taint,) = living.cluster.nodes[name]["spec"]["taints"]
    assert taint["key"] == ("old" if taken_back else "new")


def test_taints_of_a_config_that_talos_refused_go_with_it(living: Living) -> None:
    name = "demo-worker-1"
    before = living.props(name)
    refused = {**taints("new"), "nodeLabels": {"a": "refused-by-talos"}}
    with pytest.raises(OxideError, match="a label is refused"):
        update(living, name, **config(name, **refused))
    ((_, outs, _),) = living.recorded

    NodeConfigProvider().update(name, outs, before)

    assert not living.cluster.nodes[name]["spec"]["taints"]
