"""An assertion for whoever writes an operation: values and derivatives are PyTorch's."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .compare import RTOL, compare


def assert_matches_torch(
    fn: Callable[..., Any],
    *inputs: Any,
    device: str = "cpu",
    dtype: Any = None,
    rtol: float | None = None,
    atol: float | None = None,
    order: int = 2,
) -> None:
    """AssertionError unless `fn(torch, *inputs)` gives the same under PyTorch and under this engine.

    The same are the values, shapes and dtypes of its outputs, and the derivatives up to `order` of their sum,
    weighted by random numbers, with respect to every floating point input. fn returns a Tensor or several, of
    any shape. The message names all that differs.

    device, dtype, and the errors: as for `compare`.
    rtol, atol: as for `Comparison.ok`. Where None, both are what RTOL has for the least precise dtype; atol,
        because a derivative may be zero of which the terms are not.
    """
    __tracebackhide__ = True  # pytest then shows the line that called this
    for n in range(1, order + 1):
        found = compare(_derivative(fn, n), *inputs, device=device, dtype=dtype)
        least = max((RTOL.get(row.value.dtype, 0.0) for row in found), default=0.0)
        wrong = found.complaints(least if rtol is None else rtol, least if atol is None else atol)
        if wrong:
            raise AssertionError(f"derivatives of order {n}:\n" + "\n".join(wrong))
        if all(row.gradient is None for row in found):
            return


def _derivative(fn: Callable[..., Any], order: int) -> Callable[..., Any]:
    """A function for `compare`, whose loss has the derivatives of `fn` of that order for gradients."""

    @functools.wraps(fn)
    def run(module: Any, *inputs: Any) -> dict[str, Any]:
        result = fn(module, *inputs)
        outputs = list(result) if isinstance(result, (tuple, list)) else [result]
        for each in outputs:
            if not isinstance(each, module.Tensor):
                raise TypeError(
                    f"a Tensor or several must be returned to be compared, not {type(each).__name__}"
                )
        parts = [each for each in outputs if each.requires_grad]
        leaves = [each for each in inputs if each.requires_grad]
        if order == 1:
            named = {f"output {i}": each for i, each in enumerate(outputs)}
            return named | ({"loss": _weighted_sum(module, parts)} if parts else {})
        for _ in range(1, order):
            # Zero times each input: a derivative that does not depend on it is then 0, and not missing.
            total = _weighted_sum(module, [*parts, *(leaf * 0 for leaf in leaves)])
            parts = list(module.autograd.grad(total, leaves, create_graph=True))
        return {"loss": _weighted_sum(module, [*parts, *(leaf * 0 for leaf in leaves)])}

    return run


def _weighted_sum(module: Any, tensors: Sequence[Any]) -> Any:
    generator = np.random.default_rng(0)
    total = 0
    for each in tensors:
        weight = generator.uniform(0.5, 1.5, tuple(each.shape))
        weighted = each * module.tensor(weight, dtype=each.dtype, device=each.device)
        total = total + (weighted.sum() if each.ndim else weighted).to(tensors[0].device)
    return total
