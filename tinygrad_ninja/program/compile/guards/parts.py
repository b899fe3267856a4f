"""What objects consist of: their attributes, their slots, and what is reached through them."""

from __future__ import annotations

import datetime
import decimal
import functools
import gc
import inspect
import operator
import types
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

from ....engine.callers import PACKAGE
from ....engine.tensor import Tensor
from .code_names import names_of
from .owners import is_a, is_module_ours, is_ours, is_python_class
from .trusted import WHOLE

DESCRIPTORS = (
    types.GetSetDescriptorType, types.MemberDescriptorType, types.WrapperDescriptorType,
    types.MethodDescriptorType, types.ClassMethodDescriptorType,
)  # fmt: skip
_FIELDS = (types.GetSetDescriptorType, types.MemberDescriptorType)
CONTAINERS = (
    list, tuple, dict, set, frozenset, deque, defaultdict, OrderedDict, types.MappingProxyType,
)  # fmt: skip

PARTS: dict[type, tuple[str, ...]] = {
    types.MethodType: ("__self__", "__func__"),
    staticmethod: ("__func__",),
    classmethod: ("__func__",),
    property: ("fget", "fset", "fdel"),
    functools.cached_property: ("func",),
    functools.partial: ("func", "args", "keywords"),
    slice: ("start", "stop", "step"),
}
"""For objects of these types, the attributes through which others are reached."""
REPLACEABLE = PARTS.keys() - {types.MethodType, slice}
"""Those among them of which the attributes can be replaced: by __init__ or __setstate__, if nothing else."""


_HELD: dict[type, Callable[[Any], Iterable[Any]]] = {
    operator.methodcaller: lambda x: arguments_of(x),
    operator.itemgetter: lambda x: _made_by(x)[1],
    types.GenericAlias: lambda x: (x.__origin__, *x.__args__),
    types.UnionType: lambda x: x.__args__,
    datetime.datetime: lambda x: (x.tzinfo,),
    datetime.time: lambda x: (x.tzinfo,),
    inspect.Signature: lambda x: (parameter.default for parameter in x.parameters.values()),
}


def parts_of(x: Any) -> Iterable[Any]:
    """Return the objects that are reached through one of `PARTS`; of another none."""
    return (getattr(x, name) for name in PARTS.get(type(x), ()))


def parts_of_constant(x: Any) -> Iterable[Any]:
    """Return the objects within one that never changes itself, which may change."""
    if type(x).__module__ == "typing":  # Box[int], say
        return (getattr(x, "__origin__", None), *getattr(x, "__args__", ()))
    return _HELD[type(x)](x) if type(x) in _HELD else ()


def list_or_dict(x: Any) -> Iterable[Any]:
    """Return a list or a dict, or what a view of a dict shows; of another object nothing."""
    if type(x) is types.MappingProxyType:
        return gc.get_referents(x)
    return (x,) if is_a(x, (list, dict)) else ()


def _made_by(x: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return what makes an equal object, and the arguments."""
    make, given = cast("tuple[Any, tuple[Any, ...]]", x.__reduce__())
    return make, given


def arguments_of(x: operator.methodcaller) -> Iterable[Any]:
    """Return what a methodcaller calls the method with."""
    make, given = _made_by(x)
    return (*given, *make.keywords.values()) if is_a(make, functools.partial) else given


def texts_of(x: operator.attrgetter[Any] | operator.methodcaller) -> Iterator[str]:
    """Yield the names of attributes that one reads."""
    make, given = _made_by(x)
    given = (*make.args, *given) if is_a(make, functools.partial) else given
    yield from (text for text in given if isinstance(text, str))


def is_protocol(x: Any) -> bool:
    """Return whether it is a class of which isinstance looks at the attributes of an object."""
    may_be = is_a(x, type) and type(x).__module__ in ("typing", "typing_extensions")
    return may_be and vars(x).get("_is_protocol") is True


def decimal_context() -> tuple[Any, ...]:
    """Return what the arithmetic of decimal depends on in this thread."""
    now = decimal.getcontext()
    return now.prec, now.rounding, now.Emin, now.Emax, now.capitals, now.clamp, dict(now.traps)


def attributes_of(x: Any) -> dict[str, Any] | None:
    """Return the __dict__ of an object, past a `__getattribute__` of its own; None where it has none."""
    try:
        held: dict[str, Any] = object.__getattribute__(x, "__dict__")
    except AttributeError:
        return None
    return held


def slots(kind: type) -> Iterator[tuple[str, types.MemberDescriptorType]]:
    """Yield the slots of a class that is written in Python, but a Tensor's."""
    for base in kind.__mro__:
        if base not in Tensor.__mro__ and base.__module__ != "builtins" and not _is_tensor_class(base):
            for name, value in vars(base).items():
                if is_a(value, types.MemberDescriptorType) and name != "__weakref__":
                    yield name, value


def _is_tensor_class(kind: type) -> bool:
    return issubclass(kind, Tensor) and is_ours(kind)


class Members(dict[str, Any]):
    """What code reads as attributes of an object, as they are now, where no mapping of the object's has
    them."""

    def __init__(self, owner: Any, held: dict[str, Any]) -> None:
        super().__init__(held)
        self.owner = owner


def fields_of(x: BaseException) -> Members:
    """Return what an exception holds that is none of its `__dict__`: its arguments, its cause, and what the
    classes in C have besides."""
    own = (vars(base) for base in type(x).__mro__ if base.__module__ == "builtins")
    names = (name for held in own for name in held if is_a(held[name], _FIELDS) and name != "__dict__")
    return Members(x, {name: getattr(x, name) for name in names if hasattr(x, name)})


def methods(kind: type) -> Members:
    """Return the public methods of a class of this package, with those that it inherits."""
    names = dict.fromkeys(
        name
        for base in kind.__mro__
        for name, value in vars(base).items()
        if is_a(value, types.FunctionType) and not name.startswith("_")
    )
    return Members(kind, {name: getattr(kind, name) for name in names})


def put_into(kind: type) -> Iterator[str]:
    """Yield the names of what a class of this package has that may be the user's."""
    for name, value in vars(kind).items():
        if is_a(value, types.FunctionType):
            if not value.__code__.co_filename.startswith(PACKAGE):
                yield name
        elif type(value) in PARTS:
            if not all(is_ours(part) for part in parts_of(value) if part is not None):
                yield name
        elif not (is_a(value, DESCRIPTORS) or name.startswith("_")):
            yield name


def owner_of(x: Any) -> Any:
    """Return the object that a method in C belongs to; None for a function, and for the method of a class."""
    owner = x.__self__ if is_a(x, (types.BuiltinFunctionType, types.MethodWrapperType)) else None
    return None if is_a(owner, (types.ModuleType, type)) else owner


def is_native_function(x: Any) -> bool:
    """Return whether it is called and not written in Python."""
    return callable(x) and not is_python_class(type(x))


def wraps_another(x: types.FunctionType) -> bool:
    """Return whether a function, of this package or of Python's, was made by a call, so that it may hold what
    is the user's. What decorators of this package made of its own functions says so by its name, which
    is also that of what was made of a method of a user's object."""
    named = x.__qualname__ if is_module_ours(str(x.__module__)) else x.__code__.co_qualname
    method = inspect.unwrap(x, stop=lambda f: isinstance(f, types.MethodType))
    return "<locals>" in named or isinstance(method, types.MethodType)


def words_of(kind: type) -> Iterator[str]:
    """Yield the names that the methods of a class use."""
    for value in vars(kind).values():
        for function in (value, *parts_of(value)):
            if isinstance(function, types.FunctionType):
                yield from names_of(function).words


def reads_its_attributes(kind: type) -> bool:
    """Return whether a class has methods that read, of an object, attributes that nobody names, as those of
    argparse.Namespace do."""
    functions = (value for value in vars(kind).values() if is_a(value, types.FunctionType))
    return any(not names_of(function).words.isdisjoint(WHOLE) for function in functions)
