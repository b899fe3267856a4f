"""Every model beside the same model written in `torch.nn`: state, outputs, gradients, draws and training."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from every_model import EVERY_MODEL
from lecture_list import LECTURE_LIST, needs_lecture_list
from torch_twins import TWINS

from tinygrad_ninja import Generator, float64, from_numpy, no_grad, optim, randint
from tinygrad_ninja.makemore.data import DataError, Vocabulary, build_dataset, read_words, split
from tinygrad_ninja.makemore.models import MODELS, Model
from tinygrad_ninja.nn import init

WORDS = read_words()[:2000]
VOCABULARY = Vocabulary(WORDS)
SEED = 2147483647
ALL = pytest.mark.parametrize("name", MODELS)
NORMALIZED = pytest.mark.parametrize("name", ["bn-mlp", "deep", "wavenet"])


def built(name: str, **sizes: Any) -> Model:
    """The model, without dropout unless told otherwise: its draws are not those of a twin."""
    recipe = replace(MODELS[name].recipe, **{"dropout": 0.0, **sizes})
    return MODELS[name](len(VOCABULARY), recipe, Generator().manual_seed(SEED))


def twin_of(name: str, model: Model) -> torch.nn.Module:
    """The model in torch.nn, with the same parameters and buffers: `load_state_dict` misses no name."""
    twin = TWINS[name](len(VOCABULARY), model.recipe)
    twin.load_state_dict(
        {key: torch.from_numpy(each.numpy().copy()) for key, each in model.state_dict().items()}
    )
    return twin


def examples(name: str) -> tuple[np.ndarray, np.ndarray]:
    return MODELS[name].examples(WORDS, VOCABULARY, MODELS[name].recipe.context)


def torch_loss(twin: torch.nn.Module, X: torch.Tensor, Y: torch.Tensor) -> torch.Tensor:
    logits = twin(X)
    return torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), Y.reshape(-1))


def assert_states_agree(model: Model, twin: torch.nn.Module, atol: float) -> None:
    ours, theirs = model.state_dict(), twin.state_dict()
    assert list(ours) == list(theirs)
    for key in ours:
        np.testing.assert_allclose(ours[key].numpy(), theirs[key].numpy(), rtol=0, atol=atol, err_msg=key)


@ALL
def test_outputs_and_gradients_are_those_of_the_same_model_in_torch(name: str) -> None:
    model = built(name)
    twin = twin_of(name, model)
    X, Y = (array[:32] for array in examples(name))

    for training in (True, False):  # the first pass moves the running statistics that the second one uses
        logits = model.train(training)(from_numpy(X))
        expected = twin.train(training)(torch.from_numpy(X))
        np.testing.assert_allclose(logits.detach().numpy(), expected.detach().numpy(), rtol=0, atol=1e-6)

    loss = model.train().loss(from_numpy(X), from_numpy(Y))
    expected_loss = torch_loss(twin.train(), torch.from_numpy(X), torch.from_numpy(Y))
    assert loss.item() == pytest.approx(expected_loss.item(), abs=1e-6)
    loss.backward()
    expected_loss.backward()
    gradients = dict(twin.named_parameters())
    for key, parameter in model.named_parameters():
        theirs = gradients[key].grad
        assert parameter.grad is not None
        assert theirs is not None
        np.testing.assert_allclose(
            parameter.grad.numpy(),
            theirs.numpy(),
            rtol=0,
            atol=1e-6 * max(1, theirs.abs().max()),
            err_msg=key,
        )
    assert_states_agree(model, twin, atol=1e-6)


@ALL
def test_in_double_precision_they_are_the_same_to_the_last_digits(name: str) -> None:
    model = built(name).to(float64)
    twin = twin_of(name, model).double()
    twin.load_state_dict({key: torch.from_numpy(each.numpy()) for key, each in model.state_dict().items()})
    X, Y = (array[:32] for array in examples(name))
    loss = model.loss(from_numpy(X), from_numpy(Y))
    expected_loss = torch_loss(twin, torch.from_numpy(X), torch.from_numpy(Y))
    assert loss.item() == pytest.approx(expected_loss.item(), rel=1e-13)
    loss.backward()
    expected_loss.backward()
    for (key, parameter), theirs in zip(model.named_parameters(), twin.parameters(), strict=True):
        assert parameter.grad is not None
        assert theirs.grad is not None
        np.testing.assert_allclose(
            parameter.grad.numpy(),
            theirs.grad.numpy(),
            rtol=0,
            atol=1e-12 * theirs.grad.abs().max() + 1e-15,
            err_msg=key,
        )


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("mlp", 11_897), ("bn-mlp", 12_097), ("deep", 47_024), ("wavenet", 76_579),
        ("bow", 12_827), ("rnn", 11_803), ("gru", 28_315),  # as makemore prints them
    ],
)  # fmt: skip
def test_the_lectures_counts_of_parameters(name: str, parameters: int) -> None:
    model = MODELS[name](27, MODELS[name].recipe, Generator())
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


def test_gpt_has_about_200_000_parameters() -> None:
    model = MODELS["gpt"](27, MODELS["gpt"].recipe, Generator())
    assert sum(parameter.numel() for parameter in model.parameters()) == pytest.approx(200_000, rel=0.05)


def lectures_draws(name: str, generator: torch.Generator) -> Iterable[torch.Tensor]:
    """The matrices of the deeper models in the lecture's order, in PyTorch's layout."""

    def linear(fan_in: int, fan_out: int) -> torch.Tensor:
        return (torch.randn((fan_in, fan_out), generator=generator) / fan_in**0.5).T

    sizes = {
        "deep": [(30, 100), *[(100, 100)] * 4, (100, 27)],
        "wavenet": [(48, 128), (256, 128), (256, 128), (128, 27)],
    }[name]
    yield torch.randn((27, 10 if name == "deep" else 24), generator=generator)
    for index, (fan_in, fan_out) in enumerate(sizes):
        last = index == len(sizes) - 1
        scale = {"deep": 1.0 if last else 5 / 3, "wavenet": 0.1 if last else 1.0}[name]
        yield linear(fan_in, fan_out) * scale


@pytest.mark.parametrize("name", ["deep", "wavenet"])
def test_the_deeper_models_are_drawn_as_in_the_lecture(name: str) -> None:
    model = MODELS[name](27, MODELS[name].recipe, Generator().manual_seed(SEED))
    matrices = [parameter for parameter in model.parameters() if parameter.ndim == 2]
    for ours, theirs in zip(matrices, lectures_draws(name, torch.Generator().manual_seed(SEED)), strict=True):
        np.testing.assert_allclose(ours.detach().numpy(), theirs.numpy(), rtol=1e-6)


def test_gpt_is_drawn_in_the_order_of_its_parameters() -> None:
    generator = torch.Generator().manual_seed(SEED)
    for key, parameter in built("gpt").named_parameters():
        if parameter.ndim == 2:
            expected = torch.nn.init.normal_(torch.empty(parameter.shape), std=0.02, generator=generator)
        else:
            expected = torch.full(parameter.shape, 0.0 if key.endswith("bias") else 1.0)
        np.testing.assert_allclose(
            parameter.detach().numpy(), expected.numpy(), rtol=1e-5, atol=1e-8, err_msg=key
        )


@pytest.mark.parametrize("name", ["bow", "rnn", "gru", "lstm", "cnn"])
def test_makemores_models_are_drawn_as_pytorchs_layers(name: str) -> None:
    """In the order in which makemore makes them, which is that of their parameters."""
    torch.manual_seed(SEED)
    twin = TWINS[name](len(VOCABULARY), MODELS[name].recipe)
    assert_states_agree(built(name), twin, atol=1e-7)


ROWS = pytest.mark.parametrize("name", ["bow", "rnn", "gru", "lstm", "cnn", "gpt"])


@ROWS
def test_a_later_letter_changes_no_earlier_logit(name: str) -> None:
    model = built(name)
    X, _ = examples(name)
    with no_grad():
        before = model(from_numpy(X[:4])).numpy()
        for position in range(1, X.shape[1]):
            changed = X[:4].copy()
            changed[:, position] = (changed[:, position] + 1) % len(VOCABULARY)
            after = model(from_numpy(changed)).numpy()
            np.testing.assert_array_equal(after[:, :position], before[:, :position])
            assert (after[:, position] != before[:, position]).any(axis=1).all()


@ALL
def test_the_next_logits_are_those_of_the_training_examples(name: str) -> None:
    model = built(name).eval()
    word = "isabella"
    X, _ = model.examples([word], VOCABULARY, model.context)
    with no_grad():
        logits = model(from_numpy(X)).numpy().reshape(-1, len(VOCABULARY))
        for length in range(len(word) + 1):
            ours = model.next_logits(VOCABULARY.encode(word[:length])).numpy()
            np.testing.assert_allclose(ours, logits[length : length + 1], rtol=0, atol=1e-6)


@ALL
def test_the_next_logits_of_a_word_longer_than_the_context_are_those_of_its_end(name: str) -> None:
    model = built(name).eval()
    letters = VOCABULARY.encode("abcdefghij" * 3)
    with no_grad():
        expected = model(from_numpy(np.array([letters[-model.context :]]))).numpy()
        np.testing.assert_array_equal(
            model.next_logits(letters).numpy(), expected.reshape(-1, len(VOCABULARY))[-1:]
        )


def test_the_rows_of_gpt() -> None:
    vocabulary = Vocabulary(["abc"])
    X, Y = MODELS["gpt"].examples(["ab", "abcab"], vocabulary, 4)
    np.testing.assert_array_equal(X, [[0, 1, 2, 0], [0, 1, 2, 3], [1, 2, 0, 0]])
    np.testing.assert_array_equal(Y, [[1, 2, 0, -100], [1, 2, 3, 1], [2, 0, -100, -100]])
    with pytest.raises(DataError, match="the letter 'x'"):
        MODELS["gpt"].examples(["ax"], vocabulary, 4)
    with pytest.raises(ValueError, match="context must be at least 1, not 0"):
        MODELS["gpt"].examples(["ab"], vocabulary, 0)


@pytest.mark.parametrize("context", [1, 3, 16])
def test_the_rows_of_gpt_ask_for_the_same_letters_as_the_windows(context: int) -> None:
    _, rows = MODELS["gpt"].examples(WORDS, VOCABULARY, context)
    _, windows = build_dataset(WORDS, VOCABULARY, context)
    np.testing.assert_array_equal(rows[rows != -100], windows)


@ROWS
def test_what_follows_the_longest_word_of_a_batch_changes_nothing(name: str) -> None:
    model = built(name)
    X, Y = map(from_numpy, model.examples(["ab", "abcd"], VOCABULARY, model.context))
    short = model.loss(X[:, :5], Y[:, :5]).item()
    assert model.loss(X, Y).item() == pytest.approx(short, rel=1e-6)


@ALL
def test_the_sum_of_the_loss_is_its_mean_times_the_targets(name: str) -> None:
    model = built(name)
    X, Y = (from_numpy(array[:50]) for array in examples(name))
    targets = (Y.numpy() != -100).sum()
    with no_grad():
        assert model.loss(X, Y, reduction="sum").item() == pytest.approx(
            model.loss(X, Y).item() * targets, rel=1e-5
        )


@NORMALIZED
def test_calibration_gives_evaluation_the_statistics_of_the_whole_set(name: str) -> None:
    model = built(name).eval()
    X = from_numpy(examples(name)[0])
    with no_grad():
        model.calibrate(X)
        assert not model.training
        evaluated = model(X).numpy()
        state = {key: each.numpy().copy() for key, each in model.state_dict().items()}
        trained = model.train()(X).numpy()
        # The running variance is over n - 1, that of a batch over n.
        np.testing.assert_allclose(evaluated, trained, rtol=0, atol=3 / len(X))
    after = {key: each.numpy() for key, each in model.state_dict().items()}
    for (
        key
    ) in state:  # the momentum is again what it was: the same batch moves the statistics by next to nothing
        if "running" in key:
            np.testing.assert_allclose(after[key], state[key], rtol=1e-5, atol=1e-6, err_msg=key)


@pytest.mark.parametrize("name", sorted(MODELS.keys() - {"bn-mlp", "deep", "wavenet"}))
def test_calibration_does_nothing_where_nothing_is_normalized_over_the_batch(name: str) -> None:
    model, untouched = built(name), built(name)
    model.calibrate(from_numpy(examples(name)[0]))
    for (key, ours), theirs in zip(model.state_dict().items(), untouched.state_dict().values(), strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy(), err_msg=key)


@pytest.mark.parametrize(
    ("name", "sizes", "message"),
    [
        ("bigram", {"context": 2}, "bigram sees one letter: its context is 1, not 2"),
        ("wavenet", {"context": 6}, r"its context is 2, 4, 8 \.\.\., not 6"),
        ("wavenet", {"context": 1}, r"its context is 2, 4, 8 \.\.\., not 1"),
        ("gpt", {"embedding": 30}, "heads share its embedding: 30 is no multiple of 4"),
    ],
)
def test_sizes_that_do_not_fit_are_told(name: str, sizes: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        built(name, **sizes)


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("deep", {"context": 5, "embedding": 3, "hidden": 7, "layers": 2}),
        ("wavenet", {"context": 16, "embedding": 3, "hidden": 7}),
        ("wavenet", {"context": 2, "embedding": 3, "hidden": 7}),
        ("gpt", {"context": 5, "embedding": 6, "layers": 1, "heads": 3}),
    ],
)
def test_other_sizes(name: str, sizes: dict[str, int]) -> None:
    model = built(name, **sizes)
    X, Y = model.examples(WORDS[:20], VOCABULARY, model.context)
    loss = model.loss(from_numpy(X), from_numpy(Y))
    assert loss.item() == pytest.approx(np.log(len(VOCABULARY)), rel=0.1)  # the first guess is nearly uniform


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("bow", {"context": 1, "embedding": 6, "hidden": 3}),
        ("gru", {"context": 2, "embedding": 6, "hidden": 30}),
        ("lstm", {"context": 5, "embedding": 30, "hidden": 4}),
        ("cnn", {"context": 1, "embedding": 6, "hidden": 5, "layers": 3}),
        ("cnn", {"context": 5, "embedding": 6, "hidden": 5, "layers": 6}),
    ],
)
def test_other_sizes_of_makemores_models(name: str, sizes: dict[str, int]) -> None:
    model = built(name, **sizes)
    twin = TWINS[name](len(VOCABULARY), replace(MODELS[name].recipe, **sizes))
    twin.load_state_dict({key: torch.from_numpy(each.numpy()) for key, each in model.state_dict().items()})
    X, Y = model.examples(WORDS[:20], VOCABULARY, model.context)
    loss = model.loss(from_numpy(X), from_numpy(Y))
    assert loss.item() == pytest.approx(torch_loss(twin, *map(torch.from_numpy, (X, Y))).item(), abs=1e-6)


def losses_of(name: str, model: Model, steps: int, lr: float | None = None, batch: int = 32) -> list[float]:
    """The loss of each step of the model's own optimizer, at a constant rate."""
    recipe = model.recipe
    X, Y = map(from_numpy, examples(name))
    parameters, lr = list(model.parameters()), lr or recipe.lr
    optimizer: optim.Optimizer
    if recipe.optimizer == "adamw":
        optimizer = optim.AdamW(parameters, lr=lr, betas=(0.9, 0.99), weight_decay=recipe.weight_decay)
    else:
        optimizer = optim.SGD(parameters, lr=lr)
    losses, generator = [], np.random.default_rng(0)
    for _ in range(steps):
        ix = from_numpy(generator.integers(len(X), size=batch))
        loss = model.loss(X[ix], Y[ix])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def torch_losses_of(name: str, twin: torch.nn.Module, steps: int) -> list[float]:
    recipe = MODELS[name].recipe
    X, Y = map(torch.from_numpy, examples(name))
    optimizer: torch.optim.Optimizer
    if recipe.optimizer == "adamw":
        optimizer = torch.optim.AdamW(
            twin.parameters(), lr=recipe.lr, betas=(0.9, 0.99), weight_decay=recipe.weight_decay
        )
    else:
        optimizer = torch.optim.SGD(twin.parameters(), lr=recipe.lr)
    losses, generator = [], np.random.default_rng(0)
    for _ in range(steps):
        ix = torch.from_numpy(generator.integers(len(X), size=32))
        loss = torch_loss(twin, X[ix], Y[ix])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("name", EVERY_MODEL)
def test_a_hundred_steps_of_training_lower_the_loss_as_in_torch(name: str) -> None:
    model = built(name)
    twin = twin_of(name, model)
    losses, expected = losses_of(name, model, 100), torch_losses_of(name, twin, 100)
    np.testing.assert_allclose(losses, expected, rtol=0, atol=1e-4)
    assert np.mean(losses[-20:]) < np.mean(losses[:20]) - 0.1


def test_dropout_thins_training_only_and_repeats_with_the_generator() -> None:
    model = built("gpt", dropout=0.5, layers=1)
    X, Y = (from_numpy(array[:100]) for array in examples("gpt"))
    state = model.generator.get_state()
    first, second = model.loss(X, Y).item(), model.loss(X, Y).item()
    assert first != second
    model.generator.set_state(state)
    assert [model.loss(X, Y).item() for _ in range(2)] == [first, second]
    model.eval()
    plain = built("gpt", layers=1)
    assert model.loss(X, Y).item() == plain.loss(X, Y).item()


def test_dropout_keeps_half_of_what_a_block_adds_at_twice_its_size() -> None:
    """Of a block whose attention adds 1 everywhere, and whose layer adds nothing."""
    model = built("gpt", dropout=0.5, layers=1)
    (block,) = model.blocks
    for parameter in (block.attention.out_proj.weight, block.mlp[-1].weight, block.mlp[-1].bias):
        init.zeros_(parameter)
    init.ones_(block.attention.out_proj.bias)
    streams: list[np.ndarray] = []  # before the block, and after it
    for norm in (block.norm1, model.norm):
        norm.register_forward_pre_hook(lambda _, inputs: streams.append(inputs[0].detach().numpy()))

    def added() -> np.ndarray:
        streams.clear()
        model(from_numpy(examples("gpt")[0][:100]))
        before, after = streams
        return (after - before).round(5)

    assert set(added().ravel()) == {0.0, 2.0}
    assert added().mean() == pytest.approx(1, abs=0.05)
    model.eval()
    assert set(added().ravel()) == {1.0}


@pytest.mark.slow
def test_the_bigram_model_learns_what_counting_gives() -> None:
    X, Y = examples("bigram")
    counts = np.zeros((len(VOCABULARY), len(VOCABULARY)))
    np.add.at(counts, (X[:, 0], Y), 1)
    probabilities = counts / counts.sum(1, keepdims=True)
    counted = -np.log(probabilities[X[:, 0], Y]).mean()

    model = built("bigram")
    losses_of("bigram", model, 2000, batch=MODELS["bigram"].recipe.batch)
    losses_of("bigram", model, 500, lr=MODELS["bigram"].recipe.lr / 10, batch=MODELS["bigram"].recipe.batch)
    with no_grad():
        assert counted < model.loss(from_numpy(X), from_numpy(Y)).item() < counted + 0.01


class LecturesBatchNorm(torch.nn.BatchNorm1d):
    """The lecture's: of the last dimension, and by the variance over n - 1, where PyTorch's is over n."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        dim = tuple(range(x.ndim - 1))
        xhat = (x - x.mean(dim, keepdim=True)) / torch.sqrt(x.var(dim, keepdim=True) + self.eps)
        return self.weight * xhat + self.bias


@needs_lecture_list
@pytest.mark.parametrize(("name", "seed", "printed"), [("deep", SEED, "3.2870"), ("wavenet", 42, "3.3167")])
def test_the_first_loss_is_the_one_that_the_lecture_prints(name: str, seed: int, printed: str) -> None:
    words = read_words(LECTURE_LIST)
    vocabulary = Vocabulary(words)
    generator = Generator().manual_seed(seed)
    model = MODELS[name](len(vocabulary), MODELS[name].recipe, generator)
    X, Y = model.examples(split(words)[0], vocabulary, model.context)
    ix = randint(0, len(X), (32,), generator=generator).numpy()
    twin = twin_of(name, model)
    for module in twin.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.__class__ = LecturesBatchNorm
    assert f"{torch_loss(twin, torch.from_numpy(X[ix]), torch.from_numpy(Y[ix])).item():.4f}" == printed
    assert model.loss(from_numpy(X[ix]), from_numpy(Y[ix])).item() == pytest.approx(float(printed), abs=3e-4)
