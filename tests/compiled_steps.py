"""What the tests of compiled steps share."""

from typing import Any

import numpy as np


def close(have: Any, want: Any, tolerance: float = 1e-5) -> None:
    """Two Tensors of one shape and dtype, the same to a share of the largest element."""
    a, b = (each.numpy(force=True) for each in (have, want))
    assert (a.shape, a.dtype) == (b.shape, b.dtype)
    np.testing.assert_allclose(
        a, b, rtol=tolerance, atol=tolerance * max(1.0, float(np.abs(b).max(initial=0.0)))
    )
