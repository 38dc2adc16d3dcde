"""The Gateway API's CustomResourceDefinitions, which Cilium needs and does not install."""

import hashlib
import http
import json
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NotRequired, TypedDict

import pulumi
import yaml
from pulumi.dynamic import CreateResult, DiffResult, Resource, UpdateResult

from .dynamic_provider import LifecycleProvider, log_info, log_progress, log_warning, wait_until
from .errors import OxideError
from .kubernetes_api import KubernetesApi
from .urn import child_urn
from .versions import Version, parse

ESTABLISHED_TIMEOUT = 120.0
"""Seconds that the API server may take to serve the definitions: it needs less than one each."""

DOWNLOAD_TIMEOUT = 60
"""Seconds that one file may take to arrive."""

_DEFINITIONS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_VERSION: Final = "gateway.networking.k8s.io/bundle-version"
_CHANNEL: Final = "gateway.networking.k8s.io/channel"
_SOURCE: Final = "https://raw.githubusercontent.com/kubernetes-sigs/gateway-api/{version}/config/crd/{channel}/gateway.networking.k8s.io_{kind}.yaml"

_CHECKSUMS: Final[Mapping[str, Mapping[tuple[str, str], str]]] = {
    "v1.3.0": {
        (
            "standard",
            "gatewayclasses",
        ): "7c8ee2c1878d9dcc6ba106181e3d14d7eaa520ec070233d62f3aa0d674d19450",
        (
            "standard",
            "gateways",
        ): "c949e7c3951227b92a582817a7a660558ce0fb94c081da264b4e2bbe4a1e5387",
        (
            "standard",
            "grpcroutes",
        ): "5867279c3cfd77377fe7e9255b22751f17592242b9b5e7485c74b13b268d13c5",
        (
            "standard",
            "httproutes",
        ): "a4ecf600c7e0bfd3cdb24e6411938d9b330117a26675f303cc6d9a407cb257d1",
        (
            "standard",
            "referencegrants",
        ): "7587b2e7e5b1b9a26717b3ef8142f64e6600637eadf481a6bd0031740644b495",
        (
            "experimental",
            "tlsroutes",
        ): "2bc865fedfc13c4f555e14b50cc27e703a54103e011daf653aae51f733ecae3a",
    },
    "v1.4.1": {
        (
            "standard",
            "gatewayclasses",
        ): "7d958ad3965ea4a4996616846d9ecaf1fededbf9351b9752b8b85973936ae8c8",
        (
            "standard",
            "gateways",
        ): "a02ea425fc901f197b668c9ddd56375e1f6896994914c6e6b9b4fdb85cf3ba6e",
        (
            "standard",
            "grpcroutes",
        ): "b72068b42cb32051ca609e5a8dfefb16904d164abe2e71d9f3c776fae41c4dab",
        (
            "standard",
            "httproutes",
        ): "98c6777c22309d319292e9c288ee632006c9ffdd4272383d6f9dffa3fbccaf14",
        (
            "standard",
            "referencegrants",
        ): "d74fc2f8e90094f4c4d6dc13a2d720011a40e30e5640b3e2a2051fac820f6584",
        (
            "experimental",
            "tlsroutes",
        ): "1dee8d7e1a56dadf0e88466bfef8a8afc5664a94e95d6b2fb812f03d0b198748",
    },
}
"""SHA-256 of each definition that Cilium asks for, by channel and kind; TLSRoute is experimental in these versions.

Source: the files at the tags of kubernetes-sigs/gateway-api.
"""


class GatewayApiArgs(TypedDict):
    """Which definitions, and for which cluster."""

    version: str
    """Version of the Gateway API, such as v1.4.1."""
    kubeconfig: pulumi.Input[str]
    """Kubeconfig of the cluster."""
    manifest: NotRequired[str | None]
    """YAML file with the definitions: a path, or an address that ends in #sha256=CHECKSUM. Default: the official files."""


class GatewayApiProvider(LifecycleProvider):
    """Applies the definitions. They stay when the resource goes: with them every Gateway and route would be deleted."""

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """Another version or another file."""
        keys = ("version", "manifest", "digest")
        return DiffResult(changes=any(olds.get(key) != news.get(key) for key in keys))

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Apply the definitions."""
        _apply(props)
        return CreateResult("gateway-api", dict(props))

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Apply the definitions of another version."""
        _apply(news)
        return UpdateResult(dict(news))


class GatewayApi(Resource, module="oxide", name="GatewayApi"):
    """Exists once the cluster serves the Gateway API's kinds."""

    def __init__(
        self, name: str, args: GatewayApiArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        manifest = args.get("manifest")
        properties = {
            "version": args["version"],
            "manifest": manifest,
            # The same path with another content is a change.
            "digest": _digest(manifest),
            "kubeconfig": pulumi.Output.secret(args["kubeconfig"]),
            "urn": child_urn(name, "GatewayApi", opts),
        }
        super().__init__(GatewayApiProvider(), name, properties, opts)


def _digest(manifest: str | None) -> str | None:
    if manifest is None or "://" in manifest:
        return None
    return hashlib.sha256(Path(manifest).read_bytes()).hexdigest()


def _apply(props: Mapping[str, Any]) -> None:
    urn = props.get("urn")
    api = KubernetesApi(props["kubeconfig"])
    applied = [
        definition["metadata"]["name"]
        for definition in definitions(props["version"], props.get("manifest"), urn)
        if _apply_one(api, definition, urn)
    ]
    wait_until(
        "the Gateway API",
        urn,
        ESTABLISHED_TIMEOUT,
        lambda: next((reason for name in applied if (reason := _missing(api, name))), None),
        interval=0.5,
    )
    log_info(urn, f"Gateway API {props['version']}: {len(applied)} definitions")


def definitions(version: str, manifest: str | None, urn: str | None) -> list[dict[str, Any]]:
    """
    The definitions themselves.

    Args:
        version: Version of the Gateway API.
        manifest: Path or pinned address of a file; None takes the official files.
        urn: Resource that shows the progress.

    Raises:
        OxideError: A file cannot be had, or is not the one that was pinned.
    """
    if manifest is None:
        texts = [
            _download(_SOURCE.format(version=version, channel=channel, kind=kind), checksum, urn)
            for (channel, kind), checksum in _CHECKSUMS[version].items()
        ]
    elif "://" in manifest:
        address, checksum = manifest.split("#sha256=")
        texts = [_download(address, checksum, urn)]
    else:
        try:
            texts = [Path(manifest).read_bytes()]
        except OSError as error:
            raise OxideError(f"{manifest} cannot be read: {error.strerror}") from None
    try:
        found = [document for text in texts for document in yaml.safe_load_all(text) if document]
        found = [one for one in found if one["kind"] == "CustomResourceDefinition"]
    except (yaml.YAMLError, TypeError, KeyError):
        raise OxideError(f"{manifest} is not a file of Kubernetes objects") from None
    if not found:
        raise OxideError(f"{manifest} holds no CustomResourceDefinition")
    return found


def _download(address: str, checksum: str, urn: str | None) -> bytes:
    log_progress(urn, f"fetching {address}")
    try:
        # The configuration admits http and https only.
        with urllib.request.urlopen(address, timeout=DOWNLOAD_TIMEOUT) as answer:  # noqa: S310
            text: bytes = answer.read()
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise OxideError(
            f"{address} cannot be had: {reason}; give gatewayApiManifest a file with the definitions"
        ) from None
    if hashlib.sha256(text).hexdigest() != checksum:
        raise OxideError(
            f"{address} is not the file that was pinned: its SHA-256 differs; "
            "give gatewayApiManifest a file that you trust"
        )
    return text


def _apply_one(api: KubernetesApi, definition: Mapping[str, Any], urn: str | None) -> bool:
    """Whether the definition was applied; one that somebody has in a newer version stays."""
    name = definition["metadata"]["name"]
    status, body = api.request("GET", f"{_DEFINITIONS}/{name}")
    if status == http.HTTPStatus.OK:
        present = json.loads(body)["metadata"].get("annotations") or {}
        wanted = definition["metadata"].get("annotations") or {}
        if reason := _kept_reason(present, wanted):
            log_warning(urn, f"{name} stays as it is: {reason}")
            return False
    status, body = api.request(
        "PATCH",
        f"{_DEFINITIONS}/{name}?fieldManager=oxide&force=true",
        definition,
        "application/apply-patch+yaml",
    )
    if status not in (http.HTTPStatus.OK, http.HTTPStatus.CREATED):
        raise OxideError(f"{name} cannot be applied: HTTP {status}{_message(body)}")
    return True


def _kept_reason(present: Mapping[str, str], wanted: Mapping[str, str]) -> str:
    here, there = _version(present), _version(wanted)
    if here is not None and there is not None and _order(here) > _order(there):
        return f"the cluster has it in version {present[_VERSION]}, and {wanted[_VERSION]} is older"
    if present.get(_CHANNEL) == "experimental" and wanted.get(_CHANNEL) == "standard":
        return "the cluster has it from the experimental channel, which knows more fields"
    return ""


def _version(annotations: Mapping[str, str]) -> Version | None:
    return parse(re.sub("^v", "", annotations.get(_VERSION, "")))


def _order(version: Version) -> tuple[int, int, int]:
    return version.major, version.minor, version.patch


def _missing(api: KubernetesApi, name: str) -> str | None:
    """None once the API server serves the kind, else why not."""
    status, body = api.request("GET", f"{_DEFINITIONS}/{name}")
    if status != http.HTTPStatus.OK:
        return f"{name}: HTTP {status}"
    conditions = (json.loads(body).get("status") or {}).get("conditions") or []
    served = any(one["type"] == "Established" and one["status"] == "True" for one in conditions)
    return None if served else f"{name} is not established"


def _message(body: bytes) -> str:
    try:
        text = json.loads(body).get("message", "")
    except (ValueError, AttributeError):
        return ""
    return f": {text}" if text else ""
