"""Every entry of the table as torch code, forward and backward, beside eager code on torch's tensors."""

from typing import Any

import pytest
from calls import answer, calls
from hypothesis import given, reject
from hypothesis import strategies as st
from test_compile_operations import EXAMPLES, REFUSED, once, same, several

import tinygrad_ninja as torch
from tinygrad_ninja.ops import TABLE, Operation
from tinygrad_ninja.program.compile import UnsupportedError, compile

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*degrees of freedom is <= 0"),
]


@pytest.mark.parametrize("entry", [e for e in TABLE.values() if e.name != "to_device"], ids=lambda e: e.name)
@once()
@given(st.data())
def test_operations_as_torch_code_are_those_of_eager_code(entry: Operation, data: st.DataObject) -> None:
    """At ordinary points, at ties and zeros and of no elements, in several dtypes."""
    items, arrays = [], []
    for _ in range(EXAMPLES):
        call, inputs = data.draw(calls(entry, special=data.draw(st.booleans())))
        dtype = data.draw(st.sampled_from(["float32", "float64", "float32", "int64", "bool"]))
        inputs = [each.astype(dtype) for each in inputs]
        answer(call, inputs)
        items.append((call, len(inputs)))
        arrays += inputs
    step = several(items)

    def tensors() -> list[Any]:
        return [torch.tensor(x, device="torch", requires_grad=x.dtype.kind == "f") for x in arrays]

    compiled = compile(step, fullgraph=True, backend="torch")
    if entry.name in REFUSED:
        with pytest.raises(UnsupportedError, match=REFUSED[entry.name]):
            compiled(*tensors())
        return
    try:
        want = step(*tensors())
    except RuntimeError:  # a division of no integers by 0, which PyTorch does not mind
        reject()
    for _ in range(2):  # the second time from what was recorded
        have = compiled(*tensors())
        assert [each.device for each in have] == [each.device for each in want]
        same(have, want)
