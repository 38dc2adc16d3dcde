"""The load balancer of the Kubernetes API, for clients outside the nodes."""

from collections.abc import Sequence
from typing import NotRequired, TypedDict

import pulumi
import pulumi_hcloud as hcloud

from . import naming
from .component_args import Arguments
from .config_exposure import check_load_balancer_type
from .kubeconfig import API_PORT
from .machine_config import api_certificate_patch
from .options import child_options

DEFAULT_TYPE = "lb11"
"""Hetzner's smallest load balancer, with room for 25 targets."""

CHECK_INTERVAL = 3
CHECK_TIMEOUT = 2
CHECK_RETRIES = 2
"""Seconds and repetitions: a control plane that has died gets no new connection after 8 seconds at most."""


class ApiLoadBalancerArgs(TypedDict):
    """What the load balancer is made of."""

    cluster_name: str
    """Name of the cluster; prefix of the load balancer's name."""
    location: pulumi.Input[str]
    """Hetzner location, in the network's zone."""
    subnet_id: pulumi.Input[str]
    """Id of the control planes' subnet."""
    private_address: str
    """Fixed address in that subnet."""
    public: bool
    """Whether it also serves its public addresses, which no Hetzner firewall can protect."""
    type: NotRequired[str]
    """Hetzner load balancer type. Default: lb11."""


class LoadBalancerAccess(TypedDict):
    """What control planes need to know of their load balancer."""

    load_balancer_id: pulumi.Input[int]
    """Id of the load balancer."""
    private_address: str
    """Its address in the cluster's network."""
    public_addresses: pulumi.Input[Sequence[str]]
    """Its public addresses, IPv4 first; empty where it is private."""


class ApiLoadBalancer(pulumi.ComponentResource):
    """
    A load balancer in front of the control planes' Kubernetes API; `ControlPlane` adds them as its targets.

    Nodes do without it: they reach the control planes directly. So it can come and go on a living cluster, and its outage
    touches no node.
    """

    load_balancer_id: pulumi.Output[int]
    """Id of the load balancer. Known once it is in the network and serves."""
    load_balancer_name: str
    """Name of the load balancer."""
    private_address: str
    """Its address in the cluster's network."""
    public_addresses: pulumi.Output[list[str]]
    """Its public addresses, IPv4 first; empty where it is private."""

    def __init__(
        self,
        name: str,
        args: ApiLoadBalancerArgs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        _refuse_wrong(name, args)
        super().__init__(naming.TYPE_API_LOAD_BALANCER, name, {}, opts)
        self.load_balancer_name = naming.api_load_balancer_name(args["cluster_name"])
        self.private_address = args["private_address"]
        balancer = hcloud.LoadBalancer(
            name,
            name=self.load_balancer_name,
            load_balancer_type=args.get("type", DEFAULT_TYPE),
            location=args["location"],
            algorithm=hcloud.LoadBalancerAlgorithmArgs(type="least_connections"),
            labels=naming.labels(args["cluster_name"], role=naming.ROLE_CONTROL_PLANE),
            # It cannot move, and another of its name cannot be made beside it.
            opts=child_options(self, opts, ignore_changes=["location"]),
        )
        attached = hcloud.LoadBalancerNetwork(
            f"{name}-network",
            load_balancer_id=balancer.id.apply(int),
            subnet_id=args["subnet_id"],
            ip=args["private_address"],
            enable_public_interface=args["public"],
            opts=child_options(self, opts),
        )
        service = hcloud.LoadBalancerService(
            f"{name}-service",
            load_balancer_id=balancer.id,
            protocol="tcp",
            listen_port=API_PORT,
            destination_port=API_PORT,
            health_check=hcloud.LoadBalancerServiceHealthCheckArgs(
                protocol="http",
                port=API_PORT,
                interval=CHECK_INTERVAL,
                timeout=CHECK_TIMEOUT,
                retries=CHECK_RETRIES,
                http=hcloud.LoadBalancerServiceHealthCheckHttpArgs(
                    path="/version",
                    tls=True,
                    # Strangers are turned away, and only by an API server that works.
                    status_codes=["401"],
                ),
            ),
            # Until then its public interface may be open.
            opts=child_options(self, opts, depends_on=[attached]),
        )
        self.load_balancer_id = pulumi.Output.all(balancer.id, attached.id, service.id).apply(
            lambda ids: int(ids[0])
        )
        self.public_addresses = (
            pulumi.Output.all(balancer.ipv4, balancer.ipv6)
            if args["public"]
            else pulumi.Output.from_input([])
        )
        self.register_outputs(
            {
                "load_balancer_id": self.load_balancer_id,
                "public_addresses": self.public_addresses,
            }
        )

    @property
    def access(self) -> LoadBalancerAccess:
        """What `ControlPlane` takes."""
        return LoadBalancerAccess(
            load_balancer_id=self.load_balancer_id,
            private_address=self.private_address,
            public_addresses=self.public_addresses,
        )


def _refuse_wrong(name: str, args: ApiLoadBalancerArgs) -> None:
    found = Arguments("ApiLoadBalancer", name, args, ApiLoadBalancerArgs)
    found.check_label("cluster_name")
    found.check_addresses("private_address")
    if (kind := found.known("type")) is not None:
        check_load_balancer_type(found.reader, "type", kind)
    found.refuse()


def load_balancer_target(
    name: str,
    balancer: LoadBalancerAccess,
    server: hcloud.Server,
    *,
    parent: pulumi.Resource,
    parent_opts: pulumi.ResourceOptions | None,
) -> hcloud.LoadBalancerTarget:
    """One target per server and no label selector, so that each can leave by itself before it goes down."""
    return hcloud.LoadBalancerTarget(
        name,
        type="server",
        load_balancer_id=balancer["load_balancer_id"],
        server_id=server.id.apply(int),
        use_private_ip=True,
        opts=child_options(parent, parent_opts),
    )


def certificate_patches(balancer: LoadBalancerAccess | None) -> list[pulumi.Input[str]]:
    """Adds the load balancer's addresses to the API's certificate, where there is one."""
    if balancer is None:
        return []
    private = balancer["private_address"]
    return [
        pulumi.Output.from_input(balancer["public_addresses"]).apply(
            lambda public: api_certificate_patch([private, *public])
        )
    ]
