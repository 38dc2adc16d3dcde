"""What talosctl says about etcd, and whether its quorum can spare a member."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .errors import OxideError
from .talosctl import Talosctl, TalosError

DATA_DIRECTORY = "/var/lib/etcd"
"""Where Talos keeps etcd's data."""

_DISK = "/var/lib"
"""A directory of the same disk (Talos' EPHEMERAL partition), which is never empty once it is mounted."""

_COLUMN = re.compile(r"\s{2,}")
_CALL_TIMEOUT = 20.0

ControlPlane = Mapping[str, str]
"""Name, private_address and public_address of a control plane."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """One member of etcd."""

    id: str
    """Hexadecimal id, as talosctl prints and takes it."""
    name: str
    """Host name; empty for a member that was added and has never started."""
    address: str
    """Address of its peer URL; empty where none is known."""
    learner: bool = False
    """Whether it has no vote yet."""


def holds_data(talosctl: Talosctl, node: ControlPlane) -> bool:
    """
    Whether a control plane's disk holds an etcd member, running or not.

    Raises:
        TalosError: It does not answer, or has not mounted that disk.
    """
    found = _entries(talosctl, node, DATA_DIRECTORY)
    if found is None:
        # The Talos API answers before the disk is mounted, and goes on answering where it cannot be.
        if not _entries(talosctl, node, _DISK):
            raise TalosError(f"{node['name']} has not mounted its disk ({_DISK} is empty)")
        found = _entries(talosctl, node, DATA_DIRECTORY)
    return found is not None and "member" in found


def _entries(talosctl: Talosctl, node: ControlPlane, directory: str) -> list[str] | None:
    """Names in a directory; None where it does not exist."""
    try:
        listing = talosctl.run(
            "list",
            directory,
            node=node["private_address"],
            endpoint=node["public_address"],
            timeout=_CALL_TIMEOUT,
        )
    except TalosError as error:
        if "no such file" in str(error) + error.output:
            return None
        raise
    rows = [line.split() for line in listing.splitlines() if line.strip()]
    return [row[-1] for row in rows if row[-1] != "." and row != ["NODE", "NAME"]]


def members(talosctl: Talosctl, via: ControlPlane) -> list[Member]:
    """
    The members as one control plane sees them.

    Raises:
        TalosError: It does not answer.
    """
    output = talosctl.run(
        "etcd",
        "members",
        node=via["private_address"],
        endpoint=via["public_address"],
        timeout=_CALL_TIMEOUT,
    )
    return [
        Member(
            id=row.get("ID", ""),
            name=row.get("HOSTNAME", ""),
            address=_host(row.get("PEER URLS", "")),
            learner=row.get("LEARNER") == "true",
        )
        for row in _table(output)
    ]


def members_of_any(talosctl: Talosctl, control_planes: Sequence[ControlPlane]) -> list[Member]:
    """
    The members as the first control plane sees them that tells.

    Raises:
        TalosError: None does.
    """
    error = TalosError("no control plane to ask for the members of etcd")
    for via in control_planes:
        try:
            return members(talosctl, via)
        except TalosError as caught:
            error = caught
    raise error


def member_of(found: Sequence[Member], node: Mapping[str, str]) -> Member | None:
    """The member that runs on a node, by name or, for one that has never started, by address."""
    address = node.get("private_address") or ""
    for member in found:
        if member.name == node["name"] or (address and member.address == address):
            return member
    return None


@dataclass(frozen=True, kw_only=True)
class Quorum:
    """Votes of some control planes that are well, among all that etcd counts."""

    members: int
    """Members that have a vote."""
    needed: int
    """Votes without which etcd stands still."""
    voting: int
    """Votes of these control planes."""

    @property
    def holds(self) -> bool:
        """Whether etcd goes on with these alone."""
        return self.voting >= self.needed


def quorum_of(found: Sequence[Member], nodes: Sequence[ControlPlane]) -> Quorum:
    """What the members give these control planes; a learner has no vote yet."""
    voters = [member for member in found if not member.learner]
    return Quorum(
        members=len(voters),
        needed=len(voters) // 2 + 1,
        voting=sum(member_of(voters, node) is not None for node in nodes),
    )


def remove_member(talosctl: Talosctl, via: ControlPlane, member: Member) -> None:
    """
    Remove a member that cannot leave by itself.

    Raises:
        TalosError: etcd refuses.
    """
    talosctl.run(
        "etcd",
        "remove-member",
        member.id,
        node=via["private_address"],
        endpoint=via["public_address"],
        timeout=60,
    )


def unhealthy_reasons(talosctl: Talosctl, control_planes: Sequence[ControlPlane]) -> list[str]:
    """
    Why these control planes cannot do without any other member; empty when they can.

    Every one of them must be a healthy voting member, and all must follow the same leader.
    """
    reasons = []
    leaders = set()
    for node in control_planes:
        try:
            output = talosctl.run(
                "etcd",
                "status",
                node=node["private_address"],
                endpoint=node["public_address"],
                timeout=_CALL_TIMEOUT,
            )
        except TalosError as error:
            reasons.append(f"{node['name']}: {error}")
            continue
        rows = _table(output)
        if not rows:
            reasons.append(f"{node['name']}: etcd reports no state")
            continue
        (row, *_) = rows
        leaders.add(row.get("LEADER", ""))
        if row.get("ERRORS"):
            reasons.append(f"{node['name']}: {row['ERRORS']}")
        elif row.get("LEARNER") == "true":
            reasons.append(f"{node['name']}: is a learner and does not vote yet")
        elif row.get("LEADER", "").strip("0") == "":
            reasons.append(f"{node['name']}: knows no leader")
    if not reasons and len(leaders) > 1:
        reasons.append(f"no common leader: {', '.join(sorted(leaders))}")
    return reasons


def _table(text: str) -> list[dict[str, str]]:
    """Rows of a table that talosctl printed; cells are cut out by the places of the headings."""
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        return []
    header = lines[0]
    if not header.startswith("NODE"):
        raise OxideError(f"talosctl printed no table but: {header.strip()}")
    titles = _COLUMN.split(header.strip())
    starts = [header.index(title) for title in titles]
    ends = [*starts[1:], None]
    return [
        {
            title: line[start:end].strip()
            for title, start, end in zip(titles, starts, ends, strict=True)
        }
        for line in lines[1:]
    ]


def _host(url: str) -> str:
    """Host of the first of several comma-separated URLs."""
    first = url.split(",")[0].partition("://")[2]
    return first.rpartition(":")[0].strip("[]")
