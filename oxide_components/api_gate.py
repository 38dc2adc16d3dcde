"""The API gate: whatever follows it may count on a Kubernetes API that serves."""

from typing import Any

import pulumi
from pulumi.dynamic import CreateResult, Resource

from .dynamic_provider import LifecycleProvider, wait_until
from .kubernetes_api import KubernetesApi
from .urn import child_urn

API_TIMEOUT = 900.0
"""Seconds that the Kubernetes API may take to serve after the bootstrap: control planes pull its images first."""


class ApiGateProvider(LifecycleProvider):
    """Waits for /readyz of the kubeconfig's current context, once. A resource, so that it never runs in a preview."""

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Wait for the API."""
        api = KubernetesApi(props["kubeconfig"])
        server = api.servers[0]
        wait_until(
            f"the Kubernetes API at {server}",
            props.get("urn"),
            API_TIMEOUT,
            lambda: api.not_ready_reason(server),
        )
        return CreateResult(server, dict(props))


class ApiGate(Resource, module="oxide", name="ApiGate"):
    """Exists once the Kubernetes API has served."""

    def __init__(
        self,
        name: str,
        *,
        kubeconfig: pulumi.Input[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        properties = {
            "kubeconfig": pulumi.Output.secret(kubeconfig),
            "urn": child_urn(name, "ApiGate", opts),
        }
        super().__init__(ApiGateProvider(), name, properties, opts)
