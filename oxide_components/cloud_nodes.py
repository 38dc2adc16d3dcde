"""Nodes that the cloud controller has initialised: it knows their servers, and they take pods."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, Resource, UpdateResult

from .dynamic_provider import LifecycleProvider, log_info, wait_until
from .kubernetes_api import ApiUnavailableError, KubernetesApi
from .urn import child_urn

UNINITIALISED = "node.cloudprovider.kubernetes.io/uninitialized"
"""Taint of a node that waits for the cloud controller."""

TIMEOUT = 300.0
"""Seconds that the controller may take for one node: its own pod may have to move first."""


class CloudNodesProvider(LifecycleProvider):
    """
    Makes sure that the controller has initialised every node.

    Nodes that registered before there was a controller are marked as new, one after the other: Kubernetes lets a node get its
    provider id once, at any time.
    """

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """Other nodes have to be looked at."""
        return DiffResult(changes=sorted(olds["nodes"]) != sorted(news["nodes"]))

    def create(self, props: dict[str, Any]) -> CreateResult:
        """See to every node."""
        _initialise(props)
        return CreateResult(props["cluster_name"], dict(props))

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """See to every node."""
        _initialise(news)
        return UpdateResult(dict(news))


class CloudNodes(Resource, module="oxide", name="CloudNodes"):
    """Exists once the cloud controller has initialised these nodes."""

    def __init__(
        self,
        name: str,
        *,
        cluster_name: str,
        nodes: Sequence[str],
        kubeconfig: pulumi.Input[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        properties = {
            "cluster_name": cluster_name,
            "nodes": list(nodes),
            "kubeconfig": pulumi.Output.secret(kubeconfig),
            "urn": child_urn(name, "CloudNodes", opts),
        }
        super().__init__(CloudNodesProvider(), name, properties, opts)


def _initialise(props: Mapping[str, Any]) -> None:
    api = KubernetesApi(props["kubeconfig"])
    for name in props["nodes"]:
        node = api.node(name)
        # A node that is missing is somebody else's trouble.
        if node is None or _waiting(node) is None:
            continue
        spec = node["spec"]
        taints = spec.get("taints") or []
        if not spec.get("providerID") and not _tainted(node):
            log_info(props.get("urn"), f"{name}: the cloud controller gets to know its server")
            mark = {"key": UNINITIALISED, "value": "true", "effect": "NoSchedule"}
            version = node["metadata"]["resourceVersion"]
            # Whoever changed the node meanwhile is not overwritten.
            api.patch_node(
                name,
                {
                    "metadata": {"resourceVersion": version},
                    "spec": {"taints": [*taints, mark]},
                },
            )
        wait_until(
            f"node {name} to be initialised by the cloud controller "
            "(kubectl -n kube-system logs deployment/hcloud-cloud-controller-manager)",
            props.get("urn"),
            TIMEOUT,
            partial(_reason, api, name),
        )


def _reason(api: KubernetesApi, name: str) -> str | None:
    try:
        node = api.node(name)
    except ApiUnavailableError as error:
        return str(error)
    return None if node is None else _waiting(node)


def _waiting(node: Mapping[str, Any]) -> str | None:
    if _tainted(node):
        return f"it carries the taint {UNINITIALISED}"
    return None if node["spec"].get("providerID") else "it has no provider id"


def _tainted(node: Mapping[str, Any]) -> bool:
    return any(taint["key"] == UNINITIALISED for taint in node["spec"].get("taints") or ())
