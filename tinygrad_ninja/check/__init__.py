"""Checks of the engine: comparison with PyTorch, and finite differences.

PyTorch is imported by the first comparison, not by this package.
"""

from ..utils.finite import GradcheckError, gradcheck, gradgradcheck
from .by_hand import ByHand
from .compare import Comparison, Difference, Row, compare
from .matching import assert_matches_torch
from .optimized import check_optimized

__all__ = [
    "ByHand",
    "Comparison",
    "Difference",
    "GradcheckError",
    "Row",
    "assert_matches_torch",
    "check_optimized",
    "compare",
    "gradcheck",
    "gradgradcheck",
]
