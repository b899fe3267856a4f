"""The numbers that a formula in LaTeX stands for, so that what a page prints can be checked against them.

A formula does not say whether a sum along a dimension keeps it, as one that is read by a person does not. So
each part is a list of arrays, one for each way to read it; of these only those go on that fit what they meet.
"""

import functools
import itertools
import re
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

Array = Any
TOKEN = re.compile(r"\s*(\\[A-Za-z]+|\\.|\d+\.?\d*(?:e[+-]?\d+)?|[A-Za-z]|[^\s])")
WAYS = 12
"""So many ways to read a part are followed at most."""

FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    r"\ln": np.log, r"\tanh": np.tanh, r"\sin": np.sin, r"\cos": np.cos,
}  # fmt: skip
OVER: dict[str, Callable[..., Array]] = {
    r"\sum": np.sum, r"\prod": np.prod, r"\max": np.max, r"\min": np.min,
}  # fmt: skip
COMPARED: dict[str, Callable[..., Array]] = {
    "<": np.less, ">": np.greater, r"\leq": np.less_equal, r"\geq": np.greater_equal, "=": np.equal,
    r"\neq": np.not_equal,
}  # fmt: skip


class Rows:
    """0, 1, …: as many as there are to be read."""


def softmax(x: Array, axis: Any) -> Array:
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def ways(function: Callable[..., Array], *parts: Iterable[Any]) -> list[Array]:
    """What a function gives of each way to read its arguments, where they fit."""
    found: list[Array] = []
    for arguments in itertools.product(*parts):
        try:
            made = np.asarray(function(*arguments))
        except (ValueError, IndexError):
            continue
        if not any(each.shape == made.shape and np.array_equal(each, made, equal_nan=True) for each in found):
            found.append(made)
    if not found:
        raise ValueError("parts of a formula do not fit each other")
    return found[:WAYS]


class Reader:
    """Reads one expression. values: what the names in it stand for."""

    def __init__(self, latex: str, values: dict[str, Array]) -> None:
        self.latex = latex
        self.at = 0
        self.values = values

    # -- letters and brackets --------------------------------------------------------------------------------

    def peek(self) -> str:
        found = TOKEN.match(self.latex, self.at)
        return found[1] if found else ""

    def next(self) -> str:
        found = TOKEN.match(self.latex, self.at)
        if not found:
            raise ValueError(f"{self.latex} ends too early")
        self.at = found.end()
        return found[1]

    def expect(self, *tokens: str) -> None:
        for token in tokens:
            if (found := self.next()) != token:
                raise ValueError(f"{token} expected in {self.latex[: self.at]}, not {found}")

    def take(self, token: str) -> bool:
        if self.peek() != token:
            return False
        self.next()
        return True

    def braced(self) -> str:
        """What stands between the braces that come next, as it is."""
        self.expect("{")
        start, depth = self.at, 1
        while depth:
            letter = self.latex[self.at]
            depth += (letter == "{") - (letter == "}")
            self.at += 1
        return self.latex[start : self.at - 1]

    def inside(self, latex: str) -> "Reader":
        return Reader(latex, self.values)

    def whole(self) -> list[Array]:
        """The value of all of it."""
        made = self.comparison()
        if self.peek():
            raise ValueError(f"{self.latex[self.at :]} is left of {self.latex}")
        return made

    # -- expressions -----------------------------------------------------------------------------------------

    def comparison(self) -> list[Array]:
        left = self.sum()
        holds: list[list[Array]] = []
        while self.peek() in COMPARED:  # a ≤ i < b: each of them
            compare, right = COMPARED[self.next()], self.sum()
            holds.append(ways(compare, left, right))
            left = right
        return ways(lambda *all_of: functools.reduce(np.logical_and, all_of), *holds) if holds else left

    def sum(self) -> list[Array]:
        left = self.product()
        while self.peek() in ("+", "-"):
            sign = np.add if self.next() == "+" else np.subtract
            left = ways(sign, left, self.product())
        return left

    def product(self) -> list[Array]:
        if self.take("-"):
            return ways(np.negative, self.product())
        left = self.factor()
        times = {r"\odot": np.multiply, r"\cdot": np.multiply, r"\,": np.matmul, "/": np.divide}
        while self.peek() in times:
            times_ = times[self.next()]
            right = ways(np.negative, self.factor()) if self.take("-") else self.factor()
            left = ways(times_, left, right)
        return left

    def factor(self) -> list[Array]:
        if self.peek() in OVER:
            reduce = OVER[self.next()]
            axis = self.dims(self.braced()) if self.take("_") else None
            x = self.product()
            return [
                *ways(lambda a: reduce(a, axis, keepdims=True), x),
                *ways(lambda a: reduce(a, axis), x),
            ]
        if self.peek() in FUNCTIONS:
            return ways(FUNCTIONS[self.next()], self.factor())
        return self.raised(self.atom())

    def raised(self, x: list[Array]) -> list[Array]:
        """With what stands above and below behind it."""
        while self.peek() in ("^", "_"):
            if self.next() == "_":
                x = self.read(x, self.braced())
                continue
            power = self.braced()
            if power.strip() == r"\top":
                x = ways(lambda a: np.swapaxes(a, -1, -2), x)
            elif order := re.fullmatch(r"\\left\(([\d, ]+)\\right\)", power):
                axes = [int(each) for each in order[1].split(",")]
                x = ways(lambda a, axes=axes: np.transpose(a, axes), x)
            else:
                x = ways(np.power, x, self.inside(power).whole())
        return x

    def atom(self) -> list[Array]:
        token = self.next()
        if token[0].isdigit():
            return [np.asarray(float(token))]
        if token == r"\frac":
            above = self.inside(self.braced()).whole()
            return ways(np.divide, above, self.inside(self.braced()).whole())
        if token == r"\sqrt":
            return ways(np.sqrt, self.inside(self.braced()).whole())
        if token == r"\left":
            bracket = self.next()
            made = self.comparison()
            self.expect(r"\right", {"(": ")", "|": "|", r"\lfloor": r"\rfloor"}[bracket])
            inside = {"(": np.asarray, "|": np.abs, r"\lfloor": np.floor}[bracket]
            return ways(inside, made)
        if token == r"\underset":
            shape = [int(each) for each in self.braced().split(r"\times")]
            made = self.inside(self.braced()).whole()
            if list(made[0].shape) != shape:
                raise ValueError(
                    f"the shape below a name in {self.latex} is {shape}, its own {made[0].shape}"
                )
            return made
        if token == r"\operatorname":
            return self.called(self.braced())
        if token == r"\begin":
            return self.cases()
        if token == "e" and self.peek() == "^":
            self.next()
            return ways(np.exp, self.inside(self.braced()).whole())
        name = self.braced().replace(r"\_", "_") if token == r"\mathrm" else token
        return [self.values[name]]

    def cases(self) -> list[Array]:
        self.braced()
        one = self.comparison()
        self.expect("&", r"\text")
        assert self.braced() == "if "
        when = self.comparison()
        self.expect(r"\\")
        other = self.comparison()
        self.expect("&", r"\text")
        assert self.braced() == "otherwise"
        self.expect(r"\end")
        self.braced()
        return ways(np.where, when, one, other)

    # -- functions and indices -------------------------------------------------------------------------------

    def called(self, name: str) -> list[Array]:
        name = name.replace(r"\_", "_")
        below = self.braced() if self.take("_") else ""
        above = self.braced() if self.take("^") else ""
        self.expect(r"\left", "(")
        arguments = [self.comparison()]
        while self.take(","):
            arguments.append(self.comparison())
        self.expect(r"\right", ")")
        if name in ("mean", "std"):
            reduce = getattr(self, f"_{name}")
            kept = [ways(lambda x, keep=keep: reduce(below, x, keep), *arguments) for keep in (True, False)]
            return [*kept[0], *kept[1]]
        function = getattr(self, f"_{name}")
        return ways(lambda *parts: function(below, above, *parts), *arguments)

    def _repeat(self, below: str, above: str, x: Array) -> Array:
        return np.broadcast_to(x, self.size(below)) if below else x

    def _reshape(self, below: str, above: str, x: Array) -> Array:
        return x.reshape(self.size(below))

    def _cat(self, below: str, above: str, *tensors: Array) -> Array:
        return np.concatenate(tensors, *self.dims(below))

    def _stack(self, below: str, above: str, *tensors: Array) -> Array:
        return np.stack(tensors, *self.dims(below))

    def _scatter(self, below: str, above: str, x: Array) -> Array:
        out = np.zeros(self.size(above))
        np.add.at(out, self.key(below, out), x)
        return out

    def _onehot(self, below: str, above: str, x: Array) -> Array:
        return np.eye(self.size(below)[1])[x]

    def _gather(self, below: str, above: str, x: Array) -> Array:
        return x[self.key(below, x)]

    def _cross_entropy(self, below: str, above: str, logits: Array, targets: Array) -> Array:
        return -np.log(softmax(logits, 1))[np.arange(len(logits)), targets].mean()

    def _softmax(self, below: str, above: str, x: Array) -> Array:
        return softmax(x, self.dims(below))

    def _log_softmax(self, below: str, above: str, x: Array) -> Array:
        return np.log(softmax(x, self.dims(below)))

    def _argmax(self, below: str, above: str, x: Array) -> Array:
        (axis,) = self.dims(below)
        return x.argmax(axis, keepdims=True)

    def _mean(self, below: str, x: Array, keepdims: bool) -> Array:
        return x.mean(self.dims(below) if below else None, keepdims=keepdims)

    def _std(self, below: str, x: Array, keepdims: bool) -> Array:
        along, _, correction = below.partition(r", \mathrm{correction}, ")
        return x.std(self.dims(along), ddof=int(correction or 1), keepdims=keepdims)

    def size(self, latex: str) -> tuple[int, ...]:
        return tuple(int(each) for each in latex.split(r"\times"))

    def dims(self, latex: str) -> tuple[int, ...]:
        found = re.fullmatch(r"\\text\{dim ([\d, ]+)\}", latex.strip())
        assert found, latex
        return tuple(int(each) for each in found[1].split(","))

    def read(self, x: list[Array], latex: str) -> list[Array]:
        """Read by an index."""
        return ways(lambda a: a[self.key(latex, a)], x)

    def key(self, latex: str, x: Array) -> tuple[Any, ...]:
        """An index for x; along a dimension, where one is said: else elsewhere each row by itself."""
        items: list[Any] = []
        for each in self.items(latex):
            if along := re.fullmatch(r"\\text\{dim (\d+)\}", each):
                (index,) = items
                at = int(along[1])
                grid: list[Any] = list(np.ogrid[tuple(slice(n) for n in index.shape)])
                grid[at] = index
                return tuple(grid)
            if each == r"\ast":
                items.append(None)
            elif ":" in each:
                items.append(slice(*(int(part) if part.strip() else None for part in each.split(":"))))
            elif "0, 1, …" in each:
                items.append(Rows)
            else:
                (index,) = self.inside(each).whole()
                items.append(int(index) if index.ndim == 0 else index)
        lengths = [each.shape for each in items if isinstance(each, np.ndarray)]
        rows = np.arange(lengths[0][0] if lengths else x.shape[0])
        return tuple(rows if each is Rows else each for each in items)

    def items(self, latex: str) -> list[str]:
        """What stands between the commas that are in no bracket."""
        depth, parts = 0, [""]
        for letter in latex:
            depth += (letter in "{(") - (letter in "})")
            if letter == "," and not depth:
                parts.append("")
            else:
                parts[-1] += letter
        return [each.strip() for each in parts]


def read(latex: str, values: dict[str, Array], shape: tuple[int, ...]) -> list[Array]:
    """The arrays of that shape that the expression may stand for."""
    return ways(lambda x: np.broadcast_to(x, shape), Reader(latex, values).whole())
