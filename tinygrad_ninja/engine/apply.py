"""How an operation is applied to Tensors: computed on their arrays, and recorded for backward."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from threading import get_ident
from typing import Any

import numpy as np
from numpy import ndarray

from ..arrays.dispatch import NAMESPACES
from ..arrays.dtypes import plain_number
from ..arrays.numpy_memory import FLOATS, arranged
from ..ops.operation import Operation, apply_with
from .grad_mode import is_grad_enabled, paused
from .hook import observers, observing
from .node import Node
from .promotion import as_numbers, promote
from .tensor import Tensor, bare
from .view import View

_NUMBERS = frozenset((float, int))
_LARGE = 2.0**62  # a number beyond goes the general way, which refuses integers of more than 64 bits
_COMPLAINTS = (RuntimeWarning, FloatingPointError)  # NumPy's warnings, made errors
_UNUSUAL = (*_COMPLAINTS, AttributeError, KeyError, ValueError, TypeError, IndexError, OverflowError)
_new = object.__new__


def application(op: Operation) -> Callable[..., Any]:
    """Return the function that applies the operation to Tensors: `call(*inputs, *parameters)`.

    It computes on the arrays of the inputs, wraps the result in a Tensor and, where an input requires a
    gradient, records a node. There is a fast path for one input and for two, which takes the arrays as they
    are; what it can't take goes the general way, which converts, and says what is wrong.
    """
    if op.variadic:
        return _variadic(op)
    general = _general(op)
    if len(op.inputs) == 1 and not op.floats:
        return _of_one(op, general)
    return _of_two(op, general) if len(op.inputs) == 2 and not op.parameters else general


def _of_one(op: Operation, general: Callable[..., Any]) -> Callable[..., Any]:
    function, takes_xp, view, recorded = op.function, op.takes_xp, op.view, op.recorded
    of_floats = op.floating or op.numeric

    def call(x: Any, *parameters: Any) -> Any:
        if observers:
            return general(x, *parameters)
        try:
            array = x._array
            xp = NAMESPACES[type(array)]
            if of_floats and xp.is_integral(array):
                return general(x, *parameters)
            result = function(xp, array, *parameters) if takes_xp else function(array, *parameters)
        except _UNUSUAL:
            return general(x, *parameters)
        if type(result) is not ndarray:
            result = NAMESPACES[type(result)].asarray(result)
        elif op.contiguous and not result.flags.c_contiguous:
            result = np.asarray(result, order="C")
        out = _new(Tensor)
        out._array = result
        edge = x.edge
        if edge is None or not recorded or (paused and get_ident() in paused):
            out.edge = None
        else:
            out.edge = Node(op, (edge,), (result, array, *parameters))
        return View.of(out, op, x, parameters) if view else out

    return call


def _of_two(op: Operation, general: Callable[..., Any]) -> Callable[..., Any]:
    function, takes_xp, broadcasts, recorded = op.function, op.takes_xp, op.broadcasts, op.recorded

    def call(a: Any, b: Any) -> Any:
        if observers:
            return general(a, b)
        try:
            x, first = (a, None) if type(a) in _NUMBERS and -_LARGE < a < _LARGE else (a._array, a.edge)
            y, second = (b, None) if type(b) in _NUMBERS and -_LARGE < b < _LARGE else (b._array, b.edge)
            array = y if x is a else x
            if broadcasts and (array.dtype not in FLOATS or not (x is a or y is b or y.dtype is x.dtype)):
                return general(a, b)  # which promotes one to the dtype of the other
            result = function(NAMESPACES[type(array)], x, y) if takes_xp else function(x, y)
        except _UNUSUAL:
            return general(a, b)
        if type(result) is not ndarray:
            result = NAMESPACES[type(result)].asarray(result)
        elif broadcasts and not array.flags.c_contiguous:
            result = laid_out(op, result, (x, y))
        out = _new(Tensor)
        out._array = result
        if (first is None and second is None) or not recorded or (paused and get_ident() in paused):
            out.edge = None
        else:
            out.edge = Node(op, (first, second), (result, x, y))
        return out

    return call


def _general(op: Operation) -> Callable[..., Any]:
    """Return the function for any number of inputs, of any kind and dtype."""
    n = len(op.inputs)

    def call(*args: Any) -> Any:
        if observers and (observer := observing()):
            args = observer.arguments(op.autocast, args)
        if op.promotes:
            args = (*promote(op, *args[:2]), *args[2:])
            if args[0] is NotImplemented:
                return NotImplemented
        elif n == 1 and (op.floating or op.numeric) and isinstance(args[0], Tensor):
            args = (as_numbers(op, args[0]), *args[1:])
        if op.floats:
            args = tuple(map(plain_number, args))  # NumPy's would decide the result's dtype
        arrays = tuple([x.array if isinstance(x, Tensor) else x for x in args])
        edges = tuple([x.edge if isinstance(x, Tensor) else None for x in args[:n]])
        tensor = next((x for x in args[:n] if isinstance(x, Tensor)), None)
        if tensor is None:
            raise TypeError(f"{op.name}(): expected a Tensor, not {type(args[0]).__name__}")
        xp = NAMESPACES[type(tensor.array)]
        try:
            result = quietly(op.forward, xp, *arrays)
        except (ValueError, TypeError, IndexError, OverflowError) as error:
            raise _explained(op, error, arrays[:n]) from None
        if type(result) is ndarray:
            result = laid_out(op, result, arrays)
        elif op.contiguous and isinstance(result, ndarray) and not result.flags.c_contiguous:
            result = xp.copy(result, True)  # a kind of array that records
        else:
            result = NAMESPACES[type(result)].asarray(result)
        if observers and not op.view and (observer := observing()):
            observer.computed(result, arrays)
        out = bare(result)
        if op.recorded and is_grad_enabled() and any(edge is not None for edge in edges):
            out.edge = Node(op, edges, (result, *arrays))
        return View.of(out, op, args[0], args[1:]) if op.view else out

    return call


def quietly(compute: Callable[..., Any], *args: Any) -> Any:
    """Return compute(*args), in which infinities may meet; where the caller made errors of NumPy's warnings,
    compute it once more without them."""
    try:
        return compute(*args)
    except _COMPLAINTS:
        with np.errstate(all="ignore"):
            return compute(*args)


def _explained(op: Operation, error: Exception, arrays: tuple[Any, ...]) -> Exception:
    """Return the array library's complaint about these inputs as the exception that PyTorch would raise."""
    shapes = ", ".join(str(tuple(x.shape)) if hasattr(x, "shape") else repr(x) for x in arrays)
    kind = IndexError if isinstance(error, IndexError) else RuntimeError
    return kind(f"{op.name}: inputs of shape {shapes}: {error}")


def laid_out(op: Operation, result: Any, arrays: tuple[Any, ...]) -> Any:
    """Return the result in memory as PyTorch would have it."""
    if op.contiguous:
        return np.asarray(result, order="C")
    n = len(op.inputs)
    operands = [x for x in (*arrays[n:], *arrays[:n]) if type(x) is ndarray] if op.broadcasts else []
    if len(operands) < 2 or all(x.flags.c_contiguous for x in operands):
        return result  # NumPy does what PyTorch does
    return arranged(result, *operands)


def _variadic(op: Operation) -> Callable[..., Any]:
    """Return the function for any number of inputs in a list, as of `cat`: an operation for each number."""
    of = lru_cache(maxsize=64)(op.for_inputs)

    def call(tensors: Any, *parameters: Any) -> Any:
        return of(len(tensors)).call(*tensors, *parameters)

    return call


apply_with(application)
