"""The firewalls of a cluster, one per role."""

from collections.abc import Sequence
from typing import NotRequired, TypedDict

import pulumi
import pulumi_hcloud as hcloud

from . import naming
from .firewall_rules import (
    DEFAULT_WORKER_INGRESS_PORTS,
    Rule,
    control_plane_rules,
    worker_rules,
)
from .options import child_options


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
                        lambda cidrs: _rule_args(control_plane_rules(cidrs, open_ports))
                    ),
                ),
                (
                    naming.ROLE_WORKER,
                    admin_cidrs.apply(lambda cidrs: _rule_args(worker_rules(cidrs, ports))),
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
            port=rule.port,
            source_ips=list(rule.source_ips),
            description=rule.description,
        )
        for rule in rules
    ]
