"""Pulumi components that create and operate Talos Linux Kubernetes clusters on Hetzner Cloud."""

from .cilium_release import CiliumRelease, CiliumReleaseArgs
from .cluster import Cluster, create_cluster
from .cluster_args import ClusterArgs
from .cluster_identity import ClusterIdentity, ClusterIdentityArgs
from .config import ClusterConfig
from .control_plane import ControlPlane, ControlPlaneArgs
from .errors import ConfigError, OxideError
from .firewall import Firewall, FirewallArgs
from .network import Network, NetworkArgs
from .node import Upgrade
from .node_chain import nodes_as_wanted
from .node_info import NodeInfo
from .rollout import Rollout
from .talos_secrets import TalosSecrets, TalosSecretsArgs
from .worker_pool import TaintArgs, WorkerPool, WorkerPoolArgs

__all__ = [
    "CiliumRelease",
    "CiliumReleaseArgs",
    "Cluster",
    "ClusterArgs",
    "ClusterConfig",
    "ClusterIdentity",
    "ClusterIdentityArgs",
    "ConfigError",
    "ControlPlane",
    "ControlPlaneArgs",
    "Firewall",
    "FirewallArgs",
    "Network",
    "NetworkArgs",
    "NodeInfo",
    "OxideError",
    "Rollout",
    "TaintArgs",
    "TalosSecrets",
    "TalosSecretsArgs",
    "Upgrade",
    "WorkerPool",
    "WorkerPoolArgs",
    "create_cluster",
    "nodes_as_wanted",
]
