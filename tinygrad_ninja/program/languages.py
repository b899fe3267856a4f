"""How an operation is written in torch and in NumPy.

A language is one more kind of number: an operation's forward function runs on pieces of code and returns
code. So only two things are written here: where the libraries differ from the array API standard's names, and
where one of them has a shorter name of its own.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from copy import copy
from functools import partial
from typing import Any, ClassVar

import numpy as np

from ..api.missing import TENSOR_NAMES
from ..ops import TABLE, Operation, comparison, composed, elementwise, indexing, product, reduction
from ..ops import shape as move
from ..ops.standard import entry_called
from .decided import HOLD
from .dialects import Bracket, Kind
from .expressions import Code, assigned, call, code, filled, listed, named, passed, row
from .instructions import Instruction, evaluate

BUILTINS = ("SystemExit", "abs", "all", "bytearray", "max", "print")
"""The built-in names of Python that the printed scripts use."""


class Language:
    """The namespace that forward functions get. What has no method here is the library's function of that
    name, or of a reduction the method of its arrays.

    names: the library's own name of such a function, where it differs. freedom: the option for what variances
    subtract from n, and its default. special: for an operation that no template can express, a function of
    the language, the inputs and the parameters that returns its code, or None where it does not apply.
    """

    target = prefix = keepdim = from_list = ""
    names: ClassVar[dict[str, str]] = {}
    freedom: ClassVar[tuple[str, int]]
    special: ClassVar[dict[Operation, Callable[..., Code | None]]] = {}
    taken: frozenset[str] = frozenset()

    def beside(self, taken: Iterable[str]) -> Language:
        """Return the same language for a script whose variables have these names."""
        other = copy(self)
        other.taken = frozenset(taken)
        return other

    def own(self, name: str) -> str:
        """Return the script's own name for a function, a module or a variable: with underscores behind it
        where a variable has the same name."""
        while name in self.taken:
            name += "_"
        return name

    def __getattr__(self, name: str) -> Callable[..., Code]:
        if name.startswith("_"):
            raise AttributeError(name)
        entry, function = entry_called(name), self.names.get(name, name)
        if not self.has(function):
            raise NotImplementedError(f"{self.prefix} has no function {function}")
        if entry is not None and entry.parameters == ["axis", "keepdims"]:
            return partial(self.reduced, function)
        return lambda *arguments, **options: call(f"{self.prefix}.{function}", *arguments, *options.values())

    def expression(self, instruction: Instruction, inputs: list[Any], parameters: tuple[Any, ...]) -> Code:
        """Return an operation applied to code, by its forward function.

        Raise NotImplementedError where the library has no function for it, and its entry names no other.
        """
        written = self.written(instruction, inputs, parameters)
        if written is None:
            operation = instruction.operation
            try:
                written = evaluate(operation, self, inputs, parameters)
            except (AttributeError, NotImplementedError, TypeError) as error:
                raise NotImplementedError(
                    f"{operation.name} cannot be written in {self.target}: {error}; let its entry say "
                    f"in_{self.target}"
                ) from error
        return code(written)

    def has(self, function: str) -> bool:
        """Return whether the library has the function."""
        raise NotImplementedError

    def written(
        self, instruction: Instruction, inputs: list[Any], parameters: tuple[Any, ...]
    ) -> Code | None:
        """Return the library's own call for the operation; None where there is none. Raise
        NotImplementedError where the entry's template cannot be read."""
        operation = instruction.operation
        if (special := self.special.get(operation)) is not None:
            return special(self, *inputs, *parameters)
        template = getattr(operation, f"in_{self.target}")
        if not template:
            return None
        given = dict(zip(operation.parameters, parameters, strict=True))
        if operation.variadic:
            given |= dict.fromkeys(operation.sources, tuple(inputs))
        else:
            given |= dict(zip(operation.inputs, inputs, strict=True))
        try:
            return filled(template, given)
        except (NotImplementedError, SyntaxError) as error:
            raise NotImplementedError(
                f"{operation.name} cannot be written in {self.target}: its in_{self.target} is {template!r}: "
                f"{error}"
            ) from error

    def number(self, x: Any) -> Code:
        """Return a number; one without a literal in Python by the library's name."""
        if not isinstance(x, float) or np.isfinite(x):
            return code(x)
        written = Code(Kind.NUMBER, f"{self.prefix}.{abs(x)}")
        return -written if x < 0 else written

    def detached(self, x: Code) -> Code:
        """Return a value through which no gradient goes; an array as it is."""
        return x

    def dtype(self, dtype: Any) -> Code:
        """Return a dtype by the library's name."""
        return named(f"{self.prefix}.{'bool' if dtype == np.bool_ else np.dtype(dtype).name}")

    def reduced(self, name: str, x: Code, axis: Any, keepdims: bool, **options: Any) -> Code:
        """Return a reduction along an axis, or along all axes."""
        if axis is None and keepdims and name.startswith("arg"):
            return x.method(name, code(None), **{self.keepdim: True})
        if axis is None and keepdims:
            axis = tuple(range(x.ndim)) or None
        kept = {self.keepdim: True} if keepdims and axis is not None else {}
        single = isinstance(axis, tuple) and len(axis) == 1
        return x.method(name, axis[0] if single else axis, **options, **kept)

    def matmul(self, a: Code, b: Code) -> Any:
        return operator.matmul(a, b)

    def pow(self, a: Any, b: Any) -> Any:
        return operator.pow(code(a), b)

    def one_minus_square(self, y: Code) -> Any:
        return operator.sub(1, operator.pow(y, 2))

    def diag_embed(self, x: Code, offset: int) -> Code:
        return call(f"{self.prefix}.diag", x, offset)

    def index(self, x: Code, key: tuple[Any, ...]) -> Code:
        return x[key]

    def reshape(self, x: Code, shape: Any) -> Code:
        return x.method(move.reshape.name, *_sizes(shape))

    def is_integral(self, x: Any) -> bool:
        return False

    def permute_dims(self, x: Code, axes: tuple[int, ...]) -> Code:
        last = len(axes) - 1
        if last and axes == (*range(last - 1), last, last - 1):
            return x.attribute("T" if last == 1 else "mT")
        return self.permute(x, axes)

    def permute(self, x: Code, axes: tuple[int, ...]) -> Code:
        """Return the method that takes the dimensions in another order."""
        return x.method(move.permute.name, *_sizes(axes))

    def spread(self, name: str, x: Code, axis: Any, correction: float, keepdims: bool) -> Code:
        """Return a standard deviation or a variance, over n - correction."""
        option, usual = self.freedom
        return self.reduced(name, x, axis, keepdims, **({} if correction == usual else {option: correction}))

    def extreme(self, name: str, x: Code, axis: int) -> Code:
        """Return the largest or the smallest along an axis, which is kept."""
        return x.method(name, axis, **{self.keepdim: True})

    def full(self, like: str, shape: tuple[int, ...], dtype: Any, number: Any) -> Code:
        """Return an array of one number, which may be code, in the shape and dtype of the variable `like`,
        or else in those given."""
        kind = "full" if isinstance(number, Code) else {0: "zeros", 1: "ones"}.get(number, "full")
        value = self.number(number) if kind == "full" else None
        if like:
            return call(f"{self.prefix}.{kind}_like", named(like), value)
        return call(f"{self.prefix}.{kind}", shape, value, dtype=dtype)


class Torch(Language):
    """The language of torch's tensors."""

    target, prefix, keepdim, from_list = "torch", "torch", "keepdim", "tensor"
    names: ClassVar = {entry.standard: entry.name for entry in TABLE.values() if entry.standard}
    freedom = "correction", 1

    def has(self, function: str) -> bool:
        """Return whether torch, which need not be installed, has the function: most are methods, too."""
        return function in _IN_TORCH

    def prod(self, x: Code, axis: Any, keepdims: bool) -> Code:
        name = product.prod.name
        if axis is None:
            return x.method(name) if not keepdims else self.prod(x, tuple(range(x.ndim)), True)
        for dimension in sorted(axis, reverse=True):
            x = self.reduced(name, x, dimension, keepdims)
        return x

    def detached(self, x: Code) -> Code:
        return x.method("detach")

    def copy(self, x: Code, ordered: bool = False) -> Code:
        return x.method(move.clone.name)

    def expand(self, x: Code, shape: Any) -> Code:
        return x.method(move.expand.name, *_sizes(shape))

    broadcast_to = expand

    def maximum(self, a: Any, b: Any) -> Code:
        return self._bounded("min", "torch.maximum", a, b)

    def minimum(self, a: Any, b: Any) -> Code:
        return self._bounded("max", "torch.minimum", a, b)

    def _bounded(self, bound: str, function: str, a: Any, b: Any) -> Code:
        """Return the elementwise larger or smaller; with a number, which the functions do not take, as a
        bound."""
        x, other = (b, a) if code(a).number else (a, b)
        known = code(other).number
        return x.method(comparison.clamp.name, **{bound: other}) if known else call(function, a, b)

    def gather(self, x: Code, axis: int, index: Code) -> Code:
        return x.method(indexing.gather.name, axis, index)

    def extreme(self, name: str, x: Code, axis: int) -> Code:
        return super().extreme(name, x, axis).attribute("values")

    def add_at(self, x: Code, key: tuple[Any, ...], values: Code) -> Code:
        """Return the statement that adds values where a key reads, repeatedly if it reads repeatedly."""
        if not any(isinstance(item, slice) for item in key):
            return x.method("index_put_", key, values, accumulate=True)
        places = call("torch.arange", x.method("numel")).method(move.reshape.name, x.attribute("shape"))
        return x.method("put_", places[key], values, accumulate=True)

    def add_along(self, x: Code, axis: int, index: Code, values: Code) -> Code:
        """Return the statement that adds values where `gather` along an axis reads."""
        return x.method("scatter_add_", axis, index, values)


class NumPy(Language):
    """The language of NumPy's arrays."""

    target, prefix, keepdim, from_list = "numpy", "np", "keepdims", "array"
    freedom = "ddof", 0

    def has(self, function: str) -> bool:
        """Return whether NumPy has the function."""
        return hasattr(np, function)

    def permute(self, x: Code, axes: tuple[int, ...]) -> Code:
        return x.method("transpose", axes)

    def copy(self, x: Code, ordered: bool = False) -> Code:
        return x.method("copy") if x.shape else call("np.array", x)  # a scalar has no copy() that is an array

    def expand(self, x: Code, shape: Any) -> Code:
        return call("np.broadcast_to", x, shape)

    def gather(self, x: Code, axis: int, index: Code) -> Code:
        if x.shape[:axis] + x.shape[axis + 1 :] == index.shape[:axis] + index.shape[axis + 1 :]:
            return call("np.take_along_axis", x, index, axis)
        return x[self._along(axis, index)]

    def add_at(self, x: Code, key: tuple[Any, ...], values: Code) -> Code:
        """Return the statement that adds values where a key reads, repeatedly if it reads repeatedly."""
        whole = any(isinstance(item, slice) for item in key)
        cells = named("np.s_")[key] if whole else code(key[0] if len(key) == 1 else key)
        return call("np.add.at", x, cells, values)

    def add_along(self, x: Code, axis: int, index: Code, values: Code) -> Code:
        """Return the statement that adds values where `gather` along an axis reads."""
        key = self._along(axis, index)
        if index.shape[axis] == 1:  # no cell is named twice
            return assigned(x[key], "+=", values)
        return self.add_at(x, key, values)

    def _along(self, axis: int, index: Code) -> tuple[Code, ...]:
        """Return the key that reads where `gather` along an axis does: the index for that axis, and every row
        of the others."""

        def rows(i: int, n: int) -> Code:
            after = (None,) * (index.ndim - i - 1)
            return call("np.arange", n)[(slice(None), *after)] if after else call("np.arange", n)

        return tuple(index if i == axis else rows(i, n) for i, n in enumerate(index.shape))


def _sizes(shape: Any) -> tuple[Any, ...]:
    """Return a shape as the arguments of a method: numbers, or one piece of code for all."""
    return shape if isinstance(shape, tuple) and shape else (shape,)


# -- what no template can express ----------------------------------------------------------------------------

_IN_TORCH = frozenset((*TENSOR_NAMES, move.cat.name, move.stack.name))


def _held(language: Any, x: Code, number: int) -> Code:
    return call(language.own(HOLD.name), number, x)


def _clamped(language: Any, x: Code, low: Any, high: Any) -> Code:
    bounds = {name: bound for name, bound in (("min", low), ("max", high)) if bound is not None}
    return x.method(comparison.clamp.name, **bounds)


def _erf(language: Any, x: Code) -> Code:
    dtypes = listed(x.attribute("dtype")).fenced(Bracket.SQUARE)
    function = call("np.vectorize", named(f"{language.own('math')}.erf"), otypes=dtypes)
    return row(function, passed(x))


def _logsumexp(language: Any, x: Code, axis: Any, keepdims: bool) -> Code:
    """Return the reduction, which must be given the dimensions even where it is along all of them."""
    return language.reduced(composed.logsumexp.name, x, axis or tuple(range(x.ndim)), keepdims)


def _along_one(entry: Operation) -> Callable[..., Code | None]:
    """Return a function that takes one dimension only."""
    return lambda language, x, axis: (
        call(f"{language.prefix}.{entry.name}", x, axis[0])
        if isinstance(axis, tuple) and len(axis) == 1
        else None
    )


Language.special = {
    HOLD: _held,
    reduction.mean: lambda language, *given: language.reduced(reduction.mean.name, *given),
    composed.std: lambda language, *given: language.spread(composed.std.name, *given),
    composed.var: lambda language, *given: language.spread(composed.var.name, *given),
}
Torch.special = {
    **Language.special,
    comparison.clamp: _clamped,
    composed.log_softmax: _along_one(composed.log_softmax),
    composed.logsumexp: _logsumexp,
    composed.softmax: _along_one(composed.softmax),
}
NumPy.special = {**Language.special, elementwise.erf: _erf}

LANGUAGES: dict[str, Any] = {dialect.target: dialect for dialect in (Torch(), NumPy())}
