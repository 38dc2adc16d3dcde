"""Errors inside callbacks, in the one form that Pulumi shows without a traceback."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import pulumi

from .errors import OxideError

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
