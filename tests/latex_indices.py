"""The numbers that a formula with indices stands for.

Each letter is an axis of its own, the same in all parts of a formula, so that the parts broadcast.
"""

import itertools
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from latex_values import OVER, Reader

Array = Any
LETTERS = "ijklmpqrst"
NAME = r"(?:\\mathrm\{([^}]*)\}|(?<![\\A-Za-z{])([A-Za-z])(?![A-Za-z}])|\\(?:hat\{)?([a-z]+)\}?)"
INDEXED = re.compile(NAME + r"_\{([^{}]*)\}")


def largest(x: Array, axis: tuple[int, ...], keepdims: bool) -> Array:
    """Where the largest stands along an axis."""
    return np.argmax(x, *axis, keepdims=keepdims)


def squeezed(value: Array) -> Array:
    """A value without its dimensions of size 1, which have no index."""
    return np.asarray(value).reshape([n for n in np.shape(value) if n != 1])


class IndexedReader(Reader):
    """Reads an expression whose names have indices. slopes: the derivatives that it may name, by what stands
    above and below, each an array with the dimensions of both."""

    def __init__(
        self,
        latex: str,
        values: dict[str, Array],
        sizes: dict[str, int],
        slopes: Mapping[tuple[str, str], Array] | None = None,
    ) -> None:
        super().__init__(latex, values)
        self.sizes = sizes
        self.slopes = slopes or {}

    @classmethod
    def of(cls, latex: str, values: dict[str, Array], **more: Any) -> "IndexedReader":
        """A reader that finds the sizes of the letters in the formula itself."""
        sizes: dict[str, int] = {}
        given = more.pop("sizes", {})
        for found in INDEXED.finditer(latex):
            name = next(filter(None, found.groups()[:3])).replace(r"\_", "_")
            shape = squeezed(values[name]).shape if name in values else ()
            letters = found[4].split(", ") if "," in found[4] else found[4].split()
            for x, n in zip(letters, shape, strict=False):
                if x in LETTERS:  # a letter goes as far as the smallest of what it reads
                    sizes[x] = min(n, sizes.get(x, n))
        return cls(latex, values, sizes | given, **more)

    def inside(self, latex: str) -> "IndexedReader":
        return IndexedReader(latex, self.values, self.sizes, self.slopes)

    def letter(self, name: str) -> Array:
        """What a letter goes through, along its own axis."""
        shape = [1] * len(LETTERS)
        shape[LETTERS.index(name)] = -1
        return np.arange(self.sizes[name]).reshape(shape)

    def places(self, latex: str) -> list[Array]:
        """The index that stands below a name: an array for each dimension."""
        parts = self.items(latex)
        if len(parts) == 1 and re.fullmatch(r"([a-z]|\d+)( ([a-z]|\d+))*", parts[0]):
            parts = parts[0].split(" ")
        return [self.inside(part).whole()[0].astype(int) for part in parts]

    def element(self, value: Array, latex: str) -> Array:
        """The elements at an index; beyond the value it may be any: a bracket beside it is 0 there."""
        array, places = squeezed(value), self.places(latex)
        if r"\left[" in self.latex:
            places = [np.clip(place, 0, n - 1) for place, n in zip(places, array.shape, strict=True)]
        return array[tuple(np.broadcast_arrays(*places))]

    def factor(self) -> list[Array]:
        searching = self.latex[self.at :].lstrip().startswith(r"\operatorname{argmax}_")
        if self.peek() not in OVER and not searching:
            return super().factor()
        reduce = OVER.get(self.next(), largest)
        if searching:
            self.braced()
        self.expect("_")
        letters, _, conditions = self.braced().partition(r"\,:\,")
        axes = tuple(LETTERS.index(letter) for letter in letters.split())
        (x,) = self.product()
        full = [1] * len(LETTERS)
        for axis in axes:
            full[axis] = self.sizes[LETTERS[axis]]
        x = np.broadcast_to(x, np.broadcast_shapes(np.shape(x), tuple(full)))
        for condition in self.items(conditions) if conditions else ():
            (holds,) = self.inside(condition).whole()
            x = np.where(holds, x, 0)
        return [reduce(x, axis=axes, keepdims=True)]

    def raised(self, x: list[Array]) -> list[Array]:
        while self.peek() == "^":
            self.next()
            x = [np.power(x[0], self.inside(self.braced()).whole()[0])]
        return x

    def atom(self) -> list[Array]:
        start = self.at
        token = self.next()
        if token == r"\left" and self.peek() == "[":
            self.next()
            made = self.comparison()
            self.expect(r"\right", "]")
            return [made[0].astype(float)]
        if token == r"\frac" and self.latex[self.at :].lstrip().startswith(r"{\partial"):
            above, below = self.braced(), self.braced()
            return [self.slope(above.removeprefix(r"\partial"), below.removeprefix(r"\partial"))]
        name = token
        if token == r"\mathrm":
            name = self.braced().replace(r"\_", "_")
        elif token == r"\hat":
            name = "hat"
            self.braced()
        elif re.fullmatch(r"\\(mu|sigma|gamma|ell|epsilon)", token):
            name = token[1:]
        elif not re.fullmatch(r"[A-Za-z]", token) or (token == "e" and self.peek() == "^"):
            self.at = start
            return super().atom()
        if self.take("_"):
            return [self.element(self.values[name], self.braced())]
        if name in self.sizes and name not in self.values:
            return [self.letter(name)]
        return [np.asarray(self.values[name]).reshape((1,) * len(LETTERS))]

    def slope(self, above: str, below: str) -> Array:
        """A derivative, read where its two indices say."""
        names, places = [], []
        for part in (above, below):
            found = re.fullmatch(NAME + r"(?:_\{([^}]*)\})?", part.strip().removeprefix(r"\left(\ln "))
            assert found, part
            name = next(filter(None, found.groups()[:3])).replace(r"\_", "_")
            names.append("hat" if part.strip().startswith(r"\hat") else name)
            places += self.places(found[4]) if found[4] else []
        value = self.slopes[names[0], names[1]]
        return value[tuple(np.broadcast_arrays(*places))] if places else np.asarray(value)


def holds(equation: str, values: dict[str, Array], tolerance: float, **more: Any) -> bool:
    """Whether all sides of an equation are the same, for every value of its letters."""
    sides = equation.split(" = ") if r"\left[" not in equation else _sides(equation)
    reader = IndexedReader.of(equation, values, **more)
    read = [np.asarray(reader.inside(side).whole()[0], float) for side in sides]
    pairs = itertools.pairwise(read)
    return all(np.allclose(*np.broadcast_arrays(a, b), 1e-6, tolerance, True) for a, b in pairs)


def _sides(equation: str) -> list[str]:
    """What stands between the signs of equality that are in no bracket."""
    depth, parts = 0, [""]
    for token in re.split(r"(\\left|\\right|[{}]| = )", equation):
        depth += (token in (r"\left", "{")) - (token in (r"\right", "}"))
        if token == " = " and not depth:
            parts.append("")
        else:
            parts[-1] += token
    return parts


def slope_holds(
    above: tuple[str, str], below: tuple[str, str], right: str, compute: Callable[[Array], list[Array]],
    values: dict[str, Array],
) -> bool:  # fmt: skip
    """Whether a local derivative is the slope of a function, in places that are chosen at random.

    above, below: a name and its letters; compute: the ways to read the formula of what is above, for other
    numbers of what is below.
    """
    (of, out), (by, into) = above, below
    x = np.asarray(values[by], float)
    return any(_is_slope(way, compute, x, out.split(), into.split(), right, {**values, of: first})
               for way, first in enumerate(compute(x)) if len(squeezed(first).shape) == len(out.split())
               and len(squeezed(x).shape) == len(into.split()))  # fmt: skip


def _is_slope(
    way: int, compute: Any, x: Array, out: list[str], into: list[str], right: str, values: dict[str, Array]
) -> bool:
    sizes = dict(zip(out, squeezed(compute(x)[way]).shape, strict=True))
    sizes |= dict(zip(into, squeezed(x).shape, strict=True))
    reader = IndexedReader.of(right, values, sizes=sizes)
    side = np.asarray(reader.whole()[0], float)
    side = side.reshape((1,) * (len(LETTERS) - side.ndim) + side.shape)
    random = np.random.default_rng(0)
    for _ in range(5):
        chosen = {letter: int(random.integers(reader.sizes[letter])) for letter in (*out, *into)}
        step = np.zeros(squeezed(x).shape)
        step[tuple(chosen[letter] for letter in into)] = 1e-6
        more, less = (squeezed(compute(x + s * step.reshape(x.shape))[way]) for s in (1, -1))
        at = tuple(chosen[letter] for letter in out)
        letters = zip(LETTERS, side.shape, strict=True)
        said = side[tuple(chosen[letter] if n > 1 else 0 for letter, n in letters)]
        if not np.isclose((more[at] - less[at]) / 2e-6, said, rtol=1e-4, atol=1e-6):
            return False
    return True
