"""The private network of a cluster."""

from typing import NotRequired, TypedDict

import pulumi
import pulumi_hcloud as hcloud

from . import naming
from .component_args import Arguments
from .options import child_options


class NetworkArgs(TypedDict):
    """Ranges of the network. None of them can change later."""

    cluster_name: str
    """Name of the cluster; also the network's name."""
    cidr: str
    """Range of the whole network."""
    control_subnet_cidr: str
    """Subnet whose addresses are fixed: control planes and the API load balancer."""
    worker_subnet_cidr: str
    """Subnet whose addresses Hetzner assigns."""
    network_zone: str
    """Hetzner network zone, for example eu-central."""
    network_id: NotRequired[int | None]
    """Id of an existing network, whose range `cidr` is; subnets are made in it and it stays. Default: a network is made."""
    nat_gateway: NotRequired[str | None]
    """Private address that gets the network's default route, for nodes without public addresses. Default: no route."""


class Network(pulumi.ComponentResource):
    """A Hetzner network with two subnets, so that fixed and assigned addresses never meet."""

    network_id: pulumi.Output[int]
    """Id of the network."""
    control_subnet_id: pulumi.Output[str]
    """Id of the control planes' subnet."""
    worker_subnet_id: pulumi.Output[str]
    """Id of the workers' subnet."""

    def __init__(
        self,
        name: str,
        args: NetworkArgs,
        opts: pulumi.ResourceOptions | None = None,
        *,
        protect: bool = False,
    ) -> None:
        _refuse_wrong(name, args)
        super().__init__(naming.TYPE_NETWORK, name, {}, opts)
        existing, nat_gateway = args.get("network_id"), args.get("nat_gateway")
        if existing:
            # Served to other languages, whole numbers arrive as floats.
            self.network_id = pulumi.Output.from_input(int(existing))
        else:
            network = hcloud.Network(
                name,
                name=args["cluster_name"],
                ip_range=args["cidr"],
                labels=naming.labels(args["cluster_name"]),
                opts=child_options(self, opts, protect=protect),
            )
            self.network_id = network.id.apply(int)
        if nat_gateway:
            hcloud.NetworkRoute(
                f"{name}-nat",
                network_id=self.network_id,
                destination="0.0.0.0/0",
                gateway=nat_gateway,
                opts=child_options(self, opts),
            )
        subnets = {
            role: hcloud.NetworkSubnet(
                f"{name}-{role}",
                network_id=self.network_id,
                type="cloud",
                ip_range=ip_range,
                network_zone=args["network_zone"],
                opts=child_options(self, opts),
            )
            for role, ip_range in (
                ("control", args["control_subnet_cidr"]),
                ("worker", args["worker_subnet_cidr"]),
            )
        }
        self.control_subnet_id = subnets["control"].id
        self.worker_subnet_id = subnets["worker"].id
        self.register_outputs(
            {
                "network_id": self.network_id,
                "control_subnet_id": self.control_subnet_id,
                "worker_subnet_id": self.worker_subnet_id,
            }
        )


def _refuse_wrong(name: str, args: NetworkArgs) -> None:
    found = Arguments("Network", name, args, NetworkArgs)
    found.check_label("cluster_name")
    found.check_addresses("nat_gateway")
    found.check_integer("network_id", least=0, most=2**53)
    network = found.check_range("cidr")
    subnets = {key: found.check_range(key) for key in ("control_subnet_cidr", "worker_subnet_cidr")}
    for key, subnet in subnets.items():
        if network and subnet and not subnet.subnet_of(network):
            found.reader.add(
                key, str(subnet), f"is not inside cidr {network}", "choose a part of the network"
            )
    control, worker = subnets.values()
    if control and worker and control.overlaps(worker):
        found.reader.add(
            "worker_subnet_cidr",
            str(worker),
            f"overlaps control_subnet_cidr {control}",
            "choose ranges that share no address",
        )
    found.refuse()
