"""An assertion for authors of operations: values and derivatives are PyTorch's."""

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
    """Raise AssertionError unless `fn(torch, *inputs)` gives the same under PyTorch and under this engine.

    Compared are the values, shapes and dtypes of its outputs, and the derivatives up to `order` of their sum,
    weighted by random numbers, with respect to every floating point input. fn returns a Tensor or several, of
    any shape. The message names all that differs.

    device, dtype, and the errors: as for `compare`.
    rtol, atol: as for `Comparison.ok`. Where None, both are RTOL's value for the least precise dtype; atol
        too, because a derivative may be zero where its terms are not.
    """
    __tracebackhide__ = True  # pytest then shows the line that called this
    for n in range(1, order + 1):
        comparison = compare(_derivative(fn, n), *inputs, device=device, dtype=dtype)
        tolerance = max((RTOL.get(row.value.dtype, 0.0) for row in comparison), default=0.0)
        complaints = comparison.complaints(
            tolerance if rtol is None else rtol, tolerance if atol is None else atol
        )
        if complaints:
            raise AssertionError(f"derivatives of order {n}:\n" + "\n".join(complaints))
        if all(row.gradient is None for row in comparison):
            return


def _derivative(fn: Callable[..., Any], order: int) -> Callable[..., Any]:
    """Return a function for `compare` whose loss has the derivatives of `fn` of that order as gradients."""

    @functools.wraps(fn)
    def run(module: Any, *inputs: Any) -> dict[str, Any]:
        """Return the outputs by name, for order 1, or the loss alone."""
        result = fn(module, *inputs)
        outputs = list(result) if isinstance(result, (tuple, list)) else [result]
        for output in outputs:
            if not isinstance(output, module.Tensor):
                raise TypeError(
                    f"a Tensor or several must be returned to be compared, not {type(output).__name__}"
                )
        parts = [output for output in outputs if output.requires_grad]
        leaves = [tensor for tensor in inputs if tensor.requires_grad]
        if order == 1:
            named = {f"output {i}": output for i, output in enumerate(outputs)}
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
    for tensor in tensors:
        weight = generator.uniform(0.5, 1.5, tuple(tensor.shape))
        weighted = tensor * module.tensor(weight, dtype=tensor.dtype, device=tensor.device)
        total = total + (weighted.sum() if tensor.ndim else weighted).to(tensors[0].device)
    return total
