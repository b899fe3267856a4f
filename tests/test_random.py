"""Random numbers against PyTorch's: the same seed and calls give the same numbers and the same state.

Integers are compared exactly; floats too, where PyTorch's own arithmetic is the one that is repeated, and
elsewhere to 2 units in the last place (one epsilon, relative).
"""

import copy
import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from both import Case, assert_same, assert_same_error, attempt, cases
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_ninja
from tinygrad_ninja import Generator

SAME_ARITHMETIC = sys.platform == "linux" and torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
ULPS = 0 if SAME_ARITHMETIC else 1
SIZES = (0, 1, 2, 15, 16, 17, 31, 32, 33, 100, 1000, 5003)
Draw = Callable[[Any, Any], Any]


def assert_same_stream(*draws: Draw, seed: int = 2147483647) -> None:
    """Every `draw(t, generator)` gives the same, and so does the generator's state after each."""

    def case(t: Any) -> Any:
        g = t.Generator().manual_seed(seed)
        return [(draw(t, g), g.get_state()) for draw in draws]

    assert_same(case, ulps=ULPS)


def draws(*functions: Draw) -> pytest.MarkDecorator:
    """Parametrize a test by functions of (module, generator) of one source line each."""
    mark = cases(*functions)
    return pytest.mark.parametrize("draw", mark.args[1], ids=mark.kwargs["ids"])


# -- one call ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", SIZES)
@draws(
    lambda t, n, d, g: t.rand(n, dtype=d, generator=g),
    lambda t, n, d, g: t.randn(n, dtype=d, generator=g),
    lambda t, n, d, g: t.normal(1.3, 2.7, (n,), dtype=d, generator=g),
    lambda t, n, d, g: t.zeros(n, dtype=d).uniform_(-0.3, 0.7, generator=g),
    lambda t, n, d, g: t.zeros(n, dtype=d).normal_(-0.5, 0.1, generator=g),
    lambda t, n, d, g: t.zeros(n, 2, dtype=d)[:, 0].normal_(-0.5, 0.1, generator=g),
    lambda t, n, d, g: t.zeros(n, dtype=d).exponential_(generator=g),
    lambda t, n, d, g: t.zeros(n, dtype=d).exponential_(2.5, generator=g),
    lambda t, n, d, g: t.zeros(n, dtype=d).bernoulli_(generator=g),
    lambda t, n, d, g: t.zeros(n, dtype=t.int64).bernoulli_(0.3, generator=g),
    lambda t, n, d, g: t.zeros(n, dtype=t.bool).bernoulli_(0.3, generator=g),
    lambda t, n, d, g: t.zeros(n, 2, dtype=d).bernoulli_(t.full((2,), 0.3), generator=g),
    lambda t, n, d, g: t.zeros(n, 2).bernoulli_(t.full((n, 2), 0.7, dtype=d), generator=g),
)
def test_floats_of_every_size_and_dtype(draw: Any, n: int, dtype: str) -> None:
    twice = [lambda t, g: draw(t, n, getattr(t, dtype), g)] * 2
    assert_same_stream(*twice)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_million_normals(dtype: str) -> None:
    assert_same_stream(lambda t, g: t.randn(1_000_003, dtype=getattr(t, dtype), generator=g))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_exponentials(dtype: str) -> None:
    expected = (
        torch.empty(1000, dtype=getattr(torch, dtype)).exponential_(generator=torch.Generator()).numpy()
    )
    np.testing.assert_array_max_ulp(Generator().exponential(1000, dtype), expected, maxulp=2 * ULPS)


@pytest.mark.parametrize("low", [0, 1, -1, -(2**27), -(2**62), -(2**63)])
@pytest.mark.parametrize(
    "span", [1, 27, 182625, 2**28 - 1, 2**28, 2**28 + 1, 2**32 - 1, 2**32, 2**40 + 7, 2**62]
)
def test_integers_of_every_range(low: int, span: int) -> None:
    assert_same_stream(lambda t, g: t.randint(low, low + span, (50,), generator=g))


def test_integers_of_the_widest_range() -> None:
    assert_same_stream(lambda t, g: t.randint(-(2**63), 2**63 - 1, (50,), generator=g))


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32", "int64", "float32", "float64", "bool"])
def test_integers_of_every_dtype(dtype: str) -> None:
    assert_same_stream(
        lambda t, g: t.randint(0, 2, (50,), dtype=getattr(t, dtype), generator=g),
        lambda t, g: t.randperm(2, dtype=getattr(t, dtype if dtype != "bool" else "int64"), generator=g),
    )


@pytest.mark.parametrize("n", [0, 1, 2, 3, 100, 32033])
def test_permutations(n: int) -> None:
    assert_same_stream(*[lambda t, g: t.randperm(n, generator=g)] * 2)


@draws(
    lambda t, g: t.rand(2, 3, generator=g),
    lambda t, g: t.rand((2, 3), generator=g),
    lambda t, g: t.rand([2, 3], generator=g),
    lambda t, g: t.rand(size=(2, 3), generator=g),
    lambda t, g: t.rand((), generator=g),
    lambda t, g: t.rand(3, 0, generator=g),
    lambda t, g: t.randn(t.zeros(4, 5).shape, generator=g),
    lambda t, g: t.randn(4, generator=g, requires_grad=True),
    lambda t, g: t.randint(9, (2, 3), generator=g),
    lambda t, g: t.randint(3, 9, (2, 3), generator=g),
    lambda t, g: t.randint(high=9, size=(2, 3), generator=g),
    lambda t, g: t.randint(low=3, high=9, size=[2, 3], generator=g),
    lambda t, g: t.randint(3, high=9, size=(2, 3), generator=g),
    lambda t, g: t.randint(0, t.tensor(7), (5,), generator=g),
    lambda t, g: t.normal(0.0, 1.0, size=(20,), generator=g),
    lambda t, g: t.normal(t.tensor([1.0, 2.0]), t.tensor([[0.0], [3.0]]), generator=g),
    lambda t, g: t.normal(t.tensor([1.0, 2.0], dtype=t.float64), t.tensor([1.5, 3.0]), generator=g),
    lambda t, g: t.normal(t.tensor([1.0, 2.0]), t.tensor([1.5, 3.0], dtype=t.float64), generator=g),
    lambda t, g: t.normal(t.arange(20.0), 0.3, generator=g),
    lambda t, g: t.normal(2.0, t.arange(20.0), generator=g),
    lambda t, g: t.normal(t.arange(3.0), generator=g),
    lambda t, g: t.bernoulli(t.linspace(0, 1, 40), generator=g),
    lambda t, g: t.bernoulli(t.linspace(0, 1, 40, dtype=t.float64).reshape(5, 8).T, generator=g),
    lambda t, g: t.linspace(0, 1, 40).bernoulli(generator=g),
    lambda t, g: t.bernoulli(t.zeros(40), 0.3, generator=g),
    lambda t, g: t.bernoulli(t.zeros(5, 8, dtype=t.int64).T, 0.3, generator=g),
)
def test_forms_of_the_arguments(draw: Draw) -> None:
    assert_same_stream(draw)


def expanded(t: Any, *shape: int, to: tuple[int, ...]) -> Any:
    """Zeros whose step in memory is 0 along the dimensions that `to` makes longer."""
    return t.from_numpy(np.broadcast_to(np.zeros(shape, np.float32), to))


LAYOUTS: list[Callable[[Any], Any]] = [
    lambda t: t.zeros(6, 8),
    lambda t: t.zeros(8, 6).T,
    lambda t: t.zeros(6, 16)[:, ::2],
    lambda t: t.zeros(3, 6, 8).permute(2, 0, 1)[:, 1:],
    lambda t: expanded(t, 6, 1, to=(6, 8)).T,
    lambda t: expanded(t, 1, 8, to=(6, 8)),
    lambda t: expanded(t, 3, 1, 8, to=(3, 6, 8)).permute(2, 1, 0),
    lambda t: expanded(t, 3, 1, 8, to=(3, 6, 8)).permute(1, 2, 0),
    lambda t: t.zeros(()),
    lambda t: t.zeros(1, 40).t(),
    lambda t: t.zeros(1, 80)[:, ::2].t(),
    lambda t: t.zeros(6, 1, 5).permute(1, 0, 2),
]


@pytest.mark.parametrize("layout", LAYOUTS)
@draws(
    lambda t, x, g: t.rand_like(x, generator=g),
    lambda t, x, g: t.rand_like(x, dtype=t.float64, generator=g),
    lambda t, x, g: t.randn_like(x, generator=g),
    lambda t, x, g: t.randn_like(x, generator=g, requires_grad=True),
    lambda t, x, g: t.randint_like(x, 9, generator=g),
    lambda t, x, g: t.randint_like(x, -3, 9, dtype=t.int64, generator=g),
    lambda t, x, g: t.randint_like(x, low=3, high=9, generator=g),
)
def test_like_follows_the_layout_in_memory(draw: Any, layout: Any) -> None:
    assert_same_stream(lambda t, g: [(out := draw(t, layout(t), g)), out.stride() if out.numel() > 1 else ()])


@pytest.mark.parametrize("layout", LAYOUTS[:4])
@draws(
    lambda t, x, g: x.uniform_(2, 5, generator=g),
    lambda t, x, g: x.normal_(2, 5, generator=g),
    lambda t, x, g: x.bernoulli_(0.3, generator=g),
    lambda t, x, g: x.exponential_(3, generator=g),
)
def test_in_place_follows_the_layout_in_memory(draw: Any, layout: Any) -> None:
    def change(t: Any, g: Any) -> Any:
        x = layout(t)
        assert draw(t, x, g) is x
        return x

    assert_same_stream(change)


def test_in_place_on_a_result_cuts_it_from_its_history() -> None:
    def case(t: Any) -> Any:
        x = t.ones(3, requires_grad=True)
        y = x * 2
        y[:2].uniform_(generator=t.Generator())
        (y * 3).sum().backward()
        return x.grad

    assert_same(case)


@pytest.mark.filterwarnings("ignore:.*eps. parameter is deprecated")
@pytest.mark.parametrize(
    "arguments", [{}, {"tau": 0.3}, {"hard": True}, {"dim": 0, "hard": True}, {"eps": 1.0}, {"dim": 2}]
)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_gumbel_softmax(dtype: str, arguments: dict[str, Any]) -> None:
    def case(t: Any) -> Any:
        t.manual_seed(7)
        logits = t.arange(12, dtype=getattr(t, dtype)).view(3, 4).requires_grad_(dtype != "int64")
        out = t.nn.functional.gumbel_softmax(logits, **arguments)
        (out * t.arange(12).view(3, 4)).sum().backward()
        return out, logits.grad

    if dtype == "int64" or arguments == {"dim": 2}:
        assert_same_error(case)
    else:
        assert_same(case, ulps=40, scaled=True)


# -- multinomial ---------------------------------------------------------------------------------------------


@given(
    seed=st.integers(0, 2**32 - 1),
    classes=st.sampled_from([1, 2, 5, 27, 200]),
    rows=st.sampled_from([None, 0, 1, 4]),
    samples=st.sampled_from([1, 2, 7, 30]),
    replacement=st.booleans(),
    dtype=st.sampled_from(["float32", "float64"]),
    zeros=st.booleans(),
    transposed=st.booleans(),
)
def test_multinomial(
    seed: int,
    classes: int,
    rows: int | None,
    samples: int,
    replacement: bool,
    dtype: str,
    zeros: bool,
    transposed: bool,
) -> None:
    shape = (classes,) if rows is None else (rows, classes)
    weights = np.random.default_rng(seed).uniform(0.01, 3, shape).astype(dtype)
    if zeros:
        weights[..., 1::3] = 0
    if transposed:
        weights = np.asfortranarray(weights)
    if not replacement:
        samples = min(samples, classes - len(range(1, classes, 3)))
    assert_same_stream(
        *[lambda t, g: t.multinomial(t.from_numpy(weights), samples, replacement, generator=g)] * 2, seed=seed
    )


def test_multinomial_samples_words_as_the_lecture_does() -> None:
    def case(t: Any) -> Any:
        g = t.Generator().manual_seed(2147483647)
        p = t.rand(3, generator=g)
        p = p / p.sum()
        return (
            p,
            t.multinomial(p, num_samples=100, replacement=True, generator=g),
            p.multinomial(1, generator=g),
        )

    assert_same(case, ulps=ULPS)


@cases(
    lambda t: t.multinomial(t.tensor([0.5, -0.1]), 1),
    lambda t: t.multinomial(t.tensor([0.5, -0.1]), 2, True),
    lambda t: t.multinomial(t.tensor([0.5, math.inf]), 1),
    lambda t: t.multinomial(t.tensor([0.5, math.nan]), 3, True),
    lambda t: t.multinomial(t.tensor([0.0, 0.0]), 1),
    lambda t: t.multinomial(t.tensor([[1.0, 0.0], [0.0, 0.0]]), 2, True),
    lambda t: t.multinomial(t.tensor([0.5, 0.5]), 3),
    lambda t: t.multinomial(t.tensor([0.5, 0.5]), 0),
    lambda t: t.multinomial(t.tensor([0.5, 0.5]), -1, True),
    lambda t: t.multinomial(t.tensor([1, 2]), 1),
    lambda t: t.multinomial(t.tensor(1.0), 1),
    lambda t: t.multinomial(t.ones(2, 2, 2), 1),
    lambda t: t.multinomial(t.ones(0), 1, True),
    lambda t: t.multinomial(t.ones(3, 0), 2, True),
    lambda t: t.multinomial([0.5, 0.5], 1),
    lambda t: t.multinomial(t.tensor([0.5, 0.5]), 1.0),
    lambda t: t.rand(),
    lambda t: t.rand(-1),
    lambda t: t.randn(2, -3),
    lambda t: t.rand(2.0),
    lambda t: t.rand(3, dtype=t.int64),
    lambda t: t.randn(3, dtype=t.bool),
    lambda t: t.rand(3, generator=5),
    lambda t: t.randint(3),
    lambda t: t.randint(0, 3, 2),
    lambda t: t.randint(0, 1, 2, (3,)),
    lambda t: t.randint(0.5, 3.5, (2,)),
    lambda t: t.randint(5, 5, (2,)),
    lambda t: t.randint(0, 2**63, (2,)),
    lambda t: t.randint(0, 257, (2,), dtype=t.uint8),
    lambda t: t.randint(-1, 5, (2,), dtype=t.uint8),
    lambda t: t.randperm(-1),
    lambda t: t.randperm(257, dtype=t.uint8),
    lambda t: t.randperm(5.0),
    lambda t: t.normal(0.0, -1.0, (3,)),
    lambda t: t.normal(0.0, t.tensor([1.0, -1.0])),
    lambda t: t.normal(t.tensor([1, 2]), 1.0),
    lambda t: t.normal(0, 1),
    lambda t: t.normal(0, 1, 3),
    lambda t: t.normal(t.zeros(2), t.zeros(3)),
    lambda t: t.bernoulli(t.tensor([0.5, 2.0])),
    lambda t: t.bernoulli(t.tensor([math.nan])),
    lambda t: t.bernoulli(t.tensor([0.5]), 1.5),
    lambda t: t.bernoulli(t.tensor([0, 1])),
    lambda t: t.rand_like(t.ones(3, dtype=t.int64)),
    lambda t: t.randint_like(t.ones(3)),
    lambda t: t.zeros(3).uniform_(2, 1),
    lambda t: t.zeros(3).uniform_(0, math.inf),
    lambda t: t.zeros(3).normal_(0, -1),
    lambda t: t.zeros(3, dtype=t.int64).uniform_(),
    lambda t: t.zeros(3).bernoulli_(1.5),
    lambda t: t.zeros(3).bernoulli_(t.tensor([0, 1, 1])),
    lambda t: t.zeros(3).bernoulli_(t.ones(2)),
    lambda t: t.zeros(3).bernoulli_(t.tensor([0.0, 2.0, 1.0])),
    lambda t: t.zeros(3).exponential_(0),
    lambda t: t.zeros(3).exponential_(-1),
    lambda t: t.zeros(3, dtype=t.int64).exponential_(),
    lambda t: t.zeros(3, requires_grad=True).exponential_(),
    lambda t: t.zeros(3, requires_grad=True).bernoulli_(),
    lambda t: t.zeros(3, requires_grad=True).normal_(),
    lambda t: t.zeros(3, requires_grad=True).uniform_(),
)
def test_bad_arguments_raise_and_draw_nothing(case: Case) -> None:
    before = tinygrad_ninja.get_rng_state().tolist()
    assert_same_error(case)
    assert tinygrad_ninja.get_rng_state().tolist() == before


@cases(
    lambda t: expanded(t, 3, 1, to=(3, 4)).normal_(),
    lambda t: t.randint(3, (2,), requires_grad=True),
)
def test_results_that_cannot_be(case: Case) -> None:
    assert_same_error(case)


def test_a_permutation_that_torch_would_shuffle_otherwise() -> None:
    with pytest.raises(NotImplementedError, match="randperm of 214748364 elements: fewer than 214748364 are"):
        tinygrad_ninja.randperm(214_748_364)


@cases(
    lambda t: t.multinomial(t.tensor([0.0, 0.0, 1.0]), 2),
    lambda t: t.multinomial(t.tensor([0.0, 0.0, 1.0]), 3),
    lambda t: t.multinomial(t.tensor([[2.0, 0.0, 1.0], [1.0, 0.5, 0.0]]), 3),
    lambda t: t.multinomial(t.tensor([0.0, 1.0, 0.0, 2.0]), 4)[:2],
    lambda t: t.multinomial(t.tensor([0.0, 1.0, 0.0, 2.0]), 4).sort()[0],
    lambda t: t.multinomial(t.tensor([0.0, 1.0, 0.0, 2.0]), 40, True).unique(),
)
def test_classes_of_probability_zero_are_drawn_when_no_others_are_left(case: Case) -> None:
    assert_same_stream(*[lambda t, g: (t.manual_seed(3), case(t))[1]] * 2, seed=3)


@cases(
    lambda t, p: t.bernoulli(p),
    lambda t, p: p.bernoulli(0.5),
    lambda t, p: t.normal(p, 1.0),
    lambda t, p: t.normal(0.0, p),
    lambda t, p: t.normal(p, p * 2),
    lambda t, p: t.normal(p, t.ones(2, 1, requires_grad=True)),
)
def test_a_draw_requires_a_gradient_and_gives_none(case: Any) -> None:
    def drawn(t: Any) -> Any:
        t.manual_seed(5)
        p = t.full((3,), 0.5, requires_grad=True)
        out = case(t, p)
        refused = attempt((out * p).sum().backward)
        with t.no_grad():
            apart = case(t, p)
        return out, refused, None if refused else p.grad, apart.requires_grad

    assert_same(drawn, ulps=ULPS)


# -- sequences of calls --------------------------------------------------------------------------------------

counts = st.integers(0, 40)
floats = st.sampled_from(["float32", "float64"])
calls = st.one_of(
    st.tuples(st.sampled_from(["rand", "randn"]), counts, floats),
    st.tuples(st.just("randint"), counts, st.sampled_from([1, 1000, 2**28, 2**40])),
    st.tuples(st.just("randperm"), counts, st.none()),
    st.tuples(st.just("multinomial"), st.integers(1, 40), st.booleans()),
)


def draw(t: Any, g: Any, name: str, n: int, how: Any) -> Any:
    if name == "randint":
        return t.randint(-5, how - 5, (n,), generator=g)
    if name == "randperm":
        return t.randperm(n, generator=g)
    if name == "multinomial":
        return t.multinomial(t.arange(1.0, n + 1), n, how, generator=g)
    return getattr(t, name)(n, dtype=getattr(t, how), generator=g)


@given(st.integers(0, 2**32 - 1), st.lists(calls, min_size=1, max_size=8))
def test_mixed_calls_keep_the_state_right(seed: int, sequence: list[tuple[str, int, Any]]) -> None:
    assert_same_stream(*[lambda t, g, call=call: draw(t, g, *call) for call in sequence], seed=seed)


def test_every_position_in_the_twisters_state() -> None:
    one_word = [lambda t, g: t.randint(0, 1000, (1,), generator=g)]
    assert_same_stream(*one_word * 1300)


# -- seeds and states ----------------------------------------------------------------------------------------


@given(st.integers(-(2**63), 2**64 - 1))
def test_seeds(seed: int) -> None:
    def case(t: Any) -> Any:
        g = t.Generator()
        assert g.manual_seed(seed) is g
        return str(g.initial_seed()), t.rand(5, generator=g), g.get_state()

    assert_same(case)


@cases(
    lambda t: t.Generator().manual_seed(2**64),
    lambda t: t.Generator().manual_seed(-(2**63) - 1),
    lambda t: t.Generator().manual_seed(1.0),
    lambda t: t.Generator().manual_seed(True),
    lambda t: t.Generator().manual_seed("3"),
    lambda t: t.Generator().manual_seed(None),
    lambda t: t.manual_seed(2**64),
    lambda t: t.Generator("nowhere"),
    lambda t: t.Generator().set_state(t.zeros(5056)),
    lambda t: t.Generator().set_state(t.zeros(5055, dtype=t.uint8)),
    lambda t: t.Generator().set_state(t.zeros(5056, dtype=t.uint8)),
    lambda t: t.Generator().set_state([0] * 5056),
)
def test_bad_seeds_and_states(case: Case) -> None:
    assert_same_error(case)


@pytest.mark.parametrize(("field", "value"), [(8, 0), (8, 255), (12, 0), (16, 7)], ids=str)
def test_a_damaged_state_is_refused_and_the_stream_goes_on(field: int, value: int) -> None:
    generator, other = Generator(), Generator()
    tinygrad_ninja.rand(3, generator=generator), tinygrad_ninja.rand(3, generator=other)
    damaged = generator.get_state().numpy().copy()
    damaged[field] = value
    with pytest.raises(RuntimeError, match="invalid Mersenne Twister state"):
        generator.set_state(damaged)
    assert (
        tinygrad_ninja.rand(3, generator=generator).tolist()
        == tinygrad_ninja.rand(3, generator=other).tolist()
    )


@given(st.lists(calls, max_size=5), st.lists(calls, min_size=1, max_size=5), st.booleans())
def test_a_state_goes_over_to_torch_and_back(
    before: list[tuple[str, int, Any]], after: list[tuple[str, int, Any]], to_torch: bool
) -> None:
    modules = (tinygrad_ninja, torch) if to_torch else (torch, tinygrad_ninja)
    source, target = (module.Generator() for module in modules)
    for call in before:
        draw(modules[0], source, *call)
    handed_over = modules[1].from_numpy(source.get_state().numpy())
    assert target.set_state(handed_over) is target
    assert target.initial_seed() == source.initial_seed()
    for call in after:
        there, here = draw(modules[1], target, *call).numpy(), draw(modules[0], source, *call).numpy()
        if there.dtype.kind == "f":
            np.testing.assert_array_max_ulp(there, here, maxulp=2 * ULPS)
        else:
            np.testing.assert_array_equal(there, here)


@pytest.mark.parametrize("duplicate", [Generator.clone_state, copy.copy, copy.deepcopy])
def test_a_copy_has_a_stream_of_its_own(duplicate: Callable[[Generator], Generator]) -> None:
    generator = Generator().manual_seed(7)
    tinygrad_ninja.randn(3, generator=generator)  # leaves a spare normal
    other = duplicate(generator)
    first = tinygrad_ninja.randn(3, generator=generator).tolist()
    tinygrad_ninja.rand(2, generator=generator)
    assert tinygrad_ninja.randn(3, generator=other).tolist() == first


def test_a_new_generator_starts_from_torchs_default_seed() -> None:
    assert_same(lambda t: (str(t.Generator().initial_seed()), t.Generator().get_state()))


def test_seed_is_drawn_anew_each_time() -> None:
    generator = Generator()
    seeds = {generator.seed() for _ in range(3)} | {tinygrad_ninja.seed()}
    assert len(seeds) == 4
    assert all(0 <= seed < 2**64 for seed in seeds)
    assert generator.initial_seed() in seeds


def test_the_default_generator() -> None:
    def case(t: Any) -> Any:
        assert t.manual_seed(42) is t.default_generator
        first = t.randn(3), t.randint(9, (3,)), t.multinomial(t.ones(4), 2), t.zeros(3).uniform_()
        state = t.get_rng_state()
        again = t.rand(3), t.set_rng_state(state), t.rand(3)
        return first, again, t.initial_seed(), t.random.initial_seed()

    assert_same(case, ulps=ULPS)


@cases(lambda t: t.manual_seed("3"), lambda t: t.manual_seed(1.5), lambda t: t.manual_seed(-1))
def test_manual_seed_takes_what_int_takes(case: Case) -> None:
    assert_same(lambda t: (str(case(t).initial_seed()), t.rand(3)))


# -- devices -------------------------------------------------------------------------------------------------


@draws(
    lambda t, d, g: t.rand(5, device=d, generator=g),
    lambda t, d, g: t.randn(20, device=d, generator=g),
    lambda t, d, g: t.randint(9, (5,), device=d, generator=g),
    lambda t, d, g: t.randperm(9, device=d, generator=g),
    lambda t, d, g: t.normal(t.zeros(20, device=d), 2.0, generator=g),
    lambda t, d, g: t.multinomial(t.ones(9, device=d), 2, generator=g),
    lambda t, d, g: t.bernoulli(t.ones(9, device=d) / 2, generator=g),
    lambda t, d, g: t.rand_like(t.zeros(3, 4, device=d).T, generator=g),
    lambda t, d, g: t.randn_like(t.zeros(3, 4), device=d, generator=g),
    lambda t, d, g: t.randint_like(t.zeros(3, 4, device=d), 9, generator=g),
    lambda t, d, g: t.zeros(8, 3, device=d).T.normal_(generator=g),
    lambda t, d, g: t.zeros(8, 3, device=d).uniform_(generator=g),
)
def test_torchs_arrays_get_the_same_numbers(draw: Any) -> None:
    there = draw(tinygrad_ninja, "torch", Generator("torch"))
    here = draw(tinygrad_ninja, "cpu", Generator())
    assert there.device.type == "torch"
    assert there.dtype is here.dtype
    np.testing.assert_array_equal(there.cpu().numpy(), here.numpy())


@given(st.integers(0, 2**32 - 1), st.integers(0, 1500), st.integers(0, 2000))
@settings(max_examples=40)
def test_a_stream_returns_to_a_mark(seed: int, before: int, after: int) -> None:
    generator = tinygrad_ninja.Generator().manual_seed(seed)
    tinygrad_ninja.randn(before, generator=generator)
    mark, state = generator.mark(), generator.get_state()
    first = tinygrad_ninja.randn(after, generator=generator)
    generator.return_to(mark)
    np.testing.assert_array_equal(generator.get_state().numpy(), state.numpy())
    np.testing.assert_array_equal(tinygrad_ninja.randn(after, generator=generator).numpy(), first.numpy())
