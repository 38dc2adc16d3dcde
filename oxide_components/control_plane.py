"""The control plane: its servers, the bootstrap of the cluster, and access to it."""

from collections.abc import Sequence
from typing import NotRequired, TypedDict

import pulumi
import pulumi_hcloud as hcloud
import pulumiverse_talos as talos

from . import naming
from .api_gate import ApiGate
from .api_hosts import ApiHosts
from .api_load_balancer import LoadBalancerAccess, certificate_patches, load_balancer_target
from .bootstrap import Bootstrap, BootstrapNode
from .cluster_args import (
    ClusterArgs,
    check_nodes,
    cluster_settings,
    machine_configuration,
)
from .component_args import Arguments
from .config_rules import check_parity
from .kubeconfig import server_url
from .machine_config import NodeSettings, control_plane_documents
from .node_info import NodeInfo
from .options import child_options
from .reverse_dns import reverse_dns
from .roster import DRAIN_TIMEOUT, Roster, RosterControlPlane, RosterNode
from .server import placement_groups, talos_server
from .talos_api import ClientConfiguration, talosconfig


class ControlPlaneArgs(TypedDict):
    """What the control plane is made of. Its size is the number of `cluster.control_plane_addresses`."""

    cluster: ClusterArgs
    """Facts of the cluster."""
    server_type: pulumi.Input[str]
    """Hetzner server type of new control planes."""
    location: pulumi.Input[str]
    """Hetzner location of the control planes."""
    image_id: pulumi.Input[str]
    """Id of the Talos snapshot that new servers boot from."""
    subnet_id: pulumi.Input[str]
    """Id of the subnet that holds the fixed addresses."""
    firewall_ids: Sequence[pulumi.Input[int]]
    """Firewalls that servers get when they are created."""
    client_configuration: pulumi.Input[ClientConfiguration]
    """Talos client credentials, as TalosSecrets returns them."""
    locations: NotRequired[Sequence[pulumi.Input[str]] | None]
    """Hetzner locations that control planes take in turn, all in the network's zone. Default: `location` for all."""
    public: NotRequired[bool]
    """Whether servers get public addresses; without, the operator reaches the private ones. Cannot change. Default: true."""
    ipv6: NotRequired[bool]
    """Whether new servers get a public IPv6 network beside the IPv4 address. Default: true."""
    rdns: NotRequired[str | None]
    """DNS name of public addresses, with {name} for the server's name. Default: Hetzner's."""
    load_balancer: NotRequired[LoadBalancerAccess | None]
    """Load balancer in front of the Kubernetes API, as `ApiLoadBalancer.access` gives it. Default: none."""
    config_patches: NotRequired[Sequence[str]]
    """Strategic merge patches for control planes only, as YAML. Default: none."""
    workers: NotRequired[Sequence[RosterNode]]
    """The cluster's workers, so that those that are no longer wanted leave before their servers go. Default: none."""
    drain_timeout: NotRequired[int]
    """Seconds that the drain of one leaving node may take. Default: 600."""
    restore_from: NotRequired[str | None]
    """File of an etcd snapshot from which a cluster without data starts. Default: an empty etcd, once in its life."""
    addons: NotRequired[Sequence[str]]
    """Add-ons of the cluster whose absence is refused while something needs them: cloudController, csi. Default: none."""


class ControlPlane(pulumi.ComponentResource):
    """
    Control planes with fixed addresses, bootstrapped once, and the credentials of the finished cluster.

    A changed version, patch or server type never replaces a server.
    """

    endpoint: pulumi.Output[str]
    """URL of the Kubernetes API for people."""
    nodes: list[NodeInfo]
    """The control planes, in index order."""
    targets: list[hcloud.LoadBalancerTarget]
    """The control planes as targets of the load balancer; empty without one."""
    ways: list[RosterControlPlane]
    """Names and addresses of the control planes. Known before their servers are."""
    roster: Roster
    """The nodes of the whole cluster. Worker pools have to depend on it."""
    kubeconfig: pulumi.Output[str]
    """Kubeconfig of an administrator, with one context per control plane (secret). Known once the API serves."""
    provider_kubeconfig: pulumi.Output[str]
    """The same with addresses only (secret): providers and gates must not wait for a DNS record."""
    talosconfig: pulumi.Output[str]
    """Configuration of talosctl (secret)."""

    def __init__(
        self,
        name: str,
        args: ControlPlaneArgs,
        opts: pulumi.ResourceOptions | None = None,
        *,
        protect: bool = False,
    ) -> None:
        _refuse_wrong(name, args)
        super().__init__(naming.TYPE_CONTROL_PLANE, name, {}, opts)
        cluster, balancer = args["cluster"], args.get("load_balancer")
        addresses = cluster["control_plane_addresses"]
        groups = placement_groups(
            name,
            cluster=cluster["name"],
            pool=naming.CONTROL_PLANE_POOL,
            role=naming.ROLE_CONTROL_PLANE,
            count=len(addresses),
            parent=self,
            parent_opts=opts,
        )
        primary_ips: list[hcloud.PrimaryIp | None] = [
            self._primary_ip(name, args, opts, index, protect=protect and index == 1)
            if args.get("public", True)
            else None
            for index in range(1, len(addresses) + 1)
        ]
        reached_at = [
            pulumi.Output.from_input(private) if primary_ip is None else primary_ip.ip_address
            for primary_ip, private in zip(primary_ips, addresses, strict=True)
        ]
        self.talosconfig = talosconfig(
            cluster_name=cluster["name"],
            client_configuration=args["client_configuration"],
            endpoints=reached_at,
            nodes=addresses,
            parent=self,
        )
        names = [
            naming.server_name(cluster["name"], naming.CONTROL_PLANE_POOL, index)
            for index in range(1, len(addresses) + 1)
        ]
        self.ways = [
            RosterControlPlane(name=server_name, private_address=private, public_address=reached)
            for server_name, private, reached in zip(names, addresses, reached_at, strict=True)
        ]
        self.roster = Roster(
            f"{name}-roster",
            cluster_name=cluster["name"],
            nodes=[
                *(
                    RosterNode(
                        name=server_name,
                        role=naming.ROLE_CONTROL_PLANE,
                        pool=naming.CONTROL_PLANE_POOL,
                        index=index,
                        location=_location(args, index),
                    )
                    for index, server_name in enumerate(names, start=1)
                ),
                *args.get("workers", ()),
            ],
            control_planes=self.ways,
            talosconfig=self.talosconfig,
            drain_timeout=args.get("drain_timeout", DRAIN_TIMEOUT),
            load_balancer=naming.api_load_balancer_name(cluster["name"]) if balancer else "",
            opts=child_options(self, opts),
        )
        ready = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=[self.roster]))
        self.nodes = [
            self._node(name, args, ready, index, groups, primary_ip)
            for index, primary_ip in enumerate(primary_ips, start=1)
        ]
        self.targets = [
            load_balancer_target(
                f"{name}-{index}-target",
                balancer,
                node["server"],
                parent=self,
                parent_opts=opts,
            )
            for index, node in enumerate(self.nodes, start=1)
            if balancer
        ]
        bootstrap = Bootstrap(
            f"{name}-bootstrap",
            cluster_name=cluster["name"],
            talosconfig=self.talosconfig,
            control_planes=[
                BootstrapNode(
                    name=node["name"],
                    private_address=node["private_address"],
                    public_address=node["address"],
                    server_id=node["server"].id,
                )
                for node in self.nodes
            ],
            restore_from=args.get("restore_from"),
            opts=child_options(self, opts, depends_on=[node["server"] for node in self.nodes]),
        )
        raw = talos.cluster.Kubeconfig(
            f"{name}-kubeconfig",
            client_configuration=args["client_configuration"],
            node=self.nodes[0]["private_address"],
            endpoint=self.nodes[0]["address"],
            opts=child_options(self, opts, depends_on=[bootstrap]),
        )
        hosts = ApiHosts(cluster["name"], self.nodes, balancer, public=args.get("public", True))
        endpoint_host = pulumi.Output.from_input(cluster.get("api_hostname") or hosts.first)
        by_address = hosts.kubeconfig(raw.kubeconfig_raw)
        by_name = hosts.people_kubeconfig(raw.kubeconfig_raw, endpoint_host)
        gate = ApiGate(
            f"{name}-api",
            kubeconfig=by_address,
            restore_from=args.get("restore_from"),
            addons=args.get("addons", ()),
            opts=child_options(self, opts, depends_on=[bootstrap]),
        )
        self.provider_kubeconfig = _after(gate, by_address)
        self.kubeconfig = _after(gate, by_name)
        self.endpoint = endpoint_host.apply(server_url)
        self.register_outputs(
            {
                "endpoint": self.endpoint,
                "kubeconfig": self.kubeconfig,
                "provider_kubeconfig": self.provider_kubeconfig,
                "talosconfig": self.talosconfig,
            }
        )

    def _primary_ip(
        self,
        name: str,
        args: ControlPlaneArgs,
        opts: pulumi.ResourceOptions | None,
        index: int,
        *,
        protect: bool,
    ) -> hcloud.PrimaryIp:
        """An address that stays when its server goes, so that a replaced control plane has its old one."""
        cluster = args["cluster"]["name"]
        server_name = naming.server_name(cluster, naming.CONTROL_PLANE_POOL, index)
        return hcloud.PrimaryIp(
            f"{name}-{index}-ipv4",
            name=f"{server_name}-ipv4",
            type="ipv4",
            auto_delete=False,
            location=_location(args, index),
            labels=_labels(cluster, index),
            # The address belongs to the server, which stays where it is.
            opts=child_options(self, opts, protect=protect, ignore_changes=["location"]),
        )

    def _node(
        self,
        name: str,
        args: ControlPlaneArgs,
        opts: pulumi.ResourceOptions | None,
        index: int,
        groups: Sequence[hcloud.PlacementGroup],
        primary_ip: hcloud.PrimaryIp | None,
    ) -> NodeInfo:
        cluster = args["cluster"]
        address = cluster["control_plane_addresses"][index - 1]
        server_name = naming.server_name(cluster["name"], naming.CONTROL_PLANE_POOL, index)
        labels = _labels(cluster["name"], index)
        public = primary_ip is not None
        node = NodeSettings(name=server_name, pool=naming.CONTROL_PLANE_POOL, public=public)
        config = machine_configuration(
            "controlplane",
            cluster,
            documents=control_plane_documents(cluster_settings(cluster), node),
            patches=[
                *certificate_patches(args.get("load_balancer")),
                *args.get("config_patches", ()),
            ],
            parent=self,
        )
        server = talos_server(
            f"{name}-{index}",
            name=server_name,
            server_type=args["server_type"],
            location=_location(args, index),
            image=args["image_id"],
            machine_configuration=config,
            subnet_id=args["subnet_id"],
            private_address=address,
            public=public,
            public_ipv4_id=None if primary_ip is None else primary_ip.id.apply(int),
            ipv6=args.get("ipv6", True),
            firewall_ids=args["firewall_ids"],
            placement_group_id=groups[naming.group_index(index) - 1].id.apply(int),
            labels=labels,
            parent=self,
            parent_opts=opts,
        )
        if public and (template := args.get("rdns")):
            reverse_dns(
                f"{name}-{index}",
                template=template,
                server_name=server_name,
                server=server,
                primary_ip=primary_ip,
                ipv6=args.get("ipv6", True),
                parent=self,
                parent_opts=opts,
            )
        return NodeInfo(
            name=server_name,
            role=naming.ROLE_CONTROL_PLANE,
            pool=naming.CONTROL_PLANE_POOL,
            private_address=pulumi.Output.from_input(address),
            public_address=pulumi.Output.from_input("")
            if primary_ip is None
            else primary_ip.ip_address,
            address=pulumi.Output.from_input(address)
            if primary_ip is None
            else primary_ip.ip_address,
            server=server,
            server_type=args["server_type"],
            machine_configuration=config,
        )


def _refuse_wrong(name: str, args: ControlPlaneArgs) -> None:
    found = Arguments("ControlPlane", name, args, ControlPlaneArgs)
    check_nodes(found)
    check_parity(
        found.reader,
        "cluster.control_plane_addresses",
        # None at all is reported already.
        len(found.known("cluster", "control_plane_addresses") or ()) or 1,
    )
    found.check_integer("drain_timeout", least=1, most=86400)
    found.refuse()


def _location(args: ControlPlaneArgs, index: int) -> pulumi.Input[str]:
    """Location of a server and, with it, of its address."""
    return naming.in_turn(args.get("locations") or [args["location"]], index)


def _labels(cluster: str, index: int) -> dict[str, str]:
    return naming.labels(
        cluster, role=naming.ROLE_CONTROL_PLANE, pool=naming.CONTROL_PLANE_POOL, index=index
    )


def _after(gate: ApiGate, kubeconfig: pulumi.Output[str]) -> pulumi.Output[str]:
    """The kubeconfig for whoever has to wait for the API first (secret)."""
    return pulumi.Output.secret(
        pulumi.Output.all(kubeconfig, gate.id).apply(lambda values: values[0])
    )
