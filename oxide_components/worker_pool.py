"""A pool of workers."""

from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict

import pulumi

from . import naming
from .cluster_args import (
    ClusterArgs,
    check_nodes,
    cluster_settings,
    machine_configuration,
)
from .component_args import Arguments
from .config_limits import check_name_length
from .config_pools import (
    MAX_GENERATION,
    check_annotations,
    check_labels,
    check_pool_name,
    read_taints,
)
from .hetzner import MAX_SERVERS_PER_NETWORK
from .machine_config import NodeSettings, worker_documents
from .node_info import NodeInfo
from .reverse_dns import reverse_dns
from .server import placement_groups, private_address_of, talos_server


class TaintArgs(TypedDict):
    """One Kubernetes node taint."""

    key: str
    """Key of the taint."""
    value: NotRequired[str]
    """Value of the taint. Default: none."""
    effect: str
    """NoSchedule, PreferNoSchedule or NoExecute."""


class WorkerPoolArgs(TypedDict):
    """What a pool is made of."""

    cluster: ClusterArgs
    """Facts of the cluster that the workers join."""
    pool: str
    """Name of the pool, unique in the cluster: part of server names and the node label oxide/pool."""
    count: int
    """Number of workers; 0 keeps an empty pool."""
    server_type: pulumi.Input[str]
    """Hetzner server type of new workers."""
    location: pulumi.Input[str]
    """Hetzner location."""
    image_id: pulumi.Input[str]
    """Id of the Talos snapshot that new servers boot from."""
    subnet_id: pulumi.Input[str]
    """Id of the workers' subnet; Hetzner assigns the addresses."""
    firewall_ids: Sequence[pulumi.Input[int]]
    """Firewalls that servers get when they are created."""
    public: NotRequired[bool]
    """Whether servers get public addresses. Cannot change for servers that exist. Default: true."""
    ipv6: NotRequired[bool]
    """Whether new servers get a public IPv6 network beside the IPv4 address. Default: true."""
    rdns: NotRequired[str | None]
    """DNS name of public addresses, with {name} for the server's name. Default: Hetzner's."""
    labels: NotRequired[Mapping[str, str]]
    """Kubernetes node labels. Default: none."""
    annotations: NotRequired[Mapping[str, str]]
    """Kubernetes node annotations. Default: none."""
    taints: NotRequired[Sequence[TaintArgs]]
    """Kubernetes node taints, set when a node registers. Default: none."""
    config_patches: NotRequired[Sequence[str]]
    """Strategic merge patches for this pool, as YAML. Default: none."""
    generation: NotRequired[int]
    """Another number makes other servers under other names, and the old ones go. Default: 1."""


class WorkerPool(pulumi.ComponentResource):
    """
    Servers that join a cluster as workers.

    Indices are stable and the highest goes first. A changed version, patch or server type never replaces a server.
    """

    nodes: list[NodeInfo]
    """The workers, in index order."""
    server_ids: pulumi.Output[list[str]]
    """Ids of the servers, in index order."""

    def __init__(
        self, name: str, args: WorkerPoolArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        _refuse_wrong(name, args)
        super().__init__(naming.TYPE_WORKER_POOL, name, {}, opts)
        cluster, pool = args["cluster"], args["pool"]
        # Served to other languages, whole numbers arrive as floats.
        count = int(args["count"])
        groups = placement_groups(
            name,
            cluster=cluster["name"],
            pool=pool,
            role=naming.ROLE_WORKER,
            count=count,
            generation=_generation(args),
            parent=self,
            parent_opts=opts,
        )
        group_ids = [group.id.apply(int) for group in groups]
        self.nodes = [
            self._node(name, args, opts, index, group_ids[naming.group_index(index) - 1])
            for index in range(1, count + 1)
        ]
        self.server_ids = pulumi.Output.all(*(node["server"].id for node in self.nodes))
        self.register_outputs({"server_ids": self.server_ids})

    def _node(
        self,
        name: str,
        args: WorkerPoolArgs,
        opts: pulumi.ResourceOptions | None,
        index: int,
        placement_group_id: pulumi.Output[int],
    ) -> NodeInfo:
        cluster, pool = args["cluster"], args["pool"]
        generation = _generation(args)
        server_name = naming.server_name(cluster["name"], pool, index, generation)
        public = args.get("public", True)
        node = NodeSettings(
            name=server_name,
            pool=pool,
            public=public,
            labels=args.get("labels", {}),
            annotations=args.get("annotations", {}),
            taints=[
                {"key": taint["key"], "value": taint.get("value", ""), "effect": taint["effect"]}
                for taint in args.get("taints", ())
            ],
        )
        config = machine_configuration(
            "worker",
            cluster,
            documents=worker_documents(cluster_settings(cluster), node),
            patches=args.get("config_patches", ()),
            parent=self,
        )
        logical_name = f"{naming.generation_name(name, generation)}-{index}"
        server = talos_server(
            logical_name,
            name=server_name,
            server_type=args["server_type"],
            location=args["location"],
            image=args["image_id"],
            machine_configuration=config,
            subnet_id=args["subnet_id"],
            private_address=None,
            public=public,
            public_ipv4_id=None,
            ipv6=args.get("ipv6", True),
            firewall_ids=args["firewall_ids"],
            placement_group_id=placement_group_id,
            labels=naming.labels(cluster["name"], role=naming.ROLE_WORKER, pool=pool, index=index),
            parent=self,
            parent_opts=opts,
        )
        if public and (template := args.get("rdns")):
            reverse_dns(
                logical_name,
                template=template,
                server_name=server_name,
                server=server,
                primary_ip=None,
                ipv6=args.get("ipv6", True),
                parent=self,
                parent_opts=opts,
            )
        return NodeInfo(
            name=server_name,
            role=naming.ROLE_WORKER,
            pool=pool,
            private_address=private_address_of(server),
            public_address=server.ipv4_address if public else pulumi.Output.from_input(""),
            address=server.ipv4_address if public else private_address_of(server),
            server=server,
            server_type=args["server_type"],
            machine_configuration=config,
        )


def _refuse_wrong(name: str, args: WorkerPoolArgs) -> None:
    found = Arguments("WorkerPool", name, args, WorkerPoolArgs)
    reader = found.reader
    check_nodes(found)
    if (pool := found.known("pool")) is not None:
        check_pool_name(reader, "pool", {"name": pool}, pool, taken=set())
    found.check_integer("count", least=0, most=MAX_SERVERS_PER_NETWORK)
    found.check_integer("generation", least=1, most=MAX_GENERATION)
    cluster, count = found.known("cluster", "name"), found.known("count")
    if pool is not None and cluster is not None and count is not None:
        longest = naming.server_name(cluster, pool, max(count, 1), found.known("generation") or 1)
        check_name_length(reader, "pool", pool, longest)
    check_labels(reader, "labels", found.known("labels") or {})
    check_annotations(reader, "annotations", found.known("annotations") or {})
    read_taints(reader, "taints", found.known("taints"))
    found.refuse()


def _generation(args: WorkerPoolArgs) -> int:
    # Served to other languages, whole numbers arrive as floats.
    return int(args.get("generation", 1))
