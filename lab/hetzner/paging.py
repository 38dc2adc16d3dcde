"""Lists: filter, order, and cut into pages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from starlette.datastructures import QueryParams as Query

from lab.hetzner.errors import invalid_field
from lab.hetzner.labels import parse_selector

Record = dict[str, Any]

DEFAULT_PAGE = 25
LARGEST_PAGE = 50

__all__ = ["Query", "Record", "narrowed", "ordered", "page_of"]


def narrowed(records: Iterable[Record], query: Query, exact: Sequence[str] = ()) -> list[Record]:
    """The records that the filters of the query leave.

    Args:
        records: objects as stored.
        query: may hold `name`, `label_selector` and the fields in `exact`.
        exact: further fields that may be given several times; a record needs one of the values.
    """
    kept = list(records)
    for field in ("name", *exact):
        if wanted := set(query.getlist(field)):
            kept = [record for record in kept if str(record.get(field)) in wanted]
    selector = query.get("label_selector")
    if selector:
        try:
            matches = parse_selector(selector)
        except ValueError as error:
            raise invalid_field("label_selector", str(error)) from None
        kept = [record for record in kept if matches(record.get("labels") or {})]
    return kept


def ordered(records: list[Record], query: Query, keys: Sequence[str]) -> list[Record]:
    """The records in the order of the `sort` parameters; the first given counts most."""
    result = sorted(records, key=lambda record: record["id"])
    for term in reversed(query.getlist("sort")):
        key, _, direction = term.partition(":")
        if key not in keys or direction not in ("", "asc", "desc"):
            raise invalid_field("sort", f"'{term}' is not a valid sorting")
        numeric = key == "id"
        result.sort(
            key=lambda record: record["id"] if numeric else str(record[key] or ""),
            reverse=direction == "desc",
        )
    return result


def _positive(query: Query, name: str, default: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not text.isdecimal() or int(text) < 1:
        raise invalid_field(name, "must be a positive integer")
    return int(text)


def page_of(records: list[Record], query: Query) -> tuple[list[Record], dict[str, Any]]:
    """One page of the records and the `meta` object that describes it."""
    page = _positive(query, "page", 1)
    size = min(_positive(query, "per_page", DEFAULT_PAGE), LARGEST_PAGE)
    last = max(1, -(-len(records) // size))
    meta = {
        "page": page,
        "per_page": size,
        "previous_page": page - 1 if page > 1 else None,
        "next_page": page + 1 if page < last else None,
        "last_page": last,
        "total_entries": len(records),
    }
    return records[(page - 1) * size : page * size], {"pagination": meta}
