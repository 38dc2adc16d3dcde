"""What a handler gets and what it returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from lab.hetzner.actions import ActionFailed
from lab.hetzner.bodies import Body
from lab.hetzner.errors import not_found
from lab.hetzner.paging import Query, narrowed, ordered, page_of
from lab.hetzner.project import Project
from lab.hetzner.store import Record, Store

BY_NAME = ("id", "name", "created")
"""What most lists can be sorted by."""


class Reply(NamedTuple):
    """Status and JSON document of an answer."""

    status: int
    body: Mapping[str, Any] | None = None


@dataclass
class Call:
    """One request to the API."""

    project: Project
    params: Mapping[str, Any]
    query: Query
    fields: dict[str, Any] = field(default_factory=dict)
    failure: ActionFailed | None = None
    """How the first action that the request starts ends, if a fault says so."""

    @property
    def store(self) -> Store:
        """The project's objects."""
        return self.project.store

    def body(self) -> Body:
        """The request's JSON object."""
        return Body(self.fields)

    def target(self, kind: str) -> Record:
        """The object that the path names.

        Raises:
            ApiError: not_found.
        """
        return self.store.find(kind, self.params["id"])

    def begin(self, command: str, *subjects: tuple[str, int], **options: Any) -> Record:
        """Start an action; see ActionBoard.begin."""
        return self.begin_several(command, *subjects, **options)[0]

    def begin_several(
        self, command: str, *subjects: tuple[str, int], **options: Any
    ) -> list[Record]:
        """Start an action with a next one; see ActionBoard.begin."""
        failure, self.failure = self.failure, None
        return self.project.board.begin(command, subjects, failure=failure, **options)

    def started(self, *actions: Record, several: bool = False, **more: Any) -> Reply:
        """The answer to a request that started actions."""
        views = [self.project.board.view(action) for action in actions]
        return Reply(201, {"actions": views, **more} if several else {"action": views[0], **more})

    def listing(
        self,
        key: str,
        records: Sequence[Record],
        view: Callable[[Record], Mapping[str, Any]],
        *,
        sort: Sequence[str] = BY_NAME,
        exact: Sequence[str] = (),
    ) -> Reply:
        """The answer to a list request: filtered, ordered, one page."""
        kept = ordered(narrowed(records, self.query, exact), self.query, sort)
        page, meta = page_of(kept, self.query)
        return Reply(200, {key: [view(record) for record in page], "meta": meta})

    def rename(self, kind: str, record: Record, body: Body, name: str | None) -> None:
        """Give the object the name and the labels of an update request."""
        labels = body.labels()
        body.check()
        self.store.require_free_name(kind, name, but=record["id"])
        if name is not None:
            record["name"] = name
        if labels is not None:
            record["labels"] = labels

    def named(self, kind: str, reference: str) -> Record:
        """The object with this name or id.

        Raises:
            ApiError: not_found.
        """
        record = self.store.named(kind, reference)
        if record is None:
            raise not_found(kind, reference)
        return record


Handler = Callable[[Call], Reply]


class Route(NamedTuple):
    """An endpoint. Handlers do not await, so each request is one transaction."""

    method: str
    path: str
    """Behind /v1, with `{id:int}` where an id stands."""
    handler: Handler
