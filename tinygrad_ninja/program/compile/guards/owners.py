"""Whose an object is, Python's, NumPy's, this package's or the reader's; asked without running its code."""

from __future__ import annotations

import builtins
import os
import sys
import types
import typing
from collections import OrderedDict, defaultdict, deque
from typing import Any

import numpy as np

from ....engine.callers import PACKAGE, is_file_of_python


def is_a(x: Any, kinds: type | tuple[type, ...]) -> bool:
    """Return whether an object's class is one of these, or derives from one. isinstance would also ask the
    object itself, and run its own code."""
    return issubclass(type(x), kinds)


def read(x: Any, name: str, default: Any) -> Any:
    """Return an attribute of a function or a class; of another object that of its class, so that none of its
    own code is run."""
    kind = type(x)
    if not issubclass(kind, type) and is_python_class(kind):
        x = kind
    if not is_a(x, type):
        return getattr(x, name, default)
    try:
        return type.__getattribute__(x, name)  # past a `__getattr__` of its metaclass
    except AttributeError:
        return default


def is_ours(x: Any) -> bool:
    """Return whether a function, a class or a module belongs to this package, whose parts are taken as they
    are; the models of `makemore` are a user's."""
    if is_a(x, types.FunctionType):
        file = x.__code__.co_filename
        return file.startswith(PACKAGE) and not file.startswith(os.path.join(PACKAGE, "makemore"))  # noqa: PTH118
    name = x.__name__ if is_a(x, types.ModuleType) else read(x, "__module__", None)
    return is_module_ours(str(name))


def is_users(x: Any) -> bool:
    """Return whether a function, or a module, is from a file of the user's, which may have the name of one of
    Python's."""
    file = x.__code__.co_filename if is_a(x, types.FunctionType) else vars(x).get("__file__")
    return str(file).endswith(".py") and not is_file_of_python(str(file))


def is_library(x: types.ModuleType) -> bool:
    """Return whether a module is this package's, Python's, NumPy's or PyTorch's, to which nobody adds."""
    top = x.__name__.partition(".")[0]
    of_python = top in sys.stdlib_module_names - {"__main__"} and not is_users(x)
    return is_ours(x) or top in ("numpy", "torch") or of_python


def is_module_ours(name: str) -> bool:
    """Return whether a module of that name belongs to this package, whose parts are taken as they are."""
    return is_in(name, OURS) and not is_in(name, f"{OURS}.makemore")


def module_of(x: Any) -> str:
    """Return the name of the module that a function or a class is from."""
    if is_a(x, types.FunctionType):  # one that wraps another says the other's
        return str(x.__globals__.get("__name__"))
    module, owner = read(x, "__module__", None), read(x, "__self__", None)
    if module is None and owner is not None:
        module = owner.__name__ if is_a(owner, types.ModuleType) else read(owner, "__module__", None)
    return str(module or "")


_HEAP_TYPE = 1 << 9  # of `type.__flags__`
_BASES: frozenset[type] = frozenset(
    {object, int, float, complex, str, bytes, tuple, list, dict, set, frozenset, deque, defaultdict,
     OrderedDict, type, property, types.SimpleNamespace, typing.Generic}
    | {x for x in vars(builtins).values() if isinstance(x, type) and issubclass(x, BaseException)}
)  # fmt: skip
"""Classes in C whose instances' contents are looked at where a Python class derives from them."""

OURS = __name__.partition(".")[0]


def is_python_class(x: type) -> bool:
    """Return whether instances of a class have no state but attributes, slots, and the elements of Python's
    own containers: whether it is written in Python, and so are those that it derives from."""
    return all(base in _BASES or is_written_in_python(base) for base in x.__mro__)


def is_written_in_python(x: type) -> bool:
    if not x.__flags__ & _HEAP_TYPE:
        return False
    new = vars(x).get("__new__")
    if isinstance(new, types.BuiltinFunctionType) and new.__self__ is x:
        return False
    in_c = ((name, value) for name, value in vars(x).items() if type(value) in _DESCRIPTORS)
    return all(name in ("__dict__", "__weakref__") or value.__objclass__ is not x for name, value in in_c)


_DESCRIPTORS = {
    types.WrapperDescriptorType, types.MethodDescriptorType, types.ClassMethodDescriptorType,
    types.GetSetDescriptorType,
}  # fmt: skip


def is_code(x: Any) -> bool:
    return is_a(x, (type, types.FunctionType, types.BuiltinFunctionType, np.ufunc)) or (
        callable(x) and not is_python_class(type(x))
    )


def is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def a(kind: type) -> str:
    """Return the name of a type with its article."""
    if kind is type(None):
        return "None"
    name = kind.__name__.lstrip("_")
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
