"""The rate limit: a bucket that refills evenly."""

from __future__ import annotations

import math
from collections.abc import Callable


class Bucket:
    """Requests that one token has left.

    Args:
        per_hour: size of the bucket and what flows in within an hour; 0 never runs out.
        monotonic: seconds that only grow.
        wall: seconds since 1970.
    """

    def __init__(
        self, per_hour: int, monotonic: Callable[[], float], wall: Callable[[], float]
    ) -> None:
        self._size = per_hour
        self._monotonic = monotonic
        self._wall = wall
        self._left = float(per_hour)
        self._seen = monotonic()

    def take(self) -> bool:
        """Use one request up. False: none was left."""
        if not self._size:
            return True
        now = self._monotonic()
        self._left = min(self._size, self._left + (now - self._seen) * self._size / 3600)
        self._seen = now
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def headers(self) -> dict[str, str]:
        """The RateLimit headers; the reset, in seconds since 1970, is when the bucket is full."""
        if not self._size:
            return {}
        refill = (self._size - self._left) * 3600 / self._size
        return {
            "RateLimit-Limit": str(self._size),
            "RateLimit-Remaining": str(int(self._left)),
            "RateLimit-Reset": str(math.ceil(self._wall() + refill)),
        }
