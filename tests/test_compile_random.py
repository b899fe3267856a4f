"""Random numbers in compiled functions, beside eager code: each call draws what eager code would."""

import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from compiled_steps import close, told_once

import tinygrad_ninja as torch
from tinygrad_ninja import Value, nn
from tinygrad_ninja.nn import functional as F
from tinygrad_ninja.program.compile import UnsupportedError, compile

WHERE = pytest.mark.parametrize(("device", "backend"), [("cpu", "c"), ("cpu", "numpy"), ("torch", "torch")])
CALLS = 4


def drawing(device: str) -> dict[str, Callable[[], Any]]:
    """Functions that draw from the default generator, on Tensors of their own."""
    x = torch.arange(12.0, device=device).view(3, 4)
    turned = torch.arange(60.0, device=device).view(3, 4, 5).permute(2, 0, 1)
    column = torch.zeros(1, 20, device=device).t()
    spread = torch.zeros(4, 1, device=device).expand(4, 6)
    kept = torch.zeros(4, 5, device=device)
    weight = torch.zeros(4, 5, device=device, requires_grad=True)

    def empty(*shape: int) -> Any:
        return torch.empty(*shape, device=device)

    def layer() -> Any:
        return nn.Linear(4, 3).to(device)(x).detach()

    def attention() -> Any:
        q = x.view(1, 3, 4)
        return F.scaled_dot_product_attention(q, q, q, dropout_p=0.5)

    def kept_normal() -> Any:
        return kept.normal_(1.0, 2.0) * 2

    def initialised() -> Any:
        return nn.init.xavier_normal_(weight).detach() * 1

    return {
        "rand": lambda: torch.rand(3, 4, device=device),
        "randn": lambda: torch.randn(30, dtype=torch.float64, device=device),
        "normal": lambda: torch.normal(1.0, 2.0, (20,), device=device),
        "randint": lambda: torch.randint(-3, 9, (2, 3), device=device),
        "randint uint8": lambda: torch.randint(0, 5, (3,), dtype=torch.uint8, device=device),
        "randperm": lambda: torch.randperm(6, device=device),
        "rand_like": lambda: torch.rand_like(x),
        "rand_like, axes in another order": lambda: torch.rand_like(turned),
        "randn_like": lambda: torch.randn_like(x) * torch.randn_like(x),
        "randn_like, axes in another order": lambda: torch.randn_like(turned),
        "randn_like of a result": lambda: torch.randn_like((turned * 2).permute(1, 0, 2)),
        "randn_like of a column": lambda: torch.randn_like(column),
        "randn_like, expanded": lambda: torch.randn_like(spread),
        "randn_like float64": lambda: torch.randn_like(x, dtype=torch.float64),
        "randint_like": lambda: torch.randint_like(x, 9),
        "randint_like int32": lambda: torch.randint_like(turned, 3, 7, dtype=torch.int32),
        "uniform_": lambda: empty(3).uniform_(-1, 1),
        "normal_": lambda: empty(30).normal_(2.0, 3.0) * 1,
        "normal_ of what is kept": kept_normal,
        "xavier_normal_ of what is kept": initialised,
        "kaiming_uniform_": lambda: nn.init.kaiming_uniform_(empty(4, 5)),
        "bernoulli": lambda: torch.bernoulli(x, 0.3),
        "dropout": lambda: F.dropout(x, 0.4),
        "attention": attention,
        "a layer made inside": layer,
    }


@WHERE
@pytest.mark.parametrize("name", drawing("cpu"))
def test_every_call_draws_what_eager_code_would(name: str, device: str, backend: str) -> None:
    def called(step: Callable[[], Any]) -> tuple[list[Any], Any]:
        torch.manual_seed(5)
        return [step() for _ in range(CALLS)], torch.get_rng_state()

    want, there = called(drawing(device)[name])
    have, here = called(compile(drawing(device)[name], fullgraph=True, backend=backend))
    for mine, theirs in zip(have, want, strict=True):
        close(mine, theirs)
    assert (here == there).all()
    assert want[0].tolist() != want[1].tolist()


# -- Python's and NumPy's own --------------------------------------------------------------------------------

RNG = np.random.default_rng(0)


def helper() -> float:
    return RNG.normal()


class Noisy:
    draw = random.Random(0).gauss

    def __init__(self) -> None:
        self.rng = {"a": [np.random.RandomState(0)]}

    def step(self, x: Any) -> Any:
        return x * self.rng["a"][0].uniform()


def foreign() -> dict[str, Callable[[Any], Any]]:
    """Return functions that draw, by what they draw from."""
    rng, philox = np.random.default_rng(1), np.random.Generator(np.random.Philox(1))
    noisy, mine = Noisy(), SimpleNamespace(rng=random.Random(1))

    return {
        "random": lambda x: x * random.random(),
        "random.sample": lambda x: x * random.sample(range(99), 2)[0],
        "numpy.random": lambda x: x + torch.tensor(np.random.normal(size=2)),
        "a Generator": lambda x: x * torch.from_numpy(rng.normal(size=2)),
        "another Generator": lambda x: x * philox.integers(10**6),
        "within a function": lambda x: x * helper(),
        "an attribute": lambda x: x * mine.rng.random(),
        "an attribute of the class": lambda x: x * noisy.draw(0, 1),
        "a method": noisy.step,
        "a Value": lambda x: Value(2.0) * random.random(),
    }


@pytest.mark.parametrize("name", foreign())
def test_what_python_or_numpy_draws_is_drawn_by_eager_code(name: str) -> None:
    x = torch.ones(2)

    def called(wrap: Callable[[Any], Any]) -> list[Any]:
        random.seed(3)
        np.random.seed(3)
        RNG.bit_generator.state = np.random.default_rng(3).bit_generator.state
        Noisy.draw.__self__.seed(3)
        step = wrap(foreign()[name])
        found = [step(x) for _ in range(CALLS)]
        return [each.data if isinstance(each, Value) else each.tolist() for each in found]

    sentence = r"test_compile_random.py:\d+: .* draws random numbers that compiled code can't draw"
    want = called(lambda f: f)
    assert want[0] != want[1]
    with told_once(sentence):
        assert called(compile) == want
    with pytest.raises(UnsupportedError, match=sentence):
        compile(foreign()[name], fullgraph=True)(x)
