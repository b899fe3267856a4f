"""The pytest plugin: a fixture for authors of operations.

It is a module of its own, outside the package: pytest loads it at every start, and importing it must cost
nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.fixture
def assert_matches_torch() -> Callable[..., None]:
    """Return `tinygrad_ninja.check.assert_matches_torch`; the test is skipped where PyTorch is not
    installed."""
    pytest.importorskip("torch", reason="the comparison needs PyTorch, which is not installed")

    from tinygrad_ninja.check import assert_matches_torch as assertion

    return assertion
