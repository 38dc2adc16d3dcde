"""A node on its server: new ones join, replaced ones join anew, a failed one stays on record."""

from typing import Any

import pytest

from oxide_components import hetzner_api
from oxide_components.errors import OxideError
from oxide_components.node import NodeProvider

from .fake_cluster import address_of
from .fake_hetzner import FakeServer
from .living import SECRETS, Living


@pytest.fixture
def server(living: Living, monkeypatch: pytest.MonkeyPatch) -> FakeServer:
    """The server of demo-worker-1; for other nodes, nobody should ask."""
    server = FakeServer(living.cluster, "demo-worker-1")
    monkeypatch.setattr(hetzner_api, "client", lambda: server)
    return server


def _replaced(living: Living, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Recorded and new inputs of a node whose server has been replaced by one that is up and has not joined."""
    living.cluster.no_data.add(name)
    return living.props(name, server_id="10"), living.props(name, server_id="11")


# The preview


def test_a_change_that_a_node_knows_nothing_of_is_none(living: Living) -> None:
    olds = living.props("demo-worker-1")
    news = {**olds, "drain_timeout": 5.0, "made_as": "cpx11", "machine_configuration": "other"}

    assert not living.preview(NodeProvider(), olds, news)
    assert living.said == []


def test_another_server_type_is_announced_with_what_it_does(living: Living) -> None:
    olds = living.props("demo-worker-1")

    assert living.preview(NodeProvider(), olds, {**olds, "server_type": "cpx31"})
    (text,) = living.said
    assert text == "cpx21 -> cpx31: drained, shut down, changed with its disk kept, started"
    assert living.cluster.calls == []


def test_a_new_server_is_announced_as_a_new_node(living: Living) -> None:
    olds = living.props("demo-worker-1")

    assert living.preview(NodeProvider(), olds, {**olds, "server_id": "12"})
    assert living.said == ["a new server joins under this name"]


def test_an_unfinished_change_goes_on(living: Living) -> None:
    news = living.props("demo-worker-1")

    assert living.preview(NodeProvider(), {**news, "pending": True}, news)
    assert "goes on" in living.said[0]


# New and replaced servers


def test_a_new_node_that_is_well_is_only_looked_at(living: Living, server: FakeServer) -> None:
    created = NodeProvider().create(living.props("demo-worker-1"))

    assert created.id == "demo-worker-1"
    assert (created.outs or {})["pending"] is False
    assert living.cluster.done == []


def test_a_new_worker_that_is_well_is_asked_once(living: Living, server: FakeServer) -> None:
    NodeProvider().create(living.props("demo-worker-1"))

    # A hundred nodes are made one after another: every call counts.
    assert living.cluster.calls == ["read /proc/sys/kernel/random/boot_id demo-worker-1"]


def test_what_a_node_reported_before_its_boot_is_not_taken_for_its_version(
    living: Living, server: FakeServer
) -> None:
    living.cluster.versions["demo-worker-1"] = "v1.13.8"
    info = living.cluster.nodes["demo-worker-1"]["status"]["nodeInfo"]
    info |= {"bootID": "boot-0", "osImage": "Talos (v1.13.9)"}

    NodeProvider().create(living.props("demo-worker-1"))

    assert "upgrade demo-worker-1 v1.13.9" in living.cluster.done


def test_a_node_that_boots_slowly_is_waited_for(living: Living, server: FakeServer) -> None:
    address = living.cluster.addresses["demo-worker-1"]
    del living.cluster.alive[address]
    living.cluster.clock.after(250, lambda: living.cluster.alive.update({address: "demo-worker-1"}))

    NodeProvider().create(living.props("demo-worker-1"))

    assert living.cluster.clock.now >= 250


def test_a_new_node_that_never_comes_fails_in_time_and_is_recorded(
    living: Living, server: FakeServer
) -> None:
    props = living.props("demo-worker-1")
    living.cluster.kill("demo-worker-1")

    with pytest.raises(OxideError, match="demo-worker-1"):
        NodeProvider().create(props)

    ((id_, outs, reason),) = living.recorded
    assert (id_, outs["pending"]) == ("demo-worker-1", True)
    assert "pulumi up --replace 'urn:server'" in reason
    assert living.cluster.clock.now < 600
    assert not [secret for secret in SECRETS if secret in reason]


def test_the_ready_state_of_the_old_server_is_not_taken_for_the_new_one(
    living: Living, server: FakeServer
) -> None:
    olds, news = _replaced(living, "demo-worker-1")
    # The Node object still shows the boot of the old server, and that it was Ready.
    living.cluster.boots["demo-worker-1"] = 2
    status = living.cluster.nodes["demo-worker-1"]["status"]
    living.cluster.clock.after(35, lambda: status["nodeInfo"].update(bootID="boot-2"))

    NodeProvider().update("demo-worker-1", olds, news)

    assert living.cluster.clock.now >= 35


def test_a_replaced_control_plane_joins_after_its_stale_member_is_gone(
    living: Living, server: FakeServer
) -> None:
    olds, news = _replaced(living, "demo-cp-2")
    outs = NodeProvider().update("demo-cp-2", olds, news).outs or {}

    assert living.cluster.done[0] == "remove demo-cp-2"
    assert "demo-cp-2" not in living.cluster.members
    assert outs["pending"] is False
    assert living.said == ["demo-cp-2: the etcd member of its earlier server is removed"]


@pytest.mark.parametrize("olds", [{}, {"server_id": "10"}, {"server_id": "11", "pending": True}])
def test_a_living_member_is_never_removed(
    living: Living, server: FakeServer, olds: dict[str, Any]
) -> None:
    NodeProvider().update("demo-cp-2", olds, living.props("demo-cp-2", server_id="11"))

    assert "demo-cp-2" in living.cluster.members
    assert [entry for entry in living.cluster.done if entry.startswith("remove")] == []


def test_a_member_that_joins_while_it_is_looked_at_is_not_removed(
    living: Living, server: FakeServer
) -> None:
    olds, news = _replaced(living, "demo-cp-2")
    # The members have been read, and then the new server is through.
    living.cluster.during["list"] = lambda: living.cluster.no_data.discard("demo-cp-2")
    NodeProvider().update("demo-cp-2", olds, news)

    assert "demo-cp-2" in living.cluster.members


def test_without_the_others_in_health_no_member_is_removed(
    living: Living, server: FakeServer
) -> None:
    olds, news = _replaced(living, "demo-cp-2")
    living.cluster.sick.add("demo-cp-3")

    with pytest.raises(OxideError, match=r"member of its earlier server cannot be removed.*cp-3"):
        NodeProvider().update("demo-cp-2", olds, news)

    assert "demo-cp-2" in living.cluster.members


def test_a_stale_member_that_could_not_be_removed_is_removed_by_the_next_run(
    living: Living, server: FakeServer
) -> None:
    olds, news = _replaced(living, "demo-cp-2")
    living.cluster.sick.add("demo-cp-3")
    with pytest.raises(OxideError):
        NodeProvider().update("demo-cp-2", olds, news)
    ((_, outs, _),) = living.recorded
    living.cluster.sick.clear()
    assert living.preview(NodeProvider(), outs, news)

    NodeProvider().update("demo-cp-2", outs, news)

    assert "demo-cp-2" not in living.cluster.members


def test_a_skipped_control_plane_does_not_keep_another_from_joining(
    living: Living, server: FakeServer
) -> None:
    olds, news = _replaced(living, "demo-cp-2")
    living.cluster.kill("demo-cp-3")

    NodeProvider().update("demo-cp-2", olds, {**news, "skip_nodes": ["demo-cp-3"]})

    assert "demo-cp-2" not in living.cluster.members


def test_a_member_without_a_name_is_removed_only_when_nobody_starts_it(
    living: Living, server: FakeServer
) -> None:
    olds, news = _replaced(living, "demo-cp-2")
    del living.cluster.members["demo-cp-2"]
    living.cluster.members[""] = address_of(2)

    NodeProvider().update("demo-cp-2", olds, news)

    assert "" not in living.cluster.members
    # Whoever is about to start has had time for it.
    assert living.cluster.clock.now >= 120


def test_a_worker_has_no_member_to_clear(living: Living, server: FakeServer) -> None:
    olds, news = _replaced(living, "demo-worker-1")
    NodeProvider().update("demo-worker-1", olds, news)

    assert not [call for call in living.cluster.calls if call.startswith("etcd")]


# Nodes that are left alone


def test_a_skipped_node_is_left_alone_and_picked_up_later(
    living: Living, server: FakeServer
) -> None:
    provider = NodeProvider()
    olds, news = _replaced(living, "demo-cp-2")
    skipped = {**news, "skip_nodes": ["demo-cp-2"]}
    assert not living.preview(provider, olds, skipped)
    outs = provider.create(skipped).outs or {}

    assert living.said == ["skipped (skipNodes); a new server joins under this name"]
    assert living.cluster.calls == []
    assert outs["pending"] is True
    assert living.preview(provider, outs, news)
    provider.update("demo-cp-2", outs, news)
    assert "demo-cp-2" not in living.cluster.members


def test_with_a_dead_cluster_destroying_and_refreshing_work(living: Living) -> None:
    living.cluster.alive.clear()
    living.cluster.api_down = True
    props = living.props("demo-cp-1")

    NodeProvider().delete("demo-cp-1", props)
    assert NodeProvider().read("demo-cp-1", props).outs == props
    assert living.cluster.calls == []
