"""Trainings compiled, beside the same trainings as eager code: the models of makemore, and what changes
between two calls without another recording."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from compiled_steps import close
from slow_ones import slow_but

import tinygrad_ninja as torch
from tinygrad_ninja import nn
from tinygrad_ninja.makemore.data import Vocabulary
from tinygrad_ninja.makemore.models import MODELS
from tinygrad_ninja.makemore.settings import Settings
from tinygrad_ninja.nn import functional as F
from tinygrad_ninja.program.compile import UnsupportedError, compile

WORDS = ["emma", "olivia", "ava", "isabella", "sophia", "charlotte", "mia", "amelia", "harper", "evelyn"]


def training(name: str, **changes: Any) -> tuple[Callable[[], Any], Any, Any, Any]:
    """A step of a model of makemore, small; the model, its optimizer, and its generator."""
    g = torch.Generator().manual_seed(7)
    vocabulary = Vocabulary(WORDS)
    settings = Settings.of(name, batch=5, **changes)
    model = settings.build(len(vocabulary), g)
    model.generator = g
    X, Y = map(torch.from_numpy, model.examples(WORDS, vocabulary, settings.context))
    optimizer = settings.build_optimizer(model)

    def step() -> Any:
        ix = torch.randint(0, X.shape[0], (settings.batch,), generator=g)
        loss = model.loss(X[ix], Y[ix])
        optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        return loss, norm

    return step, model, optimizer, g


SIZES: dict[str, dict[str, int]] = {
    "deep": {"hidden": 9}, "wavenet": {"hidden": 8}, "gpt": {"embedding": 8, "heads": 2, "layers": 1},
}  # fmt: skip


@pytest.mark.parametrize("name", slow_but(MODELS, "bigram", "bn-mlp"))
def test_the_models_of_makemore_train_as_eager_code_does(name: str) -> None:
    """Losses, norms, parameters, running statistics and the generator's state, while the learning rate (and
    of AdamW the number of the step) changes at every call; recorded once, without a warning."""
    eager, model, theirs, g = training(name, **SIZES.get(name, {}))
    recorded, twin, mine, h = training(name, **SIZES.get(name, {}))
    step = compile(recorded, fullgraph=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for i in range(6):
            for optimizer in (mine, theirs):
                optimizer.param_groups[0]["lr"] = 0.01 / (i + 1)
            for have, want in zip(step(), eager(), strict=True):
                close(have, want, 2e-5)
    for key, value in model.state_dict().items():
        close(twin.state_dict()[key], value, 5e-5)
    assert (g.get_state() == h.get_state()).all()


def test_dropout_draws_anew_at_every_call_and_a_scheduler_is_heard() -> None:
    def trained(wrap: Callable[[Any], Any]) -> tuple[Any, list[float]]:
        torch.manual_seed(3)
        model = nn.Sequential(nn.Linear(6, 16), nn.Dropout(0.3), nn.GELU(), nn.Linear(16, 5))
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5)

        def update(x: Any, y: Any) -> Any:
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        step = wrap(update)
        rng = np.random.default_rng(0)
        losses = []
        for _ in range(7):
            x, y = rng.normal(size=(8, 6)).astype(np.float32), rng.integers(0, 5, 8)
            losses.append(step(torch.tensor(x), torch.tensor(y)).item())
            scheduler.step()
        return model, losses

    (model, want), (twin, have) = trained(lambda f: f), trained(lambda f: compile(f, fullgraph=True))
    assert have == pytest.approx(want, rel=1e-5)
    for p, q in zip(twin.parameters(), model.parameters(), strict=True):
        close(p, q, 2e-5)


def test_an_optimizer_is_the_same_by_whatever_name_its_step_is_called() -> None:
    """A bound method that was looked up before the recording finds the learning rate of each call, too."""

    def trained(wrap: Callable[[Any], Any]) -> list[float]:
        w = torch.tensor([1.0, -2.0], requires_grad=True)
        optimizer = torch.optim.AdamW([w], lr=0.1)
        update = optimizer.step

        def step() -> Any:
            loss = (w * w).sum()
            optimizer.zero_grad()
            loss.backward()
            update()
            return loss

        wrapped = wrap(step)
        losses = []
        for i in range(6):
            optimizer.param_groups[0]["lr"] = 0.1 * (i + 1)
            losses.append(wrapped().item())
        return losses

    assert trained(lambda f: compile(f, fullgraph=True)) == pytest.approx(trained(lambda f: f), rel=1e-5)


@pytest.mark.parametrize("backend", ["c", "numpy"])
def test_targets_may_be_ignored_in_some_calls_and_are_looked_at_in_all(backend: str) -> None:
    """How many there are is no number of the recording's, and a class that there is not is told each time."""
    W = torch.randn(5, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)

    def f(x: Any, y: Any) -> Any:
        W.grad = None
        loss = F.cross_entropy(x @ W, y)
        loss.backward()
        return loss

    step = compile(f, fullgraph=True, backend=backend)
    x = torch.arange(15.0).view(3, 5).cos()
    for y in ([0, 1, 2], [0, -100, 3], [-100, 3, -100]):
        want, gradient = f(x, torch.tensor(y)), W.grad
        close(step(x, torch.tensor(y)), want)
        close(W.grad, gradient)
    for wrong, target in (([0, 1, 4], 4), ([0, -1, 3], -1)):
        with pytest.raises(IndexError, match=f"Target {target} is out of bounds: there are 4 classes"):
            step(x, torch.tensor(wrong))
    one_hot = compile(lambda y: F.one_hot(y, 4), fullgraph=True, backend=backend)
    gathered = compile(lambda y: x.gather(1, y.view(3, 1)), fullgraph=True, backend=backend)
    one_hot(torch.tensor([0, 1, 2]))
    gathered(torch.tensor([0, 1, 2]))
    for step, wrong in (
        (one_hot, [0, 1, 4]),
        (one_hot, [-1, 1, 2]),
        (gathered, [0, -1, 2]),
        (gathered, [0, 5, 2]),
    ):
        with pytest.raises(RuntimeError, match=r"out of bounds|smaller than num_classes|non-negative"):
            step(torch.tensor(wrong))


def test_what_the_engine_reads_out_of_a_tensor_is_no_number_of_the_recordings() -> None:
    x = torch.tensor([1, 3, 2])
    for f in (
        lambda: F.one_hot(x),
        lambda: torch.ones(3) * (2.0 if torch.equal(x, x + 0) else 3.0),
        lambda: torch.ones(3) * (2.0 if torch.allclose(x.float(), x.float()) else 3.0),
    ):
        with pytest.raises(UnsupportedError, match=r"reads a value out|takes a Tensor's values"):
            compile(f, fullgraph=True)()
