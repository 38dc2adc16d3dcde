"""What a caller hands to a component: checked as a whole, before anything is declared."""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Awaitable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

import pulumi

from .config_patches import patch_problems
from .config_reader import Reader
from .config_schema import FIREWALL_RULE_KEYS, SETTINGS_BY_KEY
from .errors import SECRET_TEXT, OxideError, Problem, show
from .naming import is_dns_label

_SECRETS: Final = frozenset(
    {"client_configuration", "config_patches", "kubeconfig", "machine_secrets", "token", "values"}
)
_SETTINGS: Final = {*SETTINGS_BY_KEY, *FIREWALL_RULE_KEYS}
_RENAMED: Final = {"ciliumValues": "values of CiliumRelease", "extraFirewallRules": "extra_rules"}
_CAMEL_CASE: Final = re.compile(r"\b[a-z]+(?:[A-Z][a-z]+)+\b")

_INPUT_NAMES: Final = {"Output": pulumi.Output, "T": Any, "T_co": Any}
"""What `pulumi.Input` names by text, so that it cannot be looked up from a module that uses it."""

_KINDS: Final[dict[Any, tuple[str, str]]] = {
    str: ("is not text", "give a text, str(...) of a number"),
    bool: ("is neither True nor False", "give True or False"),
    int: ("is not a whole number", "give a whole number"),
    Sequence: ("is not a list", "give a list"),
    Mapping: ("is not a mapping", "give a mapping"),
}


class ArgumentError(OxideError, pulumi.RunError):
    """Everything that is wrong with the arguments of one component. Pulumi shows it without a traceback."""


class Arguments:
    """
    The arguments of one component, first held against its TypedDict: keys, and types of the values.

    What is an Output, or holds one, is left alone: nobody knows it yet. Components check the values of the others with the
    rules of a stack's configuration, whose settings are then called as the arguments are.
    """

    reader: Reader
    """Where checks report problems."""

    def __init__(self, component: str, name: str, args: Mapping[str, Any], kind: type) -> None:
        self.reader = Reader({})
        self._title = f"{component} {name}"
        self._args = args
        self._check("", args, kind)
        self._wrong = [problem.setting for problem in self.reader.problems]

    def known(self, *path: str) -> Any:
        """
        An argument's value, with lists and whole numbers as a stack's configuration has them.

        None where there is nothing to check: it is not given, wrong already, or an Output.
        """
        setting = ".".join(path)
        value: Any = self._args
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        if any(_inside(setting, wrong) or _inside(wrong, setting) for wrong in self._wrong):
            return None
        return _plain(value) if _is_known(value) else None

    def given(self, *path: str) -> bool:
        """Whether an argument has a value that is not empty, be it known or not."""
        value: Any = self._args
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        return not _may_be_checked(value) or value not in (None, "")

    def refuse(self) -> None:
        """
        End the component's declaration if something is wrong.

        Raises:
            ArgumentError: With one line per problem.
        """
        if self.reader.problems:
            lines = [as_argument(problem).text(self._title) for problem in self.reader.problems]
            count = f"{len(lines)} problem{'' if len(lines) == 1 else 's'}"
            raise ArgumentError("\n  ".join([f"The arguments have {count}:", *lines]))

    def check_label(self, *path: str) -> None:
        """Reports a name that cannot be a part of host names."""
        value = self.known(*path)
        if value is not None and not is_dns_label(value):
            self.reader.add(
                ".".join(path),
                value,
                "is not part of a host name",
                "use lower-case letters, digits and inner hyphens",
            )

    def check_integer(self, *path: str, least: int, most: int) -> None:
        """Reports a number out of bounds."""
        value = self.known(*path)
        if value is not None and not least <= value <= most:
            reason = f"is less than {least}" if value < least else f"is more than {most}"
            self.reader.add(".".join(path), value, reason, f"use {least} to {most}")

    def check_range(self, *path: str) -> IPv4Network | None:
        """Reports a text that is no IPv4 range; returns it if it is one."""
        value, before = self.known(*path), len(self.reader.problems)
        if value is None:
            return None
        found = self.reader.ipv4_range(".".join(path), value, "10.0.0.0/24")
        return found if len(self.reader.problems) == before else None

    def check_addresses(self, *path: str) -> None:
        """Reports texts that are no IPv4 addresses, in a list or alone. An empty text counts as none."""
        value = self.known(*path)
        setting = ".".join(path)
        one = isinstance(value, str)
        for index, address in enumerate([value] if one else value or ()):
            if address and not is_address(address):
                self.reader.add(
                    setting if one else f"{setting}[{index}]",
                    address,
                    "is not an IPv4 address",
                    "write one like 10.0.0.11",
                )

    def check_patches(self, *path: str, cluster_name: str) -> None:
        """Reports machine config patches that are none, or that touch what Oxide owns. They may hold secrets."""
        for index, patch in enumerate(self.known(*path) or ()):
            for problem in patch_problems(patch, cluster_name):
                where = f" {problem.path}" if problem.path else ""
                self.reader.add_shown(
                    f"{'.'.join(path)}[{index}]{where}",
                    SECRET_TEXT,
                    problem.reason,
                    problem.way_out,
                )

    def _add(self, path: str, value: object, reason: str, way_out: str) -> None:
        planted = value is not None and not _SECRETS.isdisjoint(re.split(r"[.\[\]]", path))
        secret = planted or not _is_known(value)
        self.reader.add_shown(
            path or "args", SECRET_TEXT if secret else show(value), reason, way_out
        )

    def _check(self, path: str, value: Any, hint: Any) -> None:
        kinds = _alternatives(hint)
        if value is None:
            if types.NoneType not in kinds and Any not in kinds:
                self._add(path, None, "is no value", "give one; optional arguments may be left out")
            return
        if not _may_be_checked(value):
            return
        for kind in kinds:
            self._check_kind(path, value, kind)

    def _check_kind(self, path: str, value: Any, kind: Any) -> None:
        origin, inner = get_origin(kind) or kind, get_args(kind)
        if is_typeddict(kind):
            if isinstance(value, Mapping):
                self._check_keys(path, value, kind)
            else:
                self._add(path, value, *_KINDS[Mapping])
        elif origin is Literal:
            if value not in inner:
                name = path.rpartition(".")[2]
                self._add(
                    path, value, f"is no {name}", f"use {', '.join(inner[:-1])} or {inner[-1]}"
                )
        elif origin in _KINDS and not _is_of(value, origin):
            self._add(path, value, *_KINDS[origin])
        elif origin is Sequence:
            for index, entry in enumerate(value):
                self._check(f"{path}[{index}]", entry, inner[0])
        elif origin is Mapping:
            for key, entry in value.items():
                self._check(f"{path}[{key}]", entry, inner[1])

    def _check_keys(self, path: str, value: Mapping[str, Any], kind: Any) -> None:
        hints = get_type_hints(kind, localns=_INPUT_NAMES)
        prefix = f"{path}." if path else ""
        for key in value:
            if key not in hints:
                nearest = difflib.get_close_matches(str(key), hints, n=1, cutoff=0.5)
                self.reader.add_shown(
                    f"{prefix}{key}",
                    # What a mistyped name holds may be a secret.
                    "a value",
                    "is given for an argument that does not exist",
                    f"did you mean {nearest[0]}?" if nearest else f"use {', '.join(sorted(hints))}",
                )
        for key, hint in hints.items():
            if key in value:
                self._check(f"{prefix}{key}", value[key], hint)
            elif key in kind.__required_keys__:
                self.reader.add_shown(
                    f"{prefix}{key}", "it", "is missing", f"give it; see {kind.__name__}"
                )


def is_address(text: str) -> bool:
    """Whether a text is an IPv4 address."""
    try:
        IPv4Address(text)
    except ValueError:
        return False
    return True


def refuse_wrong(component: str, name: str, args: Mapping[str, Any], kind: type) -> None:
    """
    Check keys and types of the arguments of a component whose values nothing else is known of.

    Raises:
        ArgumentError: With one line per problem.
    """
    Arguments(component, name, args, kind).refuse()


def _alternatives(hint: Any) -> tuple[Any, ...]:
    """What a plain value may be; the Awaitable and Output of `pulumi.Input` left out."""
    if get_origin(hint) not in (Union, types.UnionType):
        return (hint,)
    found: list[Any] = []
    for one in get_args(hint):
        if get_origin(one) not in (Awaitable, pulumi.Output):
            found += _alternatives(one)
    return tuple(found)


def _may_be_checked(value: object) -> bool:
    return not isinstance(value, pulumi.Output | Awaitable)


def _is_known(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(map(_is_known, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_known, value))
    return _may_be_checked(value)


def _is_of(value: object, kind: Any) -> bool:
    if kind is int:
        # Served to other languages, whole numbers arrive as floats.
        return not isinstance(value, bool) and (
            isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        )
    if kind is Sequence:
        return isinstance(value, Sequence) and not isinstance(value, str | bytes)
    return isinstance(value, kind)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(entry) for entry in value]
    if isinstance(value, str):
        # A member of an enumeration of texts shows its own name otherwise.
        return str.__str__(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _inside(path: str, outer: str) -> bool:
    return path == outer or path.startswith((f"{outer}.", f"{outer}["))


def as_argument(problem: Problem) -> Problem:
    """A problem of a setting as one of the argument that is called like it."""
    # What follows a space is a path inside a machine config.
    setting, space, inside = problem.setting.partition(" ")
    return Problem(
        setting=f"{_renamed(setting)}{space}{inside}",
        value=problem.value,
        reason=_renamed(problem.reason),
        way_out=_renamed(problem.way_out),
    )


def _renamed(text: str) -> str:
    """A text about settings as one about arguments: `adminCidrs` is `admin_cidrs` there."""

    def name(match: re.Match[str]) -> str:
        word = match[0]
        snake = re.sub(r"([A-Z])", r"_\1", word).lower()
        return _RENAMED.get(word, snake) if word in _SETTINGS else word

    return _CAMEL_CASE.sub(name, text)
