"""New workers at one look: what it may vouch for, and what has to be looked at on its own."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from oxide_components import fleet, hetzner_api
from oxide_components.kubernetes_api import CORDONED
from oxide_components.node import NodeProvider
from oxide_components.node_config import NodeConfigProvider

from .fake_hetzner import FakeServer
from .living import LABELS, Living, config, config_of

WORKERS = ("demo-worker-1", "demo-worker-2", "demo-worker-3")
MADE = datetime(2026, 11, 29, 12, tzinfo=UTC)


@pytest.fixture
def server(living: Living, monkeypatch: pytest.MonkeyPatch) -> FakeServer:
    """A cluster whose workers all run on one server that was made before any of them registered."""
    server = FakeServer(living.cluster, "demo-worker-1")
    server.all = [SimpleNamespace(id=11, created=MADE)]
    monkeypatch.setattr(hetzner_api, "client", lambda: server)
    for name in WORKERS:
        _registered(living, name, MADE + timedelta(seconds=40))
    return server


def _registered(living: Living, name: str, moment: datetime) -> None:
    text = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    living.cluster.nodes[name]["metadata"]["creationTimestamp"] = text


def _created(living: Living, name: str, **changes: Any) -> dict[str, Any]:
    return NodeProvider().create(living.props(name, **changes)).outs or {}


def _configured(living: Living, name: str, **changes: Any) -> dict[str, Any]:
    return NodeConfigProvider().create(living.props(name, **changes)).outs or {}


def test_new_workers_that_are_well_share_one_look(living: Living, server: FakeServer) -> None:
    outs = [_created(living, name) for name in WORKERS]

    assert [one["pending"] for one in outs] == [False, False, False]
    assert living.cluster.calls == []
    assert living.cluster.lists == 1
    assert living.cluster.done == ["list servers"]


def test_their_configs_are_read_by_one_call(living: Living, server: FakeServer) -> None:
    for name in WORKERS:
        _created(living, name)
    outs = [_configured(living, name) for name in WORKERS]

    assert [one["pending"] for one in outs] == [False, False, False]
    reading = "get machineconfig v1alpha1 -o json"
    assert living.cluster.calls == [f"{reading} {name}" for name in WORKERS]


def _same_age(living: Living) -> None:
    # The old server's Node object: for a time it looks as Ready as it was.
    _registered(living, "demo-worker-1", MADE)


def _without_age(living: Living) -> None:
    del living.cluster.nodes["demo-worker-1"]["metadata"]["creationTimestamp"]


def _cordoned(living: Living) -> None:
    # A run that was cut off has taken it out.
    living.cluster.nodes["demo-worker-1"]["metadata"]["annotations"][CORDONED] = "true"


def _other_version(living: Living) -> None:
    living.cluster.versions["demo-worker-1"] = "v1.13.8"


def _silent(living: Living) -> None:
    status = living.cluster.nodes["demo-worker-1"]["status"]
    ready = status.pop("conditions")
    living.cluster.clock.after(30, lambda: status.update(conditions=ready))


def _no_api(living: Living) -> None:
    living.cluster.api_down = True
    living.cluster.clock.after(30, lambda: setattr(living.cluster, "api_down", False))


@pytest.mark.parametrize(
    "doubt", [_same_age, _without_age, _cordoned, _other_version, _silent, _no_api]
)
def test_a_worker_that_leaves_a_doubt_is_looked_at_on_its_own(
    living: Living, server: FakeServer, doubt: Callable[[Living], None]
) -> None:
    doubt(living)

    assert _created(living, "demo-worker-1")["pending"] is False
    assert "read /proc/sys/kernel/random/boot_id demo-worker-1" in living.cluster.calls


def test_where_hetzner_does_not_answer_each_is_looked_at_on_its_own(
    living: Living, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(**_: Any) -> None:
        raise OSError("connection refused")

    monkeypatch.setattr(server, "get_all", refused)
    _created(living, "demo-worker-1")

    assert living.cluster.calls == ["read /proc/sys/kernel/random/boot_id demo-worker-1"]


def test_a_server_that_was_made_after_the_look_is_looked_for(
    living: Living, server: FakeServer
) -> None:
    _created(living, "demo-worker-1")
    server.all.append(SimpleNamespace(id=12, created=MADE + timedelta(seconds=60)))

    # Its Node object is that of the server before it.
    _created(living, "demo-worker-2", server_id="12")

    assert "read /proc/sys/kernel/random/boot_id demo-worker-2" in living.cluster.calls


def test_a_look_serves_no_longer_than_kubelets_are_silent(
    living: Living, server: FakeServer
) -> None:
    _created(living, "demo-worker-1")
    living.cluster.clock.sleep(fleet.FRESH + 1)
    _created(living, "demo-worker-2")

    assert living.cluster.lists == 2


def test_a_control_plane_is_always_looked_at_on_its_own(living: Living, server: FakeServer) -> None:
    _registered(living, "demo-cp-1", MADE + timedelta(seconds=40))
    _created(living, "demo-cp-1")
    assert "get staticpods -o yaml demo-cp-1" in living.cluster.calls

    living.cluster.calls.clear()
    _configured(living, "demo-cp-1")
    assert "get staticpods -o yaml demo-cp-1" in living.cluster.calls


def test_a_worker_with_another_config_gets_its_own(living: Living, server: FakeServer) -> None:
    for name in WORKERS:
        _created(living, name)
    living.cluster.configs["demo-worker-2"] = config_of("demo-worker-2", **LABELS)
    for name in WORKERS:
        _configured(living, name, **config(name))

    assert "apply demo-worker-2 no-reboot" in living.cluster.done
    assert "apply demo-worker-1 no-reboot" not in living.cluster.done


def test_a_worker_that_nobody_found_well_in_this_run_is_asked_for_its_config(
    living: Living, server: FakeServer
) -> None:
    _created(living, "demo-worker-2")
    _configured(living, "demo-worker-1")

    assert "get machineconfig v1alpha1 -o yaml demo-worker-1" in living.cluster.calls


def test_a_worker_that_does_not_answer_does_not_keep_the_others_from_it(
    living: Living, server: FakeServer
) -> None:
    for name in WORKERS:
        _created(living, name)
    del living.cluster.alive[living.cluster.addresses["demo-worker-3"]]

    assert _configured(living, "demo-worker-1")["pending"] is False
