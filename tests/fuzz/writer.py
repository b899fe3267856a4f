"""Writing a random step: every line is run as it is drawn, so that it is known what it makes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_ninja import Tensor

from .numbers import FLOATS, INTEGERS, Draw
from .program import NAME, Line, surroundings

LARGEST = 20_000  # elements of a value
REFUSED = (RuntimeError, IndexError, TypeError, ValueError)


class Writer:
    """The lines of a step so far, and what they made in the first call."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        self.leaves: list[Line] = []
        self.body: list[Line] = []
        self.scope = {**surroundings(), "call": 0}
        self.values: list[str] = []  # the names of Tensors that may be used from here on
        self.exact: dict[str, bool] = {}
        self.floating = "float32"
        self.special = False
        self.over = False  # the last line raises
        self._count = 0

    def begin(self) -> None:
        """Begin a part of its own, with its own leaves and a dtype that most of them have."""
        self.values = []
        self.floating = self.draw.choice(FLOATS)
        self.special = self.draw.chance(0.25)

    def value(self, name: str) -> Any:
        """Return the Tensor, or number, of that name."""
        return self.scope[name]

    def name(self, letter: str) -> str:
        """Return a new name."""
        self._count += 1
        return f"{letter}{self._count}"

    # -- leaves ----------------------------------------------------------------------------------------------

    def leaf(
        self, shape: tuple[int, ...], dtype: str | None = None, kind: str = "", roles: str = "", **limits: int
    ) -> str:
        """Return the name of a new leaf. roles: letters of names among which one is drawn."""
        draw, dtype = self.draw, dtype or self.floating
        floating = dtype in FLOATS
        if not kind:
            kinds = ["plain", "ties", "plain"] if floating else ["plain", "wide"]
            kind = draw.choice(["special"] if floating and self.special else kinds)
        name = self.name(draw.choice(roles or ("pppbxxn" if floating else "bbxxn")))
        array, expanded = self._array(shape, dtype, kind, name[0], limits)
        if name[0] == "n":
            text = array
        else:
            text = f"torch.from_numpy({array})"
            text += f".expand({shape})" if expanded else ""
            text += ".requires_grad_()" if name[0] == "p" else ""
        self._add(Line(f"{name} = {text}", name))
        return name

    def _array(
        self, shape: tuple[int, ...], dtype: str, kind: str, role: str, limits: dict[str, int]
    ) -> tuple[str, bool]:
        """Return the text of an array of some layout in memory, and whether it is still to be expanded."""
        draw, first, after, expanded = self.draw, shape, "", False
        layout = draw.choice(["plain"] * 4 + ["T", "T", "rows", "columns", "late", "expanded"])
        if layout == "T" and len(shape) > 1:
            first, after = shape[::-1], ".T"
        elif layout == "rows" and shape:
            first, after = (shape[0] * 2, *shape[1:]), "[::2]"
        elif layout == "columns" and shape:
            first, after = (*shape[:-1], shape[-1] + 3), f"[..., 2:{shape[-1] + 2}]"
        elif layout == "late" and shape:
            first, after = (math.prod(shape) + 1,), f"[1:].reshape({shape})"
        elif layout == "expanded" and shape and role in "bx":
            first, expanded = tuple(1 if draw.chance(0.5) else n for n in shape), True
        seed = f"{draw.seed()}" + (" + call" if role in "xn" else "")
        options = "".join(f", {key}={number}" for key, number in limits.items())
        kind_ = f', "{kind}"' if kind != "plain" else ""
        return f'numbers({first}, "{dtype}", {seed}{kind_}{options}){after}', expanded

    def number(self) -> str:
        """Return a Python number, or the name of one among the arguments."""
        if self.draw.chance(0.15):
            name = self.name("k")
            self._add(Line(f"{name} = {self.draw.choice(['0.5', '-1.25', '2.0'])} + call", name))
            return name
        return self.draw.choice(["2", "-1", "0.5", "-1.5", "3", "0", "1.0", "0.1", "-0.0"])

    def other(self, letter: str, text: str, members: tuple[str, ...] = ()) -> str:
        """Return the name of a new leaf that is no Tensor."""
        name = self.name(letter)
        line = Line(f"{name} = {text}", name, members)
        exec(str(line), self.scope)
        self.leaves.append(line)
        self.exact[name] = True
        return name

    def _add(self, line: Line) -> None:
        exec(line.text, self.scope)
        self.leaves.append(line)
        made = self.scope[line.name]
        if isinstance(made, np.ndarray):
            self.scope[line.name] = self.scope["torch"].from_numpy(made)
        self.exact[line.name] = True
        if line.name[0] in "pbxn":
            self.values.append(line.name)

    # -- values ----------------------------------------------------------------------------------------------

    def pick(self, holds: Callable[[Any], bool] = lambda x: True) -> str | None:
        """Return the name of a Tensor for which it holds, a late one rather than an early one."""
        names = [name for name in self.values if holds(self.value(name))]
        if not names:
            return None
        if self.draw.chance(0.6):  # what was computed rather than what was found
            names = [name for name in names if name[0] in "pv"] or names
        return names[max(self.draw.integer(0, len(names) - 1) for _ in range(2))]

    def any(self) -> str | None:
        """Return the name of some Tensor."""
        return self.pick()

    def float(self, least: int = 0) -> str:
        """Return the name of a Tensor of floats with at least so many dimensions, a new one where there is
        none."""
        name = self.pick(lambda x: x.is_floating_point() and x.ndim >= least)
        return name or self.leaf(self.shape(max(least, 1)))

    def integer(self) -> str:
        """Return the name of a Tensor of integers."""
        name = self.pick(lambda x: x.array.dtype.kind in "iu")
        if name is None or self.draw.chance(0.2):
            return self.leaf(self.like(), self.draw.choice(INTEGERS))
        return name

    def shape(self, ndim: int) -> tuple[int, ...]:
        """Return a shape of that many dimensions, the last of which is wide, or the first."""
        draw = self.draw
        if not ndim:
            return ()
        sizes = [*(draw.short() for _ in range(ndim - 1)), draw.width()]
        if ndim == 2 and draw.chance(0.3):
            sizes[0] = draw.width()
        if draw.chance(0.15):
            sizes = sizes[::-1]
        return tuple(sizes)

    def like(self) -> tuple[int, ...]:
        """Return the shape of some Tensor, or a new one."""
        name = self.any()
        if name is None or self.draw.chance(0.1):
            return self.shape(self.draw.choice([2, 2, 1, 3, 0]))
        return tuple(self.value(name).shape)

    def beside(self, name: str, dtype: str | None = None) -> str:
        """Return the name of a Tensor that broadcasts with this one, or a number."""
        draw, shape = self.draw, tuple(self.value(name).shape)
        kind = self.value(name).array.dtype.kind
        same = self.pick(lambda x: tuple(x.shape) == shape and (kind == "f" or x.array.dtype.kind != "f"))
        if same and draw.chance(0.6):
            return same
        if draw.chance(0.25) and dtype is None:
            return self.number() if kind == "f" else draw.choice(["2", "-3", "7", "True", "100"])
        smaller = shape[draw.integer(0, len(shape)) :] if draw.chance(0.5) else shape
        smaller = tuple(1 if draw.chance(0.2) else n for n in smaller)
        own = {"f": self.value(name).array.dtype.name, "b": "bool"}.get(kind) or draw.choice(INTEGERS)
        return self.leaf(smaller, dtype or own)

    def say(self, text: str, exact: bool = False, target: str = "") -> str | None:
        """Add a line that makes a value; None, and no line, where it raises or is of no use.

        exact: it does not round what it is given.
        """
        name = self.name("v")
        uses = [each for each in NAME.findall(text) if each[0] != "o"]
        try:
            made = eval(text, self.scope)  # noqa: S307 - a line of the step
        except REFUSED:
            if "TABLE" not in text and self.draw.chance(0.01):  # compiled, it is to raise the same
                self.body.append(Line(text))
                self.over = True
            return None
        except Exception:  # an entry of the table that was not given what it takes
            return None
        if not isinstance(made, Tensor) or made.array.size > LARGEST:
            return None
        array = made.detach().numpy()
        if array.dtype.kind == "f" and not self.special:
            with np.errstate(all="ignore"):
                if not (np.abs(array) < 1e6).all():
                    return None
        exact = array.dtype.kind in "iub" or (exact and all(self.exact[each] for each in uses))
        self.body.append(Line(f"{name} = {text}", name, exact=exact))
        self.scope[name] = made
        self.exact[name] = exact or array.dtype.kind in "iub"
        self.values.append(name)
        return name

    def do(self, text: str, members: list[str] | tuple[str, ...] = (), name: str = "") -> None:
        """Add a line that changes something."""
        line = Line(text, name, tuple(members), exact=not name)
        self.body.append(line)
        try:
            exec(str(line), self.scope)
        except REFUSED:
            self.over = True
