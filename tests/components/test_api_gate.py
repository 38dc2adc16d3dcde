"""The API gate: passed once, and once more after a restore."""

from typing import Any

import pytest

from oxide_components import api_gate
from oxide_components.api_gate import ApiGateProvider


class _Api:
    asked: list[str]

    def __init__(self, _kubeconfig: str) -> None:
        self.servers = ["https://192.0.2.1:6443", "https://192.0.2.2:6443"]

    def not_ready_reason(self, server: str) -> str | None:
        self.asked.append(server)
        return "etcd" if len(self.asked) == 1 else None


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Servers that were asked; the first answer is that it is not ready."""
    _Api.asked = []
    monkeypatch.setattr(api_gate, "KubernetesApi", _Api)
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    return _Api.asked


def _props(**more: Any) -> dict[str, Any]:
    return {"kubeconfig": "planted", "restore_from": None, "urn": "", **more}


def test_the_gate_opens_when_the_first_server_is_ready(asked: list[str]) -> None:
    ApiGateProvider().create(_props())

    assert asked == ["https://192.0.2.1:6443"] * 2


def test_after_a_restore_the_api_is_waited_for_again(asked: list[str]) -> None:
    provider = ApiGateProvider()
    restoring = _props(restore_from="./etcd.db")

    assert provider.diff("id", _props(), restoring).changes is True
    provider.update("id", _props(), restoring)
    assert len(asked) == 2


def test_a_new_kubeconfig_is_no_reason_to_wait() -> None:
    news = _props(kubeconfig="renewed")

    assert ApiGateProvider().diff("id", _props(), news).changes is False
