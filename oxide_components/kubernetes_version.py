"""The Kubernetes version of a cluster: moved by talosctl, component by component, once all nodes are there."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import pulumi
from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    CreateResult,
    DiffResult,
    ReadResult,
    Resource,
    UpdateResult,
)

from .dynamic_provider import LifecycleProvider, cluster_lock, log_info, log_progress
from .errors import OxideError
from .gate import Gate
from .kubeconfig import server_url
from .kubernetes_api import KubernetesApi, node_not_ready_reason
from .recorded_failure import record_failure
from .rollout import Rollout
from .talosctl import Talosctl
from .urn import child_urn
from .versions import kubernetes_step_problem, order_problem, talosctl_problem

UPGRADE_TIMEOUT_PER_NODE = 600
"""Seconds for one node: talosctl gives each of its components up to five minutes, and its kubelet three."""

_PENDING = "pending"
"""Recorded for a cluster that does not run the version yet."""

_LEFT_OUT = "left_out"
"""Recorded names of nodes that were skipped and have an older kubelet."""


class KubernetesVersionProvider(LifecycleProvider):
    """Runs `talosctl upgrade-k8s` where a node's kubelet or an API server has another version; it goes on where it was cut off."""

    def check(self, olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        """Refuse a step that Kubernetes cannot take, in the preview already."""
        problem = _step_problem(olds, news)
        return CheckResult(news, [CheckFailure("", problem)] if problem else [])

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """Another version, or one that has not been reached."""
        before, after = olds.get("version"), news.get("version")
        skipped = news.get("skip_nodes") or ()
        mended = [name for name in olds.get(_LEFT_OUT) or () if name not in skipped]
        if before == after and not olds.get(_PENDING) and not mended:
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

    def update(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Move the cluster to the version."""
        # After a run that failed, the check compares with what that one wanted.
        if problem := _step_problem(olds, news):
            raise OxideError(problem)
        return UpdateResult(_made_so(news, reached=olds["version"]))

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """
        Mark the version as not reached where a node runs another, as one does that came back with its first config.

        A silent cluster stays as recorded.
        """
        outs = dict(props)
        left_out = {*(props.get("skip_nodes") or ()), *(props.get(_LEFT_OUT) or ())}
        try:
            api = KubernetesApi(props["kubeconfig"], timeout=5)
            behind = _others(api, props["version"], api.items("/api/v1/nodes"))
        except Exception:
            # Refreshing must work whatever state the cluster is in.
            behind = []
        if not set(behind) <= left_out:
            outs[_PENDING] = True
        return ReadResult(id_, outs)


class KubernetesVersion(Resource, module="oxide", name="KubernetesVersion"):
    """The Kubernetes version that a cluster runs."""

    def __init__(
        self,
        name: str,
        *,
        version: str,
        talos_version: str,
        cilium_version: str,
        held: str,
        rollout: Rollout,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """
        Declare the version.

        Args:
            version: Kubernetes version without v.
            talos_version: Talos version of the nodes.
            cilium_version: Version of Cilium.
            held: Setting that makes a change wait. Empty for none.
            rollout: Facts of the cluster.
        """
        properties = {
            "cluster_name": rollout["cluster_name"],
            "version": version,
            "talos_version": talos_version,
            "cilium_version": cilium_version,
            "held": held,
            "control_planes": [dict(one) for one in rollout["control_planes"]],
            "kubeconfig": pulumi.Output.secret(rollout["kubeconfig"]),
            "talosconfig": pulumi.Output.secret(rollout["talosconfig"]),
            "skip_nodes": list(rollout["skip_nodes"]),
            "urn": child_urn(name, "KubernetesVersion", opts),
        }
        super().__init__(KubernetesVersionProvider(), name, properties, opts)


def _step_problem(olds: Mapping[str, Any], news: Mapping[str, Any]) -> str | None:
    before, after = olds.get("version"), news.get("version")
    if not isinstance(before, str) or not isinstance(after, str):
        return None
    if problem := kubernetes_step_problem(before, after):
        return f"kubernetesVersion: {problem}"
    # Talos and Cilium move first, and carry the running Kubernetes meanwhile.
    return order_problem(before, news["talos_version"], news["cilium_version"])


def _made_so(props: dict[str, Any], reached: str | None = None) -> dict[str, Any]:
    try:
        behind = _upgrade(props)
    except OxideError as error:
        reason = f"{error}. Components that have moved stay so. Repair what is named and run `pulumi up` again, which goes on from there"
        record_failure(
            props["cluster_name"],
            {**props, "version": reached or props["version"], _PENDING: True},
            reason,
        )
        raise
    skipped = props.get("skip_nodes") or ()
    return {
        **props,
        _PENDING: not set(behind) <= set(skipped),
        _LEFT_OUT: [name for name in behind if name in skipped],
    }


def _upgrade(props: dict[str, Any]) -> list[str]:
    """Upgrade, and return what does not run the version afterwards: what waits, and nodes that are skipped."""
    version, urn = props["version"], props.get("urn")
    first = props["control_planes"][0]
    api = KubernetesApi(props["kubeconfig"])
    nodes = api.items("/api/v1/nodes")
    skipped = set(props.get("skip_nodes") or ())
    behind = _others(api, version, nodes)
    if set(behind) <= skipped or props.get("held"):
        return [*behind, *_absent(skipped, nodes)]
    if dead := _dead(skipped, nodes):
        raise OxideError(
            f"{', '.join(dead)} (skipNodes) is not Ready, and talosctl upgrades no cluster with a node that does not answer: take "
            f"it out of Kubernetes (`kubectl delete node {' '.join(dead)}`; it registers again when it is back) or scale it away"
        )
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
        if problem := talosctl_problem(talosctl.client_version(), props["talos_version"]):
            raise OxideError(problem)
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
    nodes = api.items("/api/v1/nodes")
    behind = _others(api, version, nodes)
    if missed := [name for name in behind if name not in skipped]:
        raise OxideError(f"not at Kubernetes {version} after the upgrade: {', '.join(missed)}")
    return [*behind, *_absent(skipped, nodes)]


def _dead(skipped: Collection[str], nodes: Sequence[dict[str, Any]]) -> list[str]:
    return [
        node["metadata"]["name"]
        for node in nodes
        if node["metadata"]["name"] in skipped and node_not_ready_reason(node) is not None
    ]


def _absent(skipped: Collection[str], nodes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Skipped nodes that have never joined: whichever version they were made with, they may join with an old one."""
    return sorted(set(skipped) - {node["metadata"]["name"] for node in nodes})


def _others(api: KubernetesApi, wanted: str, nodes: list[dict[str, Any]]) -> list[str]:
    """What runs another version: kubelets by their node's name, and pods of the control plane."""
    version = f"v{wanted}"
    kubelets = [
        node["metadata"]["name"]
        for node in nodes
        if node.get("status", {}).get("nodeInfo", {}).get("kubeletVersion") != version
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
