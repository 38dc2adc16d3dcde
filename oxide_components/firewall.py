"""The firewalls of a cluster, one per role."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal, NotRequired, TypedDict

import pulumi
import pulumi_hcloud as hcloud

from . import naming
from .component_args import Arguments, as_argument
from .config_firewall import check_extra_rules, read_extra_rules
from .errors import OxideError
from .firewall_rules import (
    DEFAULT_WORKER_INGRESS_PORTS,
    Direction,
    Protocol,
    Rule,
    admin_cidr_problems,
    control_plane_rules,
    ingress_port_problems,
    normalise,
    worker_rules,
)
from .options import child_options
from .run_errors import told


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
    allow_public_api: NotRequired[bool]
    """Whether `admin_cidrs` and `extra_rules` may open these APIs to everybody. Default: false."""
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
        _refuse_wrong(name, args)
        super().__init__(naming.TYPE_FIREWALL, name, {}, opts)
        cluster = args["cluster_name"]
        # Served to other languages, whole numbers arrive as floats.
        ports = tuple(map(int, args.get("worker_ingress_ports", DEFAULT_WORKER_INGRESS_PORTS)))
        open_ports = tuple(map(int, args.get("control_plane_ingress_ports", ())))
        extra = {
            role: [
                _extra_rule(rule)
                for rule in args.get("extra_rules", ())
                if rule["role"] in (role, "all")
            ]
            for role in ("controlPlane", "worker")
        }
        admin_cidrs = pulumi.Output.from_input(args["admin_cidrs"]).apply(
            told(partial(admitted, allow_public=args.get("allow_public_api", False)))
        )
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


def _refuse_wrong(name: str, args: FirewallArgs) -> None:
    found = Arguments("Firewall", name, args, FirewallArgs)
    found.check_label("cluster_name")
    allow_public = found.known("allow_public_api") is True
    cidrs = found.known("admin_cidrs")
    if cidrs == []:
        found.reader.add(
            "admin_cidrs", [], "admits nobody, not even this program", "list your ranges"
        )
    elif cidrs is not None:
        found.reader.add_all(admin_cidr_problems(cidrs, allow_public=allow_public))
    ports = {}
    for key, default in (
        ("worker_ingress_ports", DEFAULT_WORKER_INGRESS_PORTS),
        ("control_plane_ingress_ports", ()),
    ):
        ports[key] = found.known(key) if key in args else list(default)
        found.reader.add_all(ingress_port_problems(ports[key] or (), key))
    extra = read_extra_rules(found.reader, _as_settings(found.known("extra_rules") or ()))
    if not found.reader.problems:
        check_extra_rules(
            found.reader,
            extra,
            admin_cidrs=cidrs or (),
            worker_ports=ports["worker_ingress_ports"] or (),
            control_plane_ports=ports["control_plane_ingress_ports"] or (),
            allow_public=allow_public,
        )
    found.refuse()


def admitted(cidrs: Sequence[str], *, allow_public: bool) -> Sequence[str]:
    """
    The administrators' ranges of a firewall, once they are known.

    Raises:
        OxideError: The arguments could not have had them.
    """
    # Of a cluster that is yet to be made, a preview may know that there are none so far.
    problems = admin_cidr_problems(cidrs, allow_public=allow_public) if cidrs else []
    if problems:
        raise OxideError("; ".join(as_argument(problem).text("Firewall") for problem in problems))
    return cidrs


def _as_settings(rules: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rules as the setting `extraFirewallRules` has them, where emptiness is absence."""
    names = {"source_cidrs": "sourceCidrs", "destination_cidrs": "destinationCidrs"}
    return [
        {names.get(key, key): value for key, value in rule.items() if value not in ("", [])}
        for rule in rules
    ]


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
