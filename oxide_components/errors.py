"""Errors that Oxide shows to people: what is wrong, why, and the way out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import yaml

_PLAIN_TEXT = re.compile(r"[\w./:@=,+-]+")
_SHOWN_LENGTH = 80

_DIFF = "diff:"
_UNKNOWN_KEYS = re.compile(r"(?<=unknown keys found) during decoding:")
_QUOTED_VALUE = re.compile(r"(!!\w+) `[^`]*`")

SECRET_TEXT = "[secret]"
"""What a message shows in place of a value that is stored encrypted."""


class OxideError(Exception):
    """An error whose text is meant for the user and needs no traceback."""


class UntouchedError(OxideError):
    """A change that was given up before anything was touched: whatever is recorded of the cluster stays true."""


class ConfigError(OxideError):
    """Everything that is wrong with a stack's configuration, reported at once.

    `str()` is one header line followed by one line per problem.
    """

    problems: tuple[str, ...]
    """One line per problem: setting, value, reason and way out."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        count = len(self.problems)
        noun = "problem" if count == 1 else "problems"
        return "\n  ".join((f"The configuration has {count} {noun}:", *self.problems))


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One finding about one setting."""

    setting: str
    """Key of the setting and the path inside it, for example `workerPools[0].count`."""
    value: str
    """The offending value as the user wrote it."""
    reason: str
    """What is wrong, as the rest of a sentence that begins with the value."""
    way_out: str
    """What to do instead, as an instruction."""

    def text(self, namespace: str = "oxide") -> str:
        """The line that is shown, under the project's configuration namespace."""
        return _one_line(f"{namespace}:{self.setting}: {self.value} {self.reason}; {self.way_out}")


def show(value: object) -> str:
    """A value as it appears in a message: one line, quoted where that avoids doubt, bounded in length."""
    if isinstance(value, str) and _PLAIN_TEXT.fullmatch(value):
        text = value
    else:
        try:
            text = json.dumps(value, ensure_ascii=False, default=str)
        except (TypeError, ValueError, RecursionError):
            # YAML can build what JSON cannot: mappings with dates as keys, lists that contain themselves.
            text = repr(value)
    return text if len(text) <= _SHOWN_LENGTH else text[: _SHOWN_LENGTH - 3] + "..."


def _one_line(text: str) -> str:
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def without_values(text: str) -> str:
    """What Talos says of a machine config, in one line: the keys that it names, and no value, which may be a secret."""
    said, *quoted = _UNKNOWN_KEYS.split(text.partition(_DIFF)[0], maxsplit=1)
    line = _QUOTED_VALUE.sub(rf"\1 {SECRET_TEXT}", " ".join(said.split()))
    keys = sorted(set(_paths_in(quoted[0]))) if quoted else []
    return f"{line}: {', '.join(keys)}" if keys else line


def _paths_in(quoted: str) -> Iterator[str]:
    try:
        found = yaml.safe_load(quoted)
    except yaml.YAMLError:
        # Something else follows, and where the config ends nobody knows.
        return
    if isinstance(found, dict):
        yield from _paths(found, ())


def _paths(value: Any, above: tuple[str, ...]) -> Iterator[str]:
    if isinstance(value, dict) and value:
        for key, entry in value.items():
            yield from _paths(entry, (*above, str(key)))
    elif isinstance(value, list) and any(isinstance(entry, dict) for entry in value):
        for entry in value:
            yield from _paths(entry, above)
    elif above:
        yield ".".join(above)
