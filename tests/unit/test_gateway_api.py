"""The Gateway API's definitions: only pinned files are taken, and nothing in the cluster is made older."""

import hashlib
from pathlib import Path

import pytest

from oxide_components import gateway_api
from oxide_components.errors import OxideError
from oxide_components.gateway_api import GatewayApiProvider, definitions
from oxide_components.ipsec_key import IpsecKeyProvider, key_text
from oxide_components.versions import CILIUM_GATEWAY_API, CILIUM_KUBERNETES

DEFINITION = "kind: CustomResourceDefinition\nmetadata: {name: gateways.example.com}\n"
VERSION, CHANNEL = "gateway.networking.k8s.io/bundle-version", "gateway.networking.k8s.io/channel"


def test_every_cilium_has_a_version_whose_files_are_pinned() -> None:
    assert CILIUM_GATEWAY_API.keys() == CILIUM_KUBERNETES.keys()
    for version in CILIUM_GATEWAY_API.values():
        kinds = {kind for _, kind in gateway_api._CHECKSUMS[version]}
        # What Cilium's operator asks for before it serves Gateways, and TLSRoute, which it can do without.
        assert kinds == {
            "gatewayclasses",
            "gateways",
            "grpcroutes",
            "httproutes",
            "referencegrants",
            "tlsroutes",
        }


def test_a_file_of_ones_own_is_taken_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "crds.yaml"
    file.write_text(f"{DEFINITION}---\nkind: ConfigMap\nmetadata: {{name: other}}\n")
    (one,) = definitions("v1.4.1", str(file), None)
    assert one["metadata"]["name"] == "gateways.example.com"


@pytest.mark.parametrize("text", ["- just\n- a list\n", "kind: ConfigMap\n", "a: [", ""])
def test_a_file_without_definitions_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "crds.yaml"
    file.write_text(text)
    with pytest.raises(OxideError, match=r"crds\.yaml"):
        definitions("v1.4.1", str(file), None)


def test_another_file_than_the_pinned_one_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "crds.yaml"
    file.write_text(DEFINITION)
    checksum = hashlib.sha256(DEFINITION.encode()).hexdigest()
    assert definitions("v1.4.1", f"{file.as_uri()}#sha256={checksum}", None)
    with pytest.raises(OxideError, match="is not the file that was pinned"):
        definitions("v1.4.1", f"{file.as_uri()}#sha256={'0' * 64}", None)


@pytest.mark.parametrize(
    ("present", "wanted", "kept"),
    [
        ({}, {VERSION: "v1.4.1"}, ""),
        ({VERSION: "v1.3.0"}, {VERSION: "v1.4.1"}, ""),
        ({VERSION: "v1.10.0"}, {VERSION: "v1.4.1"}, "is older"),
        ({CHANNEL: "experimental"}, {CHANNEL: "standard"}, "experimental channel"),
        ({CHANNEL: "standard"}, {CHANNEL: "experimental"}, ""),
    ],
)
def test_what_is_newer_or_knows_more_stays(
    present: dict[str, str], wanted: dict[str, str], kept: str
) -> None:
    reason = gateway_api._kept_reason(present, wanted)
    assert bool(reason) == bool(kept)
    assert kept in reason


def test_a_renewed_kubeconfig_applies_nothing_again() -> None:
    olds = {"version": "v1.4.1", "manifest": None, "digest": None, "kubeconfig": "a"}
    provider = GatewayApiProvider()
    assert not provider.diff("gateway-api", olds, {**olds, "kubeconfig": "b"}).changes
    assert provider.diff("gateway-api", olds, {**olds, "version": "v1.5.0"}).changes
    assert provider.diff("gateway-api", olds, {**olds, "digest": "c"}).changes


def test_an_ipsec_key_is_new_for_every_number_and_of_the_length_of_its_algorithm() -> None:
    number, algorithm, key, bits = key_text(3).split(" ")
    assert (number, algorithm, bits) == ("3+", "rfc4106(gcm(aes))", "128")
    assert len(bytes.fromhex(key)) == 20
    assert key_text(3) != key_text(3)
    provider = IpsecKeyProvider()
    assert not provider.diff("ipsec-key", {"key_id": 3}, {"key_id": 3}).changes
    assert provider.diff("ipsec-key", {"key_id": 3}, {"key_id": 4}).changes
