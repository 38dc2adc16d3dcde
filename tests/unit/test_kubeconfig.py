"""Kubeconfigs for people."""

import pytest
import yaml

from oxide_components.errors import OxideError
from oxide_components.kubeconfig import credentials, people_kubeconfig

RAW = """
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://api.demo.internal:6443", certificate-authority-data: Y2E=}}]
users: [{name: u, user: {client-certificate-data: Y2VydA==, client-key-data: a2V5}}]
"""
CONTROL_PLANES = [("demo-cp-1", "192.0.2.1"), ("demo-cp-2", "192.0.2.2")]


def test_no_context_names_the_internal_endpoint() -> None:
    text = people_kubeconfig(RAW, "demo", CONTROL_PLANES, None)

    assert ".internal" not in text


def test_the_current_context_is_the_first_control_plane_and_each_has_its_own() -> None:
    parsed = yaml.safe_load(people_kubeconfig(RAW, "demo", CONTROL_PLANES, None))
    servers = {c["name"]: c["cluster"]["server"] for c in parsed["clusters"]}

    assert parsed["current-context"] == "admin@demo"
    assert servers == {
        "demo": "https://192.0.2.1:6443",
        "demo-cp-1": "https://192.0.2.1:6443",
        "demo-cp-2": "https://192.0.2.2:6443",
    }


def test_the_public_hostname_leads_where_there_is_one() -> None:
    found = credentials(people_kubeconfig(RAW, "demo", CONTROL_PLANES, "api.example.com"))

    assert found.servers == (
        "https://api.example.com:6443",
        "https://192.0.2.1:6443",
        "https://192.0.2.2:6443",
    )


def test_credentials_never_show_the_key() -> None:
    found = credentials(people_kubeconfig(RAW, "demo", CONTROL_PLANES, None))

    assert found.client_key == b"key"
    assert "key'" not in repr(found).replace("client_key", "")


@pytest.mark.parametrize("text", ["", "{", "clusters: []", "users: [{name: u, user: {token: t}}]"])
def test_what_is_no_kubeconfig_is_refused_without_quoting_it(text: str) -> None:
    for read in (credentials, lambda raw: people_kubeconfig(raw, "demo", CONTROL_PLANES, None)):
        with pytest.raises(OxideError, match="not a kubeconfig") as caught:
            read(text)

        assert caught.value.__cause__ is None
