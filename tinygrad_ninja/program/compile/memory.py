"""The memory of a compiled step: the pointers that it takes, and what its variables are called in C."""

from __future__ import annotations

import ctypes
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any
from weakref import ref

import numpy as np
from numpy.lib.array_utils import byte_bounds

from ...ops import TABLE, C
from ..instructions import Array, Var
from .c.buffers import ALIGNED, Address, Buffer
from .c.build import macro_names
from .c.sharing import COUNT
from .recording.captured import Captured
from .recording.shapes import is_torch
from .refusals import UnsupportedError


def aligned(shape: tuple[int, ...], dtype: Any) -> Array:
    """Return an array of zeros that begins at a multiple of ALIGNED bytes, and has as many free ones behind
    it."""
    dtype = np.dtype(dtype)
    size = max(math.prod(shape), 1) * dtype.itemsize
    # Not an array: who takes a view of what is returned holds that, and not what it is a part of.
    raw = bytearray(size + 2 * ALIGNED)
    return np.ndarray(shape, dtype, raw, -pointer(np.frombuffer(raw, np.uint8)) % ALIGNED)


class Arena:
    """Variables that lie one behind the other in one memory. It is new at each call: a step leaves there what
    the way back reads."""

    def __init__(self, variables: Iterable[Var]) -> None:
        self.offsets: dict[Var, int] = {}
        self.size = 0
        for var in variables:
            self.offsets[var] = self.size
            self.size += (var.value.nbytes // ALIGNED + 2) * ALIGNED  # with as much room as `aligned` has
        # Two at most, each with the array that somebody else holds while it is in use.
        self._memories: list[tuple[Array, ref[Array]]] = []

    def memory(self) -> Array:
        """Return memory for it that nobody else holds: that of an earlier call, if it is free."""
        free = next((memory for memory, lent in self._memories if lent() is None), None)
        if free is None:
            raw = np.empty(self.size + ALIGNED, np.uint8)
            free = raw[-pointer(raw) % ALIGNED :][: self.size]
        lent = free.view()
        others = [pair for pair in self._memories if pair[0] is not free]
        self._memories = [*others[-1:], (free, ref(lent))]
        return lent

    def array(self, memory: Array, var: Var) -> Array:
        """Return a variable as it lies in a memory."""
        return np.ndarray(var.shape, var.dtype, memory, self.offsets[var])


def pointer(array: Array) -> int:
    """Return the address of an array's first element."""
    return array.__array_interface__["data"][0]


class Table:
    """The pointers that the compiled function takes, each with the array that it points into."""

    def __init__(self) -> None:
        self.arrays: list[Array] = []
        self.slots: Any = None

    def add(self, array: Array, name: str) -> Address:
        """Add an array of the caller's, and return its address. Raise UnsupportedError for memory that C
        can't address by whole elements."""
        apart = any(step % array.itemsize for step in array.strides)
        if apart or array.dtype.byteorder == ">" or not array.flags.aligned:
            raise UnsupportedError(
                f"{array.dtype} elements at addresses that are no multiples of {array.itemsize}, of a Tensor "
                f"of shape {array.shape}, are not compiled; give a copy of it"
            )
        steps = tuple(step // array.itemsize for step in array.strides)
        if array.size >= 2**31:
            raise UnsupportedError(f"a Tensor of shape {array.shape} has too many elements to be compiled")
        buffer = Buffer(name, array.dtype, array.shape, steps, len(self.arrays))
        self.arrays.append(array)
        return Address(buffer, 0, array.shape, steps)

    def finish(self) -> None:
        """Build the table of pointers, once all arrays are added."""
        self.slots = (ctypes.c_void_p * len(self.arrays))(*map(pointer, self.arrays))

    def span(self, array: Any) -> tuple[int, int]:
        """Return the addresses (first, behind the last) between which an array's elements lie."""
        if array.flags.c_contiguous:
            start = pointer(array)
            return start, start + array.nbytes
        return byte_bounds(array)

    def overlaps_itself(self, array: Any) -> bool:
        """Return whether two elements of an array may lie in one place."""
        if 0 in array.shape:
            return False
        reach = 0
        steps = array.stride() if is_torch(array) else [step // array.itemsize for step in array.strides]
        for step, n in sorted((abs(step), n) for step, n in zip(steps, array.shape, strict=True) if n > 1):
            if step <= reach:
                return True
            reach += step * (n - 1)
        return False

    def may_write(self, array: Any) -> bool:
        """Return whether the array's memory may be changed."""
        return is_torch(array) or bool(array.flags.writeable)

    def alike(self, slot: int, array: Any) -> bool:
        """Return whether an array can take the place of the one in this slot."""
        before = self.arrays[slot]
        return (
            isinstance(array, np.ndarray)
            and (array.shape, array.dtype, array.strides) == (before.shape, before.dtype, before.strides)
            and array.flags.aligned
            and array.flags.writeable >= before.flags.writeable
        )

    def renew(self, slot: int) -> Array:
        """Put new memory into the slot and return it; the old memory is somebody else's from now on."""
        self.point(slot, aligned(self.arrays[slot].shape, self.arrays[slot].dtype))
        return self.arrays[slot]

    def address(self, slot: int) -> int:
        """Return the address of the memory in this slot."""
        address: int = self.slots[slot]
        return address

    def placing(self, slots: dict[int, Var], arena: Arena, in_c: bool) -> Callable[[Array], None]:
        """Return the function that lets the slots point to their variables in a memory of the arena. in_c:
        nobody but C reads them."""
        where = np.array([*slots], np.intp)
        offsets = np.array([arena.offsets[var] for var in slots.values()], np.uintp)
        pointers = np.frombuffer(self.slots, np.uintp)

        def place(memory: Array) -> None:
            pointers[where] = offsets + pointer(memory)

        def place_arrays(memory: Array) -> None:
            for slot, var in slots.items():
                self.arrays[slot] = arena.array(memory, var)

        return place if in_c else place_arrays

    def point(self, slot: int, array: Array) -> None:
        """Let the slot point to an array; to that of a memmap or alike, as a Tensor does."""
        self.arrays[slot] = np.asarray(array)
        self.slots[slot] = pointer(array)


_TAKEN = frozenset(
    f"""
    auto break case char const continue default do double else enum extern float for goto if inline
    int long register restrict return short signed sizeof static struct switch typedef union
    unsigned void volatile while asm typeof memset memcpy main torch scratch lane from wrong chunk
    begin end {COUNT}
""".split()
)
"""The words of C, and the emitter's own names without a number."""
OURS = re.compile(
    r"([ptvrinxqs]|out|constant|number|literal|words|drawn|new_|step)\d*(_.*)?|.*_(row|packed|result|parts\d+|[fd])|\d*"
)


@cache
def _called(c: C) -> set[str]:
    """Return the names that the C of an operation may call."""
    dtypes = [defaultdict(str, F=f, K=k) for f, k in (("f", "f"), ("", "d"), ("", "i"))]
    texts = [text.format_map(fields) for text in c.texts for fields in dtypes]
    return {name for text in texts for name in re.findall(r"[A-Za-z_]\w*", text)}


def names_for(captured: Captured, ours: re.Pattern[str] = OURS) -> dict[Var, str]:
    """Return a C identifier for each variable that the reader has named: all distinct, and unlike macros, the
    emitter's own names and the functions that operations call."""
    called = (_called(entry.c) for entry in TABLE.values() if entry.c is not None)
    taken = _TAKEN.union(macro_names(), *called)
    used: set[str] = set()
    identifiers = {}
    for var, name in captured.names.items():
        wanted = name if name not in taken and not ours.fullmatch(name) and name[0] != "_" else f"my_{name}"
        count = 2
        while wanted in used:
            wanted, count = f"{name}_{count}", count + 1
        used.add(wanted)
        identifiers[var] = wanted
    return identifiers
