"""The nodes of a cluster, as components hand them to each other and as people see them in the outputs."""

from collections.abc import Sequence
from typing import TypedDict

import pulumi
import pulumi_hcloud as hcloud


class NodeInfo(TypedDict):
    """One node. Name, role and pool are plain, the addresses become known with the server."""

    name: str
    """Server name, hostname and Kubernetes node name."""
    role: str
    """control-plane or worker."""
    pool: str
    """Name of the pool."""
    private_address: pulumi.Output[str]
    """Address in the cluster's network."""
    public_address: pulumi.Output[str]
    """Public IPv4 address; empty for a node in the private network only."""
    address: pulumi.Output[str]
    """Address at which the operator reaches it: the public one, or the private one of a node without."""
    server: hcloud.Server
    """The server itself, for dependencies."""
    server_type: pulumi.Input[str]
    """Hetzner server type that the node is meant to have; a living server may still have another."""
    machine_configuration: pulumi.Output[str]
    """Machine config that the node is meant to run with (secret)."""


def node_table(nodes: Sequence[NodeInfo]) -> list[dict[str, pulumi.Input[str]]]:
    """Name, role, pool and addresses of every node, for a stack output."""
    return [
        {
            "name": node["name"],
            "role": node["role"],
            "pool": node["pool"],
            "privateAddress": node["private_address"],
            "publicAddress": node["public_address"],
        }
        for node in nodes
    ]
