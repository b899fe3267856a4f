"""Steps of Values compiled, beside the same steps as eager code and the numbers of micrograd's demo."""

import math
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compiled_steps import second

from tinygrad_ninja import compile
from tinygrad_ninja.micrograd import MLP, Value
from tinygrad_ninja.program.compile import CompileWarning, UnsupportedError
from tinygrad_ninja.program.compile.c.rolled import Stretch, stretches

sys.path.insert(0, str(Path(__file__).parent.parent / "examples"))

from micrograd_demo import loss, start


def demo() -> tuple[Any, Callable[[float], Any]]:
    model, X, y = start()

    def step(rate: float) -> Any:
        total, accuracy = loss(model, X, y)
        model.zero_grad()
        total.backward()
        for p in model.parameters():
            p.data -= rate * p.grad
        return total, accuracy

    return model, step


@pytest.mark.slow
def test_micrograds_demo_prints_its_losses() -> None:
    """The losses of micrograd's own demo, at the first two steps and the last."""
    compiled = compile(demo()[1], fullgraph=True)
    losses = {}
    for k in range(100):
        total, accuracy = compiled(1.0 - 0.9 * k / 100)
        losses[k] = total.data
    assert losses[0] == pytest.approx(0.8958441028683222, rel=1e-12)
    assert losses[1] == pytest.approx(1.7235905336972022, rel=1e-12)
    assert losses[99] == pytest.approx(0.010978370135492717, rel=1e-6)
    assert accuracy == 1.0


def small(seed: int) -> tuple[Any, Callable[..., Any]]:
    random.seed(seed)
    rng = np.random.default_rng(seed)
    model = MLP(2, [3, 1])
    points = [([float(a), float(b)], 1.0 if a > b else -1.0) for a, b in rng.normal(size=(9, 2))]

    def step(rate: float, scale: Any) -> Any:
        scores = [model([each * scale[0] for each in x]) for x, _ in points]
        total = sum(((y - s) ** 2 for (_, y), s in zip(points, scores, strict=True)), start=Value(0))
        model.zero_grad()
        total.backward()
        for p in model.parameters():
            p.data -= rate * p.grad
        return {"loss": total, "first": scores[0].data > 0, "count": len(scores), "rate": rate}

    return model, step


def test_a_step_leaves_what_eager_code_leaves() -> None:
    """The loss, the parameters and their gradients, with a rate and an array that change at every call."""
    (model, eager), (twin, recorded) = small(3), small(3)
    compiled = compile(recorded, fullgraph=True)
    for k in range(6):
        rate, scale = 0.02 / (k + 1), np.array([1 + 0.1 * k])
        want, have = eager(rate, scale), compiled(rate, scale)
        assert have["loss"].data == pytest.approx(want["loss"].data, rel=1e-12)
        assert have["first"] is want["first"]
        assert (have["count"], have["rate"]) == (9, rate)
    for mine, theirs in zip(twin.parameters(), model.parameters(), strict=True):
        assert mine.data == pytest.approx(theirs.data, rel=1e-12)
        assert mine.grad == pytest.approx(theirs.grad, rel=1e-12, abs=1e-14)
        assert type(mine.data) is float
    twin.parameters()[0].data = 7.5  # assigned between two calls
    model.parameters()[0].data = 7.5
    assert compiled(0.01, scale)["loss"].data == pytest.approx(eager(0.01, scale)["loss"].data, rel=1e-12)
    assert "9 times" in " ".join(compiled.fused)
    assert "for (int i0 = 0; i0 < 9; i0++)" in compiled.source()
    assert {each.operation.name for each in compiled.program.instructions} >= {"mul", "add", "where"}


UNARY = [
    lambda a: a.exp(), lambda a: a.log(), lambda a: a.tanh(), lambda a: a.sin(), lambda a: a.cos(),
    lambda a: a.sqrt(), lambda a: a.sigmoid(), lambda a: a.relu(), lambda a: -a, lambda a: abs(a),
    lambda a: a**2, lambda a: a**-1, lambda a: a**0.5, lambda a: a**3.7, lambda a: 2**a, lambda a: 3 - a,
    lambda a: 1 / a,
]  # fmt: skip
BINARY = [
    lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, lambda a, b: a / b, lambda a, b: a**b,
]  # fmt: skip


def test_every_operation_at_ordinary_points_and_at_the_edges() -> None:
    """Values and gradients, NaN and infinities among them, of every operation and pair."""
    edges = [0.7, -1.3, 0.0, -0.0, 1.0, math.inf, -math.inf, math.nan, 1e300, 710.0]
    leaves = [Value(each) for each in edges]

    def step() -> Any:
        for each in leaves:
            each.grad = 0.0
        made = [f(a) for f in UNARY for a in leaves]
        made += [f(a, b) for f in BINARY for a, b in zip(leaves, leaves[1:] + leaves[:1], strict=True)]
        found = [each.data for each in made]
        for each in made:
            each.backward()
            found += [leaf.grad for leaf in leaves]
        return found

    want, have = step(), second(step)
    np.testing.assert_allclose(have, want, rtol=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_loops_read_what_other_turns_and_other_loops_have_left(seed: int) -> None:
    """Random bodies that run again and again, on numbers of any place before them: of this turn, of another
    one, of another loop, of none; with numbers that are the same in all turns, and some that are not."""
    rng = random.Random(seed)
    leaves = [Value(rng.uniform(-1, 1)) for _ in range(4)]
    bodies = [
        [
            (rng.choice([1, 2, 3, 4]), rng.randrange(6), rng.randrange(1, 9), rng.choice([0.5, None]))
            for _ in range(n)
        ]
        for n in (1, 7, 30)
    ]
    numbers = [rng.uniform(-1, 1) for _ in range(97)]
    places = [rng.random() for _ in range(89)]

    def step() -> Any:
        made, count = [leaf.data for leaf in leaves], 0
        for body, times in zip(bodies, (60, 23, 11), strict=True):
            for _ in range(times):
                for operation, kind, back, number in body:
                    count += 1
                    a = made[-min(back, len(made))]
                    b: Any = made[int(places[count % 89] * len(made))] if kind == 0 else made[kind % 4]
                    if kind > 3:
                        b = number or numbers[count % 97]
                    if operation == 0:
                        made.append(0.5 * a + b)
                    elif operation == 1:
                        made.append(-(a * b))
                    elif operation == 2:
                        made.append((a > b) - (b > 0.1) + 0.25 * a)
                    else:
                        minus = -a
                        made.append(-minus - b)
        leaves[0].data = made[-1] / 100
        return [*made[::50], -made[4], -(made[0] * 0 + 1)]

    start = [leaf.data for leaf in leaves]
    want = [[step(), step()], leaves[0].data]
    for leaf, number in zip(leaves, start, strict=True):
        leaf.data = number
    compiled = compile(step, fullgraph=True)
    have = [[compiled(), compiled()], leaves[0].data]
    assert [*map(repr, have)] == [*map(repr, want)]


def test_gradients_gather_where_they_are_not_reset() -> None:
    x = Value(3.0)
    x.grad = 1.0

    def step() -> Any:
        (x * x).backward()
        return x.grad

    compiled = compile(step, fullgraph=True)
    assert [compiled(), compiled(), x.grad] == [7.0, 13.0, 13.0]


def test_what_is_not_compiled_says_so() -> None:
    x, kept = Value(2.0), []

    def branches() -> Any:
        return x * 2 if x.data > 1 else x

    def keeps() -> Any:
        kept.append(x * 2)
        return x * 3

    line = branches.__code__.co_firstlineno + 1
    with pytest.raises(UnsupportedError, match=rf"test_compile_values.py:{line}: a branch on data"):
        compile(branches, fullgraph=True)()
    with pytest.raises(UnsupportedError, match="Values are compiled to C only"):
        compile(lambda: (x * 2).data, fullgraph=True, backend="numpy")()
    step = compile(keeps)
    with pytest.warns(CompileWarning, match="keeps runs as eager code"):  # noqa: PT031 - the third time
        for _ in range(3):
            assert step().data == 6.0
    assert x.data == 2.0


def test_stretches_are_all_operations_in_order_and_find_what_repeats() -> None:
    rng = np.random.default_rng(0)
    body = rng.integers(0, 5, 40)
    keys = np.concatenate([rng.integers(5, 9, 33), np.tile(body, 30), rng.integers(5, 9, 7), np.full(50, 3)])
    found = list(stretches(keys))
    assert [each.start for each in found] == [0, *(each.end for each in found[:-1])]
    assert found[-1].end == len(keys)
    assert Stretch(33, 40, 30) in found
    assert Stretch(33 + 1200 + 7, 1, 50) in found
    for each in found:
        parts = keys[each.start : each.end].reshape(each.times, each.body)
        assert (parts == parts[0]).all()


def branching(w: Value, x: float) -> Any:
    out = w * x
    if out.data > 1:
        out = out * 2
    out.backward()
    return out.data


def assigned(w: Value, x: float) -> Any:
    w.grad = 0.0
    loss = (w - x) ** 2
    loss.backward()
    return loss


def clipped(w: Value, x: float) -> Any:
    w.grad = 0.0
    (w * w).backward()
    w.data -= 0.1 * max(-1, min(1, w.grad / (x + 1)))
    return w.data


OLDER = Value(2.0) * 3


def doubled(w: Value) -> Value:
    out = Value(2 * w.data, (w,))

    def backward() -> None:
        w.grad += 2 * out.grad

    out._backward = backward
    return out


FUNCTIONS = {
    "a branch": branching,
    "a gradient that is set": assigned,
    "a gradient that is clipped": clipped,
    "its data": lambda w, x: (w * w.data * x).data,
    "NumPy's function": lambda w, x: (w * np.tanh(w.data) * x).data,
    "NumPy's function of a Value": lambda w, x: (w * np.tanh(w) * x).data,
    "an operation of the program's own": lambda w, x: (w * doubled(w) * x).data,
    "a history from before": lambda w, x: (OLDER * w * x).data,
}


@pytest.mark.filterwarnings("ignore:.*runs as eager code")
@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_that_are_read_and_changed(name: str) -> None:
    function = FUNCTIONS[name]

    def calls(wrap: Callable[[Any], Any]) -> list[Any]:
        w, seen = Value(3.0), []
        step = wrap(lambda x: function(w, x))
        for x in (2.0, 2.0, 0.5, 3.0):
            result = step(x)
            seen.append((getattr(result, "data", result), getattr(result, "grad", 0.0), w.data, w.grad))
        return seen

    assert calls(compile) == calls(lambda f: f)
