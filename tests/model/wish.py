"""What a user of the model wants, and what follows from it for each node; written without Oxide's own rules."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

CLUSTER = "demo"
TYPES = ("cx33", "cx43", "cx53")


@dataclass(frozen=True, kw_only=True)
class Pool:
    """One worker pool; the numbers stand for values that a user changes."""

    count: int
    label: int = 0
    taint: int = 0
    pool_sysctl: int = 0
    pool_udev: int = 0
    type: int = 0
    generation: int = 1


@dataclass(frozen=True, kw_only=True)
class Wish:
    """One stack configuration."""

    control_planes: int = 3
    pools: Mapping[str, Pool] = field(default_factory=lambda: {"worker": Pool(count=2)})
    sysctl: int = 0
    udev: int = 0
    api_argument: int = 0
    control_plane_type: int = 0
    max_unavailable: int = 1
    talos: int = 0
    kubernetes: int = 0
    skip: frozenset[str] = frozenset()

    @property
    def talos_version(self) -> str:
        """What all nodes are to run."""
        return f"v1.13.{7 + self.talos}"

    def settings(self) -> dict[str, Any]:
        """The stack values. Only the default pool's size has settings of its own."""
        default = self.pools["worker"]
        return {
            "clusterName": CLUSTER,
            "adminCidrs": ["203.0.113.7/32"],
            "imageId": 4711,
            "talosVersion": self.talos_version,
            "kubernetesVersion": f"1.35.{2 + self.kubernetes}",
            # Snapshots would be files.
            "etcdSnapshotDirectory": "",
            "controlPlanes": self.control_planes,
            "controlPlaneServerType": TYPES[self.control_plane_type],
            "workers": default.count,
            "workerServerType": TYPES[default.type],
            "workersGeneration": default.generation,
            "skipNodes": sorted(self.skip & self.nodes().keys()),
            "maxUnavailable": self.max_unavailable,
            "configPatches": _patches(self.sysctl, self.udev),
            "controlPlaneConfigPatches": [
                f"cluster: {{apiServer: {{extraArgs: {{v: '{self.api_argument}'}}}}}}"
            ]
            if self.api_argument
            else [],
            "workerPools": [
                {
                    "name": name,
                    "count": pool.count,
                    "serverType": TYPES[pool.type],
                    "generation": pool.generation,
                    "labels": {"example.com/tier": f"t{pool.label}"},
                    "taints": [
                        {
                            "key": "example.com/for",
                            "value": f"t{pool.taint}",
                            "effect": "NoSchedule",
                        }
                    ]
                    if pool.taint
                    else [],
                    "configPatches": _patches(pool.pool_sysctl, pool.pool_udev, "fs.file-max"),
                }
                for name, pool in self.pools.items()
                if name != "worker"
            ],
        }

    def nodes(self) -> dict[str, tuple[object, ...]]:
        """Every node that is to exist, and all that its machine config and its server hang on."""
        common = (self.control_planes, self.sysctl, self.udev, self.talos, self.kubernetes)
        schedulable = not any(pool.count for pool in self.pools.values())
        nodes: dict[str, tuple[object, ...]] = {
            f"{CLUSTER}-cp-{index}": (
                *common,
                self.api_argument,
                schedulable,
                self.control_plane_type,
            )
            for index in range(1, self.control_planes + 1)
        }
        for name, pool in self.pools.items():
            own = (pool.label, pool.taint, pool.pool_sysctl, pool.pool_udev, pool.type)
            for node in pool_nodes(name, pool):
                nodes[node] = (*common, *own)
        return nodes

    def taints_of(self, node: str) -> list[str]:
        """Values of a node's taints."""
        pool = self.pools.get(pool_of(node))
        return [f"t{pool.taint}"] if pool is not None and pool.taint else []

    def control_plane_names(self) -> set[str]:
        """Names of the control planes."""
        return {f"{CLUSTER}-cp-{index}" for index in range(1, self.control_planes + 1)}


def pool_nodes(name: str, pool: Pool) -> list[str]:
    """Names of a pool's nodes."""
    generation = "" if pool.generation == 1 else f"g{pool.generation}-"
    return [f"{CLUSTER}-{name}-{generation}{index}" for index in range(1, pool.count + 1)]


def pool_of(node: str) -> str:
    """Name of a node's pool; `cp` for control planes."""
    return node.split("-")[1]


def node_of(resource: str) -> str | None:
    """Name of the node that a resource with this logical name belongs to; None for what is not one node's."""
    for prefix in ("node-", "config-"):
        if resource.startswith(f"{prefix}{CLUSTER}-"):
            return resource.removeprefix(prefix)
    name, _, index = resource.rpartition("-")
    if index.isdigit() and not name.endswith("-group"):
        return f"{CLUSTER}-{'cp' if name == 'control-plane' else name}-{index}"
    return None


def _patches(sysctl: int, udev: int, key: str = "vm.max_map_count") -> list[str]:
    patches = []
    if sysctl:
        patches.append(f"machine: {{sysctls: {{{key}: '{sysctl}'}}}}")
    if udev:
        patches.append(f"machine: {{udev: {{rules: ['rule {udev}']}}}}")
    return patches
