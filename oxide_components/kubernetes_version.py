"""The Kubernetes version of a cluster: moved by talosctl, component by component, once all nodes are there."""

from typing import Any
from urllib.parse import quote

import pulumi
from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    CreateResult,
    DiffResult,
    Resource,
    UpdateResult,
)

from .dynamic_provider import LifecycleProvider, cluster_lock, log_info, log_progress
from .errors import OxideError
from .gate import Gate
from .kubeconfig import server_url
from .kubernetes_api import KubernetesApi
from .recorded_failure import record_failure
from .rollout import Rollout
from .talosctl import Talosctl
from .urn import child_urn
from .versions import kubernetes_step_problem

UPGRADE_TIMEOUT_PER_NODE = 600
"""Seconds for one node: talosctl gives each of its components up to five minutes, and its kubelet three."""

_PENDING = "pending"
"""Recorded for a cluster that does not run the version yet."""


class KubernetesVersionProvider(LifecycleProvider):
    """Runs `talosctl upgrade-k8s` where a node's kubelet or an API server has another version; it goes on where it was cut off."""

    def check(self, olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        """Refuse a step that Kubernetes cannot take, in the preview already."""
        before, after = olds.get("version"), news.get("version")
        problem = None
        if isinstance(before, str) and isinstance(after, str):
            problem = kubernetes_step_problem(before, after)
        return CheckResult(
            news, [CheckFailure("", f"kubernetesVersion: {problem}")] if problem else []
        )

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """Another version, or one that has not been reached."""
        before, after = olds.get("version"), news.get("version")
        if before == after and not olds.get(_PENDING):
            return DiffResult(changes=False)
        if before != after:
            what = f"{before} -> {after}: API servers, controllers, schedulers, then kubelets, node by node"
        else:
            what = f"goes on to {after}"
        if news.get("held"):
            log_info(news.get("urn"), f"waits ({news['held']}): {what}")
            return DiffResult(changes=False)
        log_info(news.get("urn"), what)
        return DiffResult(changes=True)

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Nodes are made with the wanted version; whatever is not so is moved."""
        return CreateResult(props["cluster_name"], _made_so(props))

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Move the cluster to the version."""
        return UpdateResult(_made_so(news))


class KubernetesVersion(Resource, module="oxide", name="KubernetesVersion"):
    """The Kubernetes version that a cluster runs."""

    def __init__(
        self,
        name: str,
        *,
        version: str,
        held: str,
        rollout: Rollout,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """
        Declare the version.

        Args:
            version: Kubernetes version without v.
            held: Setting that makes a change wait. Empty for none.
            rollout: Facts of the cluster.
        """
        properties = {
            "cluster_name": rollout["cluster_name"],
            "version": version,
            "held": held,
            "control_planes": [dict(one) for one in rollout["control_planes"]],
            "kubeconfig": pulumi.Output.secret(rollout["kubeconfig"]),
            "talosconfig": pulumi.Output.secret(rollout["talosconfig"]),
            "skip_nodes": list(rollout["skip_nodes"]),
            "urn": child_urn(name, "KubernetesVersion", opts),
        }
        super().__init__(KubernetesVersionProvider(), name, properties, opts)


def _made_so(props: dict[str, Any]) -> dict[str, Any]:
    try:
        reached = _upgrade(props)
    except OxideError as error:
        reason = f"{error}. Components that have moved stay so. Repair what is named and run `pulumi up` again, which goes on from there"
        record_failure(props["cluster_name"], {**props, _PENDING: True}, reason)
        raise
    return {**props, _PENDING: not reached}


def _upgrade(props: dict[str, Any]) -> bool:
    """Whether the cluster runs the version afterwards."""
    version, urn = props["version"], props.get("urn")
    first = props["control_planes"][0]
    api = KubernetesApi(props["kubeconfig"])
    nodes = api.items("/api/v1/nodes")
    behind = _others(api, props, nodes)
    if not behind or props.get("held"):
        return not behind
    with (
        cluster_lock(f"{props['cluster_name']} {first['public_address']}"),
        Talosctl(props["talosconfig"]) as talosctl,
    ):
        gate = Gate(
            talosctl=talosctl,
            api=api,
            control_planes=props["control_planes"],
            skipped=(),
            urn=urn,
        )
        gate.before_control_plane("", goes_down=False)
        talosctl.run(
            "upgrade-k8s",
            f"--to={version}",
            # Talos' own kubeconfig names an endpoint that only nodes reach.
            f"--endpoint={server_url(first['public_address'])}",
            node=first["private_address"],
            endpoint=first["public_address"],
            timeout=float(UPGRADE_TIMEOUT_PER_NODE * len(nodes)),
            progress=lambda line: log_progress(urn, line),
        )
    if behind := _others(api, props, api.items("/api/v1/nodes")):
        raise OxideError(f"not at Kubernetes {version} after the upgrade: {', '.join(behind)}")
    return True


def _others(api: KubernetesApi, props: dict[str, Any], nodes: list[dict[str, Any]]) -> list[str]:
    """What runs another version: kubelets by their node's name, and API servers."""
    version = f"v{props['version']}"
    kubelets = [
        node["metadata"]["name"]
        for node in nodes
        if node.get("status", {}).get("nodeInfo", {}).get("kubeletVersion") != version
        and node["metadata"]["name"] not in (props.get("skip_nodes") or ())
    ]
    label = quote("tier=control-plane")
    pods = [
        pod["metadata"]["name"]
        for pod in api.items(f"/api/v1/namespaces/kube-system/pods?labelSelector={label}")
        if not all(
            container.get("image", "").partition("@")[0].endswith(f":{version}")
            for container in pod.get("spec", {}).get("containers", [])
        )
    ]
    return [*pods, *kubelets]
