"""A whole cluster out of one configuration: which component gets what, and what waits for what."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_hcloud as hcloud
import pulumi_kubernetes as kubernetes

from . import naming
from .api_load_balancer import ApiLoadBalancer, ApiLoadBalancerArgs
from .cilium_release import CiliumRelease
from .cluster_addons import (
    before_configs,
    cloud_cleanup,
    early_addons,
    guarded_addons,
    late_addons,
)
from .cluster_args import ClusterArgs
from .cluster_cilium import declare_cilium
from .cluster_identity import ClusterIdentity, ClusterIdentityArgs
from .config import ClusterConfig, WorkerPoolConfig
from .config_exposure import NO_LOAD_BALANCER, PUBLIC
from .config_firewall import ExtraRule
from .control_plane import ControlPlane, ControlPlaneArgs
from .errors import OxideError
from .firewall import Firewall, FirewallArgs, FirewallRuleArgs
from .hetzner import Architecture
from .network import Network, NetworkArgs
from .node import Upgrade
from .node_chain import nodes_as_wanted
from .node_info import NodeInfo
from .rollout import Rollout
from .roster import RosterNode
from .run_errors import told, told_if_failed
from .talos_secrets import TalosSecrets, TalosSecretsArgs
from .worker_pool import TaintArgs, WorkerPool, WorkerPoolArgs


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """The parts of a declared cluster."""

    identity: ClusterIdentity
    secrets: TalosSecrets
    control_plane: ControlPlane
    worker_pools: tuple[WorkerPool, ...]
    cilium: CiliumRelease

    @property
    def nodes(self) -> list[NodeInfo]:
        """All nodes: control planes first, then pool by pool."""
        return [
            *self.control_plane.nodes,
            *(node for pool in self.worker_pools for node in pool.nodes),
        ]


def create_cluster(config: ClusterConfig) -> Cluster:
    """Declare everything that belongs to one cluster."""
    protect = config.deletion_protection
    identity = ClusterIdentity(
        "cluster", _identity_args(config), pulumi.ResourceOptions(protect=protect)
    )
    born = pulumi.ResourceOptions(depends_on=[identity])
    network = Network("network", _network_args(config), born, protect=protect)
    # Hetzner takes no firewall for servers without public addresses.
    firewalls = (
        [Firewall("firewall", _firewall_args(config, identity), born)]
        if config.public_nodes
        else []
    )
    secrets = TalosSecrets(
        "secrets", TalosSecretsArgs(config_contract=identity.contract), born, protect=protect
    )
    cluster = _cluster_args(config, identity, secrets)
    images = _Images(config)
    cleanup = cloud_cleanup(
        config, network.network_id, pulumi.ResourceOptions(depends_on=[identity, network])
    )
    balancers = [
        ApiLoadBalancer("api", args, born)
        for args in _load_balancer_args(config, network.control_subnet_id)
    ]
    control_plane = ControlPlane(
        "control-plane",
        ControlPlaneArgs(
            cluster=cluster,
            server_type=config.control_plane_server_type,
            location=config.location,
            locations=config.control_plane_locations,
            image_id=images.of(config.control_plane_architecture),
            subnet_id=network.control_subnet_id,
            firewall_ids=[firewall.control_plane_id for firewall in firewalls],
            public=config.access == PUBLIC,
            ipv6=config.ipv6,
            rdns=config.rdns,
            load_balancer=balancers[0].access if balancers else None,
            client_configuration=secrets.client_configuration,
            config_patches=config.control_plane_config_patches,
            workers=_roster_workers(config),
            drain_timeout=config.drain_timeout,
            restore_from=config.restore_from,
            addons=guarded_addons(config),
        ),
        # An operator whose address has changed is let in before anything needs the cluster.
        pulumi.ResourceOptions(depends_on=[identity, *firewalls, cleanup]),
        protect=protect,
    )
    worker_pools = tuple(
        WorkerPool(
            pool.name,
            WorkerPoolArgs(
                cluster=cluster,
                pool=pool.name,
                count=pool.count,
                server_type=pool.server_type,
                location=pool.location,
                image_id=images.of(pool.architecture),
                subnet_id=network.worker_subnet_id,
                firewall_ids=[firewall.worker_id for firewall in firewalls],
                public=config.worker_access == PUBLIC,
                ipv6=config.ipv6,
                rdns=config.rdns,
                labels=pool.labels,
                annotations=pool.annotations,
                taints=_taints(pool),
                config_patches=[*config.worker_config_patches, *pool.config_patches],
                generation=pool.generation,
            ),
            pulumi.ResourceOptions(depends_on=[identity, control_plane.roster]),
        )
        for pool in config.worker_pools
        # An architecture without nodes needs no image.
        if pool.count
    )
    in_cluster = pulumi.ResourceOptions(
        provider=kubernetes.Provider(
            "kubernetes",
            kubeconfig=control_plane.provider_kubeconfig,
            # Without it a renewed kubeconfig would replace everything in the cluster.
            cluster_identifier=config.cluster_name,
        ),
        # A whole destroy takes the cluster with its servers; it need not answer any more.
        deleted_with=identity,
    )
    early = early_addons(config, network.network_id, in_cluster, control_plane.provider_kubeconfig)
    cilium = declare_cilium(
        config,
        control_plane.provider_kubeconfig,
        in_cluster,
        after=early.before_cilium,
    )
    result = Cluster(
        identity=identity,
        secrets=secrets,
        control_plane=control_plane,
        worker_pools=worker_pools,
        cilium=cilium,
    )
    rollout = Rollout(
        cluster_name=config.cluster_name,
        control_planes=control_plane.ways,
        kubeconfig=control_plane.provider_kubeconfig,
        talosconfig=control_plane.talosconfig,
        drain_timeout=config.drain_timeout,
        max_unavailable=config.max_unavailable,
        node_timeout=config.node_timeout,
        skip_nodes=config.skip_nodes,
        load_balancer=balancers[0].load_balancer_name if balancers else "",
        etcd_snapshot_directory=config.etcd_snapshot_directory,
        etcd_snapshot_bucket=config.etcd_snapshot_bucket,
    )
    finished = nodes_as_wanted(
        [control_plane.nodes, *(pool.nodes for pool in worker_pools)],
        rollout,
        control_plane.roster,
        Upgrade(
            talos_version=config.talos_version,
            schematic_id=config.schematic_id,
            kubernetes_version=config.kubernetes_version,
            cilium_version=config.cilium_version,
            held=lambda node: _held(config, node),
        ),
        after=[cilium, *before_configs(config, cilium, in_cluster), *control_plane.targets],
    )
    late_addons(
        config,
        network.network_id,
        early,
        in_cluster,
        kubeconfig=control_plane.provider_kubeconfig,
        nodes=[node["name"] for node in result.nodes],
        after=finished,
    )
    return result


def _held(config: ClusterConfig, node: NodeInfo | None) -> str:
    """Setting for which a node, or without one Kubernetes, waits with another version. Empty for none."""
    if config.upgrade_pause:
        return "upgradePause"
    chosen = node is not None and not {node["name"], node["pool"]}.isdisjoint(config.upgrade_canary)
    return "upgradeCanary" if config.upgrade_canary and not chosen else ""


def newest_image(images: Sequence[Any], selector: str, architecture: str) -> str:
    """
    Id of the first image of a look-up that puts the newest first.

    Raises:
        OxideError: There is none.
    """
    if not images:
        raise OxideError(
            f"oxide:imageSelector: {selector} matches no {architecture} image of this Hetzner project; make the Talos "
            "snapshot and label it (README, 'A Talos snapshot'), or set imageId"
        )
    return str(images[0].id)


class _Images:
    """The Talos snapshots that new servers boot from, one per architecture in use."""

    def __init__(self, config: ClusterConfig) -> None:
        self._config = config
        self._found: dict[Architecture, pulumi.Input[str]] = {}

    def of(self, architecture: Architecture) -> pulumi.Input[str]:
        if self._config.image_id is not None:
            return str(self._config.image_id)
        if architecture not in self._found:
            # The function for a single image would fail with a traceback where there is none.
            matching = told_if_failed(
                hcloud.get_images_output(
                    with_selector=self._config.image_selector,
                    with_architectures=[architecture],
                    # A snapshot that is still being made boots nothing.
                    with_statuses=["available"],
                    most_recent=True,
                ),
                "Hetzner's images cannot be listed",
                "check hcloud:token and the connection",
            )
            selector = self._config.image_selector
            self._found[architecture] = matching.images.apply(
                told(lambda images: newest_image(images, selector, architecture))
            )
        return self._found[architecture]


def _identity_args(config: ClusterConfig) -> ClusterIdentityArgs:
    args = ClusterIdentityArgs(
        cluster_name=config.cluster_name,
        network_cidr=str(config.network_cidr),
        control_subnet_cidr=str(config.control_subnet_cidr),
        worker_subnet_cidr=str(config.worker_subnet_cidr),
        pod_cidr=str(config.pod_cidr),
        service_cidr=str(config.service_cidr),
        node_cidr_mask_size=config.node_cidr_mask_size,
        network_zone=config.network_zone,
        routing_mode=config.cilium_modes.routing_mode,
        access=config.access,
        worker_access=config.worker_access,
        network_id=config.network_id or 0,
        talos_version=config.talos_version,
        detect_admin_cidrs=config.admin_cidrs is None,
    )
    if config.config_contract is not None:
        args["contract"] = config.config_contract
    return args


def _firewall_args(config: ClusterConfig, identity: ClusterIdentity) -> FirewallArgs:
    return FirewallArgs(
        cluster_name=config.cluster_name,
        # Known in the preview where the configuration names them.
        admin_cidrs=config.admin_cidrs or identity.admin_cidrs,
        allow_public_api=config.allow_public_api,
        worker_ingress_ports=config.worker_ingress_ports,
        # Without workers the control planes serve what workers would.
        control_plane_ingress_ports=() if config.workers else config.worker_ingress_ports,
        extra_rules=[_firewall_rule(extra) for extra in config.extra_firewall_rules],
    )


def _load_balancer_args(
    config: ClusterConfig, subnet_id: pulumi.Input[str]
) -> list[ApiLoadBalancerArgs]:
    """Arguments of the API's load balancer, if there is to be one."""
    if config.api_load_balancer == NO_LOAD_BALANCER:
        return []
    return [
        ApiLoadBalancerArgs(
            cluster_name=config.cluster_name,
            location=config.location,
            subnet_id=subnet_id,
            private_address=str(config.address_plan.load_balancer_address),
            public=config.api_load_balancer == PUBLIC,
            type=config.api_load_balancer_type,
        )
    ]


def _firewall_rule(extra: ExtraRule) -> FirewallRuleArgs:
    return FirewallRuleArgs(
        role=extra.role,
        direction=extra.rule.direction,
        protocol=extra.rule.protocol,
        port=extra.rule.port,
        source_cidrs=extra.rule.source_ips,
        destination_cidrs=extra.rule.destination_ips,
        description=extra.rule.description,
    )


def _network_args(config: ClusterConfig) -> NetworkArgs:
    return NetworkArgs(
        cluster_name=config.cluster_name,
        cidr=str(config.network_cidr),
        control_subnet_cidr=str(config.control_subnet_cidr),
        worker_subnet_cidr=str(config.worker_subnet_cidr),
        network_zone=config.network_zone,
        network_id=config.network_id,
        nat_gateway=str(config.nat_gateway) if config.nat_gateway else None,
    )


def _cluster_args(
    config: ClusterConfig, identity: ClusterIdentity, secrets: TalosSecrets
) -> ClusterArgs:
    addresses = config.address_plan.control_plane_addresses(config.control_planes)
    return ClusterArgs(
        name=config.cluster_name,
        control_plane_addresses=[str(address) for address in addresses],
        control_subnet_cidr=str(config.control_subnet_cidr),
        worker_subnet_cidr=str(config.worker_subnet_cidr),
        pod_cidr=str(config.pod_cidr),
        service_cidr=str(config.service_cidr),
        node_cidr_mask_size=config.node_cidr_mask_size,
        talos_version=config.talos_version,
        kubernetes_version=config.kubernetes_version,
        schematic_id=config.schematic_id,
        config_contract=identity.contract,
        machine_secrets=secrets.machine_secrets,
        api_hostname=config.api_hostname,
        network_gateway=str(config.address_plan.gateway),
        schedulable_control_planes=config.workers == 0,
        external_cloud_provider=config.addons.cloud_controller is not None,
        kubelet_serving_certificates=config.addons.metrics_server is not None,
        config_patches=config.config_patches,
    )


def _roster_workers(config: ClusterConfig) -> list[RosterNode]:
    return [
        RosterNode(
            name=naming.server_name(config.cluster_name, pool.name, index, pool.generation),
            role=naming.ROLE_WORKER,
            pool=pool.name,
            index=index,
            location=pool.location,
        )
        for pool in config.worker_pools
        for index in range(1, pool.count + 1)
    ]


def _taints(pool: WorkerPoolConfig) -> list[TaintArgs]:
    return [
        TaintArgs(key=taint.key, value=taint.value, effect=taint.effect) for taint in pool.taints
    ]
