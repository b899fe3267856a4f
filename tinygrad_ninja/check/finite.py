"""Gradients checked against finite differences: no other engine is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import Generator, autograd, float64, randn, tensor
from ..tensors import Tensor

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
    """Whether each gradient of `func(*inputs)` is (f(x + eps) - f(x - eps)) / 2 eps, to atol + rtol · |that|.

    inputs: one or several; the Tensors among them that require a gradient are checked, and all floating point
    ones are taken in float64. func: returns one Tensor of float64 or several; integers are passed over.

    Raises GradcheckError at the first element that is wrong, or returns False where raise_exception is false;
    ValueError where no input requires a gradient, or an output is in a lower precision than float64.
    The interface is that of `torch.autograd.gradcheck`.
    """
    given = _listed(inputs)
    checked = _checked(given)
    leaves = [_leaf(each) for each in given]
    outputs = _outputs(func, leaves)
    for i in checked:
        analytic = _gradients(outputs, leaves[i])
        numeric = _differences(func, leaves, i, eps).reshape(analytic.shape)
        wrong = np.argwhere(~np.isclose(analytic, numeric, rtol, atol))
        if not len(wrong):
            continue
        if not raise_exception:
            return False
        element, place = (int(each) for each in wrong[0])
        raise GradcheckError(
            f"input {i} at {_place(element, leaves[i].shape)}, {_named(place, outputs)}: "
            f"the gradient is {analytic[element, place]!s}, the finite difference {numeric[element, place]!s}"
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
    """`gradcheck` of the gradients of `func`: whether its second derivatives are right.

    The outputs are weighted by random numbers, the same ones every time, which are inputs of the check too,
    numbered after those of func. Arguments and errors are those of `gradcheck`.
    """
    given = _listed(inputs)
    checked = _checked(given)
    generator = Generator().manual_seed(0)
    weights = [
        randn(each.shape, generator=generator, dtype=float64, device=each.device, requires_grad=True)
        for each in _outputs(func, [_leaf(each) for each in given])
    ]

    def gradients(*args: Any) -> tuple[Tensor | None, ...]:
        outputs = _outputs(func, args[: len(given)])
        pairs = [(out, w) for out, w in zip(outputs, args[len(given) :], strict=True) if out.requires_grad]
        sought = [args[i] for i in checked]
        return autograd.grad(
            [out for out, _ in pairs],
            sought,
            [w for _, w in pairs],
            create_graph=True,
            materialize_grads=True,
        )

    return gradcheck(
        gradients, [*given, *weights], eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception
    )


def _listed(inputs: Any) -> list[Any]:
    return [inputs] if isinstance(inputs, Tensor) else list(inputs)


def _checked(given: Sequence[Any]) -> list[int]:
    found = [i for i, each in enumerate(given) if isinstance(each, Tensor) and each.requires_grad]
    if not found:
        raise ValueError("there is nothing to check: no input requires a gradient")
    return found


def _leaf(given: Any) -> Any:
    """An input on its own, in float64."""
    if not isinstance(given, Tensor) or not given.is_floating_point():
        return given
    leaf = given.detach().to(float64).clone()
    return leaf.requires_grad_(given.requires_grad)


def _outputs(func: Function, args: Sequence[Any]) -> list[Tensor]:
    returned = func(*args)
    several = returned if isinstance(returned, (tuple, list)) else [returned]
    found = [each for each in several if isinstance(each, Tensor) and each.is_floating_point()]
    if not found:
        raise ValueError("there is nothing to check: the function returned no floating point Tensor")
    for each in found:
        if each.dtype is not float64:
            raise ValueError(f"an output is {each.dtype}: finite differences need float64")
    return found


def _gradients(outputs: Sequence[Tensor], leaf: Tensor) -> Array:
    """The derivative of each element of the outputs by each element of the leaf: (leaf's, outputs').

    An output that requires no gradient claims not to depend on the leaf: its derivatives are zeros.
    """
    columns = []
    for out in outputs:
        for k in range(out.numel()):
            column = np.zeros(leaf.shape)
            if out.requires_grad:
                chosen = np.zeros(out.numel())
                chosen[k] = 1
                weight = tensor(chosen.reshape(out.shape), device=out.device)
                (found,) = autograd.grad(out, leaf, weight, retain_graph=True, materialize_grads=True)
                column = found.cpu().numpy()  # type: ignore[union-attr]
            columns.append(column.reshape(-1))
    return np.array(columns).reshape(len(columns), leaf.numel()).T


def _differences(func: Function, leaves: Sequence[Any], i: int, eps: float) -> Array:
    """The same derivatives with respect to input i by central differences, in the same layout."""
    values = leaves[i].detach().cpu().numpy()
    rows = []
    for j in range(values.size):
        both = []
        for step in (eps, -eps):
            moved = values.copy()
            moved.reshape(-1)[j] += step
            leaf = tensor(moved, device=leaves[i].device, requires_grad=True)
            found = _outputs(func, [*leaves[:i], leaf, *leaves[i + 1 :]])
            both.append(np.concatenate([out.detach().cpu().numpy().reshape(-1) for out in found]))
        rows.append((both[0] - both[1]) / (2 * eps))
    return np.array(rows)


def _place(element: int, shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(int(each) for each in np.unravel_index(element, tuple(shape)))


def _named(place: int, outputs: Sequence[Tensor]) -> str:
    """The output, and the place in it, of an element counted through all of them."""
    for number, out in enumerate(outputs):
        if place < out.numel():
            return f"output {number} at {_place(place, out.shape)}"
        place -= out.numel()
    raise IndexError(place)
