"""Where a value or a first derivative is a choice, it is PyTorch's: ties, kinks, poles, defaults."""

import itertools
import warnings
from typing import Any

import numpy as np
import pytest
from both import Case, assert_same, assert_same_error, attempt, cases, gradients, same

import tinygrad_ninja

INF, NAN = float("inf"), float("nan")
TIED = [[0.0, 1.0, 1.0], [2.0, 2.0, 2.0]]


@cases(
    gradients(lambda t, x: x.max(), [0.0, 1.0, 1.0, 0.0]),
    gradients(lambda t, x: x.min(), [1.0, 0.0, 0.0, 1.0]),
    gradients(lambda t, x: t.max(x), TIED),
    gradients(lambda t, x: t.min(x), TIED),
    gradients(lambda t, x: x.amax(), TIED),
    gradients(lambda t, x: x.amin(), TIED),
    gradients(lambda t, x: x.amax(1), TIED),
    gradients(lambda t, x: x.amin(0), TIED),
    gradients(lambda t, x: x.amax((0, 1)), TIED),
    gradients(lambda t, x: x.amax(dim=1, keepdim=True), TIED),
    gradients(lambda t, x: x.max(1).values, TIED),
    gradients(lambda t, x: x.max(0).values, TIED),
    gradients(lambda t, x: x.min(1).values, TIED),
    gradients(lambda t, x: x.max(1, keepdim=True)[0], TIED),
    gradients(lambda t, x: x.max(1, keepdims=True)[0], TIED),
    gradients(lambda t, x: t.max(x, axis=-1, keepdims=True).values, TIED),
    gradients(lambda t, x, y: t.maximum(x, y), [0.0, 1.0, 2.0], [1.0, 1.0, 1.0]),
    gradients(lambda t, x, y: t.minimum(x, y), [0.0, 1.0, 2.0], [1.0, 1.0, 1.0]),
    gradients(lambda t, x, y: t.max(x, y), [0.0, 1.0, 2.0], [1.0, 1.0, 1.0]),
    gradients(lambda t, x, y: x.maximum(y), [[0.0, 1.0, 2.0]], [[1.0], [2.0]]),
    gradients(lambda t, x: t.maximum(x, x), [1.0, 2.0]),
    lambda t: t.tensor(TIED).max(1),
    lambda t: t.tensor(TIED).min(1),
    lambda t: t.tensor(TIED).argmax(),
    lambda t: t.tensor(TIED).argmin(),
    lambda t: t.tensor(TIED).argmax(1),
    lambda t: t.tensor(TIED).argmin(0),
    lambda t: t.tensor([3, 1, 3]).max(0),
    lambda t: t.tensor([True, False, True]).max(0),
)
def test_ties(case: Case) -> None:
    assert_same(case)


@cases(
    gradients(lambda t, x: x.relu(), [-1.0, 0.0, -0.0, 1.0, NAN, INF, -INF]),
    gradients(lambda t, x: t.relu(x), [0.0, NAN]),
    gradients(lambda t, x: t.nn.functional.relu(x), [0.0, NAN]),
    gradients(lambda t, x: x.abs(), [-1.0, 0.0, -0.0, 1.0, NAN, INF, -INF]),
    gradients(lambda t, x: abs(x), [-2.0, 0.0, 2.0]),
    gradients(lambda t, x: x.clamp(0, 1), [-1.0, 0.0, 0.5, 1.0, 2.0, NAN, INF, -INF]),
    gradients(lambda t, x: x.clamp(min=0.0), [-1.0, 0.0, 1.0, NAN]),
    gradients(lambda t, x: x.clamp(max=0.0), [-1.0, 0.0, 1.0, NAN]),
    lambda t: [t.ones(2).clamp(t.tensor(NAN)), t.ones(2).clamp(t.tensor(2.0), t.tensor([NAN, 3.0]))],
    gradients(lambda t, x: x.clamp(2.0, 1.0), [0.0, 1.0, 1.5, 2.0, 3.0]),
    gradients(lambda t, x: t.clamp(x, min=1.0, max=1.0), [0.0, 1.0, 2.0]),
    gradients(lambda t, x: x.max(), [1.0, NAN, 2.0, NAN]),
    gradients(lambda t, x: x.amax(0), [1.0, NAN, 2.0, NAN]),
    gradients(lambda t, x: x.max(0).values, [1.0, NAN, 2.0, NAN]),
    gradients(lambda t, x: x.min(0).values, [1.0, NAN, 2.0, NAN]),
    gradients(lambda t, x, y: t.maximum(x, y), [NAN, 1.0, NAN], [1.0, NAN, NAN]),
    gradients(lambda t, x: x.max(), [INF, INF, 1.0]),
    lambda t: t.tensor([1.0, NAN, 2.0, NAN]).max(0).indices,
    lambda t: t.tensor([1.0, NAN, 2.0, NAN]).argmax(),
    lambda t: t.tensor([1.0, NAN, 2.0, NAN]).argmin(),
    lambda t: t.tensor([5, -5, 0]).clamp(0, 2),
    lambda t: t.tensor([5, -5, 0]).clamp(min=0.5),
    lambda t: t.tensor([5, -5, 0]).relu(),
    lambda t: t.tensor([-5, 0]).abs(),
)
def test_kinks(case: Case) -> None:
    assert_same(case)


POWERS = [
    *itertools.product([0.0, 1.0, 2.0, -1.0, -2.0, 0.5], [0.0, 1.0, 2.0, 3.0, 0.5, -1.0, -0.5, -2.0]),
    *itertools.product([INF, -INF, NAN, -0.0], [0.0, 1.0, -1.0, 0.5, 2.0]),
    *itertools.product([0.0, 0.5, 2.0, -2.0, 1.0], [INF, -INF, NAN]),
]


@pytest.mark.parametrize(("base", "exponent"), POWERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pow(base: float, exponent: float, dtype: type) -> None:
    """Value, gradient of the base and gradient of the exponent, whichever of the two is a plain number."""
    one, other = np.array([base], dtype), np.array([exponent], dtype)
    assert_same(gradients(lambda t, x, y: x**y, one, other))
    assert_same(gradients(lambda t, x: x**exponent, one))
    assert_same(gradients(lambda t, y: base**y, other))
    assert_same(gradients(lambda t, x, y: x**y, np.array(base, dtype), np.array(exponent, dtype)))


@cases(
    gradients(lambda t, x: x**0, [0.0, -1.0, 2.0, INF, NAN]),
    gradients(lambda t, x: x**1, [0.0, -1.0, 2.0]),
    gradients(lambda t, x: x**2, [0.0, -1.0, 1e-30, 1e30]),
    gradients(lambda t, x: x**-1, [0.0, -0.0, 2.0, 1e-30, INF]),
    gradients(lambda t, x: 1.0 / x, [0.0, -0.0, 2.0, 1e-30, INF]),
    gradients(lambda t, x: x**-2, [0.0, -0.0, 2.0]),
    gradients(lambda t, x: x**0.5, [0.0, -1.0, 4.0]),
    gradients(lambda t, x: x**-0.5, [0.0, -1.0, 4.0]),
    gradients(lambda t, x: x**3, [-2.0, 0.0]),
    gradients(lambda t, x: t.pow(x, 2), [3.0]),
    gradients(lambda t, x: t.pow(2, x), [3.0, 0.0, -1.0]),
    gradients(lambda t, x: x.pow(t.tensor([[2.0], [3.0]])), [1.0, 2.0, 3.0]),
    gradients(lambda t, x: x ** t.tensor([0, 1, 2]), [2.0, 2.0, 2.0]),
    gradients(lambda t, x: x ** t.tensor([[0.5], [1.0]]), [-INF, -0.0, -1.0, 4.0]),
    lambda t: 1 / t.tensor([-INF, -0.0, 0.0]) ** t.tensor([0.5]),
    lambda t: 1 / t.tensor([-INF, -0.0, 0.0]) ** t.tensor(0.5),
    lambda t: 0 ** t.tensor([[0.5, 1.0]]).T,
    lambda t: t.tensor([1, 2, -3]) ** 2,
    lambda t: t.tensor([2, 3]) ** t.tensor([3, 0]),
    lambda t: t.tensor([2, 1, -1]) ** t.tensor([-1, -1, -1]),
    lambda t: t.tensor([1, 2]) ** -1.0,
    lambda t: t.tensor([1, 2]) ** 0.5,
    lambda t: 2 ** t.tensor([0, 3]),
    lambda t: t.tensor([2], dtype=t.uint8) ** 9,
)
def test_pow_forms(case: Case) -> None:
    assert_same(case)


@cases(
    lambda t: t.tensor([1, 2]) ** -1,
    lambda t: t.pow(t.tensor([1, 2]), -2),
    lambda t: t.tensor(3) ** -1,
)
def test_integer_to_a_negative_integer_power(case: Case) -> None:
    assert_same_error(case, "negative integer power")


@cases(
    gradients(lambda t, x: x.sqrt(), [0.0, -0.0, 4.0, -1.0, INF, NAN]),
    gradients(lambda t, x: x.log(), [0.0, -1.0, 2.0, INF, NAN]),
    gradients(lambda t, x: x.exp(), [0.0, 1000.0, -1000.0, INF, -INF, NAN]),
    gradients(lambda t, x: x.tanh(), [0.0, 100.0, -100.0, INF, -INF, NAN]),
    gradients(lambda t, x: x.sigmoid(), [0.0, 1000.0, -1000.0, INF, -INF, NAN]),
    gradients(lambda t, x, y: x / y, [0.0, 1.0, -1.0, INF], [0.0, 0.0, 0.0, INF]),
    gradients(lambda t, x: x / 0, [0.0, 1.0, -1.0]),
    gradients(lambda t, x: x.std(), [2.0, 2.0, 2.0]),
    gradients(lambda t, x: x.std(), [1e20, -1e20]),  # whose variance is no float32
    gradients(lambda t, x: x.std(), [1e-30, -2e-30]),
    gradients(lambda t, x: x.std(1, correction=0), [[1e30, -1e30, 3.0], [3e38, -3e38, 0.0]]),
    gradients(lambda t, x: x.std(0), [[2.0, 1.0], [2.0, 3.0]]),
    gradients(lambda t, x: x.var(), [2.0, 2.0, 2.0]),
    gradients(lambda t, x: x.std(), [5.0]),
    gradients(lambda t, x: x.var(correction=0), [5.0]),
    gradients(lambda t, x: x.std(correction=0), [5.0]),
    gradients(lambda t, x: x.prod(), [0.0, 2.0, 3.0]),
    gradients(lambda t, x: x.prod(), [0.0, 2.0, 0.0]),
    gradients(lambda t, x: x.prod(), [4.0, 2.0, 3.0]),
    gradients(lambda t, x: x.prod(0), [[0.0, 2.0], [3.0, 0.0], [5.0, 0.0]]),
    gradients(lambda t, x: x.prod(1, keepdim=True), [[0.0, 2.0], [3.0, 4.0]]),
    gradients(lambda t, x: x.prod(), 3.0),
    gradients(lambda t, x: t.where(x > 0, x.log(), 0.0), [0.0, 1.0, -1.0]),
    gradients(lambda t, x: t.where(x > 0, x.sqrt(), t.zeros(3)), [0.0, 4.0, -1.0]),
    gradients(lambda t, x: x.logsumexp(0), [-INF, 1.0]),
    gradients(lambda t, x: x.logsumexp(0), [-INF, -INF]),
    gradients(lambda t, x: x.logsumexp(0), [INF, 1.0]),
    gradients(lambda t, x: x.logsumexp(0), [1000.0, 1000.0]),
    gradients(lambda t, x: x.softmax(0), [1000.0, -1000.0, -INF]),
    gradients(lambda t, x: x.softmax(0), [-INF, -INF]),
    gradients(lambda t, x: x.log_softmax(0), [1000.0, -1000.0, 999.0]),
    gradients(lambda t, x: x.cumsum(0), [1.0, INF, -INF, 2.0]),
    gradients(lambda t, x: x.mean(), [INF, -INF]),
    gradients(lambda t, x: x.masked_fill(x.isnan(), 0.0), [NAN, 2.0]),
)
def test_singular_points(case: Case) -> None:
    assert_same(case)


@cases(
    gradients(lambda t, x: x.log(), [0.0, -1.0]),
    gradients(lambda t, x: x.sqrt(), [0.0, -1.0]),
    gradients(lambda t, x, y: x / y, [1.0, 0.0], [0.0, 0.0]),
    gradients(lambda t, x, y: x**y, [0.0, -2.0], [-1.0, 0.5]),
    gradients(lambda t, x: x.exp(), [1000.0, INF]),
    gradients(lambda t, x: x * x, [1e30, -INF]),
    gradients(lambda t, x: x.std(), [2.0, 2.0]),
    gradients(lambda t, x: x.logsumexp(0), [-INF, -INF]),
    gradients(lambda t, x: x.softmax(0), [-INF, INF]),
    lambda t: t.tensor([1, 0]) / t.tensor([0, 0]),
    lambda t: t.tensor([]).mean(),
    lambda t: t.tensor([1.0]) // 0,
    lambda t: t.tensor([1.0]) % 0,
    lambda t: t.tensor([NAN, 300.0]).long(),
    lambda t: t.tensor([NAN, 1.0]).max(),
    gradients(lambda t, x: (x * INF).sum() + (x * -INF).sum(), [1.0]),
    gradients(lambda t, x: ((y := x * 1) * INF).sum() + (y * -INF).sum() + (y * INF).sum(), [1.0]),
    gradients(lambda t, x: t.autograd.grad((x**2 * INF).sum(), x, create_graph=True)[0] - x * INF, [1.0]),
)
@pytest.mark.parametrize("error", ["warnings", "errstate"])
def test_nothing_is_warned_of(case: Case, error: str) -> None:
    """PyTorch gives infinity and NaN without a word; so must this, whatever NumPy says on its way."""
    with warnings.catch_warnings(), np.errstate(all="raise" if error == "errstate" else "warn"):
        warnings.simplefilter("error")
        case(tinygrad_ninja)


@cases(
    gradients(lambda t, x: x.norm(), [0.0, 0.0]),
    gradients(lambda t, x: x.norm(), [3.0, 4.0]),
)
def test_norm(case: Case) -> None:
    assert_same(case)


@cases(
    lambda t: t.tensor([1.0, 2.0, 4.0]).var(),
    lambda t: t.tensor([1.0, 2.0, 4.0]).std(),
    lambda t: t.tensor([1.0, 2.0, 4.0]).var(correction=0),
    lambda t: t.tensor([1.0, 2.0, 4.0]).std(correction=2),
    lambda t: t.tensor([1.0, 2.0, 4.0]).var(correction=3),
    lambda t: t.tensor([1.0, 2.0, 4.0]).var(unbiased=False),
    lambda t: t.tensor([1.0, 2.0, 4.0]).std(unbiased=True),
    lambda t: t.tensor([1.0, 2.0, 4.0]).var(False),
    lambda t: t.tensor([[1.0, 2.0], [4.0, 8.0]]).var(0),
    lambda t: t.tensor([[1.0, 2.0], [4.0, 8.0]]).var(0, keepdim=True),
    lambda t: t.tensor([[1.0, 2.0], [4.0, 8.0]]).var(0, False),
    lambda t: t.tensor([[1.0, 2.0], [4.0, 8.0]]).std(1, unbiased=False, keepdim=True),
    lambda t: t.tensor([[1.0, 2.0], [4.0, 8.0]]).std((0, 1), correction=0),
    lambda t: t.std(t.tensor([[1.0, 2.0], [4.0, 8.0]]), dim=0, keepdim=True),
    lambda t: t.var(t.tensor([[1.0, 2.0], [4.0, 8.0]]), dim=1, correction=0),
)
def test_var_and_std(case: Case) -> None:
    assert_same(case)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "int64", "float32", "float64"])
@pytest.mark.parametrize(
    "reduction", ["sum", "prod", "max", "min", "amax", "amin", "argmax", "argmin", "all", "any"]
)
def test_reductions_of_each_dtype(reduction: str, dtype: str) -> None:
    """A 0-d tensor of torch's dtype over everything, and the same dtype along a dimension."""

    def case(t: Any) -> Any:
        x = t.tensor([[3, 1], [2, 200]]).to(getattr(t, dtype))
        reduce = getattr(x, reduction)
        return [
            attempt(reduce),
            attempt(reduce, 0),
            attempt(reduce, 1, keepdim=True),
            attempt(reduce, dim=-1),
        ]

    assert_same(case)


@pytest.mark.parametrize("reduction", ["mean", "var", "std", "logsumexp", "softmax", "cumsum"])
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float32", "float64"])
def test_reductions_that_refuse_integers(reduction: str, dtype: str) -> None:
    def case(t: Any) -> Any:
        return [attempt(getattr(t.tensor([1, 0, 1]).to(getattr(t, dtype)), reduction), 0)]

    assert_same(case)


@cases(
    lambda t: t.tensor([]).sum(),
    lambda t: t.tensor([]).prod(),
    lambda t: t.tensor([]).mean(),
    lambda t: t.tensor([]).var(),
    lambda t: t.tensor([]).all(),
    lambda t: t.tensor([]).any(),
    lambda t: t.zeros(0, 3).sum(0),
    lambda t: t.zeros(0, 3).mean(0),
    lambda t: t.zeros(0, 3).max(1),
    lambda t: t.zeros(0, 3).argmax(1),
    lambda t: t.zeros(3, 0).sum(1, keepdim=True),
    lambda t: t.zeros(2, 0) @ t.zeros(0, 3),
    lambda t: t.zeros(0, 2) @ t.zeros(2, 3),
    lambda t: t.tensor([]).cumsum(0),
    lambda t: t.tensor([]).softmax(0),
    lambda t: t.zeros(2, 0).logsumexp(1),
    lambda t: t.tensor(5.0).sum(0),
    lambda t: t.tensor(5.0).max(0),
    lambda t: t.tensor(5.0).softmax(-1),
    lambda t: t.tensor([1, 2, 3]).sum(dtype=t.float32),
    lambda t: t.tensor([1, 2, 3]).mean(dtype=t.float64),
    lambda t: t.tensor([1, 2, 3]).float().mean(),
    lambda t: [t.tensor(2.0).nonzero(), t.tensor(0.0).nonzero(), t.where(t.tensor(True))],
    lambda t: [t.ones(2, 3).all(()), t.ones(2, 3).any(dim=[]), t.ones(2, 3).sum(())],
    gradients(lambda t, x: x.sum(), np.zeros((0, 2), np.float32)),
)
def test_empty_and_scalar_reductions(case: Case) -> None:
    assert_same(case)


@cases(
    lambda t: t.tensor([]).max(),
    lambda t: t.tensor([]).min(),
    lambda t: t.tensor([]).amax(),
    lambda t: t.tensor([]).argmax(),
    lambda t: t.zeros(0, 3).max(0),
    lambda t: t.zeros(0, 3).amax(0),
    lambda t: t.zeros(0, 3).argmin(0),
    lambda t: t.zeros(2).sum(1),
    lambda t: t.zeros(2).max(-2),
    lambda t: t.zeros(2).softmax(1),
    lambda t: t.zeros(2, 2).sum((0, 0)),
    lambda t: t.tensor(5.0).sum((0, -1)),
    lambda t: t.zeros(2, 2).max(keepdim=True),
    lambda t: t.zeros(2, 2).min(keepdim=True),
    lambda t: t.tensor([1, 2]).mean(),
    lambda t: t.tensor([True]).mean(),
    lambda t: t.tensor([1, 2]).std(),
)
def test_reductions_that_raise(case: Case) -> None:
    assert_same_error(case)


@same
def test_tanh_backward_rounds_once(t: Any) -> Any:
    """On torch tensors the last bit is torch's: 1 - h² is rounded once there (a fused multiply-add)."""
    device = {"device": "cpu"} if t.__name__ == "torch" else {"device": "torch"}
    x = t.tensor(np.linspace(-4, 4, 1001, dtype=np.float32), requires_grad=True, **device)
    h = x.tanh()
    h.sum().backward()
    return h.detach().tolist(), x.grad.tolist()


@cases(
    gradients(lambda t, x: x.tanh(), np.linspace(-4, 4, 101)),
    gradients(lambda t, x: x.sigmoid(), np.linspace(-9, 9, 101)),
    gradients(lambda t, x: x.exp(), np.linspace(-9, 9, 101)),
    gradients(lambda t, x: x.softmax(0), np.linspace(-9, 9, 11)),
    gradients(lambda t, x: x.std(0), np.linspace(-4, 4, 100).reshape(20, 5) ** 3),
)
def test_float64_to_the_last_bits(case: Case) -> None:
    assert_same(case, ulps=8, scaled=True)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("steps", [57, 2, 100, 999])
def test_linspace_to_the_last_bit(steps: int, dtype: str) -> None:
    assert_same(lambda t: t.linspace(-3.3, 5.7, steps, dtype=getattr(t, dtype)), ulps=0)


@pytest.mark.parametrize("rows", [513, 21_133, 100_000])
def test_a_tall_column_is_added_up_as_exactly_as_torch_adds(rows: int) -> None:
    x = np.random.default_rng(0).random((rows, 8), dtype=np.float32)
    exact = x.astype(np.float64).sum(0)
    np.testing.assert_allclose(tinygrad_ninja.from_numpy(x).sum(0).numpy(), exact, rtol=5e-7)
