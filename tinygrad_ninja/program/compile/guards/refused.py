"""What a recording may not rely on, why, and what to do instead."""

from __future__ import annotations

import _thread
import datetime
import os
import pathlib
import random
import statistics
import types
import weakref
from collections.abc import AsyncIterator, Coroutine, Iterator
from io import IOBase
from typing import Any

import numpy as np

from .code_names import words
from .owners import a, is_a, is_code, is_in, is_python_class, module_of, read

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

NUMPY_HIDDEN = words("""
    geterr geterrcall getbufsize get_printoptions array_str array_repr array2string format_float_positional
    format_float_scientific
""")
NUMPY_EFFECTS = words("""
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
    method = reason_against_method(x)
    if method is not None:
        return method
    code = is_code(x)
    module = module_of(x) if code else type(x).__module__
    if module == "builtins" and not code:
        return None
    parts = f"{module}.{read(x, '__name__', '')}".split(".")
    for i in range(len(parts), 0, -1):
        reason = REFUSED.get(".".join(parts[:i]))
        if reason is not None:
            return reason
    if code and is_in(module, "numpy"):
        return _HIDDEN if read(x, "__name__", "") in NUMPY_HIDDEN else _OUTSIDE
    return _NATIVE if is_a(x, (types.BuiltinFunctionType, np.ufunc)) else None


def reason_against_method(x: Any) -> tuple[str, str] | None:
    """Return why a method of a class in C can't be relied on."""
    owner = read(x, "__self__", None)
    if is_a(owner, type):
        for kind, (names, reason) in METHODS.items():
            if issubclass(owner, kind) and read(x, "__name__", "") in names:
                return reason
    return None
