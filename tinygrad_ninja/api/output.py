"""The argument `out`: the Tensor that a function writes its result into."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..engine.change import refuse_overlap, refuse_repeated
from ..engine.grad_mode import is_grad_enabled, no_grad
from ..engine.tensor import Tensor
from ..ops import reduction
from .numeric_types import can_cast
from .register import no_tensor

_CAST = """
acos acosh add addcdiv addcmul addr arccos arccosh arcsin arcsinh arctan arctan2 arctanh asin asinh atan
atan2 atanh bernoulli bitwise_and bitwise_or bitwise_xor cat clamp clamp_max clamp_min clip column_stack
concat concatenate cos cosh deg2rad diff div divide dstack eq erf exp exp2 expm1 float_power floor_divide
fmod ge ger greater greater_equal gt hstack hypot le lerp less less_equal log log10 log1p log2 logaddexp
logical_and logical_not logical_or logical_xor logsumexp lt max maximum min minimum mul multiply ne
not_equal outer pow rad2deg reciprocal remainder row_stack rsqrt sigmoid sin sinh sqrt square stack std sub
subtract tan tanh true_divide var vstack where xlogy
""".split()  # noqa: SIM905 - a list would fill a hundred lines
"""The functions whose result is cast to the dtype of `out`."""

_ALIKE = """
abs absolute addbmm addmm addmv all amax amin aminmax any argmax argmin baddbmm bitwise_not bmm bucketize
ceil cross cummax cummin diag dot fix floor frac gather histc histogram index_add index_copy index_select
inner isin kron kthvalue log_softmax logcumsumexp masked_select matmul median mm msort multinomial mv
nan_to_num nanmedian neg negative nonzero norm quantile round scatter scatter_add scatter_reduce searchsorted
sign softmax sort take take_along_dim tensordot topk tril triu trunc vdot
""".split()  # noqa: SIM905 - as above
"""Those for which `out` has to have the dtype of the result."""

_FOLD = "cumprod cumsum mean nanmean nansum prod sum".split()  # noqa: SIM905
_MAKE = "arange empty eye full linspace logspace ones rand randint randn randperm zeros".split()  # noqa: SIM905
"""Those which compute in the dtype of `out`, where they are given none."""

_APART = """
cat column_stack concat concatenate dstack gather ger hstack index_select kthvalue masked_select outer
row_stack stack take take_along_dim vstack
""".split()  # noqa: SIM905 - as above
"""Those for which `out` may not share its memory with an argument."""


_ALONG = "median nanmedian prod sum".split()  # noqa: SIM905
"""Those which take `out` only where they are given a dimension."""


def with_out(functions: Mapping[str, Any]) -> dict[str, Any]:
    """Return the functions by name, those that take `out` in PyTorch as ones that do.

    `out` is a Tensor, or where the result is a tuple of Tensors such a tuple. The result is written into its
    memory; where that has another shape it gets new memory, with a warning unless it was empty. RuntimeError
    where the call would be recorded, and where `out` can't have the dtype of the result.
    """
    takes = {*_CAST, *_ALIKE, *_FOLD, *_MAKE}
    return {name: _with_out(name, f) if name in takes else f for name, f in functions.items()}


def _with_out(name: str, f: Callable[..., Any]) -> Callable[..., Any]:
    casts, apart, makes = name in _CAST, name in _APART, name in _MAKE
    of_its_dtype = makes or name in _FOLD

    @functools.wraps(f)
    def call(*args: Any, out: Any = None, **kwargs: Any) -> Any:
        if out is None:
            return f(*args, **kwargs)
        if name in _ALONG and len(args) < 2 and not {"dim", "axis"} & kwargs.keys():
            raise TypeError(f"{name}(): with out= the argument dim is needed")
        outs = out if isinstance(out, (tuple, list)) else (out,)
        for target in outs:
            if not isinstance(target, Tensor):
                raise no_tensor(name, "out", target)
            refuse_repeated(target.array)
            if apart:
                _refuse_shared(target, (*args, *kwargs.values()))
        refuses = name == reduction.mean.name and _integral(*args, **kwargs)
        if of_its_dtype and not refuses:
            kwargs.setdefault("dtype", outs[0].dtype)
        result = f(*args, **kwargs)
        results = (result,) if isinstance(result, Tensor) else result
        if len(outs) != len(results) or isinstance(out, Tensor) is not isinstance(result, Tensor):
            raise TypeError(f"{name}(): argument 'out' must be as the result: {len(results)} Tensors")
        for x, target in zip(results, outs, strict=True):
            _check(name, x, target, casts and isinstance(out, Tensor))
        with no_grad():
            for x, target in zip(results, outs, strict=True):
                _write(x, target, quietly=makes)
        return out if isinstance(out, Tensor) else type(result)(*outs)

    return call


def _integral(input: Any, *args: Any, **kwargs: Any) -> bool:
    return isinstance(input, Tensor) and not input.is_floating_point()


def _refuse_shared(out: Tensor, arguments: tuple[Any, ...]) -> None:
    """Raise RuntimeError where `out` shares memory with a Tensor among the arguments, or in a list there."""
    for argument in arguments:
        for x in argument if isinstance(argument, (tuple, list)) else (argument,):
            if isinstance(x, Tensor):
                refuse_overlap(x is out or np.may_share_memory(x.array, out.array))


def _check(name: str, result: Tensor, out: Tensor, casts: bool) -> None:
    """Raise RuntimeError where `out` can't take the result."""
    if is_grad_enabled() and (result.requires_grad or out.requires_grad):
        raise RuntimeError(
            f"{name}(): functions with out=... arguments don't support automatic differentiation, but one of "
            f"the arguments requires grad."
        )
    if result.dtype is not out.dtype and not (casts and can_cast(result.dtype, out.dtype)):
        raise RuntimeError(f"{name}(): a result of {result.dtype} can't be written to out of {out.dtype}")


def _write(result: Tensor, out: Tensor, quietly: bool) -> None:
    if out.shape == result.shape:
        out.copy_(result)
        return
    if out.numel() and not quietly:
        warnings.warn(
            f"An output with one or more elements was resized since it had shape {list(out.shape)}, which "
            f"does not match the required output shape {list(result.shape)}.",
            stacklevel=3,
        )
    out.data = result.to(out.dtype).clone()
