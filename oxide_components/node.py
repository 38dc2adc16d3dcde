"""A node of the cluster, as opposed to the server it runs on: present once it is Ready and, if it serves the API, serves."""

from typing import Any

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, Resource, UpdateResult

from .dynamic_provider import LifecycleProvider, wait_until
from .kubeconfig import server_url
from .kubernetes_api import ApiUnavailableError, KubernetesApi, node_not_ready_reason
from .naming import ROLE_CONTROL_PLANE
from .node_info import NodeInfo
from .urn import child_urn

NODE_TIMEOUT = 900.0
"""Seconds that a node may take to become Ready, and again to serve the API: boot, image pulls and the CNI's start."""


class NodeProvider(LifecycleProvider):
    """Waits until the node is Ready, when it is new and when its server was replaced."""

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """A new server under the same name is a new node."""
        return DiffResult(changes=olds.get("server_id") != news.get("server_id"))

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Wait for the node."""
        _wait_ready(props)
        return CreateResult(props["node_name"], dict(props))

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Wait for the node on its new server."""
        _wait_ready(news)
        return UpdateResult(dict(news))


class Node(Resource, module="oxide", name="Node"):
    """One node that has joined and is Ready."""

    def __init__(
        self,
        name: str,
        node: NodeInfo,
        *,
        kubeconfig: pulumi.Input[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        properties = {
            "node_name": node["name"],
            "role": node["role"],
            "server_id": node["server"].id,
            "public_address": node["public_address"],
            "kubeconfig": pulumi.Output.secret(kubeconfig),
            "urn": child_urn(name, "Node", opts),
        }
        super().__init__(NodeProvider(), name, properties, opts)


def _wait_ready(props: dict[str, Any]) -> None:
    api = KubernetesApi(props["kubeconfig"])
    name = props["node_name"]

    def reason() -> str | None:
        try:
            return node_not_ready_reason(api.node(name))
        except ApiUnavailableError as error:
            return str(error)

    wait_until(f"node {name} to be Ready", props.get("urn"), NODE_TIMEOUT, reason)
    if props["role"] == ROLE_CONTROL_PLANE:
        # Its kubelet may be Ready through another control plane while its own API still starts.
        server = server_url(props["public_address"])
        wait_until(
            f"the Kubernetes API of {name}",
            props.get("urn"),
            NODE_TIMEOUT,
            lambda: api.not_ready_reason(server),
        )
