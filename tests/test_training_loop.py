"""What the loop does beside descending: rates, early stopping, calibration, threads, forgotten parameters."""

import math
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from slow_ones import slow_but

import tinygrad_ninja
from tinygrad_ninja import Generator, from_numpy, nn, optim, randn
from tinygrad_ninja.check import check_optimized
from tinygrad_ninja.makemore import checkpoint
from tinygrad_ninja.makemore.data import Vocabulary, build_dataset, read_words
from tinygrad_ninja.makemore.lr_finder import find_learning_rate
from tinygrad_ninja.makemore.models import MODELS, Model
from tinygrad_ninja.makemore.run import CHECKPOINT, MODEL, Run
from tinygrad_ninja.makemore.settings import Settings, SettingsError
from tinygrad_ninja.makemore.training import Training, TrainingError, evaluate

WORDS = read_words()[:600]
VOCABULARY = Vocabulary(WORDS)
SMALL = Settings.of("bn-mlp", hidden=20, steps=200, batch=16)


HOW = pytest.mark.parametrize("eager", slow_but([True, False], True))
"""The C compiler takes most of the time."""


def begin(settings: Settings, eager: bool = False) -> Training:
    generator = Generator().manual_seed(settings.seed)
    train, dev = (
        tuple(map(from_numpy, build_dataset(words, VOCABULARY, settings.context)))
        for words in (WORDS[:300], WORDS[300:])
    )
    model = settings.build(len(VOCABULARY), generator)
    return Training(model, settings, generator, train, dev, eager=eager)  # type: ignore[arg-type]


def state(model: nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.numpy().copy() for name, tensor in model.state_dict().items()}


def assert_equal(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> None:
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)


# -- settings ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
def test_without_changes_the_settings_are_the_models_recipe(model: str) -> None:
    settings = Settings.of(model)
    for name, value in vars(MODELS[model].recipe).items():
        assert getattr(settings, name) == value


@pytest.mark.parametrize(
    ("model", "changes", "name"),
    [
        ("bigram", {"hidden": 3}, "hidden"),
        ("mlp", {"heads": 2}, "heads"),
        ("bn-mlp", {"batch": 1}, "batch"),
        ("deep", {"batch": 1}, "batch"),
        ("mlp", {"calibrate": True}, "calibrate"),
    ],
)
def test_settings_that_a_model_cannot_have_are_named(model: str, changes: dict[str, Any], name: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.of(model, **changes)
    assert caught.value.name == name


@pytest.mark.parametrize("milestone", [0.5, 0.75])
def test_the_stepped_rate_is_torchs(milestone: float) -> None:
    settings = replace(SMALL, steps=40, lr=0.3, milestone=milestone)
    assert_torchs_rates(settings, lambda theirs: torch.optim.lr_scheduler.StepLR(theirs, int(40 * milestone)))


def test_the_cosine_after_its_warm_up_is_torchs() -> None:
    settings = replace(SMALL, steps=40, lr=0.3, schedule="cosine", warmup=7)

    def schedule(theirs: torch.optim.Optimizer) -> Any:
        lr_scheduler = torch.optim.lr_scheduler
        warmup = lr_scheduler.LinearLR(theirs, start_factor=1 / 8, total_iters=7)
        cosine = lr_scheduler.CosineAnnealingLR(theirs, 33)
        return lr_scheduler.SequentialLR(theirs, [warmup, cosine], milestones=[7])

    assert_torchs_rates(settings, schedule)
    assert max(map(settings.learning_rate, range(40))) == settings.learning_rate(7) == 0.3


def assert_torchs_rates(settings: Settings, schedule: Any) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1)], settings.lr)
    scheduler = schedule(optimizer)
    for step in range(settings.steps):
        assert settings.learning_rate(step) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-9)
        optimizer.step()
        scheduler.step()


# -- early stopping, calibration -----------------------------------------------------------------------------


@HOW
def test_early_stopping_returns_to_the_lowest_dev_loss(eager: bool) -> None:
    # A hundred times the rate of the recipe: the loss soon rises.
    settings = Settings.of("mlp", hidden=20, steps=3000, lr=3.0, eval_every=20, early_stop=4)
    training = begin(settings, eager)
    states = {step: state(training.model) for step in training.run()}
    evaluated = list(training.dev_losses)
    best = min(evaluated, key=training.dev_losses.__getitem__)
    assert evaluated == list(range(20, training.step + 1, 20))
    assert training.step == best + 4 * 20 < 3000
    training.finish()
    assert_equal(state(training.model), states[best])
    assert evaluate(training.model, *training.dev) == training.dev_losses[best]


@HOW
def test_evaluations_do_not_change_a_training(eager: bool) -> None:
    ends = []
    for eval_every in (0, 7):
        training = begin(replace(SMALL, eval_every=eval_every), eager)
        assert len(list(training.run())) == SMALL.steps
        ends.append(training)
    assert_equal(state(ends[0].model), state(ends[1].model))
    assert ends[0].dev_losses == {}
    assert list(ends[1].dev_losses) == list(range(7, 200, 7))


@HOW
def test_calibration_takes_the_statistics_of_the_whole_training_set(eager: bool) -> None:
    training = begin(replace(SMALL, calibrate=True), eager)
    assert len(list(training.run())) == SMALL.steps
    running = state(training.model)
    training.finish()
    ours = state(training.model)
    C, W1 = torch.from_numpy(ours["C"]), torch.from_numpy(ours["W1"])
    hprebn = C[torch.from_numpy(training.train[0].numpy())].flatten(1) @ W1
    np.testing.assert_allclose(ours["bnmean_running"], hprebn.mean(0, keepdim=True), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ours["bnstd_running"], hprebn.std(0, keepdim=True), rtol=1e-5)
    assert not np.allclose(ours["bnstd_running"], running["bnstd_running"], rtol=1e-3)


# -- the learning-rate finder --------------------------------------------------------------------------------


@HOW
def test_the_rates_grow_by_one_factor_until_the_loss_explodes(eager: bool) -> None:
    training = begin(replace(SMALL, batch=64), eager)
    search = find_learning_rate(training, 1e-4, 1e3, 400)
    assert len(search.rates) == len(search.losses) == len(search.smoothed) < 400
    np.testing.assert_allclose(search.rates[1:] / search.rates[:-1], 1e7 ** (1 / 399), rtol=1e-9)
    assert search.losses[0] == pytest.approx(math.log(len(VOCABULARY)), abs=0.1)
    assert 0.01 < search.steepest < search.lowest < 10
    assert search.smoothed[-1] > 4 * search.smoothed.min()


@HOW
def test_a_search_among_rates_that_are_all_too_high_says_so(eager: bool) -> None:
    with pytest.raises(TrainingError, match="try a smaller lowest rate"):
        find_learning_rate(begin(Settings.of("mlp", hidden=20), eager), 1e6, 1e9, 100)


# -- threads -------------------------------------------------------------------------------------------------


@HOW
def test_two_threads_train_as_two_trainings_in_a_row(eager: bool) -> None:
    settings = [SMALL, replace(SMALL, model="mlp", eval_every=50, seed=5)]
    in_a_row, at_once = ([begin(each, eager) for each in settings] for _ in range(2))
    for training in in_a_row:
        assert len(list(training.run())) == SMALL.steps
    threads = [threading.Thread(target=lambda each=each: list(each.run())) for each in at_once]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for ours, theirs in zip(at_once, in_a_row, strict=True):
        np.testing.assert_array_equal(ours.losses, theirs.losses)
        assert ours.dev_losses == theirs.dev_losses
        assert_equal(state(ours.model), state(theirs.model))


# -- forgotten parameters ------------------------------------------------------------------------------------


class Forgetful(nn.Module):
    """A layer that is listed, a Tensor that is not, and layers in a list that no Module sees."""

    def __init__(self, plain: bool, hidden: bool) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.shift = randn(3, requires_grad=plain)
        self.hidden = [nn.Linear(3, 3)] if hidden else []

    def forward(self, x: tinygrad_ninja.Tensor) -> tinygrad_ninja.Tensor:
        out = self.layer(x) + self.shift
        for layer in self.hidden:
            out = layer(out).tanh()
        return out


def check(model: nn.Module, optimizer: optim.Optimizer) -> None:
    check_optimized(model(randn(2, 3)).sum(), optimizer, model)


def test_a_tensor_that_the_optimizer_was_not_given_is_named() -> None:
    complete = Forgetful(plain=False, hidden=False)
    check(complete, optim.SGD(complete.parameters(), 0.1))
    with pytest.raises(
        ValueError, match=r"the loss depends on layer\.bias, which the optimizer was not given"
    ):
        check(complete, optim.SGD([complete.layer.weight], 0.1))
    plain = Forgetful(plain=True, hidden=False)
    with pytest.raises(ValueError, match="the loss depends on shift, which the optimizer was not given"):
        check(plain, optim.SGD(plain.parameters(), 0.1))
    check(plain, optim.SGD([*plain.parameters(), plain.shift], 0.1))
    hidden = Forgetful(plain=False, hidden=True)
    with pytest.raises(ValueError, match="the loss depends on a tensor, which the optimizer was not given"):
        check(hidden, optim.SGD(hidden.parameters(), 0.1))


def test_a_frozen_parameter_is_not_forgotten() -> None:
    model = Forgetful(plain=False, hidden=False)
    model.layer.bias.requires_grad_(False)
    check(model, optim.SGD([model.layer.weight], 0.1))


def test_a_training_refuses_a_model_with_a_parameter_that_it_would_forget(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Biased(MODELS["mlp"]):  # type: ignore[name-defined,misc]
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self.extra = randn(1, requires_grad=True)

        def forward(self, X: tinygrad_ninja.Tensor) -> tinygrad_ninja.Tensor:
            return super().forward(X) + self.extra

    monkeypatch.setitem(MODELS, "mlp", Biased)
    with pytest.raises(ValueError, match="the loss depends on extra"):
        begin(Settings.of("mlp", hidden=20))


def test_a_batch_of_one_is_refused_by_every_batch_normalization() -> None:
    X = from_numpy(build_dataset(WORDS, VOCABULARY, 8)[0][:1])
    for name, model in MODELS.items():
        settings = Settings.of(name)
        if model.smallest_batch > 1 and name != "bn-mlp":
            built: Model = settings.build(len(VOCABULARY), Generator())
            with pytest.raises(ValueError, match="more than 1 value per channel"):
                built(X[:, : settings.context])


# -- losses that are no numbers ------------------------------------------------------------------------------


def test_a_run_whose_model_is_no_number_is_not_saved(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("\n".join(WORDS), encoding="utf-8")
    run = Run.start(tmp_path, {"model": "mlp", "data": str(tmp_path / "names.txt"), "hidden": 4}, "cpu", True)
    with run.open():
        steps = run.train()
        next(steps)
        run.save()
        good = (tmp_path / CHECKPOINT).read_bytes()
        next(steps)
        for tensor, number in ((run.training.model.W1, math.nan), (run.training.model.b2, -math.inf)):
            kept = tensor.data[0].clone()
            tensor.data[0] = number
            for write in (run.save, run.finish):
                with pytest.raises(TrainingError, match=r"the model became (nan|-inf) at step 2: try a"):
                    write()
            tensor.data[0] = kept
        assert (tmp_path / CHECKPOINT).read_bytes() == good
        assert run.saved_steps == 1
        run.training.model.C.data.fill_(1e38)  # numbers all, whose loss is none
        run.training.model.W1.data.fill_(1e38)
        run.training.model.W2.data.fill_(1e38)
        with pytest.raises(TrainingError, match=r"the (model|loss) became (nan|inf) at step 2: try a"):
            run.save()
        assert not (tmp_path / MODEL).exists()
    assert checkpoint.load(tmp_path / CHECKPOINT).training["step"] == 1  # type: ignore[index]


@HOW
def test_a_dev_loss_that_is_no_number_ends_the_training(eager: bool) -> None:
    training = begin(replace(SMALL, eval_every=2), eager)
    run = training.run()
    next(run)
    training.model.W2.data.fill_(3e38)  # after the loss of step 1 was computed, before the next step
    training.update = lambda lr: 3.0  # type: ignore[method-assign]
    with pytest.raises(TrainingError, match=r"the loss of the dev words became (nan|inf) at step 2"):
        next(run)


@HOW
def test_a_check_changes_nothing(eager: bool) -> None:
    checked, other = (begin(SMALL, eager) for _ in range(2))
    for training in (checked, other):
        for step in training.run():
            if training is checked and step % 50 == 0:
                training.check()
    assert_equal(state(checked.model), state(other.model))
    np.testing.assert_array_equal(checked.losses, other.losses)
