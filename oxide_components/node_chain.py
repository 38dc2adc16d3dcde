"""The order in which living nodes are changed: control planes one after another, then the workers, pool by pool."""

from collections.abc import Sequence

import pulumi

from .departure import Departure
from .kubernetes_version import KubernetesVersion
from .node import Node, Upgrade
from .node_config import NodeConfig
from .node_info import NodeInfo
from .rollout import Rollout
from .roster import Roster


def nodes_as_wanted(
    stages: Sequence[Sequence[NodeInfo]],
    rollout: Rollout,
    roster: Roster,
    upgrade: Upgrade,
    *,
    after: Sequence[pulumi.Resource],
) -> list[pulumi.Resource]:
    """
    Declare what every node is meant to be.

    First all nodes are there, on their server types and Talos versions. Then workers leave that others replace, then
    Kubernetes moves, then all nodes get their configs.

    Args:
        stages: The control planes, then the workers of each pool, in index order.
        rollout: Facts that every change needs.
        roster: The nodes of the cluster.
        upgrade: The system that nodes are meant to run.
        after: What has to be done before.

    Returns:
        What everything else waits for that needs finished nodes.
    """
    nodes: dict[str, pulumi.Resource] = {}
    configs: dict[str, pulumi.Resource] = {}
    for node, before in _ordered(stages, rollout["max_unavailable"]):
        name = node["name"]
        nodes[name] = Node(f"node-{name}", node, rollout, upgrade, _after(nodes, before, after))
    departure = Departure(
        "departure",
        roster=roster,
        rollout=rollout,
        opts=pulumi.ResourceOptions(depends_on=list(nodes.values())),
    )
    version = KubernetesVersion(
        "kubernetes-version",
        version=upgrade["kubernetes_version"],
        talos_version=upgrade["talos_version"],
        cilium_version=upgrade["cilium_version"],
        held=upgrade["held"](None),
        rollout=rollout,
        opts=pulumi.ResourceOptions(depends_on=[departure]),
    )
    for node, before in _ordered(stages, rollout["max_unavailable"]):
        name = node["name"]
        configs[name] = NodeConfig(
            f"config-{name}", node, rollout, _after(configs, before, [version])
        )
    return list(configs.values())


def _ordered(
    stages: Sequence[Sequence[NodeInfo]], workers_at_once: int
) -> list[tuple[NodeInfo, list[str]]]:
    """
    Every node with the names of those that have to be finished before it.

    As many as may be changed at once wait for all of those before them; each later one waits for the one whose place it takes.
    At the border between two stages nothing overlaps, so that no worker is changed beside a control plane.
    """
    found = []
    gate: list[str] = []
    for number, stage in enumerate(stages):
        width = workers_at_once if number else 1
        names = [node["name"] for node in stage]
        for place, node in enumerate(stage):
            found.append((node, [names[place - width]] if place >= width else list(gate)))
        gate = names[-width:] or gate
    return found


def _after(
    made: dict[str, pulumi.Resource], names: Sequence[str], first: Sequence[pulumi.Resource]
) -> pulumi.ResourceOptions:
    return pulumi.ResourceOptions(
        depends_on=[made[name] for name in names] if names else list(first)
    )
