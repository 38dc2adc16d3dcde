"""Errors inside callbacks, in the one form that Pulumi shows without a traceback."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import pulumi

from .errors import OxideError, without_values

_LONGEST = 400

_P = ParamSpec("_P")
_R = TypeVar("_R")


def told(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """The same function for `apply`: its OxideError reaches the user as one message."""

    def wrapper(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return function(*args, **kwargs)
        except OxideError as error:
            raise pulumi.RunError(str(error)) from None

    return wrapper


def told_if_failed(output: "pulumi.Output[_R]", what: str, way_out: str) -> "pulumi.Output[_R]":
    """
    The same output of a provider's function; its failure reaches the user as one message.

    Args:
        output: What the function returned.
        what: What could not be done, as the start of the message.
        way_out: What to do about it.
    """

    def fail(error: Exception) -> _R:
        # A config that Talos refuses may hold secrets of the user's.
        reason = without_values(str(error))
        if len(reason) > _LONGEST:
            reason = f"{reason[:_LONGEST]}..."
        raise pulumi.RunError(f"{what}: {reason}; {way_out}") from None

    return output.recover(fail)
