"""Every entry of the table as torch code, forward and backward, beside eager code on torch's tensors."""

from typing import Any

import pytest
from compiled_steps import ENTRIES, drawn_step, same

import tinygrad_ninja as torch
from tinygrad_ninja.ops import Operation
from tinygrad_ninja.program.compile import compile

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*degrees of freedom is <= 0"),
]


@ENTRIES
def test_operations_as_torch_code_are_those_of_eager_code(entry: Operation) -> None:
    """At ordinary points, at ties and zeros and of no elements, in several dtypes."""
    step, arrays = drawn_step(entry)

    def tensors() -> list[Any]:
        return [torch.tensor(x, device="torch", requires_grad=x.dtype.kind == "f") for x in arrays]

    compiled = compile(step, fullgraph=True, backend="torch")
    want = step(*tensors())
    for _ in range(2):  # the second time from what was recorded
        have = compiled(*tensors())
        assert [each.device for each in have] == [each.device for each in want]
        same(have, want)
