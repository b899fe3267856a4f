"""Blocks on a diagonal, and all ways to choose elements."""

from __future__ import annotations

import itertools
from typing import Any

from ..arrays import dtypes
from ..engine.tensor import Tensor
from .creation import tensor, zeros
from .joining import cat, list_of_tensors, stack
from .rearranging import meshgrid
from .register import function, method


@function
def block_diag(*tensors: Any) -> Tensor:
    """Return the matrices along the diagonal of one, and zeros elsewhere; a vector counts as one row.

    RuntimeError for more than two dimensions.
    """
    blocks = []
    for x in list_of_tensors(tensors):
        if x.ndim > 2:
            raise RuntimeError(
                f"torch.block_diag: Input tensors must have 2 or fewer dimensions, not {x.ndim}"
            )
        blocks.append(x.reshape(1, -1) if x.ndim < 2 else x)
    if not blocks:
        return zeros(1, 0)
    dtype = dtypes.result_dtype([block.dtype for block in blocks], [], [])
    widths = [block.shape[1] for block in blocks]
    rows = []
    for i, block in enumerate(blocks):
        before, after = (
            zeros(block.shape[0], sum(beside), dtype=dtype, device=block.device)
            for beside in (widths[:i], widths[i + 1 :])
        )
        rows.append(cat([before, block.to(dtype), after], 1))
    return cat(rows)


@function
def cartesian_prod(*tensors: Any) -> Tensor:
    """Return all ways to take one number of each vector, one way a row; of one vector itself.

    RuntimeError for anything but vectors.
    """
    vectors = list_of_tensors(tensors)
    for x in vectors:
        if x.ndim != 1:
            raise RuntimeError(f"Expect a 1D vector, but got shape {list(x.shape)}")
    if len(vectors) == 1:
        return vectors[0]
    return stack([grid.reshape(-1) for grid in meshgrid(*vectors, indexing="ij")], 1)


@method
def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """Return all ways to take `r` elements of a vector in their order, one a row; each as often as one likes
    where `with_replacement`. RuntimeError for anything but a vector, and a negative r."""
    if input.ndim != 1:
        raise RuntimeError(f"Expect a 1D vector, but got shape {list(input.shape)}")
    if r < 0:
        raise RuntimeError(f"Expect a non-negative number, but got {r}")
    if not r:
        return input.new_zeros(0)
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    chosen = list(choose(range(input.shape[0]), r))
    return input[tensor(chosen, dtype=dtypes.int64, device=input.device).reshape(-1, r)]
