"""Programs of every shape: long chains, wide trees, products of any dtype, and what no backend knows."""

import math
import sys
from typing import Any

import numpy as np
import pytest
from programs import Written
from slow_ones import slow_but

import tinygrad_ninja as torch
from tinygrad_ninja.ops import Category, elementwise, indexing, linalg, reduction, shape
from tinygrad_ninja.ops.operation import TABLE, Operation, operation
from tinygrad_ninja.program.compile import compile
from tinygrad_ninja.program.compile.c.fuse import ROOM
from tinygrad_ninja.program.compile.lowering import lower as lower_module
from tinygrad_ninja.program.compile.refusals import UnsupportedError

BACKENDS = pytest.mark.parametrize("backend", ["c", "numpy"])
C_IS_SLOW = pytest.mark.parametrize("backend", [pytest.param("c", marks=pytest.mark.slow), "numpy"])
"""For long programs, which take the C compiler seconds."""
DTYPES = ["float32", "float64", "int64", "int32", "bool", "float16"]


def agrees(step: Any, backend: str = "c", tolerance: float = 0.0, arguments: tuple[Any, ...] = ()) -> None:
    """The compiled step answers as the eager one, twice."""
    want = step(*arguments)
    fast = compile(step, fullgraph=True, backend=backend)
    for _ in range(2):
        for have, eager in zip(fast(*arguments), want, strict=True):
            assert (have.shape, have.dtype) == (eager.shape, eager.dtype)
            np.testing.assert_allclose(have.numpy(), eager.numpy(), rtol=tolerance, atol=tolerance)


# -- long and wide -------------------------------------------------------------------------------------------


@C_IS_SLOW
@pytest.mark.parametrize("n", [60, 700])
def test_a_chain_may_be_longer_than_python_can_recurse(n: int, backend: str) -> None:
    x = torch.linspace(-1, 1, 24).reshape(4, 6)

    def step() -> Any:
        h = x
        for i in range(n):
            h = (h * 0.99 + 0.01 * i).clamp(-1, 1)
        return h, h.sum(1)

    assert 3 * n > sys.getrecursionlimit() or n == 60
    agrees(step, backend, 1e-6)


@BACKENDS
def test_a_chain_of_views_of_what_is_computed(backend: str) -> None:
    x = torch.arange(24.0).reshape(4, 6)

    def step() -> Any:
        h = x * 2
        for _ in range(150):
            h = -h.flip(1).T.unsqueeze(0).squeeze(0).T.reshape(4, 6)
        return (h,)

    agrees(step, backend)


@C_IS_SLOW
def test_a_sum_of_many_terms_and_a_tree_of_sums(backend: str) -> None:
    x = torch.arange(12.0).reshape(3, 4)

    def step() -> Any:
        terms = [x * i + (x - i).abs() for i in range(256)]
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        while len(terms) > 1:
            terms = [a + b for a, b in zip(terms[::2], terms[1::2], strict=True)]
        return total, *terms

    agrees(step, backend)


@BACKENDS
def test_a_value_that_doubles_at_each_step(backend: str) -> None:
    x = torch.tensor([1.0, 0.5, -1.0])

    def step() -> Any:
        h = x
        for _ in range(400):
            h = (h + h) * 0.5
        return (h,)

    agrees(step, backend)


@C_IS_SLOW
def test_many_steps_of_a_recurrent_network(backend: str) -> None:
    torch.manual_seed(0)
    W, U = (torch.randn(6, 6, dtype=torch.float64) * 0.3 for _ in range(2))
    W.requires_grad = True
    xs = torch.randn(200, 3, 6, dtype=torch.float64)

    def step() -> Any:
        h = torch.zeros(3, 6, dtype=torch.float64)
        for i in range(200):
            h = (xs[i] @ U + h @ W).tanh()
        loss = h.mean()
        W.grad = None
        loss.backward()
        return loss.detach(), W.grad

    agrees(step, backend, 1e-10)


@C_IS_SLOW
def test_many_layers(backend: str) -> None:
    torch.manual_seed(0)
    layers = [torch.randn(5, 5, dtype=torch.float64, requires_grad=True) for _ in range(250)]
    x = torch.randn(3, 5, dtype=torch.float64)

    def step() -> Any:
        h = x
        for layer in layers:
            h = h + (h @ layer).tanh() * 0.01
        return torch.autograd.grad(h.sum(), layers)

    agrees(step, backend, 1e-10)


@pytest.mark.slow
def test_no_function_of_the_c_grows_with_the_program() -> None:
    def longest(n: int) -> int:
        x = torch.ones(3, 5)

        def step() -> Any:
            h = x
            for i in range(n):
                h = h * 0.5 + float(i)
            return h

        fast = compile(step, fullgraph=True)
        fast()
        return max(text.count("\n") for text in fast.source().split("\nFUNCTION "))

    assert longest(2000) == longest(1000) > 0.9 * ROOM


def test_iterations_that_differ_in_numbers_have_one_function() -> None:
    torch.manual_seed(0)
    x, w = torch.randn(6, 8, dtype=torch.float64), torch.randn(8, 8, dtype=torch.float64)

    def step(n: int) -> Any:
        h = x
        for i in range(n):
            y = h @ w
            h = h + (y - y.mean(1, keepdim=True) * -0.0).tanh() * (0.01 * i) + 1e-30 * i
        return (h,)

    sources = []
    for n in (12, 24):
        agrees(lambda n=n: step(n), "c", 1e-13)
        fast = compile(lambda n=n: step(n), fullgraph=True)
        fast()
        sources.append(fast.source().count("\nFUNCTION void step"))
    assert sources[0] == sources[1] > 0


@BACKENDS
def test_more_operations_than_can_be_compiled_are_refused_at_once(
    monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    monkeypatch.setattr(lower_module, "MOST", 30)
    x = torch.ones(3)

    def step(n: int) -> Any:
        h = x
        for _ in range(n):
            h = h + x
        return h

    assert compile(lambda: step(30), fullgraph=True, backend=backend)().tolist() == [31] * 3
    with pytest.raises(UnsupportedError, match=r"31 operations; more than 30 .*the body of its loop"):
        compile(lambda: step(31), fullgraph=True, backend=backend)()


# -- products ------------------------------------------------------------------------------------------------


@BACKENDS
@pytest.mark.parametrize("dtype", slow_but(DTYPES, "float32", "bool"))
@pytest.mark.parametrize(
    "shapes",
    [
        ((3, 4), (4, 5)),
        ((1, 1), (1, 1)),
        ((3, 0), (0, 5)),
        ((0, 4), (4, 2)),
        ((2, 3, 4), (4, 5)),
        ((4,), (4, 5)),
        ((2, 3, 4), (4,)),
        ((2, 1, 3, 4), (5, 4, 2)),
    ],
)
def test_a_product_of_any_dtype_and_what_follows_it(dtype: str, shapes: Any, backend: str) -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.integers(0, 2 if dtype == "bool" else 9, each).astype(dtype) for each in shapes)
    program = Written()
    x, w = program.input(a), program.input(b)
    y = program.of(linalg.matmul, x, w)
    axes = (tuple(range(y.value.ndim)), False)
    follow = [y, program.of(reduction.amax, y, parameters=axes)] if y.value.size else [y]
    if dtype != "bool":
        follow += [program.of(reduction.sum, y, parameters=axes), program.of(elementwise.mul, y, y)]
    run = program.as_c if backend == "c" else program.as_numpy
    for have, var in zip(run(*follow), follow, strict=True):
        assert (have.shape, have.dtype) == (var.shape, var.dtype)
        np.testing.assert_array_equal(have, var.value)


@pytest.mark.parametrize("size", [(4, 3, 5), (1, 1, 1), (32, 8, 27), (130, 128, 129)])
@pytest.mark.parametrize("over", slow_but(["mean", "sum"], "mean"))
def test_a_product_that_is_averaged_has_the_gradients_of_eager_code(size: Any, over: str) -> None:
    n, m, k = size
    torch.manual_seed(0)
    layer = torch.nn.Linear(m, k)
    w = torch.randn(m, k, requires_grad=True)
    ones, x = torch.ones(n, m), torch.randn(2, n, m)

    def step() -> Any:
        results = []
        for y in (
            ones @ w,
            torch.ones(n, m) @ w,
            layer(x),
            layer(x.flip(0)),
            torch.ones(n, 1).expand(n, m) @ w,
        ):
            loss = getattr(y, over)()
            grads = torch.autograd.grad(loss, [w, *layer.parameters()], allow_unused=True)
            results += [loss.detach(), *(each for each in grads if each is not None)]
        return results

    agrees(step, "c", 1e-3 if over == "sum" else 1e-5)


@BACKENDS
def test_a_factor_that_is_a_view_of_one_number(backend: str) -> None:
    program = Written()
    x = program.input(np.arange(12.0).reshape(3, 4))
    one = program.of(elementwise.cast, program.input(np.float32(2.5)), parameters=(np.dtype(np.float64),))
    factor = program.of(
        shape.expand, program.of(shape.reshape, one, parameters=((1, 1),)), parameters=((4, 5),)
    )
    y = program.of(linalg.matmul, x, factor)
    run = program.as_c if backend == "c" else program.as_numpy
    np.testing.assert_allclose(run(y)[0], y.value, rtol=1e-15)


# -- float16 -------------------------------------------------------------------------------------------------


@BACKENDS
def test_float16_has_numpys_bits(backend: str) -> None:
    rng = np.random.default_rng(0)
    edges = [0.0, -0.0, math.inf, -math.inf, math.nan, 65504.0, -65504.0, 6e-8, 2048.0, 0.1]
    a = np.concatenate([np.array(edges), rng.standard_normal(90) * 100]).astype(np.float16).reshape(10, 10)
    b = np.ascontiguousarray(a.T)
    program = Written()
    x, y = program.input(a), program.input(b)
    outputs = [
        program.of(operator, x, other)
        for operator in (elementwise.add, elementwise.sub, elementwise.mul, elementwise.div)
        for other in (y, 0.1, 70000, 3)
    ]
    outputs += [
        program.of(elementwise.sqrt, x),
        program.of(elementwise.pow, x, 2),
        program.of(elementwise.neg, x),
    ]
    outputs.append(program.of(elementwise.add, program.of(elementwise.mul, x, y), x))  # rounded twice
    outputs += [
        program.of(elementwise.cast, x, parameters=(np.dtype(to),)) for to in ("float32", "float64", "bool")
    ]
    outputs.append(program.of(reduction.amax, x, parameters=((1,), True)))
    outputs.append(program.of(indexing.index, x, parameters=((program.input(np.array([9, 0, 0])),),)))
    for source in (np.linspace(-70000, 70000, 99), rng.standard_normal(99) * 1e-5):
        for wide in (source, source.astype(np.float32)):
            outputs.append(
                program.of(elementwise.cast, program.input(wide), parameters=(np.dtype(np.float16),))
            )
    run = program.as_c if backend == "c" else program.as_numpy
    for have, var in zip(run(*outputs), outputs, strict=True):
        assert have.dtype == var.dtype
        np.testing.assert_array_equal(have, var.value)
        np.testing.assert_array_equal(np.signbit(have), np.signbit(var.value))


@BACKENDS
def test_a_layer_in_half_precision(backend: str) -> None:
    torch.manual_seed(0)
    layer, x = torch.nn.Linear(5, 3), torch.randn(4, 5)

    def step() -> Any:
        with torch.autocast("cpu", dtype=torch.float16):
            y = layer(x)
        loss = (y.float() ** 2).mean() + x.half().sum().float()
        grads = torch.autograd.grad(loss, list(layer.parameters()))
        return y.detach(), loss.detach(), *grads

    agrees(step, backend, 2e-3)


# -- what no backend knows -----------------------------------------------------------------------------------


@pytest.fixture(params=[*Category])
def foreign(request: pytest.FixtureRequest) -> Any:
    """An operation that says nothing but its category, and calls what nothing else has."""

    @operation(x=lambda dout: dout, category=request.param)
    def swapped(x: Any, /) -> Any:
        """out = x, its bytes in another order, and back again."""
        return np.asarray(np.array(x.tolist(), x.dtype))

    yield swapped
    del TABLE[swapped.name]


@pytest.mark.parametrize("place", ["output", "operand", "factor", "reduced", "viewed"])
def test_an_operation_that_a_backend_does_not_know_is_refused_by_name(foreign: Operation, place: str) -> None:
    program = Written()
    x = program.input(np.arange(6.0).reshape(2, 3))
    y = program.of(foreign, x)
    out = {
        "output": lambda: y,
        "operand": lambda: program.of(elementwise.add, y, 1.0),
        "factor": lambda: program.of(linalg.matmul, y, program.of(shape.permute, y, parameters=((1, 0),))),
        "reduced": lambda: program.of(reduction.sum, y, parameters=(None, False)),
        "viewed": lambda: program.of(shape.reshape, y, parameters=((6,),)),
    }[place]()
    for run in (program.as_c, program.as_torch):
        with pytest.raises(UnsupportedError, match=r"program.py:1: the operation swapped is not compiled"):
            run(out)
    np.testing.assert_array_equal(program.as_numpy(out)[0], out.value)
