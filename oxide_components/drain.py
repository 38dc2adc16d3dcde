"""Draining: emptying a node through the eviction API, which keeps to every PodDisruptionBudget."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from .errors import OxideError
from .kubernetes_api import (
    NETWORK_NOT_READY,
    ApiUnavailableError,
    KubernetesApi,
    node_not_ready_reason,
)

_MIRROR = "kubernetes.io/config.mirror"
_FINISHED = frozenset({"Succeeded", "Failed"})
_KEEPS_AWAY = frozenset({"NoSchedule", "NoExecute"})
_CORDON = "node.kubernetes.io/unschedulable"
_SETTLING = frozenset(
    {
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
        "node.kubernetes.io/network-unavailable",
        NETWORK_NOT_READY,
        "node.cloudprovider.kubernetes.io/uninitialized",
    }
)
"""
Taints of a node that comes (back) into service, which go by themselves.

The Ready condition is ahead of them: the node controller looks after its NoExecute taints every 5 s
(`--node-monitor-period`), Cilium's operator after its own when the agent is up.
"""
_UNDER_PRESSURE = frozenset(
    {
        "node.kubernetes.io/disk-pressure",
        "node.kubernetes.io/memory-pressure",
        "node.kubernetes.io/pid-pressure",
    }
)
"""Taints of a node that takes no pods for the moment: the kubelet keeps each for 5 min after its cause has gone."""
_PODS_NAMED = 5

REFUGE_TIMEOUT = 30.0
"""Seconds that a node which could take the pods of another may take to become Ready and free of pressure."""

KUBELET_TIMEOUT = 60.0
"""Seconds beyond its grace period after which a pod is no longer waited for on a node that is not Ready: no kubelet ends it."""

VOLUME_TIMEOUT = 60.0
"""
Seconds that the volumes of a drained node may take to be detached.

Where the node goes first, Kubernetes waits 6 min before it attaches them elsewhere (`maxWaitForUnmountDuration`).
"""


def must_go(pod: Mapping[str, Any]) -> bool:
    """Whether a drain has to move a pod: not those of DaemonSets, static ones and finished ones."""
    metadata = pod.get("metadata", {})
    owners = metadata.get("ownerReferences") or []
    return not (
        _MIRROR in (metadata.get("annotations") or {})
        or any(owner.get("kind") == "DaemonSet" for owner in owners)
        or pod.get("status", {}).get("phase") in _FINISHED
    )


def refuges(
    nodes: Collection[Mapping[str, Any]], leaver: Mapping[str, Any], leaving: Collection[str]
) -> list[Mapping[str, Any]]:
    """
    Nodes on which the pods of a leaving node can run once they are Ready: schedulable, and keeping no more pods away.

    Args:
        nodes: All Node objects.
        leaver: The one that leaves.
        leaving: Names of all nodes that leave in the same run.
    """
    return [
        node
        for node in nodes
        if node["metadata"]["name"] not in leaving
        and not node.get("spec", {}).get("unschedulable")
        and _taints(node) <= _taints(leaver)
    ]


def has_refuge(
    api: KubernetesApi,
    leaver: Mapping[str, Any],
    leaving: Collection[str],
    progress: Callable[[str], None],
    interval: float = 1,
) -> bool:
    """
    Whether the pods of a leaving node have somewhere to go; nodes that are not Ready get `REFUGE_TIMEOUT` to become so.

    A place that stays under pressure is one: pods that may not wait for it are held by their budgets.

    Args:
        leaver: The one that leaves.
        leaving: Names of all nodes that leave in the same run.
        progress: Gets what is waited for, once.
        interval: Seconds between two looks.

    Raises:
        ApiUnavailableError: The API does not answer in that time either.
    """
    end = time.monotonic() + REFUGE_TIMEOUT
    said = False
    while True:
        late = time.monotonic() >= end
        try:
            found = refuges(api.items("/api/v1/nodes"), leaver, leaving)
        except ApiUnavailableError:
            if late:
                raise
        else:
            ready = [node for node in found if node_not_ready_reason(dict(node)) is None]
            if any(_keys(node).isdisjoint(_UNDER_PRESSURE) for node in ready):
                return True
            if late or not found:
                return bool(ready)
            if not said:
                names = ", ".join(node["metadata"]["name"] for node in found)
                progress(f"waits for a place for its pods: {names} not Ready or under pressure")
                said = True
        time.sleep(interval)


def drain(
    api: KubernetesApi,
    node: str,
    timeout: float,
    progress: Callable[[str], None],
    interval: float = 1,
) -> None:
    """
    Evict every pod of a cordoned node and wait until they are gone, and their volumes are free.

    Args:
        node: Name of the node.
        timeout: Seconds until it fails.
        progress: Gets what is waited for, whenever that changes.
        interval: Seconds between two rounds.

    Raises:
        OxideError: Time is up; the text names the pods and what holds them.
    """
    end = time.monotonic() + timeout
    shown = ""
    at_first: set[str] | None = None
    due: dict[str, float] = {}
    volumes: set[str] = set()
    while True:
        try:
            pods = _still_there(api, node, _pods(api, node), due)
            if at_first is None:
                volumes = api.volumes_of(pods)
                at_first = {_uid(pod) for pod in pods}
            # Where there is no better place, the successor of such a pod comes back at once, and would be evicted for ever.
            holding = _evicted(
                api, [pod for pod in pods if _uid(pod) in at_first or not _comes_back(pod)]
            )
        except ApiUnavailableError as error:
            holding = {"the Kubernetes API": str(error)}
        if not holding:
            _wait_detached(api, node, volumes, progress, interval)
            return
        if time.monotonic() >= end:
            raise OxideError(f"not drained within {timeout:.0f} s: {_listed(holding)}")
        text = f"draining: {_listed(holding)}"
        if text != shown:
            progress(text)
            shown = text
        time.sleep(interval)


def _still_there(
    api: KubernetesApi, node: str, pods: Sequence[dict[str, Any]], due: dict[str, float]
) -> list[dict[str, Any]]:
    """Pods without those that no kubelet ends any more; whoever drains a node stops it afterwards."""
    now = time.monotonic()
    for pod in pods:
        metadata = pod["metadata"]
        if metadata.get("deletionTimestamp"):
            grace = float(metadata.get("deletionGracePeriodSeconds") or 0)
            due.setdefault(_uid(pod), now + grace + KUBELET_TIMEOUT)
    overdue = {_uid(pod) for pod in pods if due.get(_uid(pod), now) < now}
    if not overdue or node_not_ready_reason(api.node(node)) is None:
        return list(pods)
    return [pod for pod in pods if _uid(pod) not in overdue]


def _wait_detached(
    api: KubernetesApi,
    node: str,
    volumes: set[str],
    progress: Callable[[str], None],
    interval: float,
) -> None:
    end = time.monotonic() + VOLUME_TIMEOUT
    said = False
    while volumes and time.monotonic() < end:
        try:
            attached = volumes & api.attached_volumes(node)
        except ApiUnavailableError:
            attached = volumes
        if not attached:
            return
        if not said:
            progress(f"waits for {len(attached)} volumes to be detached")
            said = True
        time.sleep(interval)


def _pods(api: KubernetesApi, node: str) -> list[dict[str, Any]]:
    """Pods that a drain has to move."""
    return [
        p for p in api.items(f"/api/v1/pods?fieldSelector=spec.nodeName%3D{node}") if must_go(p)
    ]


def _evicted(api: KubernetesApi, pods: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """One eviction for every pod that still has to go; what remains and why."""
    holding = {}
    for pod in pods:
        metadata = pod["metadata"]
        reason = None
        if not metadata.get("deletionTimestamp"):
            reason = api.evict(metadata["namespace"], metadata["name"])
        holding[f"pod {metadata['namespace']}/{metadata['name']}"] = reason or "is terminating"
    return holding


def _uid(pod: Mapping[str, Any]) -> str:
    return str(pod["metadata"].get("uid", ""))


def _comes_back(pod: Mapping[str, Any]) -> bool:
    """Whether a pod may be put on a cordoned node."""
    return any(
        toleration.get("key") in (None, "", _CORDON)
        and toleration.get("effect") in (None, "", "NoSchedule")
        for toleration in pod.get("spec", {}).get("tolerations") or []
    )


def _listed(holding: Mapping[str, str]) -> str:
    # What a budget refuses says more than what will end by itself.
    ordered = sorted(holding.items(), key=lambda item: item[1] == "is terminating")
    texts = [f"{name} ({reason.rstrip('.')})" for name, reason in ordered[:_PODS_NAMED]]
    more = len(ordered) - _PODS_NAMED
    return ", ".join([*texts, f"{more} more"] if more > 0 else texts)


def _taints(node: Mapping[str, Any]) -> set[tuple[str, str]]:
    return {
        (taint.get("key", ""), taint.get("value", "") or "")
        for taint in node.get("spec", {}).get("taints") or []
        # Every cordoned node has the cordon's, and it says no more than `unschedulable`.
        if taint.get("effect") in _KEEPS_AWAY
        and taint.get("key") not in {_CORDON, *_SETTLING, *_UNDER_PRESSURE}
    }


def _keys(node: Mapping[str, Any]) -> set[str]:
    return {taint.get("key", "") for taint in node.get("spec", {}).get("taints") or []}
