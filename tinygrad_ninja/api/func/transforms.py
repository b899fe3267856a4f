"""Derivatives of functions: each takes a function, and returns a function or a derivative."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from ...engine.tensor import Tensor
from ..creation import eye, ones_like, zeros
from ..joining import stack
from .call import Argnums, Call, positions, pull
from .nested import filled, matching


def grad_and_value(
    func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False
) -> Callable[..., tuple[Any, Any]]:
    """Return a function that returns (gradient, value) of `func`, which returns a Tensor of shape ().

    argnums: the argument to differentiate, or a tuple of arguments, which makes the gradient a tuple; a
    gradient has the structure, shapes and dtypes of its argument. has_aux: `func` returns (output, aux), and
    the result is (gradient, (value, aux)). Calling the result raises RuntimeError where func does not return
    a Tensor of shape (), or an argument has no floating point dtype.
    """

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        call = Call(func, args, positions(argnums, len(args)), has_aux, kwargs)
        value = call.output
        if not isinstance(value, Tensor) or value.ndim:
            description = (
                f"one of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            )
            raise RuntimeError(
                f"grad: the function must return a scalar Tensor, not {description}; see vjp and jacrev"
            )
        slopes = call.by_argument(call.pull([ones_like(value)], call.nested), argnums)
        return slopes, call.detach_unless_nested((value, *call.aux) if has_aux else value)

    return wrapper


def grad(func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """Return a function that returns the gradient of `func`; with has_aux, (gradient, aux).

    The arguments and errors are those of `grad_and_value`.
    """

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        slopes, value = grad_and_value(func, argnums, has_aux)(*args, **kwargs)
        return (slopes, value[1]) if has_aux else slopes

    return wrapper


def vjp(func: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """Return (output, vjp_fn), or (output, vjp_fn, aux) where has_aux says that `func` returns (output, aux).

    `vjp_fn(cotangents)` takes Tensors in the structure and shapes of the output, and returns a tuple with the
    product of the cotangents with the Jacobian, cotangentᵀ · J, for each of the primals. It may be called
    again. Raises RuntimeError where an output has no floating point dtype, or the cotangents do not fit it.
    """
    call = Call(func, primals, range(len(primals)), has_aux)
    call.require_floating("vjp")

    def vjp_fn(cotangents: Any) -> tuple[Any, ...]:
        """Return the product cotangentᵀ · J for each primal."""
        weights = matching(cotangents, call.output, "cotangents")
        products: tuple[Any, ...] = call.by_argument(call.pull(weights, call.records(weights)), ())
        return products

    return (call.detach_unless_nested(call.output), vjp_fn, *call.detach_unless_nested(call.aux))


def jvp(
    func: Callable[..., Any], primals: tuple[Any, ...], tangents: tuple[Any, ...], *, has_aux: bool = False
) -> Any:
    """Return (output, J · tangents), and aux as the third where has_aux says that `func` returns (output,
    aux).

    primals: a tuple, the arguments of `func`; tangents: of the same structure and shapes. The product has the
    structure and shapes of the output. It takes two passes backward, so it costs about twice a `vjp`. Raises
    RuntimeError where the tangents do not fit.
    """
    if not isinstance(primals, tuple) or not primals:
        raise RuntimeError("jvp: primals must be a tuple of the function's arguments, at least one")
    call = Call(func, primals, range(len(primals)), has_aux)
    directions = matching(tangents, primals, "tangents")
    weights, slopes = call.transposed()
    products = filled(call.output, pull(slopes, weights, directions, call.records(directions)))
    return (call.detach_unless_nested(call.output), products, *call.detach_unless_nested(call.aux))


def jacrev(func: Callable[..., Any], argnums: Argnums = 0, *, has_aux: bool = False) -> Callable[..., Any]:
    """Return a function that returns the Jacobian of `func`, by one pass backward for each output element.

    For an output of shape (…) and an argument of shape (---) its shape is (…, ---). It has the structure of
    the output, and within that the structure of `grad`'s result; with has_aux the result is (Jacobian, aux).
    Calling it raises RuntimeError where an output has no floating point dtype.
    """
    return _jacobian_of(func, argnums, has_aux, _by_rows)


def jacfwd(func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """Return `jacrev` of `func`, by one pass for each input element: less work where there are fewer of
    those."""
    return _jacobian_of(func, argnums, has_aux, _by_columns)


def _jacobian_of(
    func: Callable[..., Any],
    argnums: Argnums,
    has_aux: bool,
    blocks_of: Callable[[Call], list[list[Tensor]]],
) -> Callable[..., Any]:
    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        call = Call(func, args, positions(argnums, len(args)), has_aux, kwargs)
        call.require_floating("Jacobian")
        jacobian = filled(call.output, (call.by_argument(blocks, argnums) for blocks in blocks_of(call)))
        return (jacobian, *call.detach_unless_nested(call.aux)) if has_aux else jacobian

    return wrapper


def _by_rows(call: Call) -> list[list[Tensor]]:
    return _blocks(call.outputs, call.inputs, call.nested)


def _by_columns(call: Call) -> list[list[Tensor]]:
    """Return the blocks of the Jacobian, computed as the rows of the transposed map."""
    weights, slopes = call.transposed()
    transposed = _blocks(slopes, weights, call.nested)
    return [
        [_move_to_end(transposed[j][i], tensor.ndim) for j, tensor in enumerate(call.inputs)]
        for i in range(len(call.outputs))
    ]


def _move_to_end(block: Tensor, n: int) -> Tensor:
    """Return the block with its first n dimensions moved to the end."""
    moved: Tensor = block.permute(*range(n, block.ndim), *range(n))
    return moved


def _blocks(outputs: Sequence[Tensor], inputs: Sequence[Tensor], recorded: bool) -> list[list[Tensor]]:
    """Return, for each output and each input, d output / d input, of shape (*output.shape, *input.shape)."""
    result = []
    for output in outputs:
        n, shape = output.numel(), tuple(output.shape)
        basis = eye(n, dtype=output.dtype, device=output.device).reshape(n, *shape)
        rows = [pull([output], inputs, [basis[i]], recorded) for i in range(n)]
        result.append([_stacked([row[j] for row in rows], shape, tensor) for j, tensor in enumerate(inputs)])
    return result


def _stacked(rows: list[Tensor], lead: tuple[int, ...], like: Tensor) -> Tensor:
    shape = (*lead, *like.shape)
    return stack(rows).reshape(shape) if rows else zeros(shape, dtype=like.dtype, device=like.device)


def hessian(func: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """Return a function that returns the second derivatives of `func`: the Jacobian of its Jacobian.

    For an output of shape (…) and an argument of shape (---) the shape is (…, ---, ---); errors as for
    `jacrev`.
    """
    return jacrev(jacrev(func, argnums), argnums)
