"""What a function can come to beside its arguments."""

from __future__ import annotations

import gc
import types
from collections.abc import Iterator
from typing import Any

import numpy as np

from ...tensors import Tensor
from .tape import PACKAGE

_ATOMS = {bool, int, float, complex, str, bytes, type(None), types.CodeType}
_MOST = 30_000
_HEAP_TYPE = 1 << 9  # of `type.__flags__`: a class that Python code made


def reachable(fn: Any) -> Iterator[Any]:
    """The objects that a function can come to by its closure, its defaults, the globals that it names, the
    functions that it calls, and their attributes and elements; of very many the nearest."""
    root = getattr(fn, "__func__", fn)
    seen: dict[int, Any] = {}  # with the objects, so that their ids stay their own
    waiting = [fn]
    for x in waiting:  # which grows
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
    """The globals and attributes that code names, and the functions within it."""
    inner = [_names(each) for each in code.co_consts if isinstance(each, types.CodeType)]
    return {*code.co_names}.union(*inner)


def _named(namespace: dict[str, Any], names: set[str]) -> list[Any]:
    """What has one of these names, in the namespace or in the modules that are named there."""
    found: list[Any] = []
    spaces = [namespace]
    for space in spaces:  # which grows
        values = [space[name] for name in names & space.keys()]
        modules = [vars(each) for each in values if isinstance(each, types.ModuleType)]
        spaces += [each for each in modules if all(each is not other for other in spaces)]
        found += values
    return found
