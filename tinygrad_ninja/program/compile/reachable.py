"""The objects that a function can reach beside its arguments."""

from __future__ import annotations

import gc
import types
from collections.abc import Iterator
from typing import Any

import numpy as np

from ...engine.callers import PACKAGE
from ...engine.tensor import Tensor

_ATOMS = {bool, int, float, complex, str, bytes, type(None), types.CodeType}
_MOST = 30_000
_HEAP_TYPE = 1 << 9  # of `type.__flags__`: a class that Python code made


def reachable(fn: Any) -> Iterator[Any]:
    """Yield the objects that a function can reach through its closure, its defaults, the globals that it
    names, the functions that it calls, and their attributes and elements; of very many only the nearest."""
    root = getattr(fn, "__func__", fn)
    seen: dict[int, Any] = {}  # holds the objects, so that no id is reused
    waiting = [fn]
    for x in waiting:  # the list grows meanwhile
        if len(seen) == _MOST:
            return
        if type(x) in _ATOMS or id(x) in seen:
            continue
        seen[id(x)] = x
        if isinstance(x, types.FunctionType):
            if x is root or not x.__code__.co_filename.startswith(PACKAGE):
                waiting += [x.__closure__, x.__defaults__, x.__kwdefaults__, x.__dict__]
                waiting += _named(x.__globals__, _names(x.__code__))
        elif isinstance(x, type):
            if x.__flags__ & _HEAP_TYPE:
                waiting += [*vars(x).values(), *x.__bases__]
        elif not isinstance(x, types.ModuleType):
            yield x
            waiting += () if isinstance(x, Tensor | np.ndarray) else gc.get_referents(x)


def _names(code: types.CodeType) -> set[str]:
    """Return the globals and attributes that code names, and those named by the functions within it."""
    inner = [_names(constant) for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return {*code.co_names}.union(*inner)


def _named(namespace: dict[str, Any], names: set[str]) -> list[Any]:
    """Return the values that have one of these names, in the namespace or in the modules that are named
    there."""
    values: list[Any] = []
    spaces = [namespace]
    for space in spaces:  # the list grows meanwhile
        here = [space[name] for name in names & space.keys()]
        modules = [vars(value) for value in here if isinstance(value, types.ModuleType)]
        spaces += [module for module in modules if all(module is not other for other in spaces)]
        values += here
    return values
