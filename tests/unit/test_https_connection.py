"""The way of an HTTPS connection: direct, or through the proxy of the environment."""

import ssl
from typing import Any

import pytest

from oxide_components.https_connection import https_connection


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


def _way(host: str = "10.0.0.11") -> tuple[str, int, Any, dict[str, str]]:
    context = ssl.create_default_context()
    made: Any = https_connection(host, 6443, timeout=1, context=context)
    return made.host, made.port, made._tunnel_host, dict(made._tunnel_headers)


def test_a_connection_is_direct_without_a_proxy() -> None:
    assert _way() == ("10.0.0.11", 6443, None, {})


def test_a_bastion_carries_it_and_gets_its_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me:s%40cret@bastion.example.com:3128")

    host, port, target, headers = _way()

    assert (host, port, target) == ("bastion.example.com", 3128, "10.0.0.11")
    assert headers["Proxy-Authorization"] == "Basic bWU6c0BjcmV0"


def test_an_exception_of_the_environment_is_direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "bastion.example.com")
    monkeypatch.setenv("NO_PROXY", "192.0.2.1")

    assert _way()[:3] == ("bastion.example.com", 80, "10.0.0.11")
    assert _way("192.0.2.1")[:3] == ("192.0.2.1", 6443, None)
