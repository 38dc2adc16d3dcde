"""Reading request bodies: every problem of a body is reported in one answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, cast

from lab.hetzner.errors import invalid_input
from lab.hetzner.labels import problem_with_key, problem_with_value

NAME = re.compile(r"\S(.{0,126}\S)?")
"""A name of anything but a server."""

HOSTNAME = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    r"(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)
"""A server's name: RFC 1123."""


class Body:
    """The fields of a JSON object, checked while they are read.

    A reader returns None (or the default) for a missing field as well as for a bad one; `check`
    then raises for all bad ones together. `null` counts as missing.
    """

    def __init__(
        self, fields: dict[str, Any], at: str = "", problems: dict[str, list[str]] | None = None
    ) -> None:
        self._fields = fields
        self._at = at
        self._problems: dict[str, list[str]] = {} if problems is None else problems

    def fail(self, name: str, message: str) -> None:
        """Note that a field cannot be accepted."""
        self._problems.setdefault(self._at + name, []).append(message)

    def check(self) -> None:
        """Raise `invalid_input` if any field so far could not be accepted."""
        if self._problems:
            raise invalid_input(self._problems)

    def has(self, name: str) -> bool:
        """Whether the field is there and not null."""
        return self._fields.get(name) is not None

    def _value(self, name: str, required: bool) -> Any:
        value = self._fields.get(name)
        if value is None and required:
            self.fail(name, "Missing data for required field.")
        return value

    def text(
        self,
        name: str,
        *,
        required: bool = False,
        pattern: re.Pattern[str] | None = None,
        choices: Sequence[str] = (),
        maximum: int = 0,
    ) -> str | None:
        """A string, optionally of a form, out of a set, or of a length in characters."""
        value = self._value(name, required)
        if value is None:
            return None
        if not isinstance(value, str):
            self.fail(name, "is not a string")
        elif choices and value not in choices:
            self.fail(name, f"must be one of: {', '.join(choices)}")
        elif pattern and not pattern.fullmatch(value):
            self.fail(name, "has an invalid format")
        elif maximum and len(value) > maximum:
            self.fail(name, f"is too long (maximum is {maximum} characters)")
        else:
            return value
        return None

    def integer(
        self, name: str, *, required: bool = False, low: int | None = None, high: int | None = None
    ) -> int | None:
        """A whole number within bounds."""
        value = self._value(name, required)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool):
            self.fail(name, "is not an integer")
        elif (low is not None and value < low) or (high is not None and value > high):
            self.fail(name, f"must be between {low} and {high}")
        else:
            return value
        return None

    def flag(self, name: str, default: bool | None = None) -> bool | None:
        """True or false."""
        value = self._fields.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.fail(name, "is not a boolean")
            return default
        return value

    def reference(self, name: str, *, required: bool = False) -> str | None:
        """The id or the name of an object, as text."""
        value = self._value(name, required)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
            self.fail(name, "is neither an ID nor a name")
            return None
        return str(value)

    def labels(self) -> dict[str, str] | None:
        """The `labels` field."""
        value = self._fields.get("labels")
        if value is None:
            return None
        if not isinstance(value, dict):
            self.fail("labels", "is not an object")
            return None
        for key, content in value.items():
            problem = problem_with_key(key) or problem_with_value(key, content)
            if problem:
                self.fail("labels", problem)
        return dict(value)

    def strings(self, name: str, *, required: bool = False) -> list[str] | None:
        """A list of strings."""
        return cast("list[str] | None", self._list(name, str, "strings", required))

    def integers(self, name: str) -> list[int]:
        """A list of ids; an absent one is empty."""
        return cast("list[int]", self._list(name, int, "integers", False) or [])

    def references(self, name: str) -> list[str]:
        """A list of ids or names, as text; an absent one is empty."""
        return [str(item) for item in self._list(name, (int, str), "IDs or names", False) or []]

    def _list(
        self, name: str, types: type | tuple[type, ...], noun: str, required: bool
    ) -> list[Any] | None:
        value = self._value(name, required)
        if value is None:
            return None
        if not isinstance(value, list) or any(
            isinstance(item, bool) or not isinstance(item, types) for item in value
        ):
            self.fail(name, f"is not a list of {noun}")
            return None
        return list(value)

    def child(self, name: str) -> Body | None:
        """A nested object; its problems are reported with those of this body."""
        value = self._fields.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            self.fail(name, "is not an object")
            return None
        return Body(value, f"{self._at}{name}.", self._problems)

    def children(self, name: str, *, required: bool = False) -> list[Body]:
        """A list of nested objects; an absent one is empty."""
        items = self._list(name, dict, "objects", required) or []
        return [
            Body(item, f"{self._at}{name}.{i}.", self._problems) for i, item in enumerate(items)
        ]
