"""Cordoning: Oxide puts back what it has taken out, and nothing else."""

from collections.abc import Mapping
from typing import Any

import pytest

from oxide_components import cordon
from oxide_components.errors import OxideError
from oxide_components.kubernetes_api import CORDONED, KubernetesApi


class _Api(KubernetesApi):
    """The real client on two nodes that take merge patches."""

    def __init__(self) -> None:
        self.nodes = {name: _node(name) for name in ("one", "two")}
        self.pods: list[dict[str, Any]] = []
        self.evicted: list[str] = []

    def node(self, name: str) -> dict[str, Any] | None:
        return self.nodes.get(name)

    def items(self, path: str) -> list[dict[str, Any]]:
        return list(self.nodes.values()) if path == "/api/v1/nodes" else self.pods

    def evict(self, namespace: str, pod: str) -> str | None:
        self.evicted.append(pod)
        return "a budget holds it"

    def patch_node(self, name: str, patch: Mapping[str, Any]) -> bool:
        _merge(self.nodes[name], patch)
        return True


def _node(name: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "annotations": {"other": "kept"}},
        "spec": {},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }


def _merge(target: dict[str, Any], patch: Mapping[str, Any]) -> None:
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, Mapping):
            _merge(target.setdefault(key, {}), value)
        else:
            target[key] = value


@pytest.fixture
def api() -> _Api:
    return _Api()


def test_what_oxide_cordons_it_puts_back_without_a_trace(api: _Api) -> None:
    cordon.cordon(api, "one")
    assert api.nodes["one"]["spec"] == {"unschedulable": True}
    assert CORDONED in api.nodes["one"]["metadata"]["annotations"]

    cordon.put_back(api, "one")
    assert api.nodes["one"] == _node("one")


def test_what_a_person_has_cordoned_stays_cordoned(api: _Api) -> None:
    api.nodes["one"]["spec"]["unschedulable"] = True
    cordon.cordon(api, "one")
    cordon.put_back(api, "one")

    assert api.nodes["one"]["spec"] == {"unschedulable": True}
    assert CORDONED not in api.nodes["one"]["metadata"]["annotations"]


def test_what_a_cut_run_has_cordoned_is_put_back_by_the_next(api: _Api) -> None:
    cordon.cordon(api, "one")
    # The next run finds it cordoned.
    cordon.cordon(api, "one")
    cordon.put_back(api, "one")

    assert api.nodes["one"] == _node("one")


def test_a_node_that_does_not_exist_is_no_error(api: _Api) -> None:
    cordon.cordon(api, "gone")
    cordon.empty(api, "gone", timeout=0, urn=None)
    cordon.put_back(api, "gone")


@pytest.mark.parametrize("unavailable", [["two"], []])
def test_without_another_place_pods_stay_with_a_warning(
    api: _Api, monkeypatch: pytest.MonkeyPatch, unavailable: list[str]
) -> None:
    said: list[str] = []
    monkeypatch.setattr(cordon, "log_warning", lambda _urn, text: said.append(text))
    if not unavailable:
        api.nodes["two"]["spec"]["unschedulable"] = True
    api.pods = [{"metadata": {"name": "web", "namespace": "default"}}]
    cordon.empty(api, "one", timeout=0, urn=None, unavailable=unavailable)

    assert api.evicted == []
    assert said == [
        "one is not drained: no other Ready node takes its pods; they stop with it",
    ]


def test_pods_that_cannot_leave_are_named(api: _Api) -> None:
    api.pods = [{"metadata": {"name": "web", "namespace": "default"}}]

    with pytest.raises(OxideError, match=r"pod default/web \(a budget holds it\)"):
        cordon.empty(api, "one", timeout=0, urn=None)

    assert api.evicted == ["web"]
