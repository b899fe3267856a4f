"""`autograd.Function` beside PyTorch's: values, gradients to second order, and what it refuses."""

import gc
import sys
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from both import assert_same, assert_same_error, cases, same

import tinygrad_ninja
import viz
from tinygrad_ninja.check import GradcheckError, gradcheck, gradgradcheck
from tinygrad_ninja.program.compile import CompileWarning, compile


def cube(t: Any) -> Any:
    """k · x³: an input is saved, and k is no Tensor."""

    class Cube(t.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, x: Any, k: float) -> Any:
            ctx.save_for_backward(x)
            ctx.k = k
            return k * x**3

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            (x,) = ctx.saved_tensors
            return 3 * ctx.k * x**2 * grad, None

    return Cube


def exponential(t: Any) -> Any:
    """An output is saved."""

    class Exponential(t.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            out = x.exp()
            ctx.save_for_backward(out)
            return out

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            return grad * ctx.saved_tensors[0]

    return Exponential


def products(t: Any, materialize: bool = True) -> Any:
    """x · y and x² + y, whose backward says which gradients it was given."""

    class Products(t.autograd.Function):  # type: ignore[misc]
        given: list[Any] = []  # noqa: RUF012 - shared by the calls

        @staticmethod
        def forward(ctx: Any, x: Any, y: Any) -> Any:
            product = x * y
            ctx.save_for_backward(x, product, None, y)
            ctx.set_materialize_grads(materialize)
            return product, x**2 + y

        @staticmethod
        def backward(ctx: Any, first: Any, second: Any) -> Any:
            x, product, nothing, y = ctx.saved_tensors
            assert nothing is None
            Products.given.append((first, second, product.detach(), ctx.needs_input_grad))
            first = 0 * y if first is None else first
            second = 0 * y if second is None else second
            return (first * product / x + 2 * x * second, first * x + second)

    return Products


def leaf(t: Any, *numbers: float) -> Any:
    return t.tensor(numbers, dtype=t.float64, requires_grad=True)


@pytest.mark.parametrize(
    ("name", "call"),
    [("Cube", lambda t, x: cube(t).apply(x, 2.5)), ("Exponential", lambda t, x: exponential(t).apply(x))],
)
def test_values_and_derivatives_to_third_order(name: str, call: Callable[..., Any]) -> None:
    def case(t: Any) -> Any:
        x = leaf(t, 0.5, -1.5, 2.0)
        y = call(t, x)
        results = [y]
        for _ in range(3):
            (y,) = t.autograd.grad(y.sum(), x, create_graph=True)
            results.append(y)
        return [result.detach() for result in results]

    assert_same(case, ulps=16)
    assert repr(call(tinygrad_ninja, leaf(tinygrad_ninja, 0.5)).grad_fn) == f"<{name}Backward>"


@cases(
    lambda a, b: a.sum(),
    lambda a, b: b.sum(),
    lambda a, b: (a * b).sum(),
    lambda a, b: (a + a * a + b).sum(),
)
@pytest.mark.parametrize("materialize", [True, False])
def test_several_outputs(case: Callable[..., Any], materialize: bool) -> None:
    def call(t: Any) -> Any:
        x, y = leaf(t, 1.0, 2.0), leaf(t, 3.0, -4.0)
        both = products(t, materialize)
        loss = case(*both.apply(x, y))
        loss.backward(retain_graph=True)
        loss.backward()
        return x.grad, y.grad, both.given

    def second(t: Any) -> Any:
        x, y = leaf(t, 1.0, 2.0), leaf(t, 3.0, -4.0)
        grads = t.autograd.grad(case(*products(t).apply(x, y)), (x, y), create_graph=True)
        return t.autograd.grad((grads[0] * grads[1]).sum(), (x, y))

    assert_same(call)
    assert_same(second, ulps=16)


def test_gradients_are_finite_differences() -> None:
    t = tinygrad_ninja
    x, y = leaf(t, 1.0, 2.0), leaf(t, 3.0, -4.0)
    for function, inputs in [
        (products(t).apply, [x, y]),
        (exponential(t).apply, [x]),
        (lambda x: cube(t).apply(x, 2.0), [x]),
    ]:
        assert gradcheck(function, inputs)
        assert gradgradcheck(function, inputs)

    class Wrong(exponential(t)):  # type: ignore[misc]
        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            return 2 * grad * ctx.saved_tensors[0]

    with pytest.raises(GradcheckError):
        gradcheck(Wrong.apply, [x])


def one(t: Any, backward: Callable[..., Any], forward: Callable[..., Any] | None = None) -> Any:
    """A Function of these two, by default with x · 2 for forward."""
    own = {
        "forward": staticmethod(forward or (lambda ctx, x, *rest: x * 2)),
        "backward": staticmethod(backward),
    }
    return type("One", (t.autograd.Function,), own).apply


def grads(t: Any, function: Any, *rest: Any) -> Any:
    x = leaf(t, 1.0, 2.0)
    out = function(x, *rest)
    out.sum().backward()
    return out.detach(), x.grad


@cases(
    lambda t: grads(t, one(t, lambda ctx, g: g)),
    lambda t: grads(t, one(t, lambda ctx, g: None)),
    lambda t: grads(t, one(t, lambda ctx, g: (g, None, None))),
    lambda t: grads(t, one(t, lambda ctx, g: g.float())),
    lambda t: grads(t, one(t, lambda ctx, g: g.expand(3, 2))),
    lambda t: grads(t, one(t, lambda ctx, g: t.ones(1, 2, dtype=t.float64))),
    lambda t: grads(t, one(t, lambda ctx, g, *no: (g, None, None)), 3, "text"),
    lambda t: grads(t, one(t, lambda ctx, g: (g, t.ones(2))), t.zeros(2)),
    lambda t: grads(t, one(t, lambda ctx, g: g, lambda ctx, x: x)),
    lambda t: grads(t, one(t, lambda ctx, g: g.view(2), lambda ctx, x: x.view(2, 1))),
    lambda t: one(t, lambda ctx, g: g)(x=leaf(t, 1.0)),
    lambda t: grads(t, lambda x: one(t, lambda ctx, g: (g, None), lambda ctx, x, k=2: x * k)(k=3, x=x)),
    lambda t: grads(t, lambda x: one(t, lambda ctx, g: (g, None), lambda ctx, x, k=2: x * k)(x, k=3)),
    lambda t: grads(t, one(t, lambda ctx, g: g, lambda ctx, x, k=2: x * k)),
    lambda t: one(t, None, lambda ctx, x: (x, 3, None, x.long()))(leaf(t, 1.0)),
    lambda t: one(t, None, lambda ctx, x: [x.detach()])(leaf(t, 1.0)),
    lambda t: one(t, None, lambda ctx, x: (x * 2,))(t.ones(2)),
    lambda t: one(t, None, lambda ctx, x: x > 0)(leaf(t, 1.0)),
    lambda t: one(t, None, lambda ctx, x: t.is_grad_enabled())(leaf(t, 1.0)),
    lambda t: one(t, None, lambda ctx, x, y, k: ctx.needs_input_grad)(leaf(t, 1.0), t.ones(1), 3),
    lambda t: one(t, None, lambda ctx, x: x.requires_grad)(leaf(t, 1.0)),
    lambda t: t.no_grad()(one(t, None))(leaf(t, 1.0)),
)
def test_what_is_given_and_returned(case: Callable[[Any], Any]) -> None:
    assert_same(case)


@cases(
    lambda t: grads(t, one(t, lambda ctx, g: ())),
    lambda t: grads(t, one(t, lambda ctx, g: (g, g))),
    lambda t: grads(t, one(t, lambda ctx, g: g), 3),
    lambda t: grads(t, one(t, lambda ctx, g: (g, g)), 3),
    lambda t: grads(t, one(t, lambda ctx, g: 1.0)),
    lambda t: grads(t, one(t, lambda ctx, g: t.ones(3))),
    lambda t: grads(t, one(t, lambda ctx, g: t.ones(()))),
    lambda t: one(t, None, lambda ctx, x: x)(leaf(t, 1.0), no_such_argument=2),
    lambda t: grads(t, one(t, lambda ctx, g: g, lambda ctx, x: x.view(2, 1))),
    lambda t: t.autograd.Function.apply(leaf(t, 1.0)),
    lambda t: grads(
        t, type("F", (t.autograd.Function,), {"forward": staticmethod(lambda ctx, x: 2 * x)}).apply
    ),
    lambda t: one(t, None, lambda ctx, x: ctx.save_for_backward(1))(leaf(t, 1.0)),
    lambda t: one(t, None, lambda ctx, x: ctx.no_such_attribute)(leaf(t, 1.0)),
    lambda t: [grads(t, lambda x: (y := cube(t).apply(x, 2.0), y.sum().backward())[0])],
    lambda t: t.autograd.grad(one(t, lambda ctx, g: None)(x := leaf(t, 1.0)), x),
)
def test_errors(case: Callable[[Any], Any]) -> None:
    assert_same_error(case)


@same
def test_without_saved_tensors_backward_may_come_again(t: Any) -> Any:
    x = leaf(t, 1.0)
    y = one(t, lambda ctx, g: 3 * g)(x)
    y.backward()
    y.backward()
    return x.grad


@pytest.mark.parametrize("change", ["input", "output", "other"])
def test_a_saved_tensor_that_was_changed_is_noticed(change: str) -> None:
    def case(t: Any) -> Any:
        held = []

        def forward(ctx: Any, x: Any) -> Any:
            out, other = x * 2, x * 3
            held.append(other)
            ctx.save_for_backward({"input": x, "output": out, "other": other}[change])
            return out

        x = leaf(t, 1.0) * 1
        out = one(t, lambda ctx, g: g * ctx.saved_tensors[0], forward)(x)
        with t.no_grad():
            {"input": x, "output": out, "other": held[0]}[change].add_(1)
        out.sum().backward()

    assert_same_error(case, "modified by an inplace operation")


@same
def test_outputs_that_are_not_differentiable(t: Any) -> Any:
    given = []

    def forward(ctx: Any, x: Any) -> Any:
        values, places = x.max(0)
        mask = x * 0 + 1
        ctx.mark_non_differentiable(mask)
        ctx.save_for_backward(places)
        return values, places, mask

    def backward(ctx: Any, *gs: Any) -> Any:
        given.extend(gs)
        grad = t.zeros(2, dtype=t.float64)
        grad[ctx.saved_tensors[0]] = gs[0]
        return grad

    x = leaf(t, 1.0, 2.0)
    values, places, mask = one(t, backward, forward)(x)
    (values * 5).backward()
    return values.detach(), places, mask, given, x.grad


@same
def test_setup_context(t: Any) -> Any:
    class Doubled(t.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(x: Any, k: float = 3.0) -> Any:
            return x * x * k

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.save_for_backward(inputs[0], output)
            ctx.k = inputs[1]

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            return 2 * ctx.k * ctx.saved_tensors[0] * grad, None

    return [
        grads(t, Doubled.apply, 2.0),
        grads(t, Doubled.apply),
        grads(t, lambda x: Doubled.apply(k=4, x=x)),
    ]


@same
def test_a_gradient_of_none_goes_no_further(t: Any) -> Any:
    x, y = leaf(t, 1.0), leaf(t, 2.0)
    out = one(t, lambda ctx, g, *no: (g, None))(x * 2, y * 3)
    (out + y).backward()
    return x.grad, y.grad


@same
def test_hooks_changes_in_place_and_parts_of_a_graph(t: Any) -> Any:
    x, seen = leaf(t, 1.0, 2.0), []
    y = cube(t).apply(x * 1, 2.0)
    y.register_hook(lambda grad: seen.append(grad.clone()))
    y.retain_grad()
    z = y * 3
    z += 1
    first, second = products(t).apply(z, y)
    grads = t.autograd.grad((first + second).sum(), [y, z], retain_graph=True)
    (first * second).sum().backward()
    return x.grad, y.grad, seen, grads


@same
def test_an_output_that_is_changed_in_place(t: Any) -> Any:
    x = leaf(t, 1.0, 2.0)
    y = cube(t).apply(x, 2.0)
    y *= 2
    y[0] = 0
    y.sum().backward()
    return x.grad


def test_a_gradient_changed_between_two_passes_is_read_anew() -> None:
    def case(t: Any) -> Any:
        x, y, weight = leaf(t, 1.0), leaf(t, 2.0), t.ones(1, dtype=t.float64)
        out = products(t).apply(x, y)[0]
        first = t.autograd.grad(out, x, weight, retain_graph=True)
        weight *= 2
        return [g.clone() for g in (*first, *t.autograd.grad(out, (x, y), weight))]

    assert_same(case)


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("build", [exponential, products])
def test_a_graph_is_gone_with_its_last_tensor(build: Callable[[Any], Any], backward: bool) -> None:
    """At once, and not when Python's collector of cycles comes by."""
    x, function = leaf(tinygrad_ninja, 1.0), build(tinygrad_ninja)
    gc.disable()
    try:
        out = function.apply(x) if build is exponential else function.apply(x, x)[0]
        node = weakref.ref(out.grad_fn.edges[0])
        assert node() is not None
        if backward:
            out.backward(retain_graph=True)
        del out
        assert node() is None
    finally:
        gc.enable()


def test_once_differentiable() -> None:
    def function(t: Any) -> Any:
        return one(t, t.autograd.function.once_differentiable(lambda ctx, g: g * 3))

    def twice(t: Any) -> Any:
        x, weight = leaf(t, 1.0), leaf(t, 2.0)
        (grad,) = t.autograd.grad(function(t)(x), x, weight, create_graph=True)
        assert grad.requires_grad
        grad.sum().backward()

    def unwatched(t: Any) -> Any:
        x = leaf(t, 1.0)
        return t.autograd.grad(function(t)(x), x, create_graph=True)

    assert_same(lambda t: grads(t, function(t)))
    assert_same(unwatched)
    assert_same_error(twice, "once_differentiable")


def test_what_cannot_be_served_is_refused_by_name() -> None:
    t = tinygrad_ninja
    x = leaf(t, 1.0, 2.0)
    with pytest.raises(RuntimeError, match=r"derive: Cube is an autograd\.Function"):
        t.derive(cube(t).apply(x, 2.0).sum())
    with pytest.raises(RuntimeError, match=r"draw: Products is an autograd\.Function"):
        viz.draw(products(t).apply(x, x)[1].sum())
    with pytest.raises(NotImplementedError, match="mark_dirty is not offered here"):
        one(t, None, lambda ctx, x: ctx.mark_dirty(x))(x)  # type: ignore[arg-type]
    with pytest.raises(NotImplementedError, match="save_for_forward is not offered here"):
        one(t, None, lambda ctx, x: ctx.save_for_forward(x))(x)  # type: ignore[arg-type]


@pytest.mark.parametrize("device", ["cpu", "torch"])
def test_other_devices(device: str) -> None:
    t = tinygrad_ninja
    x = t.tensor([1.0, 2.0], device=device, requires_grad=True)
    first, second = products(t).apply(x, cube(t).apply(x, 2.0))
    (first * second).sum().backward()
    expected = leaf(t, 1.0, 2.0)
    ((expected * 2 * expected**3) * (expected**2 + 2 * expected**3)).sum().backward()
    assert str(x.grad.device) == device
    assert x.grad.tolist() == pytest.approx(expected.grad.tolist())


def test_of_python_floats() -> None:
    x = tinygrad_ninja.tensor(3.0).to("float").requires_grad_()
    exponential(tinygrad_ninja).apply(cube(tinygrad_ninja).apply(x, 0.1)).backward()
    assert x.grad.item() == pytest.approx(0.3 * 9 * 2.718281828459045**2.7)


@pytest.mark.parametrize("anomaly", [False, True])
def test_under_detect_anomaly(anomaly: bool) -> None:
    t = tinygrad_ninja
    x = leaf(t, 0.0, 2.0)
    with t.autograd.set_detect_anomaly(anomaly):
        loss = products(t).apply(x, x * 1)[0].sum()
        if anomaly:
            with pytest.raises(RuntimeError, match="the backward of Products made NaN"):
                loss.backward()
        else:
            loss.backward()


# -- compiled ------------------------------------------------------------------------------------------------

scale = 3.0


@pytest.mark.parametrize("outputs", [1, 2])
def test_a_step_is_compiled_with_its_forward_and_backward(outputs: int) -> None:
    t = tinygrad_ninja
    both, one_output = products(t), cube(t)
    both.backward = staticmethod(lambda ctx, g, h: (g * ctx.saved_tensors[3] + h, g + h))

    def make(w: Any) -> Callable[[Any], Any]:
        def step(x: Any) -> Any:
            loss = (one_output.apply(w * x, scale) if outputs == 1 else both.apply(w, x)[1] * w).sum()
            w.grad = None
            loss.backward()
            w.data -= 0.001 * w.grad
            return loss

        return step

    w, v = leaf(t, 1.0, 2.0), leaf(t, 1.0, 2.0)
    eager, fast = make(w), compile(make(v), fullgraph=True)
    for x in ([3.0, 4.0], [-1.0, 2.0], [0.5, 0.25]):
        losses = [step(t.tensor(x, dtype=t.float64)) for step in (eager, fast)]
        assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-13)
        assert w.tolist() == pytest.approx(v.tolist(), rel=1e-13)


def test_a_compiled_step_notices_another_backward() -> None:
    t = tinygrad_ninja
    function, x = cube(t), leaf(t, 1.0, 2.0)

    def step() -> Any:
        x.grad = None
        function.apply(x, scale).sum().backward()
        return x.grad

    fast = compile(step, fullgraph=True)
    for _ in range(2):
        assert fast().tolist() == [9.0, 36.0]
    function.backward = staticmethod(lambda ctx, grad: (grad * 5, None))
    with pytest.warns(CompileWarning, match=r"function\.backward` is another staticmethod"):
        assert fast().tolist() == [5.0, 5.0]
    assert fast().tolist() == [5.0, 5.0]


class Scaled(tinygrad_ninja.autograd.Function):
    """x² · shift, whose gradient is scaled by what stands in the module at the time."""

    shift = 1.0

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x * x * Scaled.shift

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return ctx.saved_tensors[0] * 2 * grad * scale


@pytest.mark.filterwarnings("ignore::tinygrad_ninja.program.compile.CompileWarning")
def test_a_compiled_step_notices_what_forward_and_backward_read(monkeypatch: pytest.MonkeyPatch) -> None:
    x = leaf(tinygrad_ninja, 1.0, 2.0)

    def step() -> Any:
        out = Scaled.apply(x)
        x.grad = None
        out.sum().backward()
        return out.detach(), x.grad

    fast = compile(step)
    for new in (None, ("scale", 5.0), ("shift", 2.0), ("scale", 7.0)):
        if new is not None:
            monkeypatch.setattr(Scaled if new[0] == "shift" else sys.modules[__name__], *new)
        for _ in range(2):
            out, grad = fast()
            assert out.tolist() == [Scaled.shift, 4 * Scaled.shift]
            assert grad.tolist() == [2 * scale, 4 * scale]


def test_a_call_from_before_makes_a_step_run_as_eager_code() -> None:
    t = tinygrad_ninja
    x = leaf(t, 1.0, 2.0)
    y = cube(t).apply(x, 2.0)

    def step(weight: Any) -> Any:
        x.grad = None
        (y * weight).sum().backward(retain_graph=True)
        return x.grad

    fast = compile(step)
    with pytest.warns(CompileWarning, match="a Tensor with a history from before"):
        results = [fast(t.tensor([k, 1.0], dtype=t.float64)).tolist() for k in (1.0, 2.0, 3.0)]
    assert results == [[6.0, 24.0], [12.0, 24.0], [18.0, 24.0]]


def test_what_a_forward_notes_makes_a_step_run_as_eager_code() -> None:
    """What a Function changes in Python's objects is done at each call."""
    t = tinygrad_ninja
    x, both = leaf(t, 1.0, 2.0), products(t)

    def step() -> Any:
        x.grad = None
        both.apply(x, x)[0].sum().backward()
        return x.grad

    fast = compile(step)
    with pytest.warns(CompileWarning, match="runs as eager code"):
        results = [fast().tolist() for _ in range(3)]
    assert results == [[2.0, 4.0]] * 3
    assert len(both.given) == 3
