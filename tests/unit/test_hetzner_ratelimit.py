"""The rate limit of the Hetzner emulator."""

from lab.hetzner.ratelimit import Bucket


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_empties_the_bucket_and_time_refills_it_evenly() -> None:
    clock = Clock()
    bucket = Bucket(3600, clock, lambda: 1000.0 + clock.now)
    assert all(bucket.take() for _ in range(3600))
    assert not bucket.take()
    assert bucket.headers() == {
        "RateLimit-Limit": "3600",
        "RateLimit-Remaining": "0",
        "RateLimit-Reset": "4600",
    }
    clock.now = 2.5
    assert [bucket.take() for _ in range(3)] == [True, True, False]


def test_the_bucket_never_holds_more_than_its_size() -> None:
    clock = Clock()
    bucket = Bucket(2, clock, clock)
    clock.now = 10 * 3600
    assert [bucket.take() for _ in range(3)] == [True, True, False]


def test_without_a_limit_nothing_is_refused_or_announced() -> None:
    bucket = Bucket(0, Clock(), Clock())
    assert all(bucket.take() for _ in range(10_000))
    assert bucket.headers() == {}
