"""The argument `out` beside PyTorch's: what is written where, in which dtype, and what is refused."""

import itertools
import random
import warnings
from typing import Any

import pytest
import torch
from both import Case, assert_same, assert_same_error, attempt, cases, outcome, same
from judge import Arguments, difference
from op_samples import ANY_OF_EQUALS, OPERATORS, UNINITIALIZED, dtypes
from torch.testing._internal.opinfo.core import SampleInput

import tinygrad_ninja

WITHOUT = ANY_OF_EQUALS | UNINITIALIZED | {"normal"}
"""What is not compared; `out` of normal is not offered."""

WRITING = [
    name
    for name, op in OPERATORS.items()
    if op.supports_out and hasattr(tinygrad_ninja, name) and name not in WITHOUT
]


REDUCTIONS = "sum prod mean nanmean amax amin max min all any argmax median nanmedian diff".split()  # noqa: SIM905


def warned(call: Any, *args: Any, **kwargs: Any) -> bool:
    """Whether the call warns that its output was resized."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call(*args, **kwargs)
    return any("resized since it had shape" in str(warning.message) for warning in caught)


def written(name: str, sample: SampleInput, empty: bool) -> Case:
    """The case that writes the results into Tensors that are empty, or have their shapes."""

    def case(t: Any) -> Any:
        results = getattr(torch, name)(sample.input, *sample.args, **sample.kwargs)
        several = isinstance(results, tuple)
        t.manual_seed(0)
        arguments = Arguments(t)
        args, kwargs = arguments.of((sample.input, *sample.args)), arguments.of(sample.kwargs)
        outs = [x.new_empty(0) if empty else x for x in (results if several else [results])]
        outs = [arguments.of(x) for x in outs]
        returned = getattr(t, name)(*args, **kwargs, out=tuple(outs) if several else outs[0])
        return outs, [x is y for x, y in zip(returned if several else [returned], outs, strict=True)]

    return case


@pytest.mark.parametrize("name", WRITING)
def test_results_are_written(name: str) -> None:
    op = OPERATORS[name]
    dtype = next(dtype for dtype in (torch.float32, torch.bool) if dtype in dtypes(op))
    torch.manual_seed(0)
    random.seed(0)
    drawn = op.sample_inputs_func(op, "cpu", dtype, False)
    for sample, empty in itertools.product(itertools.islice(drawn, 2), (True, False)):
        case = written(name, sample, empty)
        expected, actual = outcome(torch, case), outcome(tinygrad_ninja, case)
        assert isinstance(expected, Exception) or not difference(expected, actual)


@same
def test_the_tutorial(t: Any) -> Any:
    """As in PyTorch's first one."""
    x, y, result = t.ones(5, 3), t.full((5, 3), 2.0), t.empty(5, 3)
    t.add(x, y, out=result)
    t.add(result, x, out=result)
    return result, t.max(result, 1, out=(t.empty(5), t.empty(5, dtype=t.int64)))


@cases(
    lambda t: t.add(t.ones(2), 1, out=t.zeros(2, dtype=t.float64)),
    lambda t: t.mul(t.arange(3), 2, out=t.zeros(3)),
    lambda t: t.eq(t.arange(3), 2, out=t.zeros(3)),
    lambda t: t.ones(3, out=t.zeros(3, dtype=t.float64)),
    lambda t: t.arange(3, out=t.zeros(0)),
    lambda t: t.sum(t.ones(2, 3) / 3, 0, out=t.zeros(3, dtype=t.float64)),
    lambda t: t.cumsum(t.ones(3), 0, out=t.zeros(3, dtype=t.int64)),
    lambda t: t.cat([t.ones(2), t.zeros(1)], out=t.empty(0)),
    lambda t: t.matmul(t.ones(2, 3), t.ones(3), out=t.zeros(2)),
    lambda t: t.add(t.ones(3), 1, out=t.zeros(2, 6)[1, ::2]),
    lambda t: warned(t.exp, t.ones(3), out=t.zeros(2)),
    lambda t: warned(t.exp, t.ones(3), out=t.zeros(0)),
    lambda t: warned(t.zeros, 3, out=t.ones(2)),
)
def test_dtypes_and_shapes(case: Case) -> None:
    assert_same(case)


@cases(
    lambda t: t.add(t.ones(2), 1, out=t.zeros(2, dtype=t.int64)),
    lambda t: t.neg(t.ones(2), out=t.zeros(2, dtype=t.float64)),
    lambda t: t.argmax(t.ones(2), out=t.zeros(())),
    lambda t: t.sum(t.ones(2), 0, dtype=t.float64, out=t.zeros(())),
    lambda t: t.exp(t.ones(2), out=[1.0, 2.0]),
    lambda t: t.exp(t.ones(2), out=t.zeros(1).expand(2)),
    lambda t: t.exp(t.ones(2, requires_grad=True), out=t.zeros(2)),
    lambda t: t.exp(t.ones(2), out=t.zeros(2, requires_grad=True)),
    lambda t: t.max(t.ones(2), 0, out=t.zeros(())),
    lambda t: (lambda x: t.cat([x, x], out=x))(t.ones(2)),
    lambda t: (lambda x: t.take(x, t.tensor([1, 0]), out=x))(t.ones(2)),
    lambda t: t.relu(t.ones(2), out=t.zeros(2)),
    lambda t: t.cat(t.ones(2, 3)),
)
def test_refusals(case: Case) -> None:
    assert_same_error(case)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
@pytest.mark.parametrize("into", ["float32", "float64", "int64", "bool"])
@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions(name: str, into: str, dtype: str) -> None:
    """Of all elements, where some of PyTorch's take no `out`, and along a dimension."""

    def case(t: Any) -> Any:
        x, reduce = t.tensor([[1, 5], [3, 4]], dtype=getattr(t, dtype)), getattr(t, name)
        dim = () if name == "diff" else (0,)
        return [
            attempt(reduce, x, *each, out=t.empty(0, dtype=getattr(t, into)), **keywords)
            for each, keywords in [((), {}), (dim, {}), ((), {"dim": 0}), (dim, {"dtype": t.float32})]
        ]

    assert_same(case)


@same
def test_nothing_is_recorded(t: Any) -> Any:
    w, x = t.ones(2, requires_grad=True), t.full((2,), 3.0)
    loss = (w * x).sum()
    with t.no_grad():
        t.mul(w, 2, out=w)
    version = x._version
    t.exp(t.zeros(2), out=x)
    try:
        loss.backward()
    except RuntimeError as error:
        return w, x, x._version - version, "modified by an inplace operation" in str(error)


def test_a_compiled_function_writes_its_output() -> None:
    buffer = tinygrad_ninja.zeros(3)

    def step(x: Any) -> Any:
        return tinygrad_ninja.add(x, 1, out=buffer) * 2

    fast = tinygrad_ninja.compile(step, fullgraph=True)
    for k in range(3):
        x = tinygrad_ninja.full((3,), float(k))
        assert fast(x).tolist() == [2.0 * (k + 1)] * 3
        assert buffer.tolist() == [k + 1.0] * 3
