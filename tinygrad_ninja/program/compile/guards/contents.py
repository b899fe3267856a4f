"""What Tensors, arrays, optimizers and containers hold, and how much of it is compared."""

from __future__ import annotations

import types
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from ....arrays.dtypes import is_known
from ....engine.tensor import Tensor
from ....engine.view import View
from ....optim.optimizer import Optimizer
from ..refusals import UnsupportedError
from .code_names import Way
from .held import Entry
from .in_words import short
from .owners import is_a
from .trusted import is_constant
from .watched import FEW, Form, Watched

MOST = 30_000
"""How many things are compared before every call; a function that reaches more is not compiled."""
_BYTES = 4096
"""The largest array, in bytes, that is compared before every call."""


class Contents:
    """What is compared of the objects that hold numbers, or other objects.

    watched: where it is added. reach: is called with each object that one holds, and the way to it. tensors
    and arrays: how each is reached.
    """

    def __init__(self, watched: Watched, reach: Callable[[Any, Way], None]) -> None:
        self.watched, self._reach = watched, reach
        self.tensors: dict[Tensor, str] = {}
        self.arrays: list[tuple[np.ndarray[Any, Any], str]] = []

    def leave_rates(self, x: Optimizer, way: Way) -> None:
        """Leave the learning rates of an optimizer to the caller, and name the numbers of its groups."""
        for i, group in enumerate(x._param_groups):
            for key in group:
                name = "the learning rate" if key == "lr" else f"the optimizer's {key}"
                self.watched.name_entry(Entry(group, key), name)
            if "lr" in group:
                self.watched.leave(Entry(group, "lr"), way.to(f".param_groups[{i}]['lr']"))

    def container(self, x: Any, way: Way) -> None:
        """Watch the elements of a list, a dict, a set and their like."""
        if len(x) > MOST:
            self.refuse_many(way)
        if is_a(x, (dict, types.MappingProxyType)):
            self._dict(x, way)
        elif is_a(x, (set, frozenset)):
            if not is_a(x, frozenset):
                self.watched.each(x, way, what="set")
            for value in x:
                self._reach(value, way)
        else:
            left: set[int] = set()
            if is_a(x, list):
                left = self.watched.elements(x, way)
            elif not is_a(x, tuple):
                self.watched.each(x, way)
            for i, value in enumerate(x):
                if i not in left:
                    self._reach(value, way.to(f"[{i}]"))

    def _dict(self, x: Any, way: Way) -> None:
        self.watched.keys(x, way)
        singly = self.watched.is_left_in(x) or (len(x) <= FEW and all(map(is_constant, x)))
        if not singly:
            self.watched.each(x, way, "{}.values()", "values")
        for key, value in x.items():
            here = way.to(f"[{_key(key)}]")
            if not singly or self.watched.item(x, key, here):
                self._reach(value, here)
            self._reach(key, way)
        if is_a(x, defaultdict):
            self.watched.add(Form.IS, x, "{}.default_factory", x.default_factory, way.to(".default_factory"))
            self._reach(x.default_factory, way)

    def tensor(self, x: Tensor, way: Way) -> None:
        """Watch the history, the gradient and the hooks of a Tensor."""
        self.tensors[x] = str(way)
        if is_a(x, View):
            try:
                edge = x.edge
            except RuntimeError:  # one of several views, whose root was changed
                edge = x._edge
            self.watched.add(Form.IS, x, "{}._edge", edge, way, "edge")
            self.watched.add(Form.IS, x, "{}.root", x.root, way, "edge")
            self._reach(x.root, way.to("._base"))
        else:
            edge = x.edge
            self.watched.add(Form.IS, x, "{}.edge", edge, way, "edge")
        if edge is None:
            x._parked_grad = parked = getattr(x, "_parked_grad", None)  # there, it is read faster
            self.watched.add(Form.IS, x, "{}._parked_grad", parked, way, "gradient")
        else:
            self.watched.add(Form.IS, edge, "{}.hooks", edge.hooks, way, "hooks")
            if edge.hooks is not None:
                self.watched.add(Form.IS, edge.hooks, "{}.keep", edge.hooks.keep, way, "hooks")
                self.watched.each(edge.hooks, way, "{}.values()", "hooks")
                for hook in edge.hooks.values():
                    self._reach(hook, way)

    def array(self, x: np.ndarray[Any, Any], way: Way) -> None:
        """Watch the elements of a NumPy array."""
        if x.dtype.hasobject:
            refuse(way, "is a NumPy array of objects", "make it a list")
        if x.nbytes > _BYTES:
            what = f"is a NumPy array of {x.nbytes:,} bytes, which may be changed"
            instead = "make it a Tensor with torch.from_numpy, or give it as an argument"
            refuse(way, what, instead if is_known(x.dtype) else "give what is needed of it as an argument")
        self.arrays.append((x, str(way)))
        self.watched.add(Form.EQUAL, x, "{}.tobytes()", x.tobytes(), way, "array")
        self.watched.add(Form.EQUAL, x, "{}.shape", x.shape, way, "array")
        self.watched.add(Form.EQUAL, x, "{}.strides", x.strides, way, "array")
        self.watched.add(Form.IS, x, "{}.dtype", x.dtype, way, "array")

    def refuse_many(self, way: Way | None = None) -> NoReturn:
        """Raise UnsupportedError for what leads to too many objects."""
        if way is None:
            ways = [check.way for check in self.watched]
            ((most, _),) = Counter((way.label, way.name) for way in ways).most_common(1)
            way = next(way for way in ways if (way.label, way.name) == most)._replace(steps="")
        what = f"leads to more than {MOST:,} objects, too many to compare before every call"
        refuse(way, what, "give what is needed of it as an argument")


def refuse(way: Way, what: str, instead: str) -> NoReturn:
    """Raise UnsupportedError for what is reached that way."""
    raise UnsupportedError(f"{way.line}{way} {what}; {instead}")


def _key(key: Any) -> str:
    return short(key) if is_constant(key) else f"<{type(key).__name__}>"
