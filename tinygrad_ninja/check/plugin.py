"""The pytest plugin: a fixture for those who write operations."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.fixture
def assert_matches_torch() -> Callable[..., None]:
    """`tinygrad_ninja.check.assert_matches_torch`; the test is skipped where PyTorch is not installed."""
    pytest.importorskip("torch", reason="the comparison needs PyTorch, which is not installed")

    from .matching import assert_matches_torch as assertion

    return assertion
