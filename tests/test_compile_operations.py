"""Every entry of the table compiled, forward and backward, beside eager code and straight-line NumPy."""

from typing import Any

import pytest
from compiled_steps import ENTRIES, REFUSED, drawn_step, same
from table_calls import Array

import tinygrad_ninja as torch
from tinygrad_ninja.ops import Operation
from tinygrad_ninja.program.compile import UnsupportedError, compile

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*degrees of freedom is <= 0")]


def tensors(arrays: list[Array]) -> list[Any]:
    return [torch.tensor(each, requires_grad=each.dtype.kind == "f") for each in arrays]


@ENTRIES
def test_compiled_operations_are_those_of_eager_code(entry: Operation) -> None:
    """At ordinary points, at ties and zeros and of no elements, in several dtypes."""
    step, arrays = drawn_step(entry)
    want = step(*tensors(arrays))
    for backend in ("c", "numpy"):
        if backend == "c" and entry.name in REFUSED:
            with pytest.raises(UnsupportedError, match=REFUSED[entry.name]):
                compile(step, fullgraph=True)(*tensors(arrays))
            continue
        compiled = compile(step, fullgraph=True, backend=backend)
        same(compiled(*tensors(arrays)), want)
        same(compiled(*tensors(arrays)), want)  # and again, from what was recorded
