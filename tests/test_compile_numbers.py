"""The numbers of compiled steps: NaN and infinities, the last places, programs drawn at random."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from compiled_steps import close, second
from slow_ones import slow_but

import tinygrad_ninja as torch
from tinygrad_ninja.program.compile import compile


def test_nan_and_infinity_are_kept() -> None:
    x = torch.tensor([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-42, 3e38, -1.0])

    def f(x: Any) -> Any:
        each = (
            x.exp(),
            x.log(),
            x.tanh(),
            x.sqrt(),
            x**-0.5,
            x**1.5,
            x**-1.5,
            x**3,
            1 / x,
            x - x,
            x * 0,
            x.sum(),
            x.softmax(0),
            x.max(),
        )
        return (
            *each,
            x[2:].max(),
            x.isnan(),
            x.isinf(),
            torch.maximum(x, x.flip(0)),
            x.argmax(),
            x[1:].argmin(),
        )

    for mine, theirs in zip(second(f, x), f(x), strict=True):
        np.testing.assert_array_equal(np.isnan(mine.numpy()), np.isnan(theirs.numpy()))
        np.testing.assert_allclose(mine.numpy(), theirs.numpy(), rtol=1e-6)


@pytest.mark.parametrize("name", ["exp", "log", "tanh"])
@pytest.mark.parametrize(("dtype", "exact"), [("float32", np.float64), ("float64", np.longdouble)])
def test_functions_are_within_four_units_in_the_last_place(name: str, dtype: str, exact: Any) -> None:
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2**63, 100_000).astype(f"u{np.dtype(dtype).itemsize}").view(dtype)
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, 5e-324, 1.0])
    with np.errstate(all="ignore"):
        uniform = [rng.uniform(-r, r, 100_000) for r in (1, 10, 110, 1500)]
        x = np.concatenate([bits, *uniform, special]).astype(dtype)
    have = second(lambda x: getattr(x, name)(), torch.tensor(x)).numpy()
    with np.errstate(all="ignore"):
        truth = getattr(np, name)(x.astype(exact))
        want = truth.astype(dtype)
        off = np.abs(have.astype(exact) - truth) / np.spacing(np.abs(want))
    same = (have == want) | (np.isnan(have) & np.isnan(want))
    assert (same | (off <= 4)).all(), (
        f"off by {np.nanmax(np.where(same, 0, off))} at {x[np.nanargmax(np.where(same, 0, off))]}"
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.int32])
def test_a_mask_in_memory_chooses_every_bit(dtype: Any) -> None:
    values = torch.tensor([1.5, -0.0, np.inf, np.nan, 0.0, -3e-40, -2.0])[: 3 if dtype is torch.int32 else 7]
    x = values.nan_to_num(posinf=7.0).to(dtype) if dtype is torch.int32 else values.to(dtype)
    mask = torch.tensor([[True, False], [False, True]]).repeat(1, x.shape[0])[:, : x.shape[0]]

    def f(x: Any, mask: Any) -> Any:
        return torch.where(mask, x, 0), x.masked_fill(mask, -1), torch.where(mask, x.flip(0), x)

    for mine, eager in zip(second(f, x, mask), f(x, mask), strict=True):
        assert mine.numpy().tobytes() == eager.numpy().tobytes()


@pytest.mark.parametrize(("dtype", "exact"), [("float32", np.float64), ("float64", np.longdouble)])
@pytest.mark.parametrize("exponent", slow_but([-2, -1.5, -1, -0.5, 0.5, 1.5, 2, 3], -1.5, -0.5, 0.5, 3))
def test_powers_are_right_as_far_as_there_are_numbers(exponent: float, dtype: str, exact: Any) -> None:
    limits = np.finfo(dtype)
    x = np.geomspace(exact(limits.tiny), exact(limits.max) / 2, 20_000).astype(dtype)
    have = second(lambda x: x**exponent, torch.tensor(x)).numpy()
    with np.errstate(all="ignore"):
        truth = x.astype(exact) ** exact(exponent)
        want = truth.astype(dtype)
        off = np.abs(have.astype(exact) - truth) / np.spacing(np.abs(want)).astype(exact)
    assert ((have == want) | (off <= 4)).all()


@pytest.mark.parametrize("dtype", ["int64", "int32", "int8"])
def test_division_of_the_least_and_largest_integers(dtype: str) -> None:
    least, largest = np.iinfo(dtype).min, np.iinfo(dtype).max
    a, b = np.meshgrid([least, least + 1, -1, 0, 1, largest - 1, largest], [least, -7, -1, 1, 2, 5, largest])
    a, b = (torch.tensor(each.astype(dtype)) for each in (a, b))

    def f(a: Any, b: Any) -> Any:
        return a // b, a % b, a // 7, a % -3, 100 // b

    for mine, eager in zip(second(f, a, b), f(a, b), strict=True):
        np.testing.assert_array_equal(mine.numpy(), eager.numpy())


def test_what_is_placed_keeps_the_sign_of_zero_and_bools_stay_bools() -> None:
    x = torch.tensor([-0.0, 1.0, -0.0, 2.0])
    p = torch.ones(3, 4, requires_grad=True)
    mask, ix = torch.tensor([False, True, False]), torch.tensor([1, 0, 0])

    def f(x: Any) -> Any:
        loss = (p[1:] * x).sum() + (p[0] * -x).sum() + (p[:, None, 2] * x[0]).sum()
        p.grad = None
        loss.backward()
        twice = mask.index_add(0, ix, mask | ~mask)
        return x.diag(1), x.diag(), p.grad.clone(), twice, twice & ~mask, twice.sum()

    for mine, eager in zip(second(f, x), f(x), strict=True):
        np.testing.assert_array_equal(mine.numpy(), eager.numpy())
        if mine.is_floating_point():
            np.testing.assert_array_equal(np.signbit(mine.numpy()), np.signbit(eager.numpy()))


@pytest.mark.parametrize("backend", ["c", "numpy"])
def test_bounds_and_remainders_keep_the_sign_of_zero(backend: str) -> None:
    x = torch.tensor([-0.0, 0.0, -4.0, 4.0, -1.0, 0.5] * 7)

    def f(x: Any) -> Any:
        return x.relu(), x.clamp(0, 1), x.clamp(-1, 0), x.clamp(min=-0.0), x % 2, x % -2, x % (2 + x * 0)

    for mine, eager in zip(second(f, x, backend=backend), f(x), strict=True):
        np.testing.assert_array_equal(mine.numpy(), eager.numpy())
        np.testing.assert_array_equal(np.signbit(mine.numpy()), np.signbit(eager.numpy()))


@pytest.mark.parametrize("shape", [(), (1,), (1, 3), (3, 1), (2, 3), (1, 33)])
@pytest.mark.parametrize("backend", ["c", "numpy"])
def test_a_sum_of_negative_zeros_is_that_of_eager_code(shape: Any, backend: str) -> None:
    x = -torch.zeros(shape)

    def f(x: Any) -> Any:
        return [x.sum(), x.mean(), *(x.sum(d) for d in range(-1, x.ndim)), x.sum(-1, keepdim=True) * 2]

    for mine, eager in zip(second(f, x, backend=backend), f(x), strict=True):
        np.testing.assert_array_equal(np.signbit(mine.numpy()), np.signbit(eager.numpy()))


@pytest.mark.parametrize("dtype", slow_but(["float32", "int64", "float64", "int32"], "float32", "int64"))
@pytest.mark.parametrize("shape", slow_but([(), (3,)], (3,)))
def test_a_number_among_the_arguments_counts_as_little_as_a_number(dtype: str, shape: Any) -> None:
    x = torch.ones(shape, dtype=getattr(torch, dtype)) * 3

    def f(x: Any, k: Any, n: Any) -> Any:
        both = (x * (k * n), x + n * k + n, x * n, x - n, x // n, n % x)
        return *both, k * x, x.sum() * k, x / k, k - x, k**x, k // x, torch.where(x > 0, x, k), x.clamp(0, k)

    step = compile(f, fullgraph=True)
    for k, n in ((0.1, 3), (2.5, 2), (-0.3, 5), (0.7, 4)):
        for mine, eager in zip(step(x, k, n), f(x, k, n), strict=True):
            assert mine.dtype is eager.dtype
            close(mine, eager, 1e-15 if mine.dtype is torch.float64 else 1e-7)


@pytest.mark.parametrize(
    ("shape", "dim"), [((200_001,), 0), ((300, 700), (0, 1)), ((3, 9000), 1), ((200_000, 20), 0)]
)
def test_long_sums_keep_their_digits(shape: Any, dim: Any) -> None:
    x = torch.full(shape, 0.1)  # all rounded to the same side
    truth = x.double()
    have = second(lambda x: [x.sum(dim), (x * x).mean(dim), x.sum()], x)
    want = truth.sum(dim), (truth * truth).mean(dim), truth.sum()
    for mine, exact in zip(have, want, strict=True):
        np.testing.assert_allclose(mine.numpy(), exact.numpy(), rtol=5e-7)


@pytest.mark.filterwarnings("ignore:.*is recorded again")
@pytest.mark.parametrize(
    "power",
    [lambda x, k: x**k, lambda x, k: x.pow(k), lambda x, k: 2**k * x, lambda x, k: k**20 * x],
    ids=["x**k", "x.pow(k)", "2**k", "k**20"],
)
def test_a_power_of_a_number_among_the_arguments_is_that_of_eager_code(power: Callable[..., Any]) -> None:
    x = torch.tensor([-0.0, 0.0, -np.inf, 4.0, 1e30], dtype=torch.float64)
    fast = compile(power)
    for k in (0.5, -0.5, 0.5, 2, 0, 7, 2):
        np.testing.assert_array_equal(fast(x, k).numpy(), power(x, k).numpy())


def random_program(rng: np.random.Generator) -> Callable[..., Any]:
    """A function of three matrices, made of some twenty operations drawn at random, and its gradients."""
    binary = [
        lambda a, b: a + b,
        lambda a, b: a * b,
        lambda a, b: a - 0.5 * b,
        torch.maximum,
        lambda a, b: a @ b.T @ b,
    ]
    unary = [
        torch.tanh,
        lambda a: a.exp() / (1 + a.exp()),
        lambda a: a.softmax(1),
        lambda a: a.sum(0, keepdim=True) + a,
        lambda a: a - a.mean(1, keepdim=True),
        lambda a: a / (a.std(0, keepdim=True) + 1),
        lambda a: a[[2, 0, 2, 1]],
        lambda a: a.max(1, keepdim=True).values * a,
        lambda a: torch.cat([a[:2], a[1:3]]),
        lambda a: a.T.reshape(a.shape),
        lambda a: torch.where(a > 0, a, 0.1 * a),
        lambda a: a.cumsum(0) * 0.3,
        lambda a: a.clamp(-1, 1),
        lambda a: a.flip(0),
    ]
    plan = [(int(rng.integers(0, 3)), int(rng.integers(0, 99)), rng.integers(0, 99, 2)) for _ in range(14)]

    def program(*leaves: Any) -> Any:
        values = list(leaves)
        for kind, which, places in plan:
            a, b = (values[p % len(values)] for p in places)
            made = binary[which % len(binary)](a, b) if kind == 0 else unary[which % len(unary)](a)
            values.append(made if kind == 0 else made.tanh())
        loss = sum(((each**2).mean() for each in values[3:]), start=values[-1].sum())
        return (loss.detach(), *torch.autograd.grad(loss, leaves, allow_unused=True))

    return program


@pytest.mark.parametrize("backend", ["c", "numpy"])
def test_a_deviation_whose_square_is_no_float32(backend: str) -> None:
    x = torch.tensor([[1e20, 1e-30], [-1e20, -1e-30]])
    have = second(torch.no_grad()(lambda x: x.std(0)), x, backend=backend)
    close(have / torch.tensor([2**0.5 * 1e20, 2**0.5 * 1e-30]), torch.ones(2), 1e-6)


@pytest.mark.parametrize(
    "seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 6))]
)
def test_random_programs_three_ways(seed: int) -> None:
    rng = np.random.default_rng(seed)
    program = random_program(rng)
    dtype, tolerance = [("float32", 1e-4), ("float64", 1e-11)][seed % 2]
    leaves = [torch.tensor(rng.normal(size=(4, 6)).astype(dtype), requires_grad=True) for _ in range(3)]
    want = program(*leaves)
    for backend in ("c", "numpy"):
        have = second(program, *leaves, backend=backend)
        for mine, theirs in zip(have, want, strict=True):
            if theirs is None:
                assert mine is None
            else:
                close(mine, theirs, tolerance)
