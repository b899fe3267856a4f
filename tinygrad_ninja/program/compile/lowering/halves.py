"""float16 for C: each operation is computed in float32, and its result rounded once, as NumPy does it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from .... import ops
from ....ops import Category
from ...identities import instruction_of, unknown
from ...instructions import Instruction, Var, substitute

HALF, FLOAT = np.dtype(np.float16), np.dtype(np.float32)
_COMPUTED = (Category.ELEMENTWISE, Category.REDUCTION, Category.SCAN, Category.PRODUCT)
"""The categories of operations that compute new numbers; others move or add single ones, which C does in
float16 itself."""


def in_float(instruction: Instruction) -> list[Instruction]:
    """Return a primitive instruction as one in float32 between casts, where it computes in float16."""
    operation = instruction.operation
    halved = any(x.dtype == HALF for x in instruction.reads())
    if operation.category not in _COMPUTED or operation is ops.elementwise.cast or not halved:
        return [instruction]
    parts: list[Instruction] = []

    def wide(x: Any) -> Any:
        if isinstance(x, (int, float)):  # a number adapts to the dtype that it meets
            with np.errstate(over="ignore"):
                rounded = float(HALF.type(x))
            return x if rounded == x else rounded
        if not isinstance(x, Var) or x.dtype != HALF:
            return x
        if x.constant:
            return Var(x.value.astype(FLOAT), constant=True)
        parts.append(instruction_of(ops.elementwise.cast, (x,), (FLOAT,), x.shape, FLOAT))
        return parts[-1].output

    inputs, parameters = tuple(map(wide, instruction.inputs)), substitute(instruction.parameters, wide)
    if instruction.output.dtype != HALF:
        return [*parts, replace(instruction, inputs=inputs, parameters=parameters)]
    result = unknown(instruction.output.shape, FLOAT)
    return [
        *parts,
        replace(instruction, inputs=inputs, parameters=parameters, output=result),
        replace(instruction, operation=ops.elementwise.cast, inputs=(result,), parameters=(HALF,)),
    ]
