"""From the recorded operations to primitive ones, without those that are not needed.

Each operation becomes simpler ones by its own forward function, run on the traced kind of array, so that an
operation added to the table needs nothing here as long as it is composed of those that are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from .... import ops
from ....arrays import numpy_arrays
from ....ops import Operation
from ...entries import FIRST_EQUAL
from ...identities import instruction_of, unknown
from ...instructions import Array, Instruction, Var, known_number, needed
from ...passes import only_once, rewritten, same_bits
from ...trace import Tape, lower
from ..refusals import UnsupportedError, unviewed
from .halves import in_float

MANY = 2**12
"""A float32 sum of more terms than this is accumulated in float64: added one after the other they would lose
digits that NumPy and PyTorch keep, which add pairwise."""

MOST = 50_000
"""The most operations of a step that is compiled: they take some half a minute, and their C a few MB."""


def primitives(
    instructions: list[Instruction],
    outputs: Iterable[Var],
    parts: Callable[[Instruction], list[Instruction]],
) -> tuple[list[Instruction], dict[Var, Var]]:
    """Return the instructions that `outputs` need, in primitive operations, and a mapping from each variable
    that equals another to the one that replaces it. parts: gives the primitive instructions of an
    instruction. Raise UnsupportedError where there are more than `MOST`."""
    instructions = needed(instructions, outputs)
    if len(instructions) > MOST:
        raise UnsupportedError(
            f"the step has {len(instructions)} operations; more than {MOST} would take minutes and are not "
            "compiled: compile the body of its loop instead"
        )
    simple = [part for instruction in instructions for part in parts(instruction)]
    simple, instead = merge(simple)
    return needed(simple, [instead.get(var, var) for var in outputs]), instead


def lowered(instruction: Instruction, tape: Callable[[], Tape] = Tape) -> list[Instruction]:
    """Return an instruction as simpler ones: those that are not composed of others, or for which the entry
    says what is computed."""
    if instruction.operation.c is not None or instruction.operation.folds is not None:
        return [instruction]
    if instruction.operation in _AS_A_WHOLE:
        return _AS_A_WHOLE[instruction.operation](instruction)
    try:
        parts = lower(instruction, tape())
    except UnsupportedError:
        raise
    except Exception:  # it calls what no traced array has: left to what runs or writes it as a whole
        return [instruction]
    if len(parts) == 1 and parts[0].operation is instruction.operation:
        return parts
    return [simple for part in parts for simple in lowered(part, tape)]


def parts_for_numpy(instruction: Instruction) -> list[Instruction]:
    """Return an instruction as those that NumPy runs one after the other."""
    return [plain for part in lowered(instruction) for plain in _plainer(part)]


def parts_for_c(instruction: Instruction) -> list[Instruction]:
    """Return an instruction as those for which there are loops in C."""
    return [plain for part in lowered(instruction) for single in in_float(part) for plain in _plainer(single)]


def _plainer(instruction: Instruction) -> list[Instruction]:
    """Return a primitive instruction as others, where these are what is computed."""
    plainer = _PLAINER.get(instruction.operation)
    return [instruction] if plainer is None else plainer(instruction)


def _wide_sum(instruction: Instruction) -> list[Instruction]:
    """Return a sum of many terms, accumulated in the next precision."""
    (x,), (axes, _) = instruction.inputs, instruction.parameters
    if instruction.output.dtype != np.float32 or ops.reduction.size(x, axes) <= MANY:
        return [instruction]
    wide = instruction_of(ops.elementwise.cast, (x,), (np.dtype(np.float64),), x.shape, np.float64)
    total = replace(instruction, inputs=(wide.output,), output=unknown(instruction.output.shape, np.float64))
    narrow = replace(instruction, inputs=(total.output,), parameters=(instruction.output.dtype,))
    return [wide, total, replace(narrow, operation=ops.elementwise.cast)]


def _search(best: Operation) -> Callable[[Instruction], list[Instruction]]:
    """Return a function that turns a search for an index (say of the largest) into the best value and a
    comparison with it."""

    def plainer(instruction: Instruction) -> list[Instruction]:
        x, axis = instruction.inputs[0], instruction.parameters[0]
        axes = None if axis is None else (axis,)
        shape = tuple(1 if axes is None or i in axes else n for i, n in enumerate(x.shape))
        extreme = instruction_of(best, (x,), (axes, True), shape, x.dtype)
        return [extreme, replace(instruction, operation=FIRST_EQUAL, inputs=(x, extreme.output))]

    return plainer


def _plain_product(instruction: Instruction) -> list[Instruction]:
    """Return a product with a vector, or of integers, as a product of elements and a sum: the loops of
    matrices are for floating point numbers."""
    a, b = instruction.inputs
    dtype, parts = instruction.output.dtype, []

    def shaped(x: Var, shape: tuple[int, ...]) -> Var:
        if x.shape == shape:
            return x
        parts.append(instruction_of(ops.shape.reshape, (x,), (shape,), shape, x.dtype))
        return parts[-1].output

    if len(b.shape) == 1:
        axis = len(a.shape) - 1
    elif len(a.shape) == 1:
        a, axis = shaped(a, (*a.shape, 1)), len(b.shape) - 2
    elif dtype.kind == "f":
        return [instruction]
    else:
        a, b = shaped(a, (*a.shape, 1)), shaped(b, (*b.shape[:-2], 1, *b.shape[-2:]))
        axis = max(len(a.shape), len(b.shape)) - 2
    shape = np.broadcast_shapes(a.shape, b.shape)
    product = instruction_of(ops.elementwise.mul, (a, b), (), shape, dtype)
    total = ops.reduction.any if dtype.kind == "b" else ops.reduction.sum
    summed = replace(instruction, operation=total, inputs=(product.output,), parameters=((axis,), False))
    return [*parts, product, summed]


def reduced_size(instruction: Instruction) -> int:
    """Return how many elements a search along an axis compares."""
    x, axis = instruction.inputs[0], instruction.parameters[0]
    return x.value.size if axis is None else x.shape[axis]


def shown(instruction: Instruction, chain: tuple[Any, ...]) -> Array:
    """Return what a chain of views shows of the instruction's output, as an array that is never read. Raise
    UnsupportedError where that is no view of rows that lie one after the other."""
    rows = np.empty(instruction.output.shape, np.int8)
    seen: Array = ops.indexing.read_chain(numpy_arrays, rows, chain)
    if seen.size and not np.may_share_memory(rows, seen):
        raise unviewed(instruction)
    return seen


def selection(shape: tuple[int, ...], key: tuple[Any, ...]) -> tuple[int, ...]:
    """Return the shape of what a key, with variables among its items, selects of an array."""
    items = tuple(np.zeros(item.shape, int) if isinstance(item, Var) else item for item in key)
    return np.empty(shape, np.int8)[items].shape


def _select_at(instruction: Instruction) -> list[Instruction]:
    """Return the view at a place that is computed as what is read there."""
    (x,), (axis, place) = instruction.inputs, instruction.parameters
    row, key = _row(place, axis)
    shape = (*x.shape[:axis], 1, *x.shape[axis + 1 :])
    read = replace(
        instruction, operation=ops.indexing.index, parameters=(key,), output=unknown(shape, x.dtype)
    )
    shape = instruction.output.shape
    return [
        row,
        read,
        replace(instruction, operation=ops.shape.reshape, inputs=(read.output,), parameters=(shape,)),
    ]


def _row(place: Var, axis: int) -> tuple[Instruction, tuple[Any, ...]]:
    """Return the instruction that makes a vector of a place, and the key that reads there along an axis."""
    row = instruction_of(ops.shape.reshape, (place,), ((1,),), (1,), place.dtype)
    return row, (*(ops.indexing.ALL,) * axis, row.output)


def _put(instruction: Instruction) -> list[Instruction]:
    """Return a change of a part with a value of the array's dtype, and of no more dimensions than the
    part's."""
    (key,) = instruction.parameters
    return _changed(instruction, len(selection(instruction.output.shape, key)))


def _put_view(instruction: Instruction) -> list[Instruction]:
    """Return a change through a view with a value of the array's dtype and the view's shape."""
    x, (chain,) = instruction.inputs[0], instruction.parameters
    at = next((i for i, (entry, _) in enumerate(chain) if entry is ops.indexing.select_at), None)
    if at is not None:
        return _put_at(instruction, chain[:at], chain[at][1], chain[at + 1 :])
    seen = shown(instruction, chain)
    if not seen.size:
        return [replace(instruction, operation=ops.shape.clone, inputs=(x,), parameters=(False,))]
    parts, value = _filling(instruction, seen.shape)
    return [*parts, replace(instruction, inputs=(x, value))]


def _put_at(
    instruction: Instruction, before: tuple[Any, ...], how: tuple[int, Var], after: tuple[Any, ...]
) -> list[Instruction]:
    """Return a change through views, of which one is at a place that is computed, as changes at that place:
    of what the views before it show, with what the change through those after it makes of the part there."""
    (x, value), (axis, place) = instruction.inputs, how
    parts: list[Instruction] = []

    def add(operation: Operation, inputs: tuple[Any, ...], parameters: tuple[Any, ...], shape: Any) -> Var:
        output = unknown(shape, instruction.output.dtype)
        parts.append(
            replace(instruction, operation=operation, inputs=inputs, parameters=parameters, output=output)
        )
        return output

    base = x
    for entry, parameters in before:
        shape = entry.forward(numpy_arrays, np.empty(base.shape, np.int8), *parameters).shape
        base = add(entry, (base,), parameters, shape)
    part = (*base.shape[:axis], *base.shape[axis + 1 :])
    if after:
        seen = add(ops.indexing.select_at, (base,), (axis, place), part)
        value = add(ops.indexing.put_view, (seen, value), (after,), part)
    else:
        more, value = _filling(instruction, part)
        parts += more
    row, key = _row(place, axis)
    shape = (*base.shape[:axis], 1, *base.shape[axis + 1 :])
    parts.append(row)
    value = add(ops.shape.reshape, (value,), (shape,), shape)
    base = add(ops.indexing.put, (base, value), (key,), base.shape)
    if before:
        base = add(ops.indexing.put_view, (x, base), (before,), x.shape)
    parts[-1] = replace(parts[-1], output=instruction.output)
    return [simple for part in parts for simple in lowered(part)]


def _filling(instruction: Instruction, shape: tuple[int, ...]) -> tuple[list[Instruction], Var]:
    """Return the value of a change in the array's dtype and in a shape, and the instructions that make it."""
    *parts, change = _changed(instruction, len(shape))
    value, dtype = change.inputs[1], instruction.output.dtype
    if not isinstance(value, Var) or value.constant:
        value = Var(np.full(shape, known_number(value), dtype), constant=True)
    elif value.shape != shape:
        parts.append(instruction_of(ops.shape.expand, (value,), (shape,), shape, dtype))
        value = parts[-1].output
    return parts, value


def _changed(instruction: Instruction, most: int) -> list[Instruction]:
    """Return a change with a value of the array's dtype and of `most` dimensions at most: NumPy takes more of
    size 1 in front."""
    x, value = instruction.inputs
    dtype, parts = instruction.output.dtype, []
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Var) and len(value.shape) > most:
        shape = value.shape[len(value.shape) - most :]
        parts.append(instruction_of(ops.shape.reshape, (value,), (shape,), shape, value.dtype))
        value = parts[-1].output
    if isinstance(value, Var) and value.dtype != dtype:
        parts.append(instruction_of(ops.elementwise.cast, (value,), (dtype,), value.shape, dtype))
        value = parts[-1].output
    return [*parts, replace(instruction, inputs=(x, value))]


_AS_A_WHOLE: dict[Operation, Callable[[Instruction], list[Instruction]]] = {
    ops.indexing.select_at: _select_at,
    ops.indexing.put: _put,
    ops.indexing.put_view: _put_view,
}
_PLAINER: dict[Operation, Callable[[Instruction], list[Instruction]]] = {
    ops.reduction.sum: _wide_sum,
    ops.reduction.argmax: _search(ops.reduction.amax),
    ops.reduction.argmin: _search(ops.reduction.amin),
    ops.linalg.matmul: _plain_product,
}


def merge(instructions: list[Instruction]) -> tuple[list[Instruction], dict[Var, Var]]:
    """Return the instructions without those that amount to something simpler and without common
    subexpressions, and a mapping from each variable that was dropped to the one that replaces it."""
    rules = same_bits, only_once()
    return rewritten(instructions, lambda step: rules)


def forget_values(instructions: list[Instruction]) -> None:
    """Keep the shapes and dtypes of the variables, and drop the arrays that were computed while recording."""
    for instruction in instructions:
        var = instruction.output
        var.value = unknown(var.shape, var.dtype).value
