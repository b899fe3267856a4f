"""How an operation is applied to Tensors: computed on their arrays, and recorded.

There is one function for each number of inputs, because this is what every operation pays.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from threading import get_ident
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes
from ..kinds import KINDS, array_dtype, check_device, dtype_of
from ..kinds.numpy_kind import SCALARS
from ..record import Node, paused

if TYPE_CHECKING:
    from .table import Operation

_NUMBERS = frozenset((float, int))

_new = object.__new__
_Tensor: Any = None  # the class, once tensors.py has defined it
_View: Any = None


def attach(tensor: type, view: type) -> None:
    """tensors.py tells which class to wrap results in. The table comes first, so it cannot import it."""
    global _Tensor, _View
    _Tensor, _View = tensor, view


def application(op: Operation) -> Callable[..., Any]:
    """The function that applies the operation to Tensors."""
    if op.variadic:
        return _variadic(op)
    if len(op.inputs) == 1:
        return _view(op) if op.view else _unary(op)
    return _binary(op) if len(op.inputs) == 2 and not op.parameters else _nary(op)


def _wrong(op: Operation, error: Exception, arrays: tuple[Any, ...]) -> Exception:
    """The library's complaint about these arrays, as the exception PyTorch would raise."""
    shapes = ", ".join(str(tuple(a.shape)) if hasattr(a, "shape") else repr(a) for a in arrays)
    kind = IndexError if isinstance(error, IndexError) else RuntimeError
    return kind(f"{op.name}: inputs of shape {shapes}: {error}")


def as_floating(x: Any) -> Any:
    """A Tensor of integers in the default floating point dtype."""
    from .elementwise import cast  # which is an entry of the table itself

    return cast(x, array_dtype(x.array, dtypes.get_default_dtype()))


def align(op: Operation, a: Any, b: Any) -> tuple[Any, Any]:
    """The two operands as the operation takes them: Tensors of one dtype on one device, or one and a number.

    A Tensor of another dtype is cast by a recorded operation. NotImplemented twice where one is no number.
    RuntimeError where the devices differ.
    """
    from .elementwise import cast  # which is an entry of the table itself

    foreign = [each for each in (a, b) if isinstance(each, np.ndarray)]
    a, b = _operand(a), _operand(b)
    if a is NotImplemented or b is NotImplemented:
        return NotImplemented, NotImplemented
    tensors = [each for each in (a, b) if isinstance(each, _Tensor)]
    if all(isinstance(each.array, float) for each in tensors):
        return a, b
    check_device(op.name, [each.array for each in tensors])
    found = [dtype_of(each.array) for each in tensors]
    dims = [d for d, each in zip(found, tensors, strict=True) if each.array.ndim or foreign]
    zero = [d for d, each in zip(found, tensors, strict=True) if not each.array.ndim and not foreign]
    numbers = [dtypes.scalar_dtype(each) for each in (a, b) if not isinstance(each, _Tensor)]
    result = dtypes.result_dtype(dims, zero, numbers)
    of_bools = result is dtypes.bool and (op.name != "pow" or isinstance(b, _Tensor))
    if op.numeric and (of_bools or (op.name in ("sub", "rsub") and dtypes.bool in (*found, *numbers))):
        raise RuntimeError(
            f"{op.name} is not supported with a bool tensor; to invert a mask use `~` or logical_not()"
        )
    if op.floating and not result.is_floating_point:
        result = dtypes.get_default_dtype()
    for each, d in zip(tensors, found, strict=True):
        if d is not result:
            made = cast(each, array_dtype(each.array, result))
            a, b = (made, b) if each is a else (a, made)
    return a, b


def _operand(x: Any) -> Any:
    if isinstance(x, np.generic):  # np.float64 is a float too
        return x.item()
    if isinstance(x, (_Tensor, float, int)):
        return x
    return _tensor(x) if isinstance(x, np.ndarray) else NotImplemented


def _tensor(array: Any) -> Any:
    out = _new(_Tensor)
    out.array = array
    out.edge = None
    return out


def _unary(op: Operation) -> Callable[..., Any]:
    function, takes_xp, differentiable, floating = op.function, op.takes_xp, bool(op.sources), op.floating

    def call(x: Any, *parameters: Any) -> Any:
        array = x.array
        cls = type(array)
        xp = KINDS[cls]
        if floating and xp.is_integral(array):
            x = as_floating(x)
            array = x.array
        try:
            result = function(xp, array, *parameters) if takes_xp else function(array, *parameters)
        except RuntimeWarning:
            result = op.silently(xp, array, *parameters)
        except (ValueError, TypeError, IndexError, OverflowError) as error:
            raise _wrong(op, error, (array,)) from None
        if type(result) is not cls:  # a number of NumPy's, or what was moved to another device
            result = KINDS[type(result)].asarray(result)
        out = _new(_Tensor)
        out.array = result
        edge = x.edge
        if edge is not None and differentiable and (not paused or get_ident() not in paused):
            out.edge = Node(op, (edge,), (result, array) + parameters)  # noqa: RUF005 - unpacking is slower
        else:
            out.edge = None
        return out

    return call


def _binary(op: Operation) -> Callable[..., Any]:
    function, takes_xp, differentiable, broadcasts = op.function, op.takes_xp, bool(op.sources), op.broadcasts

    def call(a: Any, b: Any) -> Any:
        # The common cases, two float arrays of one dtype, or one and a number, are told at once; `align`
        # makes one of them of all others.
        usual = True
        try:
            kind = type(b)
            if kind is not _Tensor and kind in _NUMBERS:
                x = left = array = a.array
                first, y, second = a.edge, b, None
                right = SCALARS[x.dtype][b]
            elif type(a) in _NUMBERS:
                y = right = array = b.array
                x, first, second = a, None, b.edge
                left = SCALARS[y.dtype][a]
            else:
                x = left = array = a.array
                y = right = b.array
                first, second = a.edge, b.edge
                dtype = x.dtype
                usual = dtype is y.dtype and dtype in SCALARS
        except (AttributeError, KeyError):
            usual = False
        if not usual and broadcasts:
            a, b = align(op, a, b)
            if a is NotImplemented:
                return NotImplemented
            x, first = (a.array, a.edge) if isinstance(a, _Tensor) else (a, None)
            y, second = (b.array, b.edge) if isinstance(b, _Tensor) else (b, None)
            left, right = x, y
            array = x if isinstance(a, _Tensor) else y
        cls = type(array)
        try:
            result = function(KINDS[cls], x, y) if takes_xp else function(left, right)
        except RuntimeWarning:
            result = op.silently(KINDS[cls], x, y)
        except (ValueError, TypeError, IndexError, OverflowError) as error:
            raise _wrong(op, error, (x, y)) from None
        if type(result) is not cls:
            result = KINDS[type(result)].asarray(result)
        out = _new(_Tensor)
        out.array = result
        if (
            (first is not None or second is not None)
            and differentiable
            and (not paused or get_ident() not in paused)
        ):
            out.edge = Node(op, (first, second), (result, x, y))
        else:
            out.edge = None
        return out

    return call


def _nary(op: Operation) -> Callable[..., Any]:
    n, forward, broadcasts = len(op.inputs), op.forward, op.broadcasts and len(op.inputs) == 2

    def call(*args: Any) -> Any:
        if broadcasts:
            args = (*align(op, *args[:2]), *args[2:])
        arrays = tuple(each.array if isinstance(each, _Tensor) else each for each in args[:n])
        edges = tuple(each.edge if isinstance(each, _Tensor) else None for each in args[:n])
        parameters = args[n:]
        array = next(each.array for each in args[:n] if isinstance(each, _Tensor))
        xp = KINDS[type(array)]
        try:
            result = forward(xp, *arrays, *parameters)
        except RuntimeWarning:
            result = op.silently(xp, *arrays, *parameters)
        except (ValueError, TypeError, IndexError, OverflowError) as error:
            raise _wrong(op, error, arrays) from None
        out = _tensor(result if type(result) is type(array) else KINDS[type(result)].asarray(result))
        if (
            any(edge is not None for edge in edges)
            and op.sources
            and (not paused or get_ident() not in paused)
        ):
            out.edge = Node(op, edges, (out.array, *arrays, *parameters))
        return out

    return call


def _variadic(op: Operation) -> Callable[..., Any]:
    """For an operation on any number of inputs, such as `cat`: one fixed operation for each number."""

    @lru_cache(maxsize=64)
    def of(n: int) -> Operation:
        (rule,) = op.sources.values()
        fixed = _new(type(op))
        fixed.__dict__.update(op.__dict__, variadic=False, inputs=[f"x{i}" for i in range(n)])
        fixed.function = lambda xp, *args: op.function(
            xp, *args[:n], **dict(zip(op.parameters, args[n:], strict=True))
        )

        def bound(position: int) -> Callable[..., Any]:
            return lambda dout, values: rule(
                KINDS[type(dout)], dout, values[1 : n + 1], *values[n + 1 :], position=position
            )

        fixed.rules, fixed._reads = [bound(i) for i in range(n)], [set() for _ in range(n)]
        fixed.call = _nary(fixed)
        return fixed

    def call(tensors: Any, *parameters: Any) -> Any:
        return of(len(tensors)).call(*tensors, *parameters)

    return call


def _view(op: Operation) -> Callable[..., Any]:
    """For an operation whose output may share its input's memory: the output then remembers its base, so that
    an assignment through either is seen by the other's history."""
    plain = _unary(op)

    def call(x: Any, *parameters: Any) -> Any:
        out = plain(x, *parameters)
        if paused and get_ident() in paused:
            return out if x.edge is None else out.requires_grad_()
        if type(out.array) is float:
            return out
        view = _new(_View)
        view.array = out.array
        view.base = x
        view.how = (op, parameters)
        view.one_of_several = False
        view._seen = x.edge
        view._edge = out.edge
        return view

    return call
