"""What a recording may rely on without looking, and what it may not.

It may on objects that never change, and on functions whose results depend on their arguments alone; not on
those that draw, tell the time or have effects.
"""

from __future__ import annotations

import _thread
import builtins
import datetime
import decimal
import fractions
import inspect
import operator
import os
import pathlib
import random
import re
import statistics
import sys
import types
import typing
import weakref
from collections import OrderedDict, defaultdict, deque
from collections.abc import AsyncIterator, Coroutine, Iterator
from io import IOBase
from typing import Any, NamedTuple

import numpy as np

from ....arrays.dtypes import dtype
from ....engine.attributes import Size, device
from ....engine.callers import PACKAGE, is_file_of_python
from ....engine.tensor import Tensor
from ....engine.value import Value
from ....rng.generator import Generator


def words(text: str) -> frozenset[str]:
    """Return the words in a text."""
    return frozenset(text.split())


class _Fields(NamedTuple):
    first: None


STRICT = words("""
    type pow ldexp decimal Decimal fractions Fraction datetime timedelta statistics struct pack pack_into
    to_bytes bit_length bit_count is_integer as_integer_ratio conjugate chr bin oct hex cmath
    __float__ __int__ __index__ __complex__ deque result_type min_scalar_type can_cast
""")
"""Names of what asks for a number of Python's own class, must return one, or is a method of that class."""
NUMBERS = (bool, int, float, complex)
CONSTANT: tuple[type, ...] = (
    *NUMBERS, str, bytes, type(None), type(...), type(NotImplemented), range, types.CodeType, np.dtype, dtype,
    device, Size, re.Pattern, decimal.Decimal, fractions.Fraction, datetime.date, datetime.datetime,
    datetime.time, datetime.timedelta, datetime.timezone, pathlib.PurePath, pathlib.PurePosixPath,
    pathlib.PureWindowsPath, pathlib.Path, type(pathlib.Path()), inspect.Signature, types.GenericAlias,
    types.UnionType, operator.itemgetter, operator.attrgetter, operator.methodcaller, typing.TypeVar,
    type(_Fields.first),
)  # fmt: skip
"""The types of objects that never change: another one of the same value is as good. Their subclasses are not
among them."""

WRITING = words("str repr format")
"""Names by which code writes arrays as text."""
READING = words("__iter__ __len__ __getitem__ keys values")
"""Methods of containers by which their elements are compared."""

MEMORY = (Value, Generator)
"""Objects whose numbers the step itself reads and writes: which they are is compared, and no more."""

_BUILTINS = words("""
    abs aiter all any ascii bin callable chr delattr divmod format getattr hasattr hash hex
    isinstance issubclass iter len max min next oct ord pow repr round setattr sorted sum __build_class__
""")
"""The functions among the builtins that only compute with, or change, what they are given."""

PURE = words("""
    math cmath _operator operator itertools functools _functools collections _collections _collections_abc
    collections.abc copy copyreg types typing numbers abc _abc dataclasses enum re string _bisect bisect
    _heapq heapq fractions decimal _decimal _pydecimal statistics _statistics contextlib textwrap inspect
    array _struct struct unicodedata _datetime datetime pathlib reprlib __future__ typing_extensions
    argparse.Namespace argparse._AttributeHolder os.fsencode os.fsdecode
    posixpath.join posixpath.split posixpath.splitext posixpath.basename posixpath.dirname posixpath.normpath
    ntpath.join ntpath.split ntpath.splitext ntpath.basename ntpath.dirname ntpath.normpath
""")
"""Modules of Python's of which every function and class is taken as it is, and single classes."""

_DRAWN = "draws random numbers that compiled code can't draw", "draw them with torch.rand and its like"
_CLOCK = "tells the time", "give it as an argument"
_EFFECT = "has an effect that compiled code would not have", "call it outside"
_HIDDEN = "depends on more than its arguments", "give what it gives as an argument"
_OUTSIDE = "reads or changes what is outside of the program", "call it outside"
_THREADS = "depends on other threads", "use it outside"
_TORCH = "is PyTorch's own", "use this package's"
_CHANGING = "gives something else every time", "give what it gives as an argument"
_NATIVE = "is native code that can't be followed", "call it outside"

REFUSED: dict[str, tuple[str, str]] = {
    module: reason
    for modules, reason in (
        ("random _random numpy.random secrets uuid _uuid", _DRAWN),
        ("time", _CLOCK),
        ("torch", _TORCH),
        ("builtins", _HIDDEN),
        ("builtins.print builtins.input builtins.breakpoint", _EFFECT),
        ("logging warnings _warnings traceback tqdm rich", _EFFECT),
        ("builtins.exec builtins.eval builtins.compile", _NATIVE),
        ("ctypes _ctypes cffi importlib _imp gc weakref _weakref", _NATIVE),
        ("threading _thread queue _queue multiprocessing concurrent asyncio _asyncio", _THREADS),
        ("contextvars _contextvars signal atexit", _THREADS),
        ("builtins.open os posix nt posixpath ntpath genericpath sys io _io socket _socket select", _OUTSIDE),
        ("subprocess tempfile shutil glob marshal pickle _pickle json urllib http ssl sqlite3", _OUTSIDE),
        ("locale getpass inspect.getsource inspect.getsourcelines inspect.findsource", _OUTSIDE),
        ("inspect.stack inspect.currentframe inspect.trace inspect.getinnerframes", _HIDDEN),
        ("inspect.getouterframes inspect.get_annotations typing.get_type_hints", _HIDDEN),
        ("decimal.getcontext decimal.setcontext decimal.localcontext", _HIDDEN),
        ("_decimal.getcontext _decimal.setcontext _decimal.localcontext", _HIDDEN),  # since Python 3.14
        ("statistics.kde_random", _DRAWN),
        ("contextlib.redirect_stdout contextlib.redirect_stderr contextlib.chdir", _EFFECT),
    )
    for module in words(modules)
}
"""Modules whose functions and objects are refused, and single functions: why, and what to do instead."""

REFUSED_NAMES = {
    name: reason
    for names, reason in (
        ("__subclasses__ __globals__ __annotations__ f_locals f_back f_globals f_builtins", _HIDDEN),
        ("tofile", _EFFECT),
    )
    for name in words(names)
}
"""Attributes by which code reads or changes what is not compared, whatever object has them."""

_NUMPY_HIDDEN = words("""
    geterr geterrcall getbufsize get_printoptions array_str array_repr array2string format_float_positional
    format_float_scientific
""")
_NUMPY_EFFECTS = words("""
    save savez savez_compressed savetxt load loadtxt genfromtxt fromfile fromregex memmap open_memmap seterr
    seterrcall setbufsize errstate set_printoptions printoptions
""")

METHODS: dict[type, tuple[frozenset[str], tuple[str, str]]] = {
    statistics.NormalDist: (words("samples"), _DRAWN),
    datetime.date: (words("now today utcnow"), _CLOCK),
    pathlib.PurePath: (
        words("""
            open read_text read_bytes write_text write_bytes exists is_file is_dir is_symlink stat lstat
            iterdir glob rglob mkdir rmdir unlink touch cwd home resolve absolute samefile chmod
        """),
        _OUTSIDE,
    ),
}
"""Methods of constants, and of their classes, that do not depend on their arguments alone."""

DYNAMIC = words("""
    __dict__ vars dir getattr hasattr setattr delattr attrgetter methodcaller asdict astuple fields getmembers
    getattr_static __getattribute__ __setattr__ __delattr__ __getstate__ __reduce__ __reduce_ex__ __slots__
    format format_map
""")
"""Names by which code reads, or changes, attributes that it does not name."""

WHOLE = words("__dict__ vars")
"""Those by which it reads all that an object has."""

CREATING = words("type __class__ __init__ __new__")
"""Names by which code makes another object of the class of one that it has."""
CREATED = words("__init__ __new__ __post_init__")
"""Methods that are called where an object is made, and else where code names them."""

_HEAP_TYPE = 1 << 9  # of `type.__flags__`
_BASES: frozenset[type] = frozenset(
    {object, int, float, complex, str, bytes, tuple, list, dict, set, frozenset, deque, defaultdict,
     OrderedDict, type, property, types.SimpleNamespace, typing.Generic}
    | {x for x in vars(builtins).values() if isinstance(x, type) and issubclass(x, BaseException)}
)  # fmt: skip
"""Classes in C whose instances' contents are looked at where a Python class derives from them."""
_OURS = __name__.partition(".")[0]
_FOR_ARRAYS = words("api nn rng")
"""The folders of this package whose functions compute with Tensors."""


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


def is_library(x: types.ModuleType) -> bool:
    """Return whether a module is this package's, Python's, NumPy's or PyTorch's, to which nobody adds."""
    top = x.__name__.partition(".")[0]
    of_python = top in sys.stdlib_module_names - {"__main__"} and not is_users(x)
    return is_ours(x) or top in ("numpy", "torch") or of_python


def is_users(x: Any) -> bool:
    """Return whether a function, or a module, is from a file of the user's, which may have the name of one of
    Python's."""
    file = x.__code__.co_filename if is_a(x, types.FunctionType) else vars(x).get("__file__")
    return str(file).endswith(".py") and not is_file_of_python(str(file))


def is_for_arrays(x: Any) -> bool:
    """Return whether an object is a Tensor, or computes with arrays: a function of NumPy's or of this
    package's."""
    if is_a(x, Tensor) or (is_a(x, type) and issubclass(x, Tensor)):
        return True
    if callable(x) and _is_in(str(type(x).__module__), "numpy"):
        return True
    if not is_a(x, (types.FunctionType, types.BuiltinFunctionType)):
        return False
    module = module_of(x)
    ours = module.removeprefix(f"{_OURS}.")
    return _is_in(module, "numpy") or (ours != "api.missing" and ours.partition(".")[0] in _FOR_ARRAYS)


def is_module_ours(name: str) -> bool:
    """Return whether a module of that name belongs to this package, whose parts are taken as they are."""
    return _is_in(name, _OURS) and not _is_in(name, f"{_OURS}.makemore")


def module_of(x: Any) -> str:
    """Return the name of the module that a function or a class is from."""
    if is_a(x, types.FunctionType):  # one that wraps another says the other's
        return str(x.__globals__.get("__name__"))
    module, owner = read(x, "__module__", None), read(x, "__self__", None)
    if module is None and owner is not None:
        module = owner.__name__ if is_a(owner, types.ModuleType) else read(owner, "__module__", None)
    return str(module or "")


def is_dynamic(x: Any) -> bool:
    """Return whether a function of Python's reads, or changes, attributes by the names that it is given."""
    if is_a(x, (types.WrapperDescriptorType, types.MethodWrapperType)):
        return x.__name__ in DYNAMIC
    kinds = (type, types.FunctionType, types.BuiltinFunctionType)
    return is_a(x, kinds) and read(x, "__name__", "") in DYNAMIC and is_pure(x)


def strict_names(x: Any) -> frozenset[str]:
    """Return those of `STRICT` that name a function or a class, or its module, whatever the code calls it."""
    kinds = (type, types.FunctionType, types.BuiltinFunctionType)
    return STRICT & {read(x, "__name__", ""), module_of(x)} if is_a(x, kinds) else frozenset()


def is_constant(x: Any) -> bool:
    """Return whether an object never changes."""
    kind = type(x)
    if kind in CONSTANT:
        return True
    if issubclass(kind, np.generic):
        return kind.__module__ == "numpy" and x.dtype.kind not in "VO"
    if issubclass(kind, np.dtype):
        return kind.__module__.partition(".")[0] == "numpy"
    if kind.__module__ == "torch":
        return kind.__name__ in ("dtype", "device", "layout", "memory_format", "Size")
    return kind.__module__ in ("typing", "zoneinfo") and not is_a(x, type)


def is_pure(x: Any) -> bool:
    """Return whether a function or a class, of Python's or of NumPy's, gives results that depend on its
    arguments alone."""
    if _reason_against_method(x) is not None:
        return False
    owner = read(x, "__self__", None)
    if is_a(owner, type):  # a method of a class
        return is_pure(owner)
    module, name = module_of(x), str(read(x, "__name__", ""))
    if module == "builtins":
        return is_a(x, type) or name in _BUILTINS
    if is_a(x, np.ufunc):
        return getattr(np, x.__name__, None) is x
    if _is_in(module, "numpy"):
        return not _is_in(module, "numpy.random") and name not in _NUMPY_EFFECTS | _NUMPY_HIDDEN
    whole = f"{module}.{name}"
    if whole in REFUSED or PURE.isdisjoint((module, whole)):
        return False
    where = x if is_a(x, types.FunctionType) else sys.modules.get(module)
    if is_a(x, type) and _is_written_in_python(x) and getattr(where, name, None) is not x:
        return False  # it was made by a call, of make_dataclass say
    return module == "typing_extensions" or where is None or not is_users(where)


def reason_against(x: Any) -> tuple[str, str] | None:
    """Return why an object can't be relied on, and what to do instead; None where nothing is known against
    it."""
    if is_a(x, (random.Random, np.random.RandomState, np.random.Generator, np.random.BitGenerator)):
        return _DRAWN
    if is_a(x, type(os.environ)):
        return _OUTSIDE[0], "read it outside, and give it as an argument"
    if is_a(x, IOBase):
        return "is a file", "read it outside, and give what it holds as an argument"
    if is_a(x, (_thread.LockType, _thread.RLock)):
        return "is a lock", "take it outside"
    if is_a(x, (weakref.ref, *weakref.ProxyTypes)):
        return "is a weak reference, which may lose its object", "hold the object itself"
    if type(x).__name__ == "_lru_cache_wrapper":
        return "keeps its results (lru_cache)", "leave the cache out"
    if is_a(x, (Iterator, Coroutine, AsyncIterator)) and not is_python_class(type(x)):
        return f"is {a(type(x))}, which {_CHANGING[0]}", _CHANGING[1]
    method = _reason_against_method(x)
    if method is not None:
        return method
    code = _is_code(x)
    module = module_of(x) if code else type(x).__module__
    if module == "builtins" and not code:
        return None
    parts = f"{module}.{read(x, '__name__', '')}".split(".")
    for i in range(len(parts), 0, -1):
        reason = REFUSED.get(".".join(parts[:i]))
        if reason is not None:
            return reason
    if code and _is_in(module, "numpy"):
        return _HIDDEN if read(x, "__name__", "") in _NUMPY_HIDDEN else _OUTSIDE
    return _NATIVE if is_a(x, (types.BuiltinFunctionType, np.ufunc)) else None


def _reason_against_method(x: Any) -> tuple[str, str] | None:
    """Return why a method of a class in C can't be relied on."""
    owner = read(x, "__self__", None)
    if is_a(owner, type):
        for kind, (names, reason) in METHODS.items():
            if issubclass(owner, kind) and read(x, "__name__", "") in names:
                return reason
    return None


def is_python_class(x: type) -> bool:
    """Return whether instances of a class have no state but attributes, slots, and the elements of Python's
    own containers: whether it is written in Python, and so are those that it derives from."""
    return all(base in _BASES or _is_written_in_python(base) for base in x.__mro__)


def _is_written_in_python(x: type) -> bool:
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


def _is_code(x: Any) -> bool:
    return is_a(x, (type, types.FunctionType, types.BuiltinFunctionType, np.ufunc)) or (
        callable(x) and not is_python_class(type(x))
    )


def _is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def a(kind: type) -> str:
    """Return the name of a type with its article."""
    if kind is type(None):
        return "None"
    name = kind.__name__.lstrip("_")
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
