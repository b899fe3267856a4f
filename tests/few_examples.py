"""Examples that Hypothesis draws: the same every time, and half as many in a run without the slow tests, for
which conftest.py loads a profile."""

from hypothesis import HealthCheck, settings

DEFAULT = settings.get_profile("default")


def few(examples: int) -> settings:
    """So many examples in a run with the slow tests."""
    return settings(
        max_examples=max(1, examples * settings().max_examples // DEFAULT.max_examples),
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
