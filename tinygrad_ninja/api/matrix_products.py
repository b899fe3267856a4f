"""Products of vectors, matrices and batches of them, each by `matmul`, and what is added to them."""

from __future__ import annotations

from typing import Any

from ..arrays import dtypes
from ..engine.tensor import Tensor
from ..ops import elementwise
from .arithmetic import masked_fill
from .creation import tensor
from .forms import alias, in_place, require_tensors
from .matrices import matmul
from .operands import check_fits
from .register import method
from .reshaping import broadcast_to, flatten, unsqueeze
from .sums import sum


def _require_dimensions(name: str, *expected: tuple[str, Any, int]) -> None:
    """Raise TypeError, which names the argument, for what is no Tensor, RuntimeError for one that has another
    number of dimensions."""
    require_tensors(name, **{argument: x for argument, x, _ in expected})
    for argument, x, ndim in expected:
        if x.ndim != ndim:
            raise RuntimeError(f"{name}: {argument} must have {ndim} dimensions, but has {x.ndim}")


@method
def mv(input: Tensor, vec: Tensor) -> Tensor:
    """Return the product of a matrix and a vector, (n, k) and (k): (n). RuntimeError for anything else."""
    _require_dimensions("mv", ("input", input, 2), ("vec", vec, 1))
    return matmul(input, vec)


@method
def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """Return the products of two batches of matrices, (b, n, k) and (b, k, m): (b, n, m). RuntimeError for
    anything else."""
    _require_dimensions("bmm", ("input", input, 3), ("mat2", mat2, 3))
    if input.shape[0] != mat2.shape[0]:
        raise RuntimeError(
            f"batch1 and batch2 must have same number of batches, got {input.shape[0]} and {mat2.shape[0]}"
        )
    return matmul(input, mat2)


@method
def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """Return out[i][j] = input[i] · vec2[j] of two vectors, (n) and (m): (n, m). RuntimeError for anything
    else."""
    _require_dimensions("outer", ("input", input, 1), ("vec2", vec2, 1))
    return elementwise.mul.call(unsqueeze(input, 1), vec2)


alias("outer", "ger")


@method
def inner(input: Tensor, other: Tensor) -> Tensor:
    """Return Σ input · other over the last dimension of both, (…, k) and (…, k), or the product with a number
    of no dimensions. RuntimeError where these sizes differ."""
    require_tensors("inner", other=other)
    if not input.ndim or not other.ndim:
        return elementwise.mul.call(input, other)
    if input.shape[-1] != other.shape[-1]:
        raise RuntimeError(
            f"inner() the last dimension must match on both input tensors but got shapes "
            f"{list(input.shape)} and {list(other.shape)}"
        )
    if other.ndim == 1 or input.ndim == 1:
        return matmul(input, other) if other.ndim == 1 else matmul(other, input)
    product = matmul(flatten(input, 0, -2), flatten(other, 0, -2).mT)
    return product.reshape(*input.shape[:-1], *other.shape[:-1])


@method
def vdot(input: Tensor, other: Tensor) -> Tensor:
    """Return the product of two vectors of one length, of shape (). RuntimeError for anything else."""
    _require_dimensions("vdot", ("input", input, 1), ("other", other, 1))
    return matmul(input, other)


@method
def trace(input: Tensor) -> Tensor:
    """Return the sum of the diagonal of a matrix, of shape (). RuntimeError for anything else, and bools."""
    _require_dimensions("trace", ("input", input, 2))
    if input.dtype is dtypes.bool:
        raise RuntimeError("trace is not implemented for torch.bool")
    return sum(input.diagonal())


def _added(input: Tensor, product: Tensor, beta: Any, alpha: Any) -> Tensor:
    """Return beta · input + alpha · product, of the shape of the product, the numbers in its dtype; a beta of
    0 ignores what the input holds. Raises RuntimeError for unlike dtypes."""
    if input.dtype is not product.dtype:
        raise RuntimeError(f"self and the product must have one dtype, not {input.dtype} and {product.dtype}")
    if not product.dtype.is_floating_point:
        beta, alpha = (bool if product.dtype is dtypes.bool else int)(beta), int(alpha)
    addend = broadcast_to(input, product.shape)
    addend = masked_fill(addend, tensor(True, device=input.device), 0) if beta == 0 else _scaled(addend, beta)
    return elementwise.add.call(addend, _scaled(product, alpha))


def _scaled(x: Tensor, number: Any) -> Tensor:
    """Return number · x, in the dtype of x. RuntimeError where the number is beyond it."""
    check_fits(number, x.dtype)
    return x if number == 1 else elementwise.mul.call(x, bool(number) if x.dtype is dtypes.bool else number)


@in_place
@method
def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """Return beta · input + alpha · mat1 @ mat2, of matrices, with the input broadcast to the product.

    A beta of 0 ignores the input. Raises RuntimeError for other shapes or unlike dtypes.
    """
    _require_dimensions("addmm", ("mat1", mat1, 2), ("mat2", mat2, 2))
    return _added(input, matmul(mat1, mat2), beta, alpha)


@in_place
@method
def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """Return beta · input + alpha · mat @ vec, of a matrix and a vector, as `addmm`."""
    _require_dimensions("addmv", ("mat", mat, 2), ("vec", vec, 1))
    return _added(input, matmul(mat, vec), beta, alpha)


@in_place
@method
def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """Return beta · input + alpha · vec1 ⊗ vec2, of two vectors, as `addmm`.

    Raises RuntimeError for a beta or alpha of another kind than the input's numbers.
    """
    _require_dimensions("addr", ("vec1", vec1, 1), ("vec2", vec2, 1))
    for name, number in (("beta", beta), ("alpha", alpha)):
        if isinstance(number, float) and not input.dtype.is_floating_point:
            raise RuntimeError(
                f"For integral input tensors, argument {name} must not be a floating point number."
            )
        if isinstance(number, bool) and input.dtype is not dtypes.bool:
            raise RuntimeError(f"Boolean {name} only supported for Boolean results.")
    return _added(input, outer(vec1, vec2), beta, alpha)


@in_place
@method
def baddbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """Return beta · input + alpha · batch1 @ batch2, of batches of matrices, as `addmm`."""
    return _added(input, bmm(batch1, batch2), beta, alpha)


@in_place
@method
def addbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """Return beta · input + alpha · Σ batch1 @ batch2 over the batches of matrices, as `addmm`."""
    total = sum(bmm(batch1, batch2), 0, dtype=batch1.dtype)
    return _added(input, total, beta, alpha)
