"""Taints of a living worker: ours are replaced, everybody else's stay, and nobody's change gets lost."""

import time
from typing import Any

import pytest
import yaml

from oxide_components import taints
from oxide_components.errors import OxideError
from oxide_components.kubernetes_api import ApiUnavailableError

FOREIGN = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


class _Api:
    """One Node object whose version every change raises."""

    def __init__(self, *present: dict[str, str]) -> None:
        self.taints: list[dict[str, str]] = list(present)
        self.version = 1
        self.interferences: list[dict[str, str]] = []
        self.exists = True
        self.patches = 0

    def node(self, name: str) -> dict[str, Any] | None:
        if not self.exists:
            return None
        found = {
            "metadata": {"name": name, "resourceVersion": str(self.version)},
            "spec": {"taints": list(self.taints)} if self.taints else {},
        }
        if self.interferences:
            self.taints.append(self.interferences.pop())
            self.version += 1
        return found

    def patch_node(self, name: str, patch: dict[str, Any]) -> bool:
        self.patches += 1
        if patch["metadata"]["resourceVersion"] != str(self.version):
            raise ApiUnavailableError(f"PATCH node {name}: the object has been modified")
        self.taints = patch["spec"]["taints"]
        self.version += 1
        return True


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)


def _taint(key: str, value: str = "", effect: str = "NoSchedule") -> dict[str, str]:
    return {"key": key, "value": value, "effect": effect}


def _config(*wanted: dict[str, str]) -> str:
    kubelet = {"extraConfig": {"registerWithTaints": list(wanted)}}
    return str(yaml.safe_dump({"machine": {"kubelet": kubelet}}))


def _replace(api: _Api, before: list[str], after: str) -> None:
    node_api: Any = api
    taints.replace(node_api, "demo-worker-1", before=before, after=after)


def test_ours_are_replaced_and_foreign_ones_stay() -> None:
    api = _Api(FOREIGN, _taint("old"), _taint("kept", "1"))
    _replace(
        api,
        [_config(_taint("old"), _taint("kept", "1"))],
        _config(_taint("kept", "2"), _taint("new")),
    )

    assert api.taints == [FOREIGN, _taint("kept", "2"), _taint("new")]


def test_the_last_taint_goes() -> None:
    api = _Api(_taint("old"))
    _replace(api, [_config(_taint("old"))], _config())

    assert api.taints == []


def test_a_taint_that_is_there_already_is_not_doubled() -> None:
    api = _Api(_taint("new", "of somebody"))
    _replace(api, [_config()], _config(_taint("new", "ours")))

    assert api.taints == [_taint("new", "ours")]


def test_the_same_key_with_another_effect_is_another_taint() -> None:
    foreign = _taint("key", effect="NoExecute")
    api = _Api(foreign, _taint("key"))
    _replace(api, [_config(_taint("key"))], _config())

    assert api.taints == [foreign]


def test_unchanged_taints_make_no_call() -> None:
    api = _Api()
    both = [_taint("a"), _taint("b")]
    _replace(api, [_config(*both)], _config(*reversed(both)))

    assert api.patches == 0


def test_what_any_earlier_config_may_have_left_goes() -> None:
    api = _Api(_taint("failed"))
    _replace(api, [_config(_taint("live")), _config(_taint("failed"))], _config(_taint("live")))

    assert api.taints == [_taint("live")]


def test_a_change_of_somebody_else_in_between_is_kept() -> None:
    api = _Api(_taint("old"))
    api.interferences = [FOREIGN, _taint("other")]
    _replace(api, [_config(_taint("old"))], _config(_taint("new")))

    assert api.taints == [_taint("other"), FOREIGN, _taint("new")]
    assert api.patches == 3


def test_a_node_that_keeps_changing_fails_in_the_end() -> None:
    api = _Api()
    api.interferences = [_taint(f"other-{i}") for i in range(50)]

    with pytest.raises(OxideError, match=r"taints of demo-worker-1 cannot be set: .*modified"):
        _replace(api, [_config()], _config(_taint("new")))

    assert 1 < api.patches < 20


def test_a_node_that_is_gone_has_no_taints() -> None:
    api = _Api()
    api.exists = False
    _replace(api, [_config(_taint("old"))], _config())

    assert api.patches == 0
