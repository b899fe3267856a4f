"""The table of operations: what an entry is, and how it is applied to Tensors and recorded.

An entry is a forward function under `@operation`, with one backward rule for each input:

    @operation(
        a=lambda dout, b: dout * b,
        b=lambda dout, a: dout * a,
    )
    def mul(xp, a, b, /):
        "out = a · b"
        return a * b

The forward function takes the namespace `xp` (see `kinds`), its inputs, a slash, and its parameters. A rule
turns `dout`, the gradient of the output, into the gradient of its input. It names what it needs, out of `xp`,
`dout`, `out`, the inputs and the parameters, and is given just that. `x_like` stands for an input of which
only the shape and the dtype are looked at, so that it may be changed in place before backward comes.

The same rule runs on arrays, and on Tensors when the backward pass is itself to be differentiated.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from functools import lru_cache
from threading import get_ident
from typing import Any

import numpy as np

from .. import dtypes
from ..kinds import KINDS, array_dtype, device_of, dtype_of, sum_to
from ..record import Node, paused

TABLE: dict[str, Operation] = {}
"""Every operation by its name."""

Rule = Callable[[Any, tuple[Any, ...]], Any]

_NUMBERS = frozenset((float, int))
_FLOATS = frozenset((np.dtype(np.float32), np.dtype(np.float64)))

_new = object.__new__
_Tensor: Any = None  # the class, once tensors.py has defined it
_View: Any = None


def attach(tensor: type, view: type) -> None:
    """tensors.py tells which class to wrap results in. The table comes first, so it cannot import it."""
    global _Tensor, _View
    _Tensor, _View = tensor, view


class Operation:
    """One entry of the table. Calling it with Tensors computes, records, and gives a Tensor.

    forward(xp, *inputs, *parameters) gives the output array; `rules[i](dout, values)` the gradient of input
    i, where values = (output, *inputs, *parameters). `kept(edges)` are the places in `values` that backward
    reads; `keeps` is whether there are arrays of the output or an input among them, which the first backward
    frees.
    """

    def __init__(
        self,
        forward: Callable[..., Any],
        rules: dict[str, Callable[..., Any]],
        *,
        broadcasts: bool = False,
        floating: bool = False,
        numeric: bool = False,
        view: bool = False,
        torch_name: str = "",
    ) -> None:
        self.name = forward.__name__
        self.torch_name = torch_name or f"{self.name.capitalize()}Backward0"
        self.function = forward
        self.broadcasts = broadcasts
        self.floating = floating
        self.numeric = numeric
        self.view = view
        self.sources = rules
        parameters = list(inspect.signature(forward).parameters.values())
        self.takes_xp = parameters[0].name == "xp"
        parameters = parameters[self.takes_xp :]
        self.variadic = parameters[0].kind is parameters[0].VAR_POSITIONAL
        positional = [p.name for p in parameters if p.kind is p.POSITIONAL_ONLY]
        self.inputs = positional
        self.parameters = [
            p.name for p in parameters if p.name not in positional and p.kind is not p.VAR_POSITIONAL
        ]
        self.__doc__ = forward.__doc__
        if not self.variadic:
            unknown = [name for name in rules if name not in positional]
            if unknown:
                raise TypeError(f"operation {self.name}: no input is called {', '.join(unknown)}")
            self.rules, self._reads = self._bind(rules)
        self.keeps = not self.variadic and min(set().union(*self._reads), default=math.inf) <= len(positional)
        self.call = self._application()(self)

    def _application(self) -> Callable[[Operation], Callable[..., Any]]:
        if self.variadic:
            return _variadic
        if len(self.inputs) == 1:
            return _view if self.view else _unary
        return _binary if len(self.inputs) == 2 and not self.parameters else _nary

    def __call__(self, *args: Any) -> Any:
        return self.call(*args)

    def forward(self, xp: Any, *args: Any) -> Any:
        """The output array, of arrays of the kind `xp`."""
        return self.function(xp, *args) if self.takes_xp else self.function(*args)

    def silently(self, xp: Any, *args: Any) -> Any:
        """`forward` once more, where the caller made errors of NumPy's warnings: torch never warns of 0/0."""
        with np.errstate(all="ignore"):
            return self.forward(xp, *args)

    def on(self, xp: Any, *args: Any) -> Any:
        """The operation on arrays of the kind `xp`, or recorded where `xp` is the kind of Tensors."""
        return self.call(*args) if xp is KINDS.get(_Tensor) else self.forward(xp, *args)

    def __repr__(self) -> str:
        return f"<operation {self.name}>"

    def kept(self, edges: tuple[Node | None, ...]) -> set[int]:
        """The places in `values` that the rules of the inputs with an edge read."""
        return set().union(
            *(reads for edge, reads in zip(edges, self._reads, strict=True) if edge is not None)
        )

    def _bind(self, rules: dict[str, Callable[..., Any]]) -> tuple[list[Rule], list[set[int]]]:
        places = {name: i for i, name in enumerate(["out", *self.inputs, *self.parameters])}
        bound: list[Rule] = []
        reads: list[set[int]] = []
        for name in self.inputs:
            rule = rules.get(name)
            if rule is None:
                bound.append(_no_rule(self.name, name))
                reads.append(set())
                continue
            asked = list(inspect.signature(rule).parameters)
            wanted = [places[each.removesuffix("_like")] for each in asked if each not in ("xp", "dout")]
            reads.append({places[each] for each in asked if each in places})
            like = places[name] if self.broadcasts and len(self.inputs) > 1 else None
            bound.append(_caller(rule, "xp" in asked, wanted, like))
        return bound, reads


def _caller(rule: Callable[..., Any], with_xp: bool, wanted: list[int], like: int | None) -> Rule:
    """`rule` as a function of (dout, values). It is generated, as dataclasses generate theirs: a call by
    unpacking would cost as much as the rest of the walk over a node."""
    arguments = ", ".join(
        (["KINDS[type(dout)]"] if with_xp else []) + ["dout"] + [f"values[{i}]" for i in wanted]
    )
    body = f"rule({arguments})"
    if like is not None:  # the common case, that nothing was broadcast, is told without a call
        x = f"values[{like}]"
        body = f"d if type(d := {body}) is float or d.shape == {x}.shape else sum_to(d, {x})"
    names = {"rule": rule, "KINDS": KINDS, "sum_to": sum_to}
    made: Rule = eval(f"lambda dout, values: {body}", names)  # noqa: S307 - the text is made of the lines above
    return made


def _no_rule(operation: str, name: str) -> Rule:
    def refuse(dout: Any, values: tuple[Any, ...]) -> Any:
        raise RuntimeError(f"derivative for {operation} with respect to {name} is not implemented")

    return refuse


def operation(
    *,
    broadcasts: bool = False,
    floating: bool = False,
    numeric: bool = False,
    view: bool = False,
    torch_name: str = "",
    **rules: Callable[..., Any],
) -> Callable[[Callable[..., Any]], Operation]:
    """Make the decorated forward function an entry of the table.

    rules: one for each differentiable input, by the input's name. An input without one has no gradient.
    broadcasts: the inputs are broadcast against each other, so each gradient is summed back to its shape.
    floating: integers become floating point numbers first.
    numeric: true and false are no numbers to it, and refused.
    view: the output may share the input's memory.
    torch_name: what PyTorch prints as the `grad_fn`, where that is not the name and "Backward0".
    """

    def enter(forward: Callable[..., Any]) -> Operation:
        entry = Operation(
            forward,
            rules,
            broadcasts=broadcasts,
            floating=floating,
            numeric=numeric,
            view=view,
            torch_name=torch_name,
        )
        TABLE[entry.name] = entry
        return entry

    return enter


# -- application: one function for each number of inputs, because this is what every operation pays ----------


def _wrong(op: Operation, error: Exception, arrays: tuple[Any, ...]) -> Exception:
    """The library's complaint about these arrays, as the exception PyTorch would raise."""
    shapes = ", ".join(str(tuple(a.shape)) if hasattr(a, "shape") else repr(a) for a in arrays)
    kind = IndexError if isinstance(error, IndexError) else RuntimeError
    return kind(f"{op.name}: inputs of shape {shapes}: {error}")


def as_floating(x: Any) -> Any:
    """A Tensor of integers in the default floating point dtype."""
    return TABLE["cast"](x, array_dtype(x.array, dtypes.get_default_dtype()))


def align(op: Operation, a: Any, b: Any) -> tuple[Any, Any]:
    """The two operands as the operation takes them: Tensors of one dtype on one device, or one and a number.

    A Tensor of another dtype is cast by a recorded operation. NotImplemented twice where one is no number.
    RuntimeError where the devices differ.
    """
    foreign = [each for each in (a, b) if isinstance(each, np.ndarray)]
    a, b = _operand(a), _operand(b)
    if a is NotImplemented or b is NotImplemented:
        return NotImplemented, NotImplemented
    tensors = [each for each in (a, b) if isinstance(each, _Tensor)]
    if all(isinstance(each.array, float) for each in tensors):
        return a, b
    if len(tensors) == 2 and device_of(a.array) != device_of(b.array):
        raise RuntimeError(
            f"{op.name}: expected all tensors to be on the same device, "
            f"but found {device_of(a.array)} and {device_of(b.array)}"
        )
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
            made = TABLE["cast"](each, array_dtype(each.array, result))
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
        try:
            if type(b) in _NUMBERS:
                x = array = a.array
                first, y, second = a.edge, b, None
                usual = x.dtype in _FLOATS
            elif type(a) in _NUMBERS:
                y = array = b.array
                x, first, second = a, None, b.edge
                usual = y.dtype in _FLOATS
            else:
                x = array = a.array
                y = b.array
                first, second = a.edge, b.edge
                dtype = x.dtype
                usual = dtype is y.dtype and dtype in _FLOATS
        except AttributeError:
            usual = False
        if not usual and broadcasts:
            a, b = align(op, a, b)
            if a is NotImplemented:
                return NotImplemented
            x, first = (a.array, a.edge) if isinstance(a, _Tensor) else (a, None)
            y, second = (b.array, b.edge) if isinstance(b, _Tensor) else (b, None)
            array = x if isinstance(a, _Tensor) else y
        cls = type(array)
        try:
            result = function(KINDS[cls], x, y) if takes_xp else function(x, y)
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
        fixed = object.__new__(Operation)
        fixed.__dict__.update(op.__dict__, variadic=False, inputs=[f"x{i}" for i in range(n)])
        fixed.function = lambda xp, *args: op.function(
            xp, *args[:n], **dict(zip(op.parameters, args[n:], strict=True))
        )

        def bound(position: int) -> Rule:
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
