"""A Module that is compiled: called, it runs as its compiled function does; in all else it is the Module."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from ...nn.module import Module


def as_module(model: Module, compiled: Any, again: Callable[[Module], Any]) -> Module:
    """Return a Module with the attributes of `model`, the very same ones, which when it is called calls
    `compiled`. again: compiles a copy of the model."""
    kind = type(model)
    members = {
        "__module__": kind.__module__,
        "__qualname__": kind.__qualname__,
        "__doc__": kind.__doc__,
        # What makes another of its own class, as a slice of a Sequential does, makes one not compiled.
        "__new__": lambda cls, *args, **kwargs: kind(*args, **kwargs),
        "__call__": lambda self, *args, **kwargs: compiled(*args, **kwargs),
        "__copy__": lambda self: again(model),
        "__deepcopy__": lambda self, memo: again(deepcopy(model, memo)),
        "compiled": property(lambda self: compiled),
    }
    # A class of its own, since a call is looked up in the class, and all attributes are the model's.
    module: Module = object.__new__(type(kind.__name__, (kind,), members))
    object.__setattr__(module, "__dict__", model.__dict__)
    return module
