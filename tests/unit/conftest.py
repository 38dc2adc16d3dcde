"""Property tests draw the same examples everywhere and are not timed: a busy machine is no failure."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "oxide", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("oxide")
