"""Operations from outside of the package in a compiled step: what is known of them is on their entries."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch as real
from compiled_steps import same, second

import tinygrad_ninja as torch
from tinygrad_ninja.arrays import numpy_arrays, torch_arrays
from tinygrad_ninja.ops import TABLE, C, Category, composed, operation, reduction
from tinygrad_ninja.program.compile import CompileWarning, UnsupportedError, compile

BACKENDS = pytest.mark.parametrize(
    ("backend", "device"), [("c", "cpu"), ("numpy", "cpu"), ("torch", "torch")], ids=lambda x: x
)


@pytest.fixture(autouse=True)
def _table() -> Iterator[None]:
    """The table without what a test adds to it."""
    before = dict(TABLE)
    yield
    TABLE.clear()
    TABLE.update(before)


@pytest.fixture
def log1p(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A primitive: each library and C have a function for it."""
    monkeypatch.setattr(numpy_arrays, "log1p", np.log1p, raising=False)
    monkeypatch.setattr(torch_arrays, "log1p", real.log1p, raising=False)

    @operation(
        category=Category.ELEMENTWISE,
        floating=True,
        cost=20,
        c=C("log1p{F}({x})"),
        ufunc=np.log1p,
        x=lambda dout, x: dout / (1 + x),
    )
    def log1p(xp: Any, x: Any, /) -> Any:
        """out = ln(1 + x);  dx = dout / (1 + x)."""
        return xp.log1p(x)

    return log1p


def agrees(function: Any, x: Any, backend: str) -> Any:
    """Compare what a function gives, and the gradient of its sum, with eager code; return the step."""

    def step() -> Any:
        x.grad = None
        out = function(x)
        out.sum().backward()
        return [out.detach(), x.grad.clone()]

    want = [each.to("cpu") for each in step()]
    compiled = compile(step, fullgraph=True, backend=backend)
    for _ in range(2):
        same([each.to("cpu") for each in compiled()], want)
    return compiled


@BACKENDS
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_primitive_by_the_c_on_its_entry(log1p: Any, dtype: Any, backend: str, device: str) -> None:
    x = torch.rand(5, 7, dtype=dtype, device=device, requires_grad=True)
    compiled = agrees(lambda x: log1p(x * 2) * x, x, backend)
    if backend == "c":
        assert f"log1p{'f' if dtype is torch.float32 else ''}(" in compiled.source()


def test_integers_become_floating_point_numbers_first(log1p: Any) -> None:
    x = torch.arange(6)
    same([second(lambda: log1p(x), backend="c")], [log1p(x)])


def test_a_variable_may_be_called_as_what_the_c_calls(log1p: Any) -> None:
    x = torch.rand(5, 7)

    def step() -> Any:
        log1pf = log1p(x) * 2
        return log1p(log1pf) + log1pf

    same([second(step, backend="c")], [step()])


@BACKENDS
def test_a_composed_one_by_its_forward_function(backend: str, device: str) -> None:
    @operation(x=lambda xp, dout, x: dout / xp.pow(1 + xp.abs(x), 2))
    def softsign(xp: Any, x: Any, /) -> Any:
        """out = x / (1 + |x|);  dx = dout / (1 + |x|)²."""
        return x / (1 + xp.abs(x))

    agrees(lambda x: softsign(x - 0.5) * x, torch.rand(5, 7, device=device, requires_grad=True), backend)


@BACKENDS
def test_a_composed_one_that_calls_composed_ones(backend: str, device: str) -> None:
    @operation(x=lambda xp, dout, x, axis: composed.softmax.on(xp, dout, axis) * 0)
    def above_mean(xp: Any, x: Any, /, axis: Any) -> Any:
        """out = the softmax of the largest less the mean."""
        largest = reduction.amax.on(xp, x, axis, True)
        return composed.softmax.on(xp, x - reduction.mean.on(xp, x, axis, True), axis) + largest

    agrees(lambda x: above_mean(x, (1,)), torch.rand(5, 7, device=device, requires_grad=True), backend)


@pytest.mark.parametrize("backend", ["c", "numpy"])
def test_a_function_of_numbers_alone(backend: str) -> None:
    @operation(x=lambda xp, dout, k: dout * xp.sqrt(k))
    def scaled(xp: Any, x: Any, /, k: float) -> Any:
        """out = x · √k;  dx = dout · √k."""
        return x * xp.sqrt(k)

    x = torch.tensor([1.0, -2.0], requires_grad=True)

    def f() -> Any:
        out = scaled.call(x, 2.0)
        return out.detach(), *torch.autograd.grad(out.sum(), x)

    step = compile(f, fullgraph=True, backend=backend)
    step()
    for mine, eager in zip(step(), f(), strict=True):
        assert mine.dtype is eager.dtype
        np.testing.assert_array_equal(mine.numpy(), eager.numpy())


@pytest.mark.parametrize("backend", ["c", "numpy"])
def test_numbers_and_arrays_among_the_parameters(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def chosen(a: Any, b: Any, mask: Any, shift: float) -> Any:
        return np.where(mask, a + shift, b * shift)

    monkeypatch.setattr(numpy_arrays, "either_way", chosen, raising=False)

    @operation(
        broadcasts=True,
        category=Category.ELEMENTWISE,
        c=C("({mask} ? {a} + {shift} : {b} * {shift})"),
        a=lambda xp, dout, mask: xp.where(mask, dout, 0.0),
        b=lambda xp, dout, mask, shift: xp.where(mask, 0.0, dout * shift),
    )
    def either_way(xp: Any, a: Any, b: Any, /, mask: Any, shift: float) -> Any:
        """out = a + shift where the mask holds, else b · shift."""
        return xp.either_way(a, b, mask, shift)

    mask = torch.rand(5, 1) > 0.5
    x = torch.rand(5, 7, requires_grad=True)
    compiled = agrees(lambda x: either_way(x * 2, x - 1, mask.array, -0.5), x, backend)
    if backend == "c":
        assert "+ -0.5f : " in compiled.source()


@pytest.mark.parametrize("category", Category, ids=lambda category: category.name.lower())
@pytest.mark.parametrize(("backend", "device"), [("c", "cpu"), ("torch", "torch")])
def test_what_a_backend_cannot_serve_is_refused_by_name(
    category: Category, backend: str, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever class an operation says that it is of: none becomes another one."""
    monkeypatch.setattr(numpy_arrays, "strange", lambda x, axis, keepdims: x + 1, raising=False)
    monkeypatch.setattr(torch_arrays, "strange", lambda x, axis, keepdims: x + 1, raising=False)

    @operation(category=category)
    def strange(xp: Any, x: Any, /, axis: Any, keepdims: bool) -> Any:
        return xp.strange(x, axis, keepdims)

    x = torch.rand(5, 7, device=device)
    for f in (lambda: strange(x, None, True), lambda: strange(x * 2, None, True).sum() + 1):
        with pytest.raises(UnsupportedError, match=r"strange.* is not compiled"):
            compile(f, fullgraph=True, backend=backend)()
        with pytest.warns(CompileWarning, match="strange"):
            compile(f, backend=backend)()


def test_c_that_names_what_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numpy_arrays, "raised", np.add, raising=False)

    @operation(category=Category.ELEMENTWISE, c=C("({x} + {amount})"))
    def raised(xp: Any, x: Any, /, by: float) -> Any:
        return xp.raised(x, by)

    x = torch.rand(5, 7)
    with pytest.raises(UnsupportedError, match="the operation raised is not compiled: its C names 'amount'"):
        compile(lambda: raised(x, 1.0), fullgraph=True, backend="c")()
