"""How many requests were made, so that tests can bound what a program costs."""

from __future__ import annotations

from collections import Counter
from typing import Any


class Accounting:
    """Counts answered requests by method and path template."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start again from zero."""
        self._requests: Counter[str] = Counter()
        self._statuses: Counter[str] = Counter()

    def count(self, method: str, template: str, status: int) -> None:
        """Note one answer."""
        self._requests[f"{method} {template}"] += 1
        self._statuses[str(status)] += 1

    def summary(self) -> dict[str, Any]:
        """Total, count by request and count by status."""
        return {
            "total": self._requests.total(),
            "requests": dict(self._requests.most_common()),
            "statuses": dict(sorted(self._statuses.items())),
        }
