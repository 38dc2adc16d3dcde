"""The user's own firewall rules in a stack's configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, cast, get_args

from .config_reader import Reader
from .config_schema import FIREWALL_RULE_KEYS
from .errors import Problem
from .firewall_rules import (
    CLUSTER_PORTS,
    KUBERNETES_API_PORT,
    TALOS_API_PORT,
    Direction,
    Protocol,
    Rule,
    cidr_problem,
    control_plane_rules,
    is_public,
    normalise,
    worker_rules,
)
from .hetzner import MAX_RULES_PER_FIREWALL, MAX_SOURCES_PER_RULE

Role = Literal["controlPlane", "worker", "all"]

MAX_DESCRIPTION_LENGTH: Final = 255
"""Characters that Hetzner takes."""

_ROLES: Final[tuple[Role, ...]] = ("controlPlane", "worker")
_KEY: Final = "extraFirewallRules"
_API_PORTS: Final = (TALOS_API_PORT, KUBERNETES_API_PORT)
_HAVE_PORTS: Final = ("tcp", "udp")
_PORT: Final = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_EVERY_PORT: Final = "any"


@dataclass(frozen=True, kw_only=True)
class ExtraRule:
    """A rule that the user has written."""

    role: Role
    rule: Rule

    @property
    def ports(self) -> range:
        """Ports that it is about; empty for protocols without ports."""
        if self.rule.port == _EVERY_PORT:
            return range(1, 65536)
        first, _, last = self.rule.port.partition("-")
        return range(int(first), int(last or first) + 1) if first else range(0)

    def is_for(self, role: Role) -> bool:
        """Whether nodes of this role get it."""
        return self.role in (role, "all")


def read_extra_rules(reader: Reader, values: Sequence[Any]) -> tuple[ExtraRule, ...]:
    """The entries of `extraFirewallRules` that are right in themselves."""
    found: list[ExtraRule] = []
    for index, value in enumerate(values):
        path = f"{_KEY}[{index}]"
        entry = reader.entry(path, value, FIREWALL_RULE_KEYS)
        if entry is None:
            continue
        before = len(reader.problems)
        extra = _read_rule(reader, path, entry)
        if len(reader.problems) == before:
            _check_duplicate(reader, path, extra, found)
            found.append(extra)
    return tuple(found)


def check_extra_rules(
    reader: Reader,
    rules: Sequence[ExtraRule],
    *,
    admin_cidrs: Sequence[str],
    worker_ports: Sequence[int],
    control_plane_ports: Sequence[int],
    allow_public: bool,
) -> None:
    """Reports rules that open what stays closed, and more rules than a firewall takes.

    Args:
        admin_cidrs: Ranges that reach the APIs anyway; empty where they are yet to be found out.
        worker_ports: Ports of the workers that are open to everybody.
        control_plane_ports: Those of the control planes.
    """
    reader.add_all(_open_ports(rules, admin_cidrs, allow_public=allow_public))
    roles: tuple[tuple[Role, list[Rule]], ...] = (
        ("controlPlane", control_plane_rules([], control_plane_ports)),
        ("worker", worker_rules([], worker_ports)),
    )
    for role, own in roles:
        mine = [extra.rule for extra in rules if extra.is_for(role)]
        count = len(own) + len(mine)
        if mine and count > MAX_RULES_PER_FIREWALL:
            reader.add_shown(
                _KEY,
                f"{count} rules",
                f"for role {role} with Oxide's own {len(own)} are more than the {MAX_RULES_PER_FIREWALL} that a Hetzner "
                "firewall takes",
                "join rules with port ranges or several CIDRs",
            )
        taken = {rule.traffic for rule in own}
        for rule in mine:
            if rule.traffic in taken:
                reader.add_shown(
                    _KEY,
                    rule.description or f"{rule.protocol} {rule.port}",
                    f"admits what workerIngressPorts opens already (role {role})",
                    "remove it",
                )


def outbound_warnings(rules: Sequence[ExtraRule]) -> list[Problem]:
    """Outbound rules, because the first one closes everything else."""
    if all(extra.rule.direction == "in" for extra in rules):
        return []
    return [
        Problem(
            setting=_KEY,
            value="out",
            reason="drops all outbound traffic of these nodes that no rule admits, image pulls, DNS and time included",
            way_out="admit tcp 443, udp 443, tcp and udp 53 and udp 123 as well unless that is meant",
        )
    ]


def _read_rule(reader: Reader, path: str, entry: Mapping[str, Any]) -> ExtraRule:
    direction = _choice(reader, path, entry, "direction", get_args(Direction), "in")
    protocol = _choice(reader, path, entry, "protocol", get_args(Protocol))
    role = _choice(reader, path, entry, "role", get_args(Role), "all")
    description = reader.entry_text(path, entry, "description")
    if len(description) > MAX_DESCRIPTION_LENGTH:
        reader.add(
            f"{path}.description",
            description,
            f"is longer than {MAX_DESCRIPTION_LENGTH} characters",
            "shorten it",
        )
    wanted, other = (
        ("sourceCidrs", "destinationCidrs")
        if direction == "in"
        else ("destinationCidrs", "sourceCidrs")
    )
    if other in entry:
        reader.add(
            f"{path}.{other}",
            entry[other],
            f"has no meaning for direction {direction}",
            f"use {wanted}",
        )
    cidrs = _cidrs(reader, f"{path}.{wanted}", entry.get(wanted))
    return ExtraRule(
        role=cast(Role, role),
        rule=Rule(
            direction=cast(Direction, direction),
            protocol=cast(Protocol, protocol),
            port=_port(reader, path, entry, protocol),
            source_ips=cidrs if direction == "in" else (),
            destination_ips=cidrs if direction == "out" else (),
            description=description,
        ),
    )


def _choice(
    reader: Reader,
    path: str,
    entry: Mapping[str, Any],
    key: str,
    choices: Sequence[str],
    default: str | None = None,
) -> str:
    value = entry.get(key, default)
    if value in choices:
        return str(value)
    reader.add(
        f"{path}.{key}",
        value,
        "is missing" if key not in entry else f"is no {key}",
        f"use {', '.join(choices[:-1])} or {choices[-1]}",
    )
    return default or choices[0]


def _port(reader: Reader, path: str, entry: Mapping[str, Any], protocol: str) -> str:
    value = entry.get("port")
    if protocol not in _HAVE_PORTS:
        if value is not None:
            reader.add(
                f"{path}.port", value, f"is given for {protocol}, which has none", "remove it"
            )
        return ""
    if value is None:
        reader.add(
            f"{path}.port", None, "is missing", 'write a port, a range such as "8000-8100", or any'
        )
        return "0"
    text = str(value) if not isinstance(value, bool) else ""
    if text == _EVERY_PORT:
        return text
    match = _PORT.fullmatch(text)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 1 <= first <= last <= 65535:
        reader.add(
            f"{path}.port",
            value,
            "is no port and no range of ports",
            'use 1 to 65535, such as 80 or "8000-8100", or any',
        )
    return str(first) if first == last else f"{first}-{last}"


def _cidrs(reader: Reader, path: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        reader.add(
            path,
            value,
            "is missing" if value is None else "is not a list of ranges",
            "list the ranges; 0.0.0.0/0 and ::/0 are everybody",
        )
        return ()
    problems = [
        problem
        for index, cidr in enumerate(value)
        if (problem := cidr_problem(f"{path}[{index}]", cidr)) is not None
    ]
    reader.add_all(problems)
    found = () if problems else normalise(value)
    if len(found) > MAX_SOURCES_PER_RULE:
        reader.add_shown(
            path,
            f"{len(found)} ranges",
            f"is more than the {MAX_SOURCES_PER_RULE} that a Hetzner rule takes",
            "join them into larger ranges, or make two rules",
        )
    return found


def _check_duplicate(
    reader: Reader, path: str, extra: ExtraRule, others: Sequence[ExtraRule]
) -> None:
    for index, other in enumerate(others):
        shared = extra.role == other.role or "all" in (extra.role, other.role)
        if shared and extra.rule.traffic == other.rule.traffic:
            reader.add_shown(
                path,
                extra.rule.description or f"{extra.rule.protocol} {extra.rule.port}".strip(),
                f"admits the same as {_KEY}[{index}] for the same nodes",
                "remove one of them",
            )
            return


def _open_ports(
    rules: Sequence[ExtraRule], admin_cidrs: Sequence[str], *, allow_public: bool
) -> Iterator[Problem]:
    """Ports of the cluster's own services that everybody would reach, by one rule or by several together."""
    inbound = [e for e in rules if e.rule.direction == "in" and e.rule.protocol == "tcp"]
    told: set[int] = set()
    for port, service in CLUSTER_PORTS.items():
        if port in _API_PORTS and (allow_public or is_public(admin_cidrs)):
            continue
        for role in _ROLES:
            opening = [e for e in inbound if port in e.ports and e.is_for(role)]
            sources = [cidr for e in opening for cidr in e.rule.source_ips]
            if port in _API_PORTS:
                sources += admin_cidrs
            index = rules.index(opening[0]) if opening else -1
            if opening and index not in told and is_public(sources):
                told.add(index)
                yield Problem(
                    setting=f"{_KEY}[{index}]",
                    value=opening[0].rule.port,
                    reason=f"opens port {port}, {service}, to everybody",
                    way_out="name the ranges that need it, or set allowPublicApi to true"
                    if port in _API_PORTS
                    else "leave the port out or name the ranges that need it",
                )
