"""Labels: what may be one, and the selector language."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_SET_TERM = re.compile(r"(\S+)\s+(in|notin)\s*\(([^()]*)\)")
_RESERVED = "hetzner.cloud/"

Labels = Mapping[str, str]
Predicate = Callable[[Labels], bool]


def problem_with_key(key: str) -> str | None:
    """Why a label key is not acceptable, or None."""
    if key.startswith(_RESERVED):
        return f"label key '{key}': the prefix '{_RESERVED}' is reserved"
    prefix, slash, name = key.rpartition("/")
    if slash and (len(prefix) > 253 or not _SUBDOMAIN.fullmatch(prefix)):
        return f"label key '{key}': the prefix is not a DNS subdomain"
    if not _NAME.fullmatch(name):
        return f"label key '{key}': 1 to 63 letters, digits, '-', '_' or '.' expected"
    return None


def problem_with_value(key: str, value: object) -> str | None:
    """Why a label value is not acceptable, or None."""
    if not isinstance(value, str):
        return f"label '{key}': the value is not a string"
    if value and not _NAME.fullmatch(value):
        return f"label '{key}': value '{value}' is not 63 letters, digits, '-', '_' or '.' at most"
    return None


def _terms(selector: str) -> list[str]:
    """Split at the commas outside parentheses."""
    terms, depth, start = [], 0, 0
    for at, char in enumerate(selector):
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            terms.append(selector[start:at])
            start = at + 1
    terms.append(selector[start:])
    return [term.strip() for term in terms]


def _checked(key: str, selector: str) -> str:
    key = key.strip()
    if problem_with_key(key) and not key.startswith(_RESERVED):
        raise ValueError(f"invalid label selector '{selector}'")
    return key


def _term(term: str, selector: str) -> Predicate:
    if in_set := _SET_TERM.fullmatch(term):
        key = _checked(in_set[1], selector)
        values = {value.strip() for value in in_set[3].split(",")}
        if in_set[2] == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: key in labels and labels[key] not in values
    for operator in ("!=", "==", "="):
        if operator not in term:
            continue
        left, _, right = term.partition(operator)
        key, value = _checked(left, selector), right.strip()
        if problem_with_value(key, value):
            raise ValueError(f"invalid label selector '{selector}'")
        if operator == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if term.startswith("!"):
        key = _checked(term[1:], selector)
        return lambda labels: key not in labels
    key = _checked(term, selector)
    return lambda labels: key in labels


def parse_selector(selector: str) -> Predicate:
    """A predicate for a selector such as `env=prod,role in (a,b),!old`.

    Raises:
        ValueError: the text is not a selector.
    """
    predicates = [_term(term, selector) for term in _terms(selector)]
    return lambda labels: all(predicate(labels) for predicate in predicates)
