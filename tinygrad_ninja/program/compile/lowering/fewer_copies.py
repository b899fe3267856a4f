"""Instructions rewritten for C, so that less is copied: the values are the same, bit for bit.

The gradient of a weight, (xᵀ @ dout)ᵀ, is computed as doutᵀ @ x, which lies in memory as the weight does. A
sum of gradients of pieces, each with zeros around it, becomes the pieces beside each other.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from .... import ops
from ...identities import Maker, Simpler, instruction_of, unknown
from ...instructions import Instruction, Var, axes_of, needed
from ...passes import Rule, rewritten


def with_fewer_copies(instructions: list[Instruction], wanted: Collection[Var]) -> list[Instruction]:
    """Return primitive instructions in forms that copy less. wanted: the variables that are read besides."""
    rules: dict[ops.Operation, tuple[Rule, ...]] = {
        ops.shape.permute: (_untransposed,),
        ops.elementwise.add: (_beside,),
    }
    fewer, _ = rewritten(instructions, lambda step: rules.get(step.operation, ()), {*wanted})
    return needed(fewer, wanted)


def _untransposed(step: Instruction, maker: Maker, alone: Maker) -> Simpler:
    """Write (aᵀ @ b)ᵀ, with what else is permuted, as bᵀ @ a."""
    axes, product = axes_of(step), alone(step.inputs[0])
    last = len(axes) - 1
    if last < 1 or axes[-1] != last - 1 or product is None or product.operation is not ops.linalg.matmul:
        return None
    a, b = product.reads()
    left, whole = maker(a), axes == _swapped(tuple(range(len(axes))))
    if left is None or left.operation is not ops.shape.permute or axes_of(left)[-2] != len(a.shape) - 1:
        return None  # the right factor's rows would not lie one after the other
    shape, parts = _swapped(product.output.shape), list[Instruction]()
    output = step.output if whole else unknown(shape, product.output.dtype)
    inputs = tuple(_transposed(x, maker, parts) for x in (b, a))
    parts.append(replace(product, inputs=inputs, output=output))
    if not whole:
        turned = tuple({last: last - 1, last - 1: last}.get(axis, axis) for axis in axes)
        parts.append(replace(step, inputs=(output,), parameters=(turned,)))
    return parts


def _transposed(x: Var, maker: Maker, parts: list[Instruction]) -> Var:
    """Return the variable of the transposes of matrices, as a view of what they are a view of. parts: where
    an instruction that makes it is added."""
    before = maker(x)
    if before is not None and before.operation is ops.shape.permute:
        (base,), axes = before.reads(), _swapped(axes_of(before))
    else:
        base, axes = x, _swapped(tuple(range(len(x.shape))))
    if axes == tuple(range(len(axes))):
        return base
    parts.append(instruction_of(ops.shape.permute, (base,), (axes,), _swapped(x.shape), x.dtype))
    return parts[-1].output


def _beside(step: Instruction, maker: Maker, alone: Maker) -> Simpler:
    """Write a sum of zeros with a piece each that is no other's as the pieces beside each other. What was
    added to zeros is no negative zero."""
    shape, dtype = step.output.shape, step.output.dtype
    pieces: list[tuple[tuple[int, int, int], Var]] = []
    waiting = [step]
    while waiting:
        for x in waiting.pop().inputs:
            before = alone(x)
            if before is None or (before.output.shape, before.output.dtype) != (shape, dtype):
                return None
            if before.operation is ops.elementwise.add:
                waiting.append(before)
            elif before.operation is ops.indexing.scatter and (span := _span(*before.parameters)):
                pieces.append((span, next(before.reads())))
            else:
                return None
    pieces.sort(key=lambda piece: piece[0])
    axis = pieces[0][0][0]
    starts, ends = [(*span[:2],) for span, _ in pieces], [(span[0], span[2]) for span, _ in pieces]
    if [(axis, 0), *ends] != [*starts, (axis, shape[axis])]:
        return None
    zero = 0.0 if dtype.kind == "f" else 0
    parts = [instruction_of(ops.elementwise.add, (x, zero), (), x.shape, dtype) for _, x in pieces]
    beside = tuple(part.output for part in parts)
    return [*parts, replace(step, operation=ops.shape.cat, inputs=beside, parameters=(axis,))]


def _swapped(x: tuple[int, ...]) -> tuple[int, ...]:
    """Return it with the last two exchanged."""
    return (*x[:-2], x[-1], x[-2])


def _span(shape: tuple[int, ...], key: tuple[object, ...]) -> tuple[int, int, int] | None:
    """Return the axis along which a key takes a piece, the piece's start and its end; None for other keys."""
    spans = []
    for axis, (item, n) in enumerate(zip(key, shape, strict=False)):
        if item is Ellipsis:
            break
        if not isinstance(item, slice):
            return None
        start, end, step = item.indices(n)
        if (start, end, step) != (0, n, 1):
            spans.append((axis, start, end, step))
    if len(spans) != 1 or spans[0][3] != 1:
        return None
    return spans[0][:3]
