"""Products of vectors, matrices and batches of them, each by `matmul`, and what is added to them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..arrays import dtypes
from ..engine.tensor import Tensor
from ..ops import elementwise
from .arithmetic import masked_fill
from .creation import tensor
from .dimensions import dimension
from .forms import alias, in_place, require_tensors
from .matrices import matmul
from .operands import check_fits
from .rearranging import roll
from .register import function, method
from .reshaping import broadcast_to, flatten, permute, reshape, unsqueeze
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


@method
def cross(input: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """Return the cross products of vectors of three numbers along `dim`, by default the first dimension of
    size 3, broadcast. RuntimeError where there is none."""
    require_tensors("cross", other=other)
    if input.ndim != other.ndim:
        raise RuntimeError(
            f"inputs must have the same number of dimensions, got {input.ndim} and {other.ndim}"
        )
    shape = input.shape if dim is None else np.broadcast_shapes(input.shape, other.shape)
    first = next((i for i, n in enumerate(shape) if n == 3), None)
    axis = first if dim is None else dimension(dim, input.ndim)
    if axis is None:
        raise RuntimeError("no dimension of size 3 in input")
    if input.shape[axis] != 3 or other.shape[axis] != 3:
        raise RuntimeError(f"inputs dimension {axis} must have length 3")
    after, before = (lambda x: roll(x, -1, axis)), (lambda x: roll(x, 1, axis))
    return after(input) * before(other) - before(input) * after(other)


@function
def tensordot(a: Tensor, b: Tensor, dims: Any = 2) -> Tensor:
    """Return the sums of products over some dimensions of both: the last of a and the first of b, `dims`
    many, or those that a pair of lists names. RuntimeError where their sizes differ."""
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        if dims > min(a.ndim, b.ndim):
            raise RuntimeError(f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims}")
        of_a, of_b = list(range(a.ndim - dims, a.ndim)), list(range(dims))
    else:
        if not isinstance(dims, (tuple, list)) or len(dims) != 2:
            raise RuntimeError(f"tensordot expects dims to be int or a pair of lists, but got dims={dims}")
        of_a, of_b = (
            [dimension(dim, x.ndim) for dim in ([each] if isinstance(each, int) else each)]
            for x, each in zip((a, b), dims, strict=True)
        )
    for i, j in zip(of_a, of_b, strict=True):
        if a.shape[i] != b.shape[j]:  # where one is 1, the other is summed
            if 1 not in (a.shape[i], b.shape[j]):
                raise RuntimeError(
                    f"contracted dimensions need to match, but first has size {a.shape[i]} in dim {i} and "
                    f"second has size {b.shape[j]} in dim {j}"
                )
            a, b = (a, _total(b, j)) if a.shape[i] == 1 else (_total(a, i), b)
    rest_a = [i for i in range(a.ndim) if i not in of_a]
    rest_b = [i for i in range(b.ndim) if i not in of_b]
    n = math.prod(a.shape[i] for i in of_a)
    left = reshape(permute(a, *rest_a, *of_a), math.prod(a.shape[i] for i in rest_a), n)
    right = reshape(permute(b, *of_b, *rest_b), n, math.prod(b.shape[i] for i in rest_b))
    return reshape(matmul(left, right), *[a.shape[i] for i in rest_a], *[b.shape[i] for i in rest_b])


def _total(x: Tensor, dim: int) -> Tensor:
    return sum(x, dim, True, dtype=x.dtype)


@method
def kron(input: Tensor, other: Tensor) -> Tensor:
    """Return the Kronecker product: each element of `input` times all of `other`, in its place. The one of
    fewer dimensions gets others of size 1 in front."""
    require_tensors("kron", other=other)
    n = max(input.ndim, other.ndim)
    a = (1,) * (n - input.ndim) + tuple(input.shape)
    b = (1,) * (n - other.ndim) + tuple(other.shape)
    wide = reshape(input, *(size for each in a for size in (each, 1)))
    return reshape(
        elementwise.mul.call(wide, reshape(other, *(size for each in b for size in (1, each)))),
        *(p * q for p, q in zip(a, b, strict=True)),
    )
