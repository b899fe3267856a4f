"""How an operation is applied to Tensors: computed on their arrays, and recorded.

There is a short way for one input, and for two that are alike or of which one is a number: this is what every
operation pays. The long way does all the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from threading import get_ident
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import ascontiguousarray, ndarray  # noqa: F401 - for the texts below

from .. import dtypes
from ..hook import observers, observing
from ..kinds import KINDS, array_dtype, check_device, dtype_of, numpy_kind  # noqa: F401
from ..kinds.memory import arranged
from ..kinds.numpy_kind import SCALARS  # noqa: F401
from ..record import Node, clock, paused  # noqa: F401

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
    numbers = [dtypes.scalar_dtype(each) for each in (a, b) if not isinstance(each, _Tensor)]
    weak = [getattr(each.array, "number", False) for each in tensors]  # a number that compile reads anew
    dims: list[dtypes.dtype] = []
    zero: list[dtypes.dtype] = []
    for d, each, of_number in zip(found, tensors, weak, strict=True):
        if of_number and not all(weak):
            numbers.append(dtypes.scalar_dtype(each.array.dtype.type().item()))
        else:
            (dims if each.array.ndim or foreign else zero).append(d)
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
    return (a, b) if op.name == "pow" else (dtypes.wrapped(a, result), dtypes.wrapped(b, result))


def _operand(x: Any) -> Any:
    if isinstance(x, np.generic):  # np.float64 is a float too
        return x.item()
    if isinstance(x, (_Tensor, float, int)):
        return x
    return bare(x) if isinstance(x, np.ndarray) else NotImplemented


def bare(array: Any) -> Any:
    """A Tensor around an array as it is, without history."""
    out = _new(_Tensor)
    out.array = array
    out.edge = None
    return out


# The short way stands in these texts, of which a function is made for each operation, as dataclasses make
# theirs: to unpack parameters, or to ask what the table says, costs as much as the arithmetic on a small
# array. For the same reason a node is filled in here and not by its `__init__`.
_UNARY = """
def call({arguments}):
    if observers and get_ident() in observers:
        return otherwise({arguments})
    array = x._array
    cls = type(array){floating}
    try:
        result = function({xp}{given})
    except _UNUSUAL:
        return otherwise({arguments})
    if type(result) is not cls:  # a number of NumPy's, or what was moved to another device
        result = KINDS[type(result)].asarray(result){contiguous}
    edge = x.edge
"""

_CONTIGUOUS = """
    if cls is ndarray and not result.flags.c_contiguous:
        result = ascontiguousarray(result)"""

_FLOATING = """
    if (cls is not ndarray or array.dtype not in SCALARS) and KINDS[cls].is_integral(array):
        return otherwise({arguments})"""

_BINARY = """
def call({order}):
    if observers and get_ident() in observers:
        return otherwise(a, b)
    try:
        x = a._array
        y = b._array
        result = function({xp}x, y)
    except _UNUSUAL:
        return otherwise(a, b)
    if type(result) is not type(x):
        result = KINDS[type(result)].asarray(result)
    first = a.edge
    second = b.edge
"""

_BROADCAST = """
def call({order}):
    if observers and get_ident() in observers:
        return otherwise(a, b)
    try:
        if type(b) in _NUMBERS:
            x = a._array
            y = b
            scalars = SCALARS[x.dtype]
            result = {with_right}
            first = a.edge
            second = None
        elif type(a) in _NUMBERS:
            x = a
            y = b._array
            scalars = SCALARS[y.dtype]
            result = {with_left}
            first = None
            second = b.edge
        else:
            x = a._array
            y = b._array
            dtype = x.dtype
            if dtype is not y.dtype or dtype not in SCALARS:
                return otherwise(a, b)
            result = {with_both}
            if not x.flags.c_contiguous and type(result) is ndarray:
                result = arranged(result, x, y)
            first = a.edge
            second = b.edge
    except _UNUSUAL:
        return otherwise(a, b)
    if type(result) is not ndarray:
        result = KINDS[type(result)].asarray(result)
"""

_RECORDING = """
    out = _new(_Tensor)
    out._array = result
    if {untracked}:
        out.edge = None
    elif paused:
        out.edge = _recorded(op, {edges}, {values})
    else:
        out.edge = node = _new(Node)
        node.op = op
        node.edges = {edges}
        node.values = {values}
        node.order = next(clock)
        node._grad = node.hooks = None
    return out
"""

_NOT_RECORDING = """
    out = _new(_Tensor)
    out._array = result
    out.edge = None
    return out
"""

_UNUSUAL = (AttributeError, KeyError, RuntimeWarning, ValueError, TypeError, IndexError, OverflowError)
"""What may go wrong on the short way: the long one then says what it is, or does it."""


def _recorded(op: Operation, edges: tuple[Any, ...], values: tuple[Any, ...]) -> Node | None:
    """The node of what was computed, None where this thread records nothing."""
    return None if paused and get_ident() in paused else Node(op, edges, values)


def _made(op: Operation, text: str, **parts: str) -> Callable[..., Any]:
    """The function that the text says, its parts filled in."""
    made = _maker((text + (_RECORDING if op.sources else _NOT_RECORDING)).format(**parts))
    call: Callable[..., Any] = made(op, op.function, _nary(op))
    return call


@lru_cache(maxsize=256)
def _maker(text: str) -> Callable[..., Any]:
    """The text as a function of what differs between operations: many have one text."""
    around = "def maker(op, function, otherwise):" + text.replace("\n", "\n    ") + "return call"
    made: dict[str, Any] = {}
    exec(compile(around, __file__, "exec"), globals(), made)  # under this name `anomaly` knows it for ours
    maker: Callable[..., Any] = made["maker"]
    return maker


def _laid_out(op: Operation, result: Any, parameters: tuple[Any, ...], arrays: tuple[Any, ...]) -> Any:
    """The result in memory as PyTorch would have it."""
    if op.contiguous:
        return np.asarray(result, order="C")
    operands = [each for each in (*parameters, *arrays) if type(each) is ndarray] if op.broadcasts else []
    if all(each.flags.c_contiguous for each in operands):
        return result
    return arranged(result, *operands)


def _unary(op: Operation) -> Callable[..., Any]:
    more = "".join(f", p{i}" for i in range(len(op.parameters)))  # their own names may be taken in the text
    return _made(
        op,
        _UNARY,
        arguments=f"x{more}",
        given=f"array{more}",
        xp="numpy_kind if cls is ndarray else KINDS[cls], " if op.takes_xp else "",
        floating=_FLOATING.format(arguments=f"x{more}") if op.floating else "",
        contiguous=_CONTIGUOUS if op.contiguous else "",
        untracked="edge is None",
        edges="(edge,)",
        values=f"(result, array{more})",
    )


def reflected(op: Operation) -> Callable[..., Any]:
    """The operation as a function of (b, a), for Python's `__radd__` and the like."""
    return _binary(op, order="b, a")


def _binary(op: Operation, order: str = "a, b") -> Callable[..., Any]:
    if op.takes_xp:
        right, left, both = (f"function(KINDS[type({each})], x, y)" for each in "xyx")
    else:
        right, left, both = "function(x, scalars[b])", "function(scalars[a], y)", "function(x, y)"
    return _made(
        op,
        _BROADCAST if op.broadcasts else _BINARY,
        order=order,
        with_right=right,
        with_left=left,
        with_both=both,
        xp="KINDS[type(x)], " if op.takes_xp else "",
        untracked="first is None and second is None",
        edges="(first, second)",
        values="(result, x, y)",
    )


def _nary(op: Operation) -> Callable[..., Any]:
    """The long way: for any number of inputs, of any kind and dtype."""
    n, forward, broadcasts = len(op.inputs), op.forward, op.broadcasts and len(op.inputs) == 2

    def call(*args: Any) -> Any:
        if observers and (observer := observing()):
            args = observer.arguments(op.name, args)
        if broadcasts:
            args = (*align(op, *args[:2]), *args[2:])
            if args[0] is NotImplemented:
                return NotImplemented
        elif n == 1 and op.floating and KINDS[type(args[0].array)].is_integral(args[0].array):
            args = (as_floating(args[0]), *args[1:])
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
        if type(result) is ndarray:
            result = _laid_out(op, result, parameters, arrays)
        out = bare(result if type(result) is type(array) else KINDS[type(result)].asarray(result))
        if op.sources and any(edge is not None for edge in edges):
            out.edge = _recorded(op, edges, (out.array, *arrays, *parameters))
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


def _shared(array: Any, x: Any) -> bool:
    """Whether what was made of `x` by a change of shape is a view of it."""
    if type(x) is ndarray and x.flags.c_contiguous:
        return True
    storage = KINDS[type(x)].storage
    return storage(array) is storage(x)


def _view(op: Operation) -> Callable[..., Any]:
    """For an operation whose output may share its input's memory: the output then remembers its base, so that
    an assignment through either is seen by the other's history. It has one parameter."""
    plain = _unary(op)
    may_copy = op.name == "reshape"  # where the memory does not allow a view

    def call(x: Any, parameter: Any) -> Any:
        out = plain(x, parameter)
        if paused and get_ident() in paused:
            return out if x.edge is None else out.requires_grad_()
        array = out._array
        if type(array) is float or (may_copy and not _shared(array, x.array)):
            return out
        view = _new(_View)
        view._array = array
        view.base = x
        view.how = (op, (parameter,))
        if type(x) is _View:
            root = x.root
            view.one_of_several = x.one_of_several
        else:
            root = x
            view.one_of_several = False
        view.root = root
        view._seen = root.edge
        view._edge = out.edge
        return view

    return call
