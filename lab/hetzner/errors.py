"""The error answers of the API, with the codes and statuses of its documentation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


class ApiError(Exception):
    """An answer other than success.

    Args:
        status: HTTP status.
        code: machine-readable code, as documented.
        message: one sentence for people.
        details: object whose shape depends on the code.
    """

    def __init__(
        self, status: int, code: str, message: str, details: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = details

    def body(self) -> dict[str, Any]:
        """The JSON document that goes to the client."""
        return {"error": {"code": self.code, "message": self.message, "details": self.details}}


def invalid_input(problems: Mapping[str, Sequence[str]]) -> ApiError:
    """422: fields of the request that cannot be accepted, with the reasons for each."""
    said = "; ".join(f"invalid input in field '{n}': {', '.join(m)}" for n, m in problems.items())
    fields = [{"name": name, "messages": list(messages)} for name, messages in problems.items()]
    return ApiError(422, "invalid_input", said or "invalid input", {"fields": fields})


def invalid_field(name: str, message: str) -> ApiError:
    """422: one field that cannot be accepted."""
    return invalid_input({name: [message]})


def not_found(kind: str, key: object) -> ApiError:
    """404: no such object."""
    return ApiError(404, "not_found", f"{kind.replace('_', ' ')} with ID '{key}' not found")


def no_such_route(path: str) -> ApiError:
    """404: no such endpoint."""
    return ApiError(404, "not_found", f"the requested resource '{path}' could not be found")


def not_unique(kind: str, field: str) -> ApiError:
    """409: a field that must be unique in the project is taken."""
    message = f"{kind.replace('_', ' ')} {field} is already used"
    return ApiError(409, "uniqueness_error", message, {"fields": [{"name": field}]})


def locked(kind: str, key: int) -> ApiError:
    """423: another action is running on the object."""
    return ApiError(423, "locked", f"{kind} {key} is locked by another action")


def conflict(kind: str) -> ApiError:
    """409: another change of the object is under way."""
    return ApiError(409, "conflict", f"{kind} was changed concurrently, please retry")


def protected(kind: str, what: str = "deletion") -> ApiError:
    """423: the object is protected against the request."""
    return ApiError(423, "protected", f"{kind.replace('_', ' ')} {what} is protected")


def limit_exceeded(limits: Iterable[str], message: str) -> ApiError:
    """403: a quota of the project or of the product."""
    details = {"limits": [{"name": name} for name in limits]}
    return ApiError(403, "resource_limit_exceeded", message, details)


def refused(code: str, message: str, status: int = 422) -> ApiError:
    """An operation-specific refusal."""
    return ApiError(status, code, message)
