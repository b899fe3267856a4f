"""Every entry of the table compiled, forward and backward, beside eager code and straight-line NumPy."""

from typing import Any

import numpy as np
import pytest
from calls import Array, Call, answer, calls
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import tinygrad_ninja as torch
from tinygrad_ninja.ops import TABLE, Operation
from tinygrad_ninja.program.compile import UnsupportedError, compile

pytestmark = pytest.mark.filterwarnings("ignore:.*degrees of freedom is <= 0")

REFUSED = {"put_view": "in place through a view"}
"""What only eager code does, and what it is told."""
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}
EXAMPLES = 3


def once() -> settings:
    """One compilation of several drawn calls, the same every time."""
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    return settings(
        max_examples=2,
        phases=[Phase.generate],  # every smaller example would be compiled as well
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=checks,
    )


def several(items: list[tuple[Call, int]]) -> Call:
    """A step that makes each call with so many of its arguments, and returns the values and the gradients."""

    def step(*tensors: Any) -> Any:
        results = []
        left = list(tensors)
        for call, n in items:
            mine, left = left[:n], left[n:]
            out = call(torch, *mine)
            results.append(out.detach())
            if out.requires_grad:
                weight = (
                    torch.arange(out.numel(), device=out.device).reshape(out.shape).to(out.dtype) * 0.25 + 1
                )
                leaves = [each for each in mine if each.requires_grad]
                results += torch.autograd.grad((out * weight).sum(), leaves, allow_unused=True)
        return [each for each in results if each is not None]

    return step


def tensors(arrays: list[Array]) -> list[Any]:
    return [torch.tensor(each, requires_grad=each.dtype.kind == "f") for each in arrays]


def same(have: list[Any], want: list[Any]) -> None:
    assert len(have) == len(want)
    for mine, eager in zip(have, want, strict=True):
        assert (mine.shape, mine.dtype) == (eager.shape, eager.dtype)
        a, b = mine.numpy(), eager.numpy()
        if b.dtype.kind != "f":
            np.testing.assert_array_equal(a, b)
            continue
        tolerance = TOLERANCE[b.dtype.name]
        finite = b[np.isfinite(b)]
        scale = max(1.0, np.abs(finite).max(initial=0.0))
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * scale)


@pytest.mark.parametrize("entry", [e for e in TABLE.values() if e.name != "to_device"], ids=lambda e: e.name)
@once()
@given(st.data())
def test_compiled_operations_are_those_of_eager_code(entry: Operation, data: st.DataObject) -> None:
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
    want = step(*tensors(arrays))
    if entry.name in REFUSED:
        with pytest.raises(UnsupportedError, match=REFUSED[entry.name]):
            compile(step, fullgraph=True)(*tensors(arrays))
        return
    for backend in ("c", "numpy"):
        compiled = compile(step, fullgraph=True, backend=backend)
        same(compiled(*tensors(arrays)), want)
        same(compiled(*tensors(arrays)), want)  # and again, from what was recorded
