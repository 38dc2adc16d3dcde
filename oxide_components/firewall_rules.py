"""Firewall rules: who may reach which port from outside.

Everything inbound that no rule names is dropped on public addresses; the private network is not filtered. ICMP stays
closed too: nothing in Oxide needs it, and the APIs themselves tell whether a node is up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from typing import Final, Literal

from .errors import OxideError, Problem, show
from .hetzner import MAX_RULES_PER_FIREWALL, MAX_SOURCES_PER_RULE

TALOS_API_PORT: Final = 50000
KUBERNETES_API_PORT: Final = 6443

ANYWHERE: Final = ("0.0.0.0/0", "::/0")

DEFAULT_WORKER_INGRESS_PORTS: Final = (80, 443)
"""Ports that workers open to everybody unless told otherwise."""

Direction = Literal["in", "out"]
Protocol = Literal["tcp", "udp", "icmp", "esp", "gre"]

CLUSTER_PORTS: Final[dict[int, str]] = {
    TALOS_API_PORT: "the Talos API",
    50001: "Talos' trustd",
    KUBERNETES_API_PORT: "the Kubernetes API",
    2379: "etcd",
    2380: "etcd",
    10250: "the kubelet",
}
"""Ports of the cluster's own services, which no setting opens to the world."""

_PRIVATE: Final = tuple(
    map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"))
)


@dataclass(frozen=True, order=True)
class Rule:
    """One rule of a Hetzner Cloud firewall."""

    direction: Direction
    protocol: Protocol
    port: str
    """A port, a range such as 8000-8100, or any; empty for protocols without ports."""
    source_ips: tuple[str, ...]
    """Ranges that an inbound rule admits."""
    description: str
    destination_ips: tuple[str, ...] = ()
    """Ranges that an outbound rule admits."""

    @property
    def traffic(self) -> tuple[str, ...]:
        """What the rule admits, whatever it is called: two rules with the same traffic are duplicates."""
        peers = self.source_ips if self.direction == "in" else self.destination_ips
        return (self.direction, self.protocol, self.port, *peers)


def control_plane_rules(
    admin_cidrs: Sequence[str], ingress_ports: Sequence[int] = (), extra: Sequence[Rule] = ()
) -> list[Rule]:
    """Rules for control planes: both APIs from the administrators' ranges.

    Args:
        ingress_ports: Ports open to everybody; meant for clusters whose control planes take pods.
        extra: The user's own rules.

    Raises OxideError if the rules do not fit into one firewall.
    """
    return _fitting(
        [
            _api_rule(TALOS_API_PORT, "Talos API", admin_cidrs),
            _api_rule(KUBERNETES_API_PORT, "Kubernetes API", admin_cidrs),
            *_ingress_rules(ingress_ports),
        ],
        extra,
    )


def worker_rules(
    admin_cidrs: Sequence[str], ingress_ports: Sequence[int], extra: Sequence[Rule] = ()
) -> list[Rule]:
    """Rules for workers: the Talos API from the administrators' ranges, ingress ports from everywhere, and the user's own.

    Raises OxideError if the rules do not fit into one firewall.
    """
    return _fitting(
        [_api_rule(TALOS_API_PORT, "Talos API", admin_cidrs), *_ingress_rules(ingress_ports)],
        extra,
    )


def normalise(cidrs: Iterable[str]) -> tuple[str, ...]:
    """Ranges in canonical form, each once, IPv4 before IPv6; a bare address becomes a range of one."""
    networks = {ip_network(cidr) for cidr in cidrs}
    return tuple(
        str(network)
        for network in sorted(
            networks, key=lambda n: (n.version, int(n.network_address), n.prefixlen)
        )
    )


def is_public(cidrs: Iterable[str]) -> bool:
    """Whether ranges together admit every IPv4 or every IPv6 address."""
    networks = [ip_network(cidr) for cidr in cidrs]
    v4 = collapse_addresses(n for n in networks if isinstance(n, IPv4Network))
    v6 = collapse_addresses(n for n in networks if isinstance(n, IPv6Network))
    return any(n.prefixlen == 0 for n in v4) or any(n.prefixlen == 0 for n in v6)


def admin_cidr_problems(
    cidrs: Sequence[object], *, allow_public: bool, public_nodes: bool = True
) -> list[Problem]:
    """What is wrong with `adminCidrs`, an empty list included.

    Args:
        public_nodes: Whether anything is reached at a public address.
    """
    if not cidrs:
        return [
            _problem(
                "",
                "[]",
                "admits nobody, not even this program",
                "list your ranges, or remove the key to have your own address detected",
            )
        ]
    problems = [
        problem
        for index, cidr in enumerate(cidrs)
        if (problem := cidr_problem(f"adminCidrs[{index}]", cidr)) is not None
    ]
    if problems:
        return problems
    texts = normalise(map(str, cidrs))
    if is_public(texts) and not allow_public:
        problems.append(
            _problem(
                "",
                ", ".join(texts),
                "opens the Talos and Kubernetes APIs to everybody",
                "list your own ranges, or set allowPublicApi to true",
            )
        )
    elif public_nodes and all(":" in text for text in texts):
        problems.append(
            _problem(
                "",
                ", ".join(texts),
                "admits nobody, not even this program, because nodes are reached over IPv4",
                "add your public IPv4 address",
            )
        )
    if len(texts) > MAX_SOURCES_PER_RULE:
        problems.append(
            _problem(
                "",
                f"{len(texts)} ranges",
                f"is more than the {MAX_SOURCES_PER_RULE} that a Hetzner rule takes",
                "join them into larger ranges",
            )
        )
    return problems


def admin_cidr_warnings(cidrs: Sequence[str]) -> list[Problem]:
    """Ranges that cannot match an operator's public address."""
    return [
        Problem(
            setting="adminCidrs",
            value=cidr,
            reason="is a private range, which never appears as a source on public addresses",
            way_out="use the public address of your network",
        )
        for cidr in cidrs
        if isinstance(network := ip_network(cidr), IPv4Network)
        and any(network.subnet_of(private) for private in _PRIVATE)
    ]


def ingress_port_problems(
    ports: Sequence[object], setting: str = "workerIngressPorts"
) -> Iterator[Problem]:
    """What is wrong with a list of ports that are open to everybody."""
    seen: set[int] = set()
    for index, port in enumerate(ports):
        reason = way_out = ""
        if isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= 65535:
            reason, way_out = "is not a port", "use a number from 1 to 65535"
        elif port in CLUSTER_PORTS:
            reason = f"belongs to {CLUSTER_PORTS[port]}, which must not be open to everybody"
            way_out = "remove it; adminCidrs decides who reaches the APIs"
        elif port in seen:
            reason, way_out = "is listed twice", "remove one of them"
        else:
            seen.add(port)
        if reason:
            yield Problem(
                setting=f"{setting}[{index}]",
                value=show(port),
                reason=reason,
                way_out=way_out,
            )
    most = MAX_RULES_PER_FIREWALL - 2
    if len(ports) > most:
        yield Problem(
            setting=setting,
            value=f"{len(ports)} ports",
            reason=f"is more than the {most} that fit into a Hetzner firewall beside the API rules",
            way_out="open fewer ports and put a load balancer or Gateway before the services",
        )


def _api_rule(port: int, name: str, admin_cidrs: Sequence[str]) -> Rule:
    return Rule("in", "tcp", str(port), normalise(admin_cidrs), f"{name} for administrators")


def _ingress_rules(ports: Sequence[int]) -> list[Rule]:
    return [
        Rule("in", "tcp", str(port), ANYWHERE, f"Ingress on port {port}")
        for port in sorted(set(ports))
    ]


def _fitting(own: list[Rule], extra: Sequence[Rule]) -> list[Rule]:
    rules = sorted(own, key=lambda rule: (rule.source_ips == ANYWHERE, int(rule.port)))
    rules += sorted(extra)
    if len(rules) > MAX_RULES_PER_FIREWALL:
        raise OxideError(
            f"{len(rules)} firewall rules do not fit into one Hetzner firewall, which takes "
            f"{MAX_RULES_PER_FIREWALL}; open fewer ports"
        )
    return rules


def cidr_problem(setting: str, cidr: object) -> Problem | None:
    """What is wrong with a range, IPv4 or IPv6; a bare address counts as a range of one."""
    if not isinstance(cidr, str):
        return Problem(
            setting=setting,
            value=show(cidr),
            reason="is not text",
            way_out='write a range like "203.0.113.7/32"',
        )
    if "%" in cidr:
        return Problem(
            setting=setting,
            value=show(cidr),
            reason="names an interface, which Hetzner's firewalls know nothing of",
            way_out="write a public range like 203.0.113.7/32 or 2001:db8::/64",
        )
    try:
        ip_network(cidr)
    except ValueError:
        pass
    else:
        return None
    try:
        loose = ip_network(cidr, strict=False)
    except ValueError:
        return Problem(
            setting=setting,
            value=show(cidr),
            reason="is not an IP range",
            way_out="write one like 203.0.113.7/32 or 2001:db8::/64",
        )
    single = ip_network(cidr.partition("/")[0])
    return Problem(
        setting=setting,
        value=cidr,
        reason="has host bits set",
        way_out=f"write {loose} for the range or {single} for the address",
    )


def _problem(path: str, value: str, reason: str, way_out: str) -> Problem:
    return Problem(setting=f"adminCidrs{path}", value=value, reason=reason, way_out=way_out)
