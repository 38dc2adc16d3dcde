"""Helm values of the user: what they say, and what they say nothing about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def find(values: Mapping[str, Any], path: str) -> tuple[str, Any] | None:
    """
    The value at a path, or what stands in place of a mapping above it, with its own path; None where the user says nothing.

    Null says something: to Helm it is the chart's default, in place of whatever Oxide sets.
    """
    value: Any = values
    place: list[str] = []
    for part in path.split("."):
        if not isinstance(value, Mapping):
            break
        if part not in value:
            return None
        value = value[part]
        place.append(part)
    return ".".join(place), value


def as_text(value: object) -> str:
    """Text under which a chart takes two values for one: true and "true"."""
    return str(value).lower()
