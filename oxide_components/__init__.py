"""Pulumi components that create and operate Talos Linux Kubernetes clusters on Hetzner Cloud."""

from .api_load_balancer import ApiLoadBalancer, ApiLoadBalancerArgs, LoadBalancerAccess
from .cilium_chart import cilium_values
from .cilium_modes import CiliumModes
from .cilium_release import CiliumRelease, CiliumReleaseArgs
from .cluster import Cluster, create_cluster
from .cluster_args import ClusterArgs
from .cluster_identity import ClusterIdentity, ClusterIdentityArgs
from .config import ClusterConfig
from .control_plane import ControlPlane, ControlPlaneArgs
from .errors import ConfigError, OxideError
from .firewall import Firewall, FirewallArgs, FirewallRuleArgs
from .hcloud_cloud_controller import HcloudCloudController, HcloudCloudControllerArgs
from .hcloud_credentials import HcloudCredentials, HcloudCredentialsArgs
from .hcloud_csi import HcloudCsi, HcloudCsiArgs
from .metrics_server import CertificateApprover, MetricsServer, MetricsServerArgs
from .network import Network, NetworkArgs
from .node import Upgrade
from .node_chain import nodes_as_wanted
from .node_info import NodeInfo
from .object_storage import Bucket
from .rollout import Rollout
from .roster import RosterNode
from .talos_secrets import TalosSecrets, TalosSecretsArgs
from .worker_pool import TaintArgs, WorkerPool, WorkerPoolArgs

__all__ = [
    "ApiLoadBalancer",
    "ApiLoadBalancerArgs",
    "Bucket",
    "CertificateApprover",
    "CiliumModes",
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
    "FirewallRuleArgs",
    "HcloudCloudController",
    "HcloudCloudControllerArgs",
    "HcloudCredentials",
    "HcloudCredentialsArgs",
    "HcloudCsi",
    "HcloudCsiArgs",
    "LoadBalancerAccess",
    "MetricsServer",
    "MetricsServerArgs",
    "Network",
    "NetworkArgs",
    "NodeInfo",
    "OxideError",
    "Rollout",
    "RosterNode",
    "TaintArgs",
    "TalosSecrets",
    "TalosSecretsArgs",
    "Upgrade",
    "WorkerPool",
    "WorkerPoolArgs",
    "cilium_values",
    "create_cluster",
    "nodes_as_wanted",
]
