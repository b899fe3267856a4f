"""What emitted C may touch and must not invent: rows and their ends, the stack, indices and divisors beyond a
row, integers that overflow, the sign of zero, operations that it does not know."""

import operator
import threading
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from compiled_steps import same, second

import tinygrad_ninja as torch
from tinygrad_ninja.arrays import numpy_arrays
from tinygrad_ninja.ops import TABLE, operation
from tinygrad_ninja.program.compile import CompileWarning, UnsupportedError, compile

WIDTHS = (1, 7, 8, 9, 15, 17, 20, 23, 24, 25, 31, 33, 39, 41, 47, 50, 55, 57, 63, 65, 70)
FLOATS = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
INTEGERS = (torch.int64, torch.int32, torch.int16)
BACKENDS = pytest.mark.parametrize("backend", ["c", "numpy"])


def agrees(f: Callable[..., Any], *arguments: Any, backend: str = "c") -> None:
    """Several calls of the compiled function answer as eager code does."""
    want = f(*arguments)
    fast = compile(f, fullgraph=True, backend=backend)
    for _ in range(3):
        same(fast(*arguments), want)


# -- the ends of rows ----------------------------------------------------------------------------------------


@FLOATS
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.slow
def test_parts_of_any_width_are_joined(dtype: Any, axis: int) -> None:
    x = torch.randn(5, 8, dtype=dtype)
    pairs = [(torch.randn(8, n, dtype=dtype), torch.randn(8, n, dtype=dtype)) for n in WIDTHS]
    agrees(lambda x: [torch.cat([x @ a, (x @ b).tanh()], axis) for a, b in pairs], x)


@FLOATS
@pytest.mark.slow
def test_gradient_of_an_embedding_of_any_width(dtype: Any) -> None:
    """The rows of the gradient lie one after the other, whatever is beside them in the memory of its
    source."""
    index = torch.tensor([[0, 8, 2], [3, 4, 8]])
    tables = [torch.randn(9, n, dtype=dtype, requires_grad=True) for n in WIDTHS]
    weights = [torch.randn(3 * n, 11, dtype=dtype) for n in WIDTHS]

    def step() -> Any:
        loss = torch.zeros((), dtype=dtype)
        for table, weight in zip(tables, weights, strict=True):
            table.grad = None
            loss = loss + (table[index].view(2, -1) @ weight).tanh().pow(2).sum()
        loss.backward()
        return [loss.detach(), *(table.grad.clone() for table in tables)]

    agrees(step)


@FLOATS
@pytest.mark.slow
def test_updates_of_parameters_of_any_width_leave_their_neighbours(dtype: Any) -> None:
    """A parameter is a part of the caller's memory: what lies behind each row is another's."""
    wholes = [torch.zeros(4, 2 * n + 3, dtype=dtype) for n in WIDTHS]
    parts = [whole[:, 1 : n + 1].requires_grad_() for whole, n in zip(wholes, WIDTHS, strict=True)]
    scale = [torch.randn(n, dtype=dtype) for n in WIDTHS]

    def step() -> None:
        loss = torch.zeros((), dtype=dtype)
        for part, factors in zip(parts, scale, strict=True):
            part.grad = None
            loss = loss + ((part + 1) * factors).exp().sum()
        loss.backward()
        for part in parts:
            part.data -= 0.1 * part.grad

    step()
    want = [whole.clone() for whole in wholes]
    for whole in wholes:
        whole.zero_()
    fast = compile(step, fullgraph=True)
    fast()
    for whole in wholes:
        whole.zero_()
    fast()
    same(wholes, want)


def test_an_index_beyond_the_row_is_not_looked_at() -> None:
    """min's indices are read by whole vectors, of which the last holds what was in memory before."""
    c = torch.randn(40, 40, dtype=torch.float64)
    w = torch.randn(40, 40, dtype=torch.float64, requires_grad=True)

    def step() -> Any:
        v, i = c.min(0)
        loss = (w * w).sum() * v[i].mean() + (w.exp().cumsum(0) * 1e3).sum() + w[i].sum()
        w.grad = None
        loss.backward()
        return [loss.detach(), w.grad.clone()]

    agrees(step)


@pytest.mark.parametrize("columns", [17, 25, 31, 33])
def test_a_divisor_beyond_the_row_is_not_divided_by(columns: int) -> None:
    a, b = torch.randint(1, 100, (4, columns)), torch.randint(0, 9, (4, columns))
    agrees(lambda a, b: [a // (b + 1), a % (b + 1), (a // (b + 1)).sum(1), (a % (b * 2 + 1)).sum(0)], a, b)


@BACKENDS
@pytest.mark.parametrize(
    "divide", [operator.floordiv, operator.mod, torch.fmod, partial(torch.div, rounding_mode="trunc")]
)
def test_a_division_by_zero_raises_where_nobody_reads_its_result(divide: Any, backend: str) -> None:
    x = torch.arange(4)

    def f(x: Any, y: Any) -> Any:
        _ = divide(x, y)
        return x + 1

    fast = compile(f, fullgraph=True, backend=backend)
    same([fast(x, x + 1)], [x + 1])
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        fast(x, x)


@BACKENDS
def test_nothing_is_divided_by_zero_without_an_error(backend: str) -> None:
    x, y = torch.zeros(0, 3, dtype=torch.int64), torch.tensor([1, 0, 2])
    agrees(lambda x, y: [x // y, x % y], x, y, backend=backend)


def test_views_of_wider_rows() -> None:
    """Columns of a matrix that is kept: what is written beside them is the matrix's own."""
    x, w = torch.randn(6, 40), torch.randn(40, 50)

    def f() -> Any:
        h = (x @ w).tanh()
        left, right = h[:, :20], h[:, 30:]
        joined = torch.cat([right * 2, left.exp(), h[:, 3:40]], 1)
        return [joined, h.flip(1)[:, :25] @ w[:25].flip(0), left @ right.T, h[2:4].sum(0), h.T.flip(0) @ h]

    agrees(f)


@pytest.mark.parametrize("columns", range(15, 20))
def test_several_sums_over_short_rows_in_one_loop(columns: int) -> None:
    """Vectors on the stack lie where the processor wants them: gcc 12 had them elsewhere."""
    table, index = torch.randn(52, columns), torch.randint(0, 17, (5, 3), dtype=torch.int32)

    def f() -> Any:
        rows = table[index, None]
        return [
            rows.sum((2, 3)),
            rows.all(),
            rows.all(3),
            rows.all((2, 3), keepdim=True),
            rows * 1,
            rows.any(3),
        ]

    agrees(f)


# -- memory of the caller's ----------------------------------------------------------------------------------


@BACKENDS
def test_memory_that_is_read_only_is_not_written(backend: str) -> None:
    memory = bytes(16)
    w = torch.from_numpy(np.frombuffer(memory, np.float32))

    def step() -> Any:
        w.data -= 1.0
        return w.sum()

    fast = compile(step, fullgraph=True, backend=backend)
    for _ in range(2):
        with pytest.raises(ValueError, match="read-only"):
            fast()
    assert memory == bytes(16)


@BACKENDS
def test_memory_that_becomes_read_only_is_not_written(backend: str) -> None:
    w = torch.zeros(4)

    def step() -> None:
        w.data -= 1.0

    fast = compile(step, backend=backend)
    fast()
    memory = bytes(16)
    w.data = torch.from_numpy(np.frombuffer(memory, np.float32))
    for _ in range(2):
        with pytest.raises(ValueError, match="read-only"):
            fast()
    assert memory == bytes(16)


@BACKENDS
def test_an_array_that_is_an_index_is_looked_at_at_every_call(backend: str) -> None:
    x, index = torch.randn(5, 3), np.array([0, 4, 2])
    step = compile(lambda: x[index] * 2, backend=backend)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CompileWarning)
        same([step(), step()], [x[index] * 2] * 2)
        index[:] = 3, 0, 1
        same([step()], [x[index] * 2])
        index[:] = 1_000_000
        with pytest.raises(IndexError, match="out of bounds"):
            step()


# -- the stack -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [300, 200_001, 3_000_001])
def test_vectors_of_any_length_on_a_small_stack(n: int) -> None:
    x = torch.linspace(0, 1, n, dtype=torch.float64)
    fast = compile(lambda x: (x * x + x[:1]).sum(), fullgraph=True)
    answers = []
    before = threading.stack_size(256 * 1024)
    try:
        fast(x)
        thread = threading.Thread(target=lambda: answers.append(fast(x).item()))
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join()
    assert answers == [pytest.approx((x.numpy() ** 2).sum(), rel=1e-12)]


# -- numbers -------------------------------------------------------------------------------------------------


@BACKENDS
def test_integers_wrap_as_numpys_do(backend: str) -> None:
    limits = np.iinfo(np.int64)
    x = torch.tensor([limits.max, limits.min, 5, -7, 2**62, 3037000500])
    y = torch.tensor([2**31 - 1, -(2**31), 65536, 46341], dtype=torch.int32)

    def f(x: Any, y: Any) -> Any:
        results = [
            x + 1 > x,
            x * 2 // 2,
            x - (x - 1) * 3,
            -x < 0,
            abs(x),
            x**2,
            x**3,
            x**5,
            x.sum(),
            x.prod(),
        ]
        results += [x.cumsum(0), x.reshape(2, 3).sum(0), x[[0, 0, 1, 1]].sum(), x == limits.min]
        return [*results, y + 1, y * y, -y, abs(y) < 0, y - 2**31 // 2, y.sum(), y**2, y == -(2**31)]

    agrees(f, x, y, backend=backend)


@FLOATS
@BACKENDS
def test_the_sign_of_zero(dtype: Any, backend: str) -> None:
    x = torch.tensor([-0.0, 0.0, -1.5, np.inf, -np.inf, 1e-40, np.nan], dtype=dtype)

    def f(x: Any) -> Any:
        values = [x.tanh(), x * -1, -x, abs(x), x.sqrt(), x.floor(), x.trunc(), x[:, None].cumsum(0), x * 0]
        values += [x.reshape(7, 1).cumsum(1), x[:2].cumsum(0), x // np.inf, x // -2, x % 3, x.clamp(min=-1)]
        return [*values, *(1 / value for value in values)]

    agrees(f, x, backend=backend)
    have, want = second(f, x, backend=backend), f(x)
    for mine, eager in zip(have, want, strict=True):
        numbers = ~np.isnan(eager.numpy())
        np.testing.assert_array_equal(np.signbit(mine.numpy())[numbers], np.signbit(eager.numpy())[numbers])


@BACKENDS
def test_numbers_made_integers_and_back_have_no_sign_of_zero(backend: str) -> None:
    x = torch.tensor([-0.0, -0.5, 0.0, 2.7, -2.7, 300.0, np.nan, np.inf, -1e30] * 5)

    def f() -> Any:
        several = [x.to(kind).to(back) for kind in INTEGERS for back in (torch.float32, torch.float64)]
        several += [
            x.double().to(kind).to(back) for kind in INTEGERS for back in (torch.float32, torch.float64)
        ]
        return [1 / value for value in several]

    agrees(f, backend=backend)


@FLOATS
@BACKENDS
def test_products_and_sums_are_rounded_each_for_itself(dtype: Any, backend: str) -> None:
    """A fused operation would leave what the product was rounded by, which can be large."""
    x = torch.randn(1, 40, dtype=dtype) * 1e12

    def f() -> Any:
        square = x * x
        return [square.std(0, correction=0), square - square.mean(0), x * x * x + x]

    agrees(f, backend=backend)
    assert not second(f, backend=backend)[0].any()


@BACKENDS
def test_the_gradient_of_a_product_is_that_of_each_calls_values(backend: str) -> None:
    """Without zeros it is dout · out / x, which differs at infinities from the product of the others."""
    x = torch.tensor([[2.0, 3.0], [np.inf, 2.0]], requires_grad=True)

    def step() -> Any:
        x.grad = None
        x.prod(1).sum().backward()
        return [x.grad.clone()]

    fast = compile(step, fullgraph=True, backend=backend)
    for values in ([[2.0, 3.0], [np.inf, 2.0]], [[0.0, 3.0], [np.inf, 2.0]], [[0.0, 0.0], [1.0, -2.0]]):
        with torch.no_grad():
            x.copy_(torch.tensor(values))
        same(fast(), step())


# -- views, operands, operations -----------------------------------------------------------------------------


@BACKENDS
def test_elements_and_views_of_no_dimensions(backend: str) -> None:
    x, m = torch.tensor(-1.5), torch.randn(3, 4)
    agrees(
        lambda: [x.flip(()) * 1, m[1, 2] * 1, m[-1][-1] + x.expand(2), m.flip(()) * 2, x[None].flip(0) * x],
        backend=backend,
    )


@BACKENDS
def test_a_view_that_strides_cannot_say_raises_as_in_eager_code(backend: str) -> None:
    x = torch.randn(2, 3, 4).permute(2, 1, 0)
    agrees(lambda: [x.reshape(4, -1) * 1, x.view(4, 3, 2, 1) * 1], backend=backend)
    with pytest.raises(RuntimeError, match="view size"):
        compile(lambda: x.view(4, -1) * 1, backend=backend)()


@BACKENDS
def test_products_of_one_number_throughout_and_of_flipped_rows(backend: str) -> None:
    x, w = torch.randn(4, 3), torch.randn(3, 5, requires_grad=True)

    def step() -> Any:
        w.grad = None
        loss = (x @ w).sum() + (x.flip(0).T @ x.flip(1)).mean() + (torch.ones(2, 3) @ w).mean()
        loss.backward()
        return [loss.detach(), w.grad.clone()]

    agrees(step, backend=backend)


def test_an_operation_that_c_does_not_know_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numpy_arrays, "cbrt", np.cbrt, raising=False)

    @operation(x=lambda dout, x: dout * x)
    def cbrt(xp: Any, x: Any, /) -> Any:
        return xp.cbrt(x)

    x = torch.randn(4, 5)
    try:
        for f in (lambda: cbrt(x), lambda: cbrt(x * 2) + 1, lambda: cbrt(x).sum(0), lambda: x @ cbrt(x).T):
            with pytest.raises(UnsupportedError, match="the operation cbrt is not compiled"):
                compile(f, fullgraph=True, backend="c")()
            with pytest.warns(CompileWarning, match="the operation cbrt is not compiled"):
                same([compile(f, backend="c")()], [f()])
            same([second(f, backend="numpy")], [f()])
    finally:
        del TABLE["cbrt"]


@pytest.mark.parametrize("backend", ["c", "numpy"])
def test_results_lie_in_memory_as_in_eager_code(backend: str) -> None:
    """So that what eager code may show as a view, a recording may, too."""
    across = torch.arange(24.0).reshape(2, 3, 4).permute(2, 1, 0)

    def step() -> Any:
        in_order = across.prod(0, keepdim=True), (across * 2).sum(0), across.softmax(-1), across[0].t().tril()
        return [x.view(-1) * 2 for x in in_order] + [(across + across).permute(2, 1, 0).view(-1) * 2]

    for mine, theirs in zip(second(step, backend=backend), step(), strict=True):
        np.testing.assert_allclose(mine.numpy(), theirs.numpy(), rtol=1e-6)
