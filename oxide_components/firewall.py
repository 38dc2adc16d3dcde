"""The firewalls of a cluster, one per role."""

from collections.abc import Sequence
from typing import Literal, NotRequired, TypedDict

import pulumi
import pulumi_hcloud as hcloud

from . import naming
from .firewall_rules import (
    DEFAULT_WORKER_INGRESS_PORTS,
    Direction,
    Protocol,
    Rule,
    control_plane_rules,
    normalise,
    worker_rules,
)
from .options import child_options


class FirewallRuleArgs(TypedDict):
    """One more rule. Inbound ones name sources, outbound ones destinations."""

    role: Literal["controlPlane", "worker", "all"]
    """Nodes that it is for."""
    direction: Direction
    """in or out. The first outbound rule of a firewall drops all other outbound traffic."""
    protocol: Protocol
    """tcp, udp, icmp, esp or gre."""
    port: NotRequired[str]
    """A port, a range such as 8000-8100, or any; tcp and udp only."""
    source_cidrs: NotRequired[Sequence[str]]
    """Ranges that are let in."""
    destination_cidrs: NotRequired[Sequence[str]]
    """Ranges that may be reached."""
    description: NotRequired[str]
    """Shown beside the rule. Default: none."""


class FirewallArgs(TypedDict):
    """Who may reach what."""

    cluster_name: str
    """Name of the cluster; prefix of the firewalls' names."""
    admin_cidrs: pulumi.Input[Sequence[str]]
    """Addresses that may reach the Talos API (50000) and the Kubernetes API (6443), IPv4 or IPv6."""
    worker_ingress_ports: NotRequired[Sequence[int]]
    """TCP ports of the workers that anybody may reach. Default: 80 and 443."""
    control_plane_ingress_ports: NotRequired[Sequence[int]]
    """TCP ports of the control planes that anybody may reach. Default: none."""
    extra_rules: NotRequired[Sequence[FirewallRuleArgs]]
    """More rules. Default: none."""


class Firewall(pulumi.ComponentResource):
    """
    One firewall for control planes and one for workers, to be attached when a server is created.

    Hetzner firewalls filter public addresses only; traffic in the private network is never touched.
    """

    control_plane_id: pulumi.Output[int]
    """Id of the control planes' firewall."""
    worker_id: pulumi.Output[int]
    """Id of the workers' firewall."""

    def __init__(
        self, name: str, args: FirewallArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__(naming.TYPE_FIREWALL, name, {}, opts)
        cluster = args["cluster_name"]
        ports = tuple(args.get("worker_ingress_ports", DEFAULT_WORKER_INGRESS_PORTS))
        open_ports = tuple(args.get("control_plane_ingress_ports", ()))
        extra = {
            role: [
                _extra_rule(rule)
                for rule in args.get("extra_rules", ())
                if rule["role"] in (role, "all")
            ]
            for role in ("controlPlane", "worker")
        }
        admin_cidrs = pulumi.Output.from_input(args["admin_cidrs"])
        firewalls = {
            role: hcloud.Firewall(
                f"{name}-{role}",
                name=f"{cluster}-{role}",
                labels=naming.labels(cluster, role=role),
                rules=rules,
                opts=child_options(self, opts),
            )
            for role, rules in (
                (
                    naming.ROLE_CONTROL_PLANE,
                    admin_cidrs.apply(
                        lambda cidrs: _rule_args(
                            control_plane_rules(cidrs, open_ports, extra["controlPlane"])
                        )
                    ),
                ),
                (
                    naming.ROLE_WORKER,
                    admin_cidrs.apply(
                        lambda cidrs: _rule_args(worker_rules(cidrs, ports, extra["worker"]))
                    ),
                ),
            )
        }
        self.control_plane_id = firewalls[naming.ROLE_CONTROL_PLANE].id.apply(int)
        self.worker_id = firewalls[naming.ROLE_WORKER].id.apply(int)
        self.register_outputs(
            {"control_plane_id": self.control_plane_id, "worker_id": self.worker_id}
        )


def _rule_args(rules: Sequence[Rule]) -> list[hcloud.FirewallRuleArgs]:
    return [
        hcloud.FirewallRuleArgs(
            direction=rule.direction,
            protocol=rule.protocol,
            port=rule.port or None,
            source_ips=list(rule.source_ips) or None,
            destination_ips=list(rule.destination_ips) or None,
            description=rule.description or None,
        )
        for rule in rules
    ]


def _extra_rule(args: FirewallRuleArgs) -> Rule:
    return Rule(
        direction=args["direction"],
        protocol=args["protocol"],
        port=args.get("port", ""),
        source_ips=normalise(args.get("source_cidrs", ())),
        destination_ips=normalise(args.get("destination_cidrs", ())),
        description=args.get("description", ""),
    )
