"""The address plan of a cluster: who gets which address, and proof that the ranges fit together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from itertools import combinations
from typing import Final

from .errors import Problem

FIRST_CONTROL_PLANE_OFFSET: Final = 11
"""Distance of the first control plane from its subnet's network address; .1 to .10 stay free."""

MAX_SERVICE_ADDRESS_BITS: Final = 20
"""kube-apiserver refuses a service range larger than /12."""

CLUSTER_DNS_OFFSET: Final = 10
"""Talos gives the cluster's DNS service the tenth address of the service range."""

MAX_NODE_MASK_DIFFERENCE: Final = 16
"""kube-controller-manager refuses a node mask more than 16 bits longer than the pod range's prefix."""

LONGEST_NODE_MASK: Final = 28
KUBELET_MAX_PODS: Final = 110
"""Pods that a kubelet runs unless it is configured otherwise."""

PUBLIC_GATEWAY: Final = IPv4Address("172.31.1.1")
"""Gateway of every public interface at Hetzner, and the way to the metadata service."""

_LARGEST_NETWORK_PREFIX: Final = 8
_SMALLEST_NETWORK_PREFIX: Final = 24
_SMALLEST_SUBNET_PREFIX: Final = 30
_RFC1918: Final = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))
_CLUSTER_RANGES: Final = (*_RFC1918, IPv4Network("100.64.0.0/10"), IPv4Network("198.18.0.0/15"))


@dataclass(frozen=True, kw_only=True)
class AddressPlan:
    """All ranges of a cluster and the addresses that follow from them."""

    network: IPv4Network
    """The Hetzner network; contains both subnets."""
    control_subnet: IPv4Network
    """Subnet of control planes and load balancer, whose addresses are fixed."""
    worker_subnet: IPv4Network
    """Subnet of workers, whose addresses Hetzner assigns."""
    pods: IPv4Network
    """Range of pod addresses, cut into one block per node."""
    services: IPv4Network
    """Range of Kubernetes service addresses."""
    node_cidr_mask_size: int
    """Prefix length of a node's block of pod addresses."""
    native_routing: bool = False
    """Whether the Hetzner network routes pods, so that their range has to be a part of it."""

    @property
    def gateway(self) -> IPv4Address:
        """Hetzner's gateway: the first address of the network, in whatever subnet that falls."""
        return self.network.network_address + 1

    @property
    def load_balancer_address(self) -> IPv4Address:
        """Fixed address of the API load balancer: the last usable one of the control subnet."""
        return self.control_subnet.broadcast_address - 1

    @property
    def control_plane_capacity(self) -> int:
        """How many control planes fit between the first fixed address and the load balancer."""
        first = int(self.control_subnet.network_address) + FIRST_CONTROL_PLANE_OFFSET
        return max(0, int(self.load_balancer_address) - first)

    @property
    def worker_capacity(self) -> int:
        """How many workers the worker subnet has addresses for."""
        usable = max(0, self.worker_subnet.num_addresses - 2)
        return usable - 1 if usable and self.gateway in self.worker_subnet else usable

    @property
    def pod_node_capacity(self) -> int:
        """How many nodes get a block of pod addresses."""
        bits = self.node_cidr_mask_size - self.pods.prefixlen
        return 1 << bits if bits >= 0 else 0

    @property
    def pods_per_node(self) -> int:
        """Usable pod addresses of one node."""
        return max(0, (1 << (32 - self.node_cidr_mask_size)) - 2)

    def control_plane_address(self, index: int) -> IPv4Address:
        """Fixed private address of control plane `index`, counted from 1: .11, .12 and so on."""
        if index < 1:
            raise ValueError(f"control planes count from 1, got {index}")
        return self.control_subnet.network_address + (FIRST_CONTROL_PLANE_OFFSET + index - 1)

    def control_plane_addresses(self, count: int) -> tuple[IPv4Address, ...]:
        """Fixed private addresses of the first `count` control planes."""
        return tuple(self.control_plane_address(index) for index in range(1, count + 1))

    def problems(self, *, control_planes: int, workers: int) -> list[Problem]:
        """Everything that keeps the ranges from working for that many nodes, in the settings' order."""
        return [
            *self._network_problems(),
            *self._subnet_problems(control_planes, workers),
            *self._cluster_range_problems(),
            *(self._native_problems() if self.native_routing else ()),
            *self._overlap_problems(),
            *self._node_mask_problems(control_planes + workers),
        ]

    def warnings(self, *, control_planes: int, workers: int) -> list[Problem]:
        """What works today and is worth knowing before it cannot be changed any more."""
        found = []
        nodes, capacity = control_planes + workers, self.pod_node_capacity
        if nodes <= capacity <= 2 * nodes:
            found.append(
                Problem(
                    setting="podCidr",
                    value=str(self.pods),
                    reason=f"has room for {capacity} nodes at /{self.node_cidr_mask_size} each and {nodes} are planned",
                    way_out="it cannot change later, so choose a larger range now if the cluster will grow",
                )
            )
        if self.node_cidr_mask_size <= LONGEST_NODE_MASK and self.pods_per_node < KUBELET_MAX_PODS:
            found.append(
                Problem(
                    setting="nodeCidrMaskSize",
                    value=str(self.node_cidr_mask_size),
                    reason=f"gives a node {self.pods_per_node} pod addresses and kubelets start up to "
                    f"{KUBELET_MAX_PODS} pods",
                    way_out="use 25 or less, or lower maxPods with a configPatches entry",
                )
            )
        if self.worker_subnet < self.control_subnet:
            found.append(
                Problem(
                    setting="workerSubnetCidr",
                    value=str(self.worker_subnet),
                    reason=f"lies before controlSubnetCidr {self.control_subnet}, so attachments that name no subnet "
                    "may take a control plane's fixed address",
                    way_out="put the worker subnet after the control subnet",
                )
            )
        return found

    def _network_problems(self) -> Iterator[Problem]:
        if not _inside(self.network, _RFC1918):
            yield _problem(
                "networkCidr",
                self.network,
                "is not a private range of RFC 1918",
                "choose one inside 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16",
            )
        elif not _LARGEST_NETWORK_PREFIX <= self.network.prefixlen <= _SMALLEST_NETWORK_PREFIX:
            yield _problem(
                "networkCidr",
                self.network,
                f"is smaller than /{_SMALLEST_NETWORK_PREFIX}, Hetzner's minimum",
                "use a larger range such as 10.0.0.0/21",
            )
        if PUBLIC_GATEWAY in self.network:
            yield _gateway_problem("networkCidr", self.network)

    def _subnet_problems(self, control_planes: int, workers: int) -> Iterator[Problem]:
        for setting, subnet in (
            ("controlSubnetCidr", self.control_subnet),
            ("workerSubnetCidr", self.worker_subnet),
        ):
            if not subnet.subnet_of(self.network):
                yield _problem(
                    setting,
                    subnet,
                    f"is not inside networkCidr {self.network}",
                    "choose a part of the network",
                )
            if subnet.prefixlen > _SMALLEST_SUBNET_PREFIX:
                yield _problem(
                    setting,
                    subnet,
                    f"is smaller than /{_SMALLEST_SUBNET_PREFIX}, Hetzner's minimum",
                    "use a /24",
                )
        if control_planes > self.control_plane_capacity:
            yield _problem(
                "controlSubnetCidr",
                self.control_subnet,
                f"has room for {self.control_plane_capacity} control planes from its address "
                f".{FIRST_CONTROL_PLANE_OFFSET} on and {control_planes} are wanted",
                "use a /24",
            )
        if workers > self.worker_capacity:
            yield _problem(
                "workerSubnetCidr",
                self.worker_subnet,
                f"has {self.worker_capacity} addresses and {workers} workers are wanted",
                "use a larger subnet or fewer workers",
            )

    def _cluster_range_problems(self) -> Iterator[Problem]:
        for setting, cidr in (("podCidr", self.pods), ("serviceCidr", self.services)):
            if not _inside(cidr, _CLUSTER_RANGES):
                yield _problem(
                    setting,
                    cidr,
                    "is not a private range, so the cluster could not reach the real owners of its addresses",
                    "choose one inside 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 or 100.64.0.0/10",
                )
            if PUBLIC_GATEWAY in cidr:
                yield _gateway_problem(setting, cidr)
        if 32 - self.services.prefixlen > MAX_SERVICE_ADDRESS_BITS:
            yield _problem(
                "serviceCidr",
                self.services,
                "is larger than /12, which kube-apiserver refuses",
                "use a /12 or smaller, such as 10.0.8.0/21",
            )
        if self.services.num_addresses <= CLUSTER_DNS_OFFSET + 1:
            yield _problem(
                "serviceCidr",
                self.services,
                "is too small for the cluster's DNS service, which takes its tenth address",
                "use a /28 or larger, such as 10.0.8.0/21",
            )

    def _native_problems(self) -> Iterator[Problem]:
        if not self.pods.subnet_of(self.network):
            yield _problem(
                "podCidr",
                self.pods,
                f"is not inside networkCidr {self.network}, and native routing needs routes to it in the network",
                "choose a part of the network outside both subnets, or a larger networkCidr such as 10.0.0.0/16",
            )

    def _overlap_problems(self) -> Iterator[Problem]:
        ranges = {"podCidr": self.pods, "serviceCidr": self.services}
        subnets = {"controlSubnetCidr": self.control_subnet, "workerSubnetCidr": self.worker_subnet}
        groups = (
            # The network then holds pods and may hold services, beside its subnets.
            ({**subnets, **ranges},)
            if self.native_routing
            else ({"networkCidr": self.network, **ranges}, subnets)
        )
        for group in groups:
            for (first, first_cidr), (second, second_cidr) in combinations(group.items(), 2):
                if first_cidr.overlaps(second_cidr):
                    yield _problem(
                        second,
                        second_cidr,
                        f"overlaps {first} {first_cidr}",
                        "choose ranges that share no address",
                    )

    def _node_mask_problems(self, nodes: int) -> Iterator[Problem]:
        mask, prefix = self.node_cidr_mask_size, self.pods.prefixlen
        if mask < prefix or mask > LONGEST_NODE_MASK or mask - prefix > MAX_NODE_MASK_DIFFERENCE:
            longest = min(LONGEST_NODE_MASK, prefix + MAX_NODE_MASK_DIFFERENCE)
            yield Problem(
                setting="nodeCidrMaskSize",
                value=str(mask),
                reason=f"does not cut podCidr {self.pods} into blocks that Kubernetes accepts",
                way_out=f"use {prefix} to {longest}; 25 gives a node 126 addresses"
                if prefix <= longest
                else f"use a podCidr of /{LONGEST_NODE_MASK} or larger",
            )
        elif nodes > self.pod_node_capacity:
            yield _problem(
                "podCidr",
                self.pods,
                f"has room for {self.pod_node_capacity} nodes at /{mask} each and {nodes} are wanted",
                "choose a larger podCidr before the cluster is created, or fewer nodes",
            )


def _inside(cidr: IPv4Network, ranges: tuple[IPv4Network, ...]) -> bool:
    return any(cidr.subnet_of(candidate) for candidate in ranges)


def _problem(setting: str, cidr: IPv4Network, reason: str, way_out: str) -> Problem:
    return Problem(setting=setting, value=str(cidr), reason=reason, way_out=way_out)


def _gateway_problem(setting: str, cidr: IPv4Network) -> Problem:
    return _problem(
        setting,
        cidr,
        f"contains {PUBLIC_GATEWAY}, the gateway of Hetzner's public interfaces",
        "choose a range without it",
    )
