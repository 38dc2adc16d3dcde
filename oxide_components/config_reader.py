"""Reads a stack's raw values into typed ones and remembers every problem on the way."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from ipaddress import IPv4Network
from typing import Any, Final

from .config_schema import SETTINGS_BY_KEY
from .errors import SECRET_TEXT, Problem, show

_SIZE = re.compile(r"workerPools(\[[0-9]+\](\.count)?)?")
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]+")

MAX_DEPTH: Final = 100
"""Levels of a structure; whatever walks through it later does so by recursion, which Python bounds."""


class Reader:
    """One pass over a stack's values.

    A value that cannot be read is replaced by its default, so that reading goes on; `ok` tells whether that happened, so that
    checks across settings can stay silent about it.
    """

    problems: list[Problem]
    """What was found so far."""
    secret_keys: frozenset[str]
    """Keys whose values the stack stores encrypted."""

    def __init__(self, values: Mapping[str, str], secret_keys: Collection[str] = ()) -> None:
        self.problems = []
        self.secret_keys = frozenset(secret_keys)
        self._values = values
        self._failed: set[str] = set()
        for key in values:
            if key not in SETTINGS_BY_KEY:
                self._refuse_unknown(key, key, values[key], SETTINGS_BY_KEY)
            elif key in self.secret_keys and not SETTINGS_BY_KEY[key].may_be_secret:
                self.add(
                    key,
                    values[key],
                    "is stored as a secret but shows up in names, plans and messages",
                    f"set it without --secret: `pulumi config rm {key}`, then `pulumi config set {key} ...`",
                )

    def add(self, setting: str, value: object, reason: str, way_out: str) -> None:
        """Remembers one problem; values of secret settings are never shown."""
        self.add_shown(setting, show(value), reason, way_out)

    def add_shown(self, setting: str, value: str, reason: str, way_out: str) -> None:
        """Like `add`, for a value that is already as it should appear."""
        key = re.split(r"[.\[ ]", setting, maxsplit=1)[0]
        text = SECRET_TEXT if key in self.secret_keys else value
        self.problems.append(Problem(setting=setting, value=text, reason=reason, way_out=way_out))
        self._failed.add(key)

    def add_all(self, problems: Iterable[Problem]) -> None:
        """Remembers problems that pure checks found."""
        for problem in problems:
            self.add_shown(problem.setting, problem.value, problem.reason, problem.way_out)

    def ok(self, *keys: str) -> bool:
        """Whether none of these settings has a problem so far."""
        return self._failed.isdisjoint(keys)

    def sizes_are_known(self) -> bool:
        """Whether the numbers of nodes could be read, whatever else is wrong with their pools."""
        return self.ok("controlPlanes", "workers") and not any(
            _SIZE.fullmatch(problem.setting) for problem in self.problems
        )

    def is_set(self, key: str) -> bool:
        """Whether the stack gives a value that is not empty."""
        return bool(self._values.get(key))

    def text(self, key: str) -> str:
        """A text, or the setting's default."""
        default = SETTINGS_BY_KEY[key].default
        value = self._values.get(key, default)
        value = value.strip() if isinstance(value, str) else value
        if value == "" and default is not None:
            self.add(key, "", "is empty", f"give a value, or remove the key to use {show(default)}")
            return str(default)
        return "" if value is None else str(value)

    def text_or_empty(self, key: str) -> str:
        """A text whose emptiness means something of its own, or the setting's default."""
        return self._values.get(key, str(SETTINGS_BY_KEY[key].default)).strip()

    def integer(self, key: str, least: int, most: int) -> int:
        """A whole number between two bounds, or the setting's default."""
        default = SETTINGS_BY_KEY[key].default
        fallback = default if isinstance(default, int) else least
        raw = self._values.get(key)
        if raw is None:
            return fallback
        if not _WHOLE_NUMBER.fullmatch(raw.strip()):
            self.add(key, raw, "is not a whole number", f"use {least} to {most}")
            return fallback
        try:
            value = int(raw)
        except ValueError:
            self.add(key, raw, "has more digits than Python reads", f"use {least} to {most}")
            return fallback
        return self._bounded(key, value, least, most, fallback)

    def boolean(self, key: str) -> bool:
        """True or false, or the setting's default."""
        default = bool(SETTINGS_BY_KEY[key].default)
        raw = self._values.get(key)
        if raw is None or raw in ("true", "false"):
            return default if raw is None else raw == "true"
        self.add(key, raw, "is neither true nor false", "write true or false")
        return default

    def cidr(self, key: str) -> IPv4Network:
        """An IPv4 range without host bits, or the setting's default."""
        default = str(SETTINGS_BY_KEY[key].default)
        return self.ipv4_range(key, self.text(key), default) or IPv4Network(default)

    def ipv4_range(self, path: str, text: str, example: str) -> IPv4Network | None:
        """An IPv4 range, reported if it has host bits or no prefix length; None if it is none at all."""
        try:
            loose = IPv4Network(text, strict=False)
        except ValueError:
            reason = "is IPv6; cluster ranges are IPv4" if ":" in text else "is not an IPv4 range"
            self.add(path, text, reason, f"write one like {example}")
            return None
        address, slash, length = text.partition("/")
        if not slash or not length.isdigit():
            self.add(path, text, "has no prefix length", f"write one like {example}")
        elif str(loose.network_address) != address:
            self.add(path, text, "has host bits set", f"write {loose}")
        return loose

    def array(self, key: str) -> list[Any]:
        """A list, empty when unset."""
        value = self._structure(key)
        if value is None:
            return []
        if not isinstance(value, list):
            self.add(
                key,
                value,
                "is not a list",
                f"write one in the stack file, or use `pulumi config set --path '{key}[0]' ...`",
            )
            return []
        return value

    def mapping(self, key: str) -> dict[str, Any]:
        """A mapping, empty when unset."""
        value = self._structure(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.add(
                key,
                value,
                "is not a mapping",
                f"write one in the stack file, or use `pulumi config set --path '{key}.NAME' ...`",
            )
            return {}
        return value

    def entry(self, path: str, value: object, keys: Collection[str]) -> dict[str, Any] | None:
        """A mapping inside a list, its unknown keys reported; None if it is anything else."""
        if not isinstance(value, dict):
            self.add(path, value, "is not a mapping", f"give it the keys {', '.join(keys)}")
            return None
        for key in value:
            if key not in keys:
                self._refuse_unknown(f"{path}.{key}", str(key), value[key], keys)
        return value

    def entry_text(self, path: str, entry: Mapping[str, Any], key: str, default: str = "") -> str:
        """A text inside an entry; `path` is the entry's."""
        value = entry.get(key, default)
        if isinstance(value, str):
            return value
        self.add(f"{path}.{key}", value, "is not text", "put it in quotes")
        return default

    def entry_integer(
        self,
        path: str,
        entry: Mapping[str, Any],
        key: str,
        least: int,
        most: int,
        default: int | None = None,
    ) -> int:
        """A whole number inside an entry, required unless there is a default; `path` is the entry's."""
        value = default if entry.get(key) is None else entry[key]
        if isinstance(value, str):
            self.add_shown(
                f"{path}.{key}", json.dumps(value), "is text", "remove the quotes around the number"
            )
            return least
        if isinstance(value, bool) or not isinstance(value, int):
            self.add(
                f"{path}.{key}",
                value,
                "is missing" if value is None else "is not a whole number",
                f"use {least} to {most}",
            )
            return least
        return self._bounded(f"{path}.{key}", value, least, most, least)

    def text_map(self, path: str, value: object) -> dict[str, str]:
        """A mapping of texts to texts; anything that is not is reported and left out."""
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.add(path, value, "is not a mapping", "write NAME: VALUE pairs")
            return {}
        for name, item in value.items():
            if not isinstance(item, str):
                self.add(f"{path}[{name}]", item, "is not text", "put it in quotes")
        return {name: item for name, item in value.items() if isinstance(item, str)}

    def _structure(self, key: str) -> Any:
        raw = self._values.get(key)
        if not raw:
            return None
        try:
            value = json.loads(raw)
            deep = _is_deep(value)
        except ValueError:
            return raw
        except RecursionError:
            deep = True
        if deep:
            self.add(key, raw, f"is nested more than {MAX_DEPTH} levels deep", "write less into it")
            return None
        return value

    def _bounded(self, path: str, value: int, least: int, most: int, fallback: int) -> int:
        if least <= value <= most:
            return value
        reason = f"is less than {least}" if value < least else f"is more than {most}"
        self.add(path, value, reason, f"use {least} to {most}")
        return fallback

    def _refuse_unknown(self, path: str, key: str, value: object, known: Collection[str]) -> None:
        names = {name.lower(): name for name in known}
        nearest = difflib.get_close_matches(key.lower(), names, n=1, cutoff=0.5)
        if nearest:
            hint = f"did you mean {names[nearest[0]]}?"
        elif known is SETTINGS_BY_KEY:
            hint = "docs/configuration.md lists all keys"
        else:
            hint = f"use {', '.join(known)}"
        self.add(path, value, "is set for a key that does not exist", hint)


def _is_deep(value: object) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True
