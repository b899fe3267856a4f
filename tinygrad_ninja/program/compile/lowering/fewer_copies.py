"""Instructions rewritten for C, so that less is copied: the values are the same, bit for bit.

The gradient of a weight, (xᵀ @ dout)ᵀ, is computed as doutᵀ @ x, which lies in memory as the weight does. A
sum of gradients of pieces, each with zeros around it, becomes the pieces beside each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from .... import ops
from ...identities import instruction_of, unknown
from ...instructions import Instruction, Var, axes_of


def with_fewer_copies(instructions: list[Instruction], wanted: Iterable[Var]) -> list[Instruction]:
    """Return primitive instructions in forms that copy less. wanted: the variables that are read besides."""
    program = FewerCopies(instructions, wanted)
    for instruction in instructions:
        program.add(instruction)
    return [instruction for var, instruction in program.by.items() if var not in program.gone]


class FewerCopies:
    """The instructions so far. by: that of each variable; gone: what nothing reads any more."""

    def __init__(self, instructions: list[Instruction], wanted: Iterable[Var]) -> None:
        self.by: dict[Var, Instruction] = {}
        self.gone: set[Var] = set()
        self._uses = Counter([*wanted, *(var for instruction in instructions for var in instruction.reads())])

    def add(self, instruction: Instruction) -> None:
        """Add an instruction, or the better ones in its place."""
        if instruction.operation is ops.shape.permute and self._untransposed(instruction):
            return
        if instruction.operation is ops.elementwise.add and self._beside(instruction):
            return
        self._append(instruction)

    def _append(self, instruction: Instruction) -> Var:
        self.by[instruction.output] = instruction
        return instruction.output

    def _alone(self, x: object) -> Instruction | None:
        """Return the instruction that makes a variable which is read once; else None."""
        return self.by.get(x) if isinstance(x, Var) and self._uses[x] == 1 else None

    # -- products --------------------------------------------------------------------------------------------

    def _untransposed(self, instruction: Instruction) -> bool:
        """Add bᵀ @ a instead of (aᵀ @ b)ᵀ, with what else is permuted; return whether it was that."""
        axes, product = axes_of(instruction), self._alone(instruction.inputs[0])
        last = len(axes) - 1
        if last < 1 or axes[-1] != last - 1 or product is None or product.operation is not ops.linalg.matmul:
            return False
        a, b = product.reads()
        left, whole = self.by.get(a), axes == _swapped(tuple(range(len(axes))))
        if left is None or left.operation is not ops.shape.permute or axes_of(left)[-2] != len(a.shape) - 1:
            return False  # the right factor's rows would not lie one after the other
        self.gone.add(product.output)
        shape = _swapped(product.output.shape)
        output = instruction.output if whole else unknown(shape, product.output.dtype)
        inputs = self._transposed(b), self._transposed(a)
        self._append(replace(product, inputs=inputs, output=output))
        if not whole:
            turned = tuple({last: last - 1, last - 1: last}.get(axis, axis) for axis in axes)
            self._append(replace(instruction, inputs=(output,), parameters=(turned,)))
        return True

    def _transposed(self, x: Var) -> Var:
        """Return the variable of the transposes of matrices, as a view of what they are a view of."""
        before = self.by.get(x)
        if before is not None and before.operation is ops.shape.permute:
            (base,), axes = before.reads(), _swapped(axes_of(before))
        else:
            base, axes = x, _swapped(tuple(range(len(x.shape))))
        if axes == tuple(range(len(axes))):
            return base
        turned = instruction_of(ops.shape.permute, (base,), (axes,), _swapped(x.shape), x.dtype)
        return self._append(turned)

    # -- pieces ----------------------------------------------------------------------------------------------

    def _beside(self, instruction: Instruction) -> bool:
        """Add pieces beside each other instead of a sum of zeros with a piece each that is no other's; return
        whether it was that. What was added to zeros is no negative zero."""
        shape, dtype = instruction.output.shape, instruction.output.dtype
        pieces: list[tuple[tuple[int, int, int], Var]] = []
        sums, waiting = [], [instruction]
        while waiting:
            for x in waiting.pop().inputs:
                before = self._alone(x)
                if before is None or (before.output.shape, before.output.dtype) != (shape, dtype):
                    return False
                sums.append(before.output)
                if before.operation is ops.elementwise.add:
                    waiting.append(before)
                elif before.operation is ops.indexing.scatter and (span := _span(*before.parameters)):
                    pieces.append((span, next(before.reads())))
                else:
                    return False
        pieces.sort(key=lambda piece: piece[0])
        axis = pieces[0][0][0]
        starts, ends = [(*span[:2],) for span, _ in pieces], [(span[0], span[2]) for span, _ in pieces]
        if [(axis, 0), *ends] != [*starts, (axis, shape[axis])]:
            return False
        self.gone.update(sums)
        zero = 0.0 if dtype.kind == "f" else 0
        parts = [instruction_of(ops.elementwise.add, (x, zero), (), x.shape, dtype) for _, x in pieces]
        inputs = tuple(map(self._append, parts))
        self._append(replace(instruction, operation=ops.shape.cat, inputs=inputs, parameters=(axis,)))
        return True


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
