"""The API gate: whatever follows it may count on a Kubernetes API that serves."""

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    CreateResult,
    DiffResult,
    Resource,
    UpdateResult,
)

from .addon_guard import guarded, switch_off_refusals
from .dynamic_provider import LifecycleProvider, wait_until
from .kubernetes_api import KubernetesApi
from .urn import child_urn

API_TIMEOUT = 900.0
"""Seconds that the Kubernetes API may take to serve after the bootstrap: control planes pull its images first."""


class ApiGateProvider(LifecycleProvider):
    """Waits for /readyz of the kubeconfig's current context: once, and after a restore. A resource, so that it never runs in a preview."""

    def check(self, olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        """Refuse to switch an add-on off that something in the cluster lives on, in the preview already."""
        # Unknown in a preview that changes the control planes; the old one still gets there.
        known = [
            one for one in (news.get("kubeconfig"), olds.get("kubeconfig")) if isinstance(one, str)
        ]
        refusals = switch_off_refusals(guarded(olds), guarded(news), known[0]) if known else []
        return CheckResult(news, [CheckFailure("", refusal) for refusal in refusals])

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """Other add-ons are recorded; a snapshot to start from may have brought the API down and up again."""
        return DiffResult(changes=bool(news.get("restore_from")) or guarded(olds) != guarded(news))

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Wait for the API."""
        return CreateResult(_served(props), dict(props))

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Wait for the API once more."""
        _served(news)
        return UpdateResult(dict(news))


class ApiGate(Resource, module="oxide", name="ApiGate"):
    """Exists once the Kubernetes API has served."""

    def __init__(
        self,
        name: str,
        *,
        kubeconfig: pulumi.Input[str],
        restore_from: str | None = None,
        addons: Sequence[str] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        properties = {
            "kubeconfig": pulumi.Output.secret(kubeconfig),
            "restore_from": restore_from,
            "addons": list(addons),
            "urn": child_urn(name, "ApiGate", opts),
        }
        super().__init__(ApiGateProvider(), name, properties, opts)


def _served(props: Mapping[str, Any]) -> str:
    """Address of the API, once it serves."""
    api = KubernetesApi(props["kubeconfig"])
    server = api.servers[0]
    wait_until(
        f"the Kubernetes API at {server}",
        props.get("urn"),
        API_TIMEOUT,
        lambda: api.not_ready_reason(server),
    )
    return server
