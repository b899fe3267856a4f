"""Whether an object is as good as another one."""

from __future__ import annotations

import datetime
import re
import struct
import types
from decimal import Decimal
from typing import Any

import numpy as np

from .trusted import is_constant


def alike(was: Any, now: Any) -> bool:
    """Return whether two objects are the same, or two of the same type and value that never change."""
    waiting = [(was, now)]
    while waiting:
        x, y = waiting.pop()
        if x is y:
            continue
        kind = type(x)
        if kind is not type(y):
            return False
        if kind in (tuple, frozenset) or _is_named_tuple(kind):
            if len(x) != len(y):
                return False
            waiting += zip(x, y, strict=True)
        elif kind is slice:
            waiting += ((x.start, y.start), (x.stop, y.stop), (x.step, y.step))
        elif kind is types.MethodType:
            waiting += ((x.__self__, y.__self__), (x.__func__, y.__func__))
        elif not is_constant(x) or not _equal(x, y):
            return False
    return True


def _is_named_tuple(kind: type) -> bool:
    """Return whether it is the class of a namedtuple, which has no attributes but its elements."""
    return issubclass(kind, tuple) and hasattr(kind, "_fields") and not kind.__dictoffset__


def _equal(x: Any, y: Any) -> bool:
    """Return whether two constants of one type are equal to the last bit."""
    if isinstance(x, float):
        return struct.pack("d", x) == struct.pack("d", y)
    if isinstance(x, complex):
        return struct.pack("dd", x.real, x.imag) == struct.pack("dd", y.real, y.imag)
    if isinstance(x, np.generic):
        return x.dtype == y.dtype and x.tobytes() == y.tobytes()
    if isinstance(x, (datetime.datetime, datetime.time)):
        return repr(x) == repr(y) and alike(x.tzinfo, y.tzinfo)
    if isinstance(x, (range, Decimal, re.Pattern, datetime.timezone)):
        return repr(x) == repr(y)
    return bool(x == y)
