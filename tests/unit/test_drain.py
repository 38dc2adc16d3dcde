"""Draining: what goes, what stays, and what is said about pods that do not."""

from types import SimpleNamespace
from typing import Any

import pytest

from oxide_components.drain import REFUGE_TIMEOUT, drain, has_refuge, must_go
from oxide_components.errors import OxideError
from oxide_components.kubernetes_api import ApiUnavailableError


def _pod(name: str, *, owner: str = "ReplicaSet", phase: str = "Running", **metadata: Any) -> Any:
    return {
        "metadata": {
            "name": name,
            "namespace": "default",
            "ownerReferences": [{"kind": owner}],
            **metadata,
        },
        "status": {"phase": phase},
    }


def _node(name: str, *, ready: bool = True, **spec: Any) -> dict[str, Any]:
    status = "True" if ready else "Unknown"
    return {
        "metadata": {"name": name},
        "spec": spec,
        "status": {"conditions": [{"type": "Ready", "status": status}]},
    }


class FakeApi:
    """Pods of one node. An evicted pod is gone in the next round, unless a budget holds it."""

    def __init__(self, *pods: Any, held: dict[str, str] | None = None) -> None:
        self.pods = {pod["metadata"]["name"]: pod for pod in pods}
        self.held = held or {}
        self.successors: list[Any] = []
        self.evicted: list[str] = []
        self.silent = 0
        self.ready = True
        self.volumes: set[str] = set()
        self.attached: list[set[str]] = []

    def items(self, path: str) -> list[Any]:
        if self.silent:
            self.silent -= 1
            raise ApiUnavailableError("https://192.0.2.1:6443: timed out")
        assert path == "/api/v1/pods?fieldSelector=spec.nodeName%3Ddemo-worker-1"
        for name in self.evicted:
            if self.pods.pop(name, None) and self.successors:
                successor = self.successors.pop()
                self.pods[successor["metadata"]["name"]] = successor
        return list(self.pods.values())

    def node(self, name: str) -> dict[str, Any]:
        return _node(name, ready=self.ready)

    def volumes_of(self, pods: list[Any]) -> set[str]:
        return self.volumes if pods else set()

    def attached_volumes(self, node: str) -> set[str]:
        assert node == "demo-worker-1"
        return self.attached.pop(0) if self.attached else set()

    def evict(self, namespace: str, pod: str) -> str | None:
        assert namespace == "default"
        if pod in self.held:
            return self.held[pod]
        self.evicted.append(pod)
        return None


def _drain(api: FakeApi, timeout: float = 5) -> list[str]:
    said: list[str] = []
    drain(api, "demo-worker-1", timeout, said.append, interval=0)  # type: ignore[arg-type]
    return said


@pytest.mark.parametrize(
    "pod",
    [
        _pod("agent", owner="DaemonSet"),
        _pod("kube-apiserver", annotations={"kubernetes.io/config.mirror": "hash"}),
        _pod("job", owner="Job", phase="Succeeded"),
        _pod("job", owner="Job", phase="Failed"),
    ],
)
def test_pods_that_belong_to_the_node_or_are_finished_stay(pod: Any) -> None:
    api = FakeApi(pod)
    _drain(api)

    assert api.evicted == []


def test_a_pod_without_owner_goes_too() -> None:
    pod = _pod("lonely")
    del pod["metadata"]["ownerReferences"]

    assert must_go(pod)


def test_every_other_pod_is_evicted_once_and_waited_for() -> None:
    api = FakeApi(_pod("one"), _pod("two"))
    _drain(api)

    assert api.pods == {}
    assert api.evicted == ["one", "two"]


def test_a_pod_that_is_terminating_is_waited_for_and_not_evicted_again() -> None:
    api = FakeApi(_pod("slow", deletionTimestamp="now"))

    with pytest.raises(OxideError, match=r"pod default/slow \(is terminating\)"):
        _drain(api, timeout=0)

    assert api.evicted == []


def test_a_pod_that_comes_back_because_it_tolerates_everything_is_evicted_once() -> None:
    tolerant = [{"operator": "Exists"}]
    api = FakeApi({**_pod("operator-1", uid="1"), "spec": {"tolerations": tolerant}})
    api.successors = [{**_pod("operator-2", uid="2"), "spec": {"tolerations": tolerant}}]

    _drain(api)

    assert api.evicted == ["operator-1"]


def test_a_late_pod_that_does_not_belong_on_a_cordoned_node_goes_too() -> None:
    api = FakeApi(_pod("one", uid="1"))
    api.successors = [_pod("late", uid="2")]

    _drain(api)

    assert api.evicted == ["one", "late"]


def test_a_pod_that_a_budget_holds_is_named_with_its_budget() -> None:
    api = FakeApi(_pod("free"), _pod("held"), held={"held": "The disruption budget web needs 3."})

    with pytest.raises(OxideError) as caught:
        _drain(api, timeout=0.05)

    assert "not drained within 0 s: pod default/held (The disruption budget web needs 3)" in str(
        caught.value
    )


def test_a_long_list_of_pods_is_cut_and_counted() -> None:
    held = {f"pod-{number}": "budget" for number in range(9)}
    api = FakeApi(*(_pod(name) for name in held), held=held)

    with pytest.raises(OxideError, match=r"4 more$"):
        _drain(api, timeout=0)


def test_an_api_that_is_silent_for_a_while_does_not_end_a_drain() -> None:
    api = FakeApi(_pod("one"))
    api.silent = 2
    said = _drain(api)

    assert api.pods == {}
    assert any("timed out" in text for text in said)


def test_volumes_of_the_pods_are_detached_before_a_drain_has_ended() -> None:
    api = FakeApi(_pod("one"))
    api.volumes = {"pv-1", "pv-2"}
    # The one of a pod that stays is never detached.
    api.attached = [{"pv-1", "pv-2", "pv-9"}, {"pv-2", "pv-9"}, {"pv-9"}, {"pv-9"}]
    said = _drain(api)

    assert api.attached == [{"pv-9"}]
    assert said[-1] == "waits for 2 volumes to be detached"


def test_a_volume_that_stays_attached_does_not_hold_a_drain_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("oxide_components.drain.VOLUME_TIMEOUT", 0)
    api = FakeApi(_pod("one"))
    api.volumes, api.attached = {"pv-1"}, [{"pv-1"}] * 5

    _drain(api)


def _terminating(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A drain in time that only passes in its pauses; what it has said."""
    now = [0.0]

    def sleep(_seconds: float) -> None:
        now[0] += 1

    clock = SimpleNamespace(sleep=sleep, monotonic=lambda: now[0])
    monkeypatch.setattr("oxide_components.drain.time", clock)
    return _drain(api, timeout=600)


def test_pods_that_no_kubelet_ends_any_more_do_not_hold_a_drain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stuck = _pod("stuck", uid="u1", deletionTimestamp="now", deletionGracePeriodSeconds=30)
    api = FakeApi(stuck)
    api.ready = False
    said = _terminating(api, monkeypatch)

    assert said == ["draining: pod default/stuck (is terminating)"]
    assert api.evicted == []


def test_pods_that_end_slowly_are_waited_for_where_the_kubelet_lives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    api = FakeApi(_pod("slow", uid="u1", deletionTimestamp="now", deletionGracePeriodSeconds=30))

    with pytest.raises(OxideError, match=r"not drained within 600 s: .*slow \(is terminating\)"):
        _terminating(api, monkeypatch)


_GPU = [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]
_CONTROL_PLANE = [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]


def _settling(key: str) -> list[dict[str, str]]:
    return [{"key": key, "effect": "NoSchedule"}, {"key": key, "effect": "NoExecute"}]


class Nodes:
    """An API that shows other nodes from look to look; the last for good."""

    def __init__(self, *looks: list[dict[str, Any]] | None) -> None:
        self.looks = list(looks)
        self.now = 0.0

    def items(self, path: str) -> list[dict[str, Any]]:
        assert path == "/api/v1/nodes"
        look = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if look is None:
            raise ApiUnavailableError("timed out")
        return look

    def sleep(self, seconds: float) -> None:
        self.now += seconds


LEAVER = _node("demo-worker-1", unschedulable=True)
LEAVING = {"demo-worker-1", "demo-worker-3"}
AWAY, BACK = _node("demo-worker-2", ready=False), _node("demo-worker-2")


def _refuge(
    monkeypatch: pytest.MonkeyPatch, nodes: Nodes, leaver: dict[str, Any] = LEAVER
) -> tuple[bool, list[str]]:
    said: list[str] = []
    clock = SimpleNamespace(sleep=nodes.sleep, monotonic=lambda: nodes.now)
    monkeypatch.setattr("oxide_components.drain.time", clock)
    found = has_refuge(nodes, leaver, LEAVING, said.append)  # type: ignore[arg-type]
    return found, said


@pytest.mark.parametrize(
    ("other", "refuge"),
    [
        (BACK, True),
        (AWAY, False),
        (_node("demo-worker-2", unschedulable=True), False),
        (_node("demo-worker-3"), False),
        (_node("demo-gpu-1", taints=_GPU), False),
        (_node("demo-cp-1", taints=_CONTROL_PLANE), False),
        (_node("demo-cp-1"), True),
        (_node("demo-worker-2", taints=_settling("node.kubernetes.io/not-ready")), True),
        (_node("demo-worker-2", taints=_settling("node.cilium.io/agent-not-ready")), True),
        (_node("demo-worker-2", taints=_settling("node.kubernetes.io/out-of-service")), False),
        (_node("demo-worker-2", taints=_settling("node.kubernetes.io/disk-pressure")), True),
    ],
    ids=[
        *("worker", "not-ready", "cordoned", "leaves-too", "tainted", "control-plane", "open"),
        *("just-back", "network-comes", "out-of-service", "pressure"),
    ],
)
def test_pods_find_refuge_only_on_a_node_that_takes_and_keeps_them(
    monkeypatch: pytest.MonkeyPatch, other: dict[str, Any], refuge: bool
) -> None:
    assert _refuge(monkeypatch, Nodes([LEAVER, other]))[0] is refuge


def test_a_tainted_node_is_a_refuge_for_pods_of_a_node_with_the_same_taint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    leaver = _node("demo-worker-1", taints=_GPU)
    nodes = Nodes([leaver, _node("demo-gpu-1", taints=_GPU)])

    assert _refuge(monkeypatch, nodes, leaver)[0]


def test_a_place_that_is_about_to_be_ready_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = Nodes([LEAVER, AWAY], None, [LEAVER, AWAY], [LEAVER, BACK])

    assert _refuge(monkeypatch, nodes) == (
        True,
        ["waits for a place for its pods: demo-worker-2 not Ready or under pressure"],
    )
    assert nodes.now == 3


def test_a_place_under_pressure_is_given_time_to_recover(monkeypatch: pytest.MonkeyPatch) -> None:
    pressed = _node("demo-worker-2", taints=_settling("node.kubernetes.io/disk-pressure"))
    nodes = Nodes([LEAVER, pressed], [LEAVER, pressed], [LEAVER, BACK])

    assert _refuge(monkeypatch, nodes)[0]
    assert nodes.now == 2


def test_a_place_that_stays_away_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nodes = Nodes([LEAVER, AWAY])

    assert _refuge(monkeypatch, nodes)[0] is False
    assert nodes.now == REFUGE_TIMEOUT


def test_where_no_node_can_take_the_pods_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = Nodes([LEAVER, _node("demo-cp-1", taints=_CONTROL_PLANE, ready=False)])

    assert _refuge(monkeypatch, nodes) == (False, [])
    assert nodes.now == 0


def test_an_api_that_stays_silent_is_no_reason_to_leave_pods_where_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ApiUnavailableError):
        _refuge(monkeypatch, Nodes(None))
