"""Gradients checked against finite differences; no other engine is needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..api.creation import tensor
from ..arrays.dtypes import float64
from ..engine.backward import as_list
from ..engine.gradients import grad
from ..engine.tensor import Tensor
from ..rng.draws import randn
from ..rng.generator import Generator

Array = NDArray[np.float64]
Function = Callable[..., Any]


class GradcheckError(RuntimeError):
    """A gradient is not the finite difference; the message names the input, the place and both numbers."""


def gradcheck(
    func: Function,
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:
    """Return whether each gradient of `func(*inputs)` agrees with (f(x + eps) - f(x - eps)) / 2 eps.

    They agree where they differ by at most atol + rtol · |finite difference|. inputs: one or several; the
    Tensors among them that require a gradient are checked, and all floating point ones are computed in
    float64. func: returns one Tensor of float64 or several; integer ones are skipped.

    Raises GradcheckError at the first element that is wrong, or returns False where raise_exception is false;
    ValueError where no input requires a gradient, or an output has a lower precision than float64. The
    interface is that of `torch.autograd.gradcheck`.
    """
    arguments = as_list(inputs)
    checked = _checked_indices(arguments)
    leaves = [_leaf(argument) for argument in arguments]
    outputs = _outputs(func, leaves)
    for i in checked:
        analytic = _gradients(outputs, leaves[i])
        numeric = _differences(func, leaves, i, eps).reshape(analytic.shape)
        mismatches = np.argwhere(~np.isclose(analytic, numeric, rtol, atol))
        if not len(mismatches):
            continue
        if not raise_exception:
            return False
        row, column = (int(index) for index in mismatches[0])
        raise GradcheckError(
            f"input {i} at {_place(row, leaves[i].shape)}, {_describe(column, outputs)}: "
            f"the gradient is {analytic[row, column]!s}, the finite difference {numeric[row, column]!s}"
        )
    return True


def gradgradcheck(
    func: Function,
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:
    """Return whether the second derivatives of `func` are right: `gradcheck` of its gradients.

    The outputs are weighted by random numbers, the same ones every time, which are inputs of the check too,
    numbered after those of func. Arguments and errors are those of `gradcheck`.
    """
    arguments = as_list(inputs)
    checked = _checked_indices(arguments)
    generator = Generator().manual_seed(0)
    weights = [
        randn(output.shape, generator=generator, dtype=float64, device=output.device, requires_grad=True)
        for output in _outputs(func, [_leaf(argument) for argument in arguments])
    ]

    def gradients(*args: Any) -> tuple[Tensor | None, ...]:
        """Return the gradients of the weighted outputs with respect to the checked inputs."""
        outputs = _outputs(func, args[: len(arguments)])
        pairs = [
            (out, w) for out, w in zip(outputs, args[len(arguments) :], strict=True) if out.requires_grad
        ]
        variables = [args[i] for i in checked]
        return grad(
            [out for out, _ in pairs],
            variables,
            [w for _, w in pairs],
            create_graph=True,
            materialize_grads=True,
        )

    return gradcheck(
        gradients, [*arguments, *weights], eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception
    )


def _checked_indices(arguments: Sequence[Any]) -> list[int]:
    indices = [
        i for i, argument in enumerate(arguments) if isinstance(argument, Tensor) and argument.requires_grad
    ]
    if not indices:
        raise ValueError("there is nothing to check: no input requires a gradient")
    return indices


def _leaf(value: Any) -> Any:
    """Return an input as a leaf of its own, in float64; what is no floating point Tensor is returned as it
    is."""
    if not isinstance(value, Tensor) or not value.is_floating_point():
        return value
    leaf = value.detach().to(float64).clone()
    return leaf.requires_grad_(value.requires_grad)


def _outputs(func: Function, args: Sequence[Any]) -> list[Tensor]:
    returned = func(*args)
    results = returned if isinstance(returned, (tuple, list)) else [returned]
    outputs = [output for output in results if isinstance(output, Tensor) and output.is_floating_point()]
    if not outputs:
        raise ValueError("there is nothing to check: the function returned no floating point Tensor")
    for output in outputs:
        if output.dtype is not float64:
            raise ValueError(f"an output is {output.dtype}: finite differences need float64")
    return outputs


def _gradients(outputs: Sequence[Tensor], leaf: Tensor) -> Array:
    """Return the derivative of each output element with respect to each element of the leaf.

    The array has the shape (elements of the leaf, elements of all outputs). An output that requires no
    gradient claims not to depend on the leaf: its derivatives are zeros.
    """
    columns = []
    for out in outputs:
        for k in range(out.numel()):
            column = np.zeros(leaf.shape)
            if out.requires_grad:
                selected = np.zeros(out.numel())
                selected[k] = 1
                weight = tensor(selected.reshape(out.shape), device=out.device)
                (gradient,) = grad(out, leaf, weight, retain_graph=True, materialize_grads=True)
                column = gradient.cpu().numpy()  # type: ignore[union-attr]
            columns.append(column.reshape(-1))
    return np.array(columns).reshape(len(columns), leaf.numel()).T


def _differences(func: Function, leaves: Sequence[Any], i: int, eps: float) -> Array:
    """Return the same derivatives with respect to input i by central differences, in the same layout."""
    values = leaves[i].detach().cpu().numpy()
    rows = []
    for j in range(values.size):
        both = []
        for step in (eps, -eps):
            shifted = values.copy()
            shifted.reshape(-1)[j] += step
            leaf = tensor(shifted, device=leaves[i].device, requires_grad=True)
            outputs = _outputs(func, [*leaves[:i], leaf, *leaves[i + 1 :]])
            both.append(np.concatenate([out.detach().cpu().numpy().reshape(-1) for out in outputs]))
        rows.append((both[0] - both[1]) / (2 * eps))
    return np.array(rows)


def _place(element: int, shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(int(index) for index in np.unravel_index(element, tuple(shape)))


def _describe(position: int, outputs: Sequence[Tensor]) -> str:
    """Return the name of the output, and the index in it, of an element counted through all outputs."""
    for number, out in enumerate(outputs):
        if position < out.numel():
            return f"output {number} at {_place(position, out.shape)}"
        position -= out.numel()
    raise IndexError(position)
