"""Another server type for a living node: emptied, shut down, changed with its disk kept, started, and back in service."""

from typing import Any

import pytest
import requests

from oxide_components import hetzner_api
from oxide_components.errors import OxideError
from oxide_components.node import NodeProvider

from .fake_hetzner import FakeServer, failed, refused
from .living import Living

NAME = "demo-worker-1"


@pytest.fixture
def server(living: Living, monkeypatch: pytest.MonkeyPatch) -> FakeServer:
    server = FakeServer(living.cluster, NAME)
    monkeypatch.setattr(hetzner_api, "client", lambda: server)
    return server


def _change(living: Living, wanted: str = "cpx31", **recorded: Any) -> dict[str, Any]:
    olds = living.props(NAME, **recorded)
    return NodeProvider().update(NAME, olds, living.props(NAME, server_type=wanted)).outs or {}


def _failed(living: Living, match: str) -> dict[str, Any]:
    with pytest.raises(OxideError, match=match):
        _change(living)
    ((_, outs, _),) = living.recorded
    assert outs["pending"] is True
    return outs


@pytest.mark.parametrize("starts_after_change", [True, False])
def test_a_node_is_emptied_and_shut_down_before_its_type_changes(
    living: Living, server: FakeServer, starts_after_change: bool
) -> None:
    server.starts_after_change = starts_after_change
    outs = _change(living)

    started = [] if starts_after_change else [f"power on {NAME}"]
    assert living.cluster.done == [
        *("look up", f"cordon {NAME}", f"shut down {NAME}", "cpx21 -> cpx31"),
        *started,
        f"uncordon {NAME}",
    ]
    assert outs["server_type"] == "cpx31"
    assert outs["pending"] is False


def test_pods_come_back_only_after_the_new_boot(living: Living, server: FakeServer) -> None:
    _change(living)

    assert living.cluster.boots[NAME] == 2
    assert living.cluster.nodes[NAME]["status"]["nodeInfo"]["bootID"] == "boot-2"


def test_a_node_that_does_not_shut_down_loses_its_power_with_a_warning(
    living: Living, server: FakeServer
) -> None:
    server.shuts_down = False
    _change(living)

    assert f"power off {NAME}" in living.cluster.done
    assert server.server_type.name == "cpx31"
    assert [text for text in living.said if "its power is cut" in text]


@pytest.mark.parametrize("error", [refused(), failed()])
def test_where_a_type_is_sold_out_the_node_goes_on_with_its_old_one(
    living: Living, server: FakeServer, error: Exception
) -> None:
    server.refusal = error
    outs = _failed(living, "demo-worker-1: Hetzner: .*server type not available in fsn1")

    assert server.status == "running"
    assert server.server_type.name == "cpx21"
    assert living.cluster.cordoned() == []
    # Taken back or kept, the change is open, and the preview tells it from where the node is.
    assert outs["server_type"] == "cpx21"
    taken_back = living.props(NAME)
    assert living.preview(NodeProvider(), outs, taken_back)
    living.cluster.done.clear()
    NodeProvider().update(NAME, outs, taken_back)
    assert living.cluster.done == ["look up"]


def test_a_lost_answer_is_on_record_and_the_next_run_starts_the_server(
    living: Living, server: FakeServer
) -> None:
    server.refusal = requests.ConnectionError("connection reset by peer")
    outs = _failed(living, "Hetzner")
    server.refusal = None
    news = living.props(NAME)
    assert living.preview(NodeProvider(), outs, news)

    NodeProvider().update(NAME, outs, news)

    assert server.status == "running"
    assert server.server_type.name == "cpx21"
    assert living.cluster.cordoned() == []


def test_a_server_of_the_right_type_is_left_alone(living: Living, server: FakeServer) -> None:
    server.server_type.name = "cpx31"
    _change(living)

    assert living.cluster.done == ["look up"]


def test_a_server_that_a_cut_run_has_left_off_is_started(
    living: Living, server: FakeServer
) -> None:
    server.server_type.name = "cpx31"
    living.cluster.set_unschedulable(NAME, True)
    server.power_off()
    living.cluster.done.clear()
    olds = living.props(NAME)
    NodeProvider().update(NAME, olds, {**olds, "server_type": "cpx31"})

    assert living.cluster.done == ["look up", f"power on {NAME}", f"uncordon {NAME}"]


def test_a_server_that_is_off_changes_its_type_without_a_drain(
    living: Living, server: FakeServer
) -> None:
    server.power_off()
    living.cluster.done.clear()
    olds = living.props(NAME)
    NodeProvider().update(NAME, olds, {**olds, "server_type": "cpx31"})

    assert living.cluster.done == ["look up", "cpx21 -> cpx31", f"power on {NAME}"]


def test_a_node_that_cannot_be_emptied_keeps_running(living: Living, server: FakeServer) -> None:
    living.cluster.blocked = {NAME}
    _failed(living, "not drained")

    assert living.cluster.done == ["look up", f"cordon {NAME}", f"uncordon {NAME}"]
    assert server.status == "running"


def test_the_others_are_looked_at_again_after_a_long_drain(
    living: Living, server: FakeServer
) -> None:
    living.cluster.blocked = {NAME}

    def changed() -> None:
        living.cluster.blocked.clear()
        living.cluster.kill("demo-worker-2")

    living.cluster.clock.after(30, changed)
    _failed(living, "demo-worker-2 of pool worker not in service")

    assert living.cluster.done == ["look up", f"cordon {NAME}", f"uncordon {NAME}"]


def test_a_silent_node_is_not_powered_off(living: Living, server: FakeServer) -> None:
    olds = living.props(NAME)
    living.cluster.kill(NAME)

    with pytest.raises(OxideError, match="does not answer and cannot be changed"):
        NodeProvider().update(NAME, olds, {**olds, "server_type": "cpx31"})

    assert living.cluster.done == ["look up"]


def test_a_new_server_of_the_wanted_type_spares_hetzner_the_question(
    living: Living, server: FakeServer
) -> None:
    NodeProvider().create(living.props(NAME))

    assert living.cluster.done == []


def test_a_new_node_on_a_server_of_another_type_is_changed(
    living: Living, server: FakeServer
) -> None:
    NodeProvider().create(living.props(NAME, server_type="cpx31"))

    assert server.server_type.name == "cpx31"


def test_a_server_that_does_not_come_back_fails_in_time(
    living: Living, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_on", lambda: setattr(server, "status", "running"))
    _failed(living, "demo-worker-1 to boot: not within 300 s")
