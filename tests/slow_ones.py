"""Parameters of a test of which a run without the slow tests takes some only."""

from collections.abc import Iterable
from typing import Any

import pytest


def slow_but(parameters: Iterable[Any], *quick: Any) -> list[Any]:
    """The parameters, all but those that are named marked as slow: they show again what these show."""
    every = list(parameters)
    assert all(each in every for each in quick)
    return [pytest.param(each, marks=[pytest.mark.slow] * (each not in quick)) for each in every]
