"""What a recording may rely on without looking: objects that never change, and functions whose results depend
on their arguments alone."""

from __future__ import annotations

import datetime
import decimal
import fractions
import inspect
import operator
import pathlib
import re
import sys
import types
import typing
from typing import Any, NamedTuple

import numpy as np

from ....arrays.dtypes import dtype
from ....engine.attributes import Size, device
from ....engine.tensor import Tensor
from ....engine.value import Value
from ....rng.generator import Generator
from .code_names import words
from .owners import OURS, is_a, is_in, is_users, is_written_in_python, module_of, read
from .refused import NUMPY_EFFECTS, NUMPY_HIDDEN, REFUSED, reason_against_method


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

_FOR_ARRAYS = words("api nn rng")
"""The folders of this package whose functions compute with Tensors."""


def is_for_arrays(x: Any) -> bool:
    """Return whether an object is a Tensor, or computes with arrays: a function of NumPy's or of this
    package's."""
    if is_a(x, Tensor) or (is_a(x, type) and issubclass(x, Tensor)):
        return True
    if callable(x) and is_in(str(type(x).__module__), "numpy"):
        return True
    if not is_a(x, (types.FunctionType, types.BuiltinFunctionType)):
        return False
    module = module_of(x)
    ours = module.removeprefix(f"{OURS}.")
    return is_in(module, "numpy") or (ours != "api.missing" and ours.partition(".")[0] in _FOR_ARRAYS)


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
    if reason_against_method(x) is not None:
        return False
    owner = read(x, "__self__", None)
    if is_a(owner, type):  # a method of a class
        return is_pure(owner)
    module, name = module_of(x), str(read(x, "__name__", ""))
    if module == "builtins":
        return is_a(x, type) or name in _BUILTINS
    if is_a(x, np.ufunc):
        return getattr(np, x.__name__, None) is x
    if is_in(module, "numpy"):
        return not is_in(module, "numpy.random") and name not in NUMPY_EFFECTS | NUMPY_HIDDEN
    whole = f"{module}.{name}"
    if whole in REFUSED or PURE.isdisjoint((module, whole)):
        return False
    where = x if is_a(x, types.FunctionType) else sys.modules.get(module)
    if is_a(x, type) and is_written_in_python(x) and getattr(where, name, None) is not x:
        return False  # it was made by a call, of make_dataclass say
    return module == "typing_extensions" or where is None or not is_users(where)
