"""The add-ons of a cluster: what of them comes before Cilium, what after the nodes, and what clears up behind them."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi

from .addon_guard import CLOUD_CONTROLLER, CSI
from .cloud_cleanup import CloudCleanup
from .cloud_nodes import CloudNodes
from .config import ClusterConfig
from .config_addons import Addon
from .hcloud_cloud_controller import HcloudCloudController, HcloudCloudControllerArgs
from .hcloud_credentials import HcloudCredentials, HcloudCredentialsArgs
from .hcloud_csi import HcloudCsi, HcloudCsiArgs
from .helm_release import ChartArgs
from .metrics_server import CertificateApprover, MetricsServer, MetricsServerArgs


@dataclass(frozen=True)
class EarlyAddons:
    """What is in the cluster before its nodes are taken for made."""

    credentials: HcloudCredentials | None = None
    before_cilium: list[pulumi.Resource] = field(default_factory=list)


def guarded_addons(config: ClusterConfig) -> list[str]:
    """Add-ons that must not be switched off while something needs them."""
    addons = config.addons
    wanted = {CLOUD_CONTROLLER: addons.cloud_controller, CSI: addons.csi}
    return [name for name, addon in wanted.items() if addon is not None]


def cloud_cleanup(
    config: ClusterConfig, network_id: pulumi.Input[int], opts: pulumi.ResourceOptions
) -> pulumi.Resource:
    """
    Whatever clears up at Hetzner behind the cluster. Servers have to depend on it, and it on the subnets.

    It is there without add-ons as well: they may have been switched off, or be the user's own.
    """
    return CloudCleanup(
        "cloud-cleanup",
        cluster_name=config.cluster_name,
        network_id=network_id,
        subnets=[str(config.control_subnet_cidr), str(config.worker_subnet_cidr)],
        pod_cidr=str(config.pod_cidr),
        delete_volumes=config.delete_volumes,
        encrypted_volumes=config.addons.csi is not None
        and config.addons.csi.encrypted_storage_class,
        opts=opts,
    )


def early_addons(
    config: ClusterConfig,
    network_id: pulumi.Input[int],
    in_cluster: pulumi.ResourceOptions,
    kubeconfig: pulumi.Input[str],
) -> EarlyAddons:
    """
    Declare what Cilium must find: the cloud controller, without which nodes take no ordinary pod.

    Args:
        in_cluster: Options of everything inside the cluster: the provider, and what it is deleted with.
        kubeconfig: Access to the cluster (secret).
    """
    if not guarded_addons(config):
        return EarlyAddons()
    credentials = HcloudCredentials(
        "hcloud", HcloudCredentialsArgs(token=_token(), network_id=network_id), in_cluster
    )
    controller = config.addons.cloud_controller
    if controller is None:
        return EarlyAddons(credentials)
    return EarlyAddons(
        credentials,
        [
            HcloudCloudController(
                "cloud-controller",
                HcloudCloudControllerArgs(
                    **_chart(config, controller, kubeconfig),
                    secret_name=credentials.secret_name,
                    fingerprint=credentials.fingerprint,
                    control_plane_count=config.control_planes,
                    pod_cidr=str(config.pod_cidr),
                    subnet_cidr=str(config.worker_subnet_cidr),
                    location=config.location,
                    pod_routes=config.cilium_modes.routing_mode == "native",
                    endpoint=_endpoint(),
                ),
                in_cluster,
            )
        ],
    )


def before_configs(
    config: ClusterConfig, cilium: pulumi.Resource, in_cluster: pulumi.ResourceOptions
) -> list[pulumi.Resource]:
    """Declare what has to run before a node's config may count on it: a kubelet's certificate must find its approver."""
    if config.addons.metrics_server is None:
        return []
    return [CertificateApprover("certificate-approver", _after(in_cluster, [cilium]))]


def late_addons(
    config: ClusterConfig,
    network_id: pulumi.Input[int],
    early: EarlyAddons,
    in_cluster: pulumi.ResourceOptions,
    kubeconfig: pulumi.Input[str],
    nodes: Sequence[str],
    after: Sequence[pulumi.Resource],
) -> None:
    """
    Declare the add-ons that need finished nodes.

    Args:
        early: What `early_addons` has made.
        kubeconfig: Access to the cluster (secret).
        nodes: Names of all nodes.
        after: What finishes them.
    """
    credentials = early.credentials
    finished = list(after)
    if config.addons.cloud_controller is not None:
        finished.append(
            CloudNodes(
                "cloud-nodes",
                cluster_name=config.cluster_name,
                nodes=[name for name in nodes if name not in config.skip_nodes],
                kubeconfig=kubeconfig,
                opts=pulumi.ResourceOptions(depends_on=list(after)),
            )
        )
    opts = _after(in_cluster, finished)
    csi, metrics_server = config.addons.csi, config.addons.metrics_server
    if csi is not None and credentials is not None:
        HcloudCsi(
            "csi",
            HcloudCsiArgs(
                **_chart(config, csi, kubeconfig),
                secret_name=credentials.secret_name,
                fingerprint=credentials.fingerprint,
                cluster_name=config.cluster_name,
                network_id=network_id,
                control_plane_count=config.control_planes,
                location=config.location,
                encrypted_storage_class=csi.encrypted_storage_class,
                default_storage_class=csi.default_storage_class,
                endpoint=_endpoint(),
            ),
            opts,
        )
    if metrics_server is not None:
        MetricsServer(
            "metrics-server",
            MetricsServerArgs(
                **_chart(config, metrics_server, kubeconfig),
                schedulable_workers=config.untainted_workers,
            ),
            opts,
        )


def _chart(config: ClusterConfig, addon: Addon, kubeconfig: pulumi.Input[str]) -> ChartArgs:
    values: pulumi.Input[Mapping[str, Any]] = addon.values
    if "addons" in config.secret_keys:
        values = pulumi.Output.secret(addon.values)
    return ChartArgs(
        version=addon.version,
        chart=addon.chart,
        repository=addon.repository,
        values=values,
        kubeconfig=kubeconfig,
    )


def _after(
    opts: pulumi.ResourceOptions, resources: Sequence[pulumi.Resource]
) -> pulumi.ResourceOptions:
    return pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=list(resources)))


def _token() -> pulumi.Output[str]:
    """The stack's own token (secret)."""
    if token := pulumi.Config("hcloud").get_secret("token"):
        return token
    if text := os.environ.get("HCLOUD_TOKEN"):
        return pulumi.Output.secret(text)
    raise pulumi.RunError(
        "oxide:addons: the cluster's controllers need an API token, and there is none; set it with "
        "`pulumi config set --secret hcloud:token`, or HCLOUD_TOKEN"
    )


def _endpoint() -> str | None:
    return pulumi.Config("hcloud").get("endpoint") or os.environ.get("HCLOUD_ENDPOINT")
