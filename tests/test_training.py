"""The models, the loop, the evaluation and the sampling against the same lines written in PyTorch."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from slow_ones import slow_but

from tinygrad_ninja import Generator, from_numpy
from tinygrad_ninja.makemore.data import Vocabulary, build_dataset, read_words
from tinygrad_ninja.makemore.models import Model
from tinygrad_ninja.makemore.sampling import SampleError, sample
from tinygrad_ninja.makemore.settings import Settings
from tinygrad_ninja.makemore.training import Training, TrainingError, evaluate
from viz.plots import loss_curve

WORDS = read_words()[:2000]
VOCABULARY = Vocabulary(WORDS)
SEED = 2147483647
SMALL = Settings.of("bn-mlp", hidden=20, context=4, embedding=5, steps=200, batch=16)

Lecture = tuple[list[float], Callable[[torch.Tensor], torch.Tensor]]


def examples(context: int) -> tuple[np.ndarray, np.ndarray]:
    return build_dataset(WORDS, VOCABULARY, context)


def lecture(settings: Settings) -> Lecture:
    """The lecture's code: the loss of every step, and the trained model as a function from X to logits."""
    X, Y = map(torch.from_numpy, examples(settings.context))
    vocab_size, block_size = len(VOCABULARY), settings.context
    n_embd, n_hidden = settings.embedding, settings.hidden
    norm = settings.model == "bn-mlp"
    g = torch.Generator().manual_seed(settings.seed)
    C = torch.randn((vocab_size, n_embd), generator=g)
    W1 = torch.randn((n_embd * block_size, n_hidden), generator=g) * (5 / 3) / ((n_embd * block_size) ** 0.5)
    b1 = torch.zeros(n_hidden) if norm else torch.randn(n_hidden, generator=g) * 0.01
    W2 = torch.randn((n_hidden, vocab_size), generator=g) * 0.01
    b2 = torch.randn(vocab_size, generator=g) * 0
    bngain, bnbias = torch.ones((1, n_hidden)), torch.zeros((1, n_hidden))
    running = [torch.zeros((1, n_hidden)), torch.ones((1, n_hidden))]
    parameters = [C, W1, W2, b2, *([bngain, bnbias] if norm else [b1])]
    for p in parameters:
        p.requires_grad = True

    def forward(Xb: torch.Tensor, training: bool = False) -> torch.Tensor:
        emb = C[Xb]
        hpreact = emb.view(emb.shape[0], -1) @ W1 + b1
        if norm:
            mean, std = running
            if training:
                mean, std = hpreact.mean(0, keepdim=True), hpreact.std(0, keepdim=True)
                running[0] = 0.999 * running[0] + 0.001 * mean.detach()
                running[1] = 0.999 * running[1] + 0.001 * std.detach()
            hpreact = bngain * (hpreact - mean) / std + bnbias
        return torch.tanh(hpreact) @ W2 + b2

    lossi = []
    for i in range(settings.steps):
        ix = torch.randint(0, X.shape[0], (settings.batch,), generator=g)
        loss = torch.nn.functional.cross_entropy(forward(X[ix], training=True), Y[ix])
        for p in parameters:
            p.grad = None
        loss.backward()
        lr = settings.lr if i < settings.steps / 2 else settings.lr / 10
        for p in parameters:
            assert p.grad is not None
            p.data += -lr * p.grad
        lossi.append(loss.item())
    return lossi, torch.no_grad()(forward)


def trained(settings: Settings, eager: bool = False) -> tuple[np.ndarray, Model]:
    X, Y = map(from_numpy, examples(settings.context))
    generator = Generator().manual_seed(settings.seed)
    model = settings.build(len(VOCABULARY), generator)
    training = Training(model, settings, generator, (X, Y), (X, Y), eager=eager)
    assert list(training.run()) == list(range(1, settings.steps + 1))
    return training.losses, training.model


@pytest.mark.parametrize("model", [pytest.param("mlp", marks=pytest.mark.slow), "bn-mlp"])
def test_training_evaluation_and_sampling_are_the_lectures(model: str) -> None:
    settings = replace(SMALL, model=model)
    expected, forward = lecture(settings)
    losses, ours = trained(settings)
    np.testing.assert_allclose(losses, expected, rtol=1e-4)

    X, Y = examples(settings.context)
    with torch.no_grad():
        mean = torch.nn.functional.cross_entropy(forward(torch.from_numpy(X)), torch.from_numpy(Y)).item()
    assert evaluate(ours, from_numpy(X), from_numpy(Y)) == pytest.approx(mean, rel=1e-4)

    g = torch.Generator().manual_seed(SEED + 10)
    generator = Generator().manual_seed(SEED + 10)
    for _ in range(20):
        context, out = [0] * settings.context, ""
        while True:
            probs = torch.softmax(forward(torch.tensor([context])), dim=1)
            ix = int(torch.multinomial(probs, num_samples=1, generator=g).item())
            context = [*context[1:], ix]
            if ix == 0:
                break
            out += VOCABULARY.characters[ix]
        assert sample(ours, VOCABULARY, generator) == out


def test_the_lectures_model_has_12097_parameters() -> None:
    model = Settings.of("bn-mlp").build(27, Generator())
    assert sum(parameter.numel() for parameter in model.parameters()) == 12_097


def test_evaluation_in_chunks_weighs_every_row_alike() -> None:
    X, Y = (from_numpy(array[:1000]) for array in examples(SMALL.context))
    model = SMALL.build(len(VOCABULARY), Generator().manual_seed(SEED))
    whole = evaluate(model, X, Y, chunk=1000)
    for chunk in (1, 7, 999, 4096):
        assert evaluate(model, X, Y, chunk=chunk) == pytest.approx(whole, rel=1e-6)


def test_evaluation_changes_nothing() -> None:
    X, Y = map(from_numpy, examples(SMALL.context))
    model = SMALL.build(len(VOCABULARY), Generator().manual_seed(SEED))
    before = {name: tensor.numpy().copy() for name, tensor in model.state_dict().items()}
    evaluate(model, X, Y)
    assert model.training
    for name, tensor in model.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), before[name], err_msg=name)


@pytest.mark.parametrize("eager", slow_but([True, False], True))
def test_a_loss_that_is_no_number_ends_the_training(eager: bool) -> None:
    # Sooner or later the two contexts of a batch are equal, and their standard deviation is 0.
    with pytest.raises(TrainingError, match=r"the loss became nan at step \d+: try a smaller"):
        trained(replace(SMALL, batch=2, steps=2000), eager)


def test_a_model_whose_numbers_are_none_draws_no_words() -> None:
    for number in (float("nan"), 3e38):
        model = Settings.of("mlp", hidden=4).build(len(VOCABULARY), Generator().manual_seed(SEED))
        model.W2.data.fill_(number)
        with pytest.raises(SampleError, match="draws no words, since its numbers are NaN or too large"):
            sample(model, VOCABULARY, Generator())


def test_a_word_of_a_model_that_never_stops_is_cut() -> None:
    model = Settings.of("mlp", hidden=4).build(len(VOCABULARY), Generator().manual_seed(SEED))
    model.b2.data[0] = -1000.0
    assert len(sample(model, VOCABULARY, Generator().manual_seed(SEED), longest=30)) == 30


def test_the_loss_curve_is_the_lectures() -> None:
    losses = torch.rand(200_000, generator=torch.Generator().manual_seed(1)) + 1
    line = loss_curve(losses.numpy()).axes[0].lines[0]
    expected = 10 ** losses.double().log10().view(-1, 1000).mean(1)
    np.testing.assert_allclose(line.get_ydata(), expected.numpy(), rtol=1e-12)
    np.testing.assert_array_equal(line.get_xdata(), np.arange(200) * 1000 + 499.5)


@pytest.mark.parametrize("steps", [1, 2, 99, 101, 1234])
def test_the_loss_curve_of_a_short_training_weighs_its_last_block_by_its_own_length(steps: int) -> None:
    curve = loss_curve([10.0] * steps).axes[0].lines[0].get_ydata()
    assert 1 <= len(curve) <= 101
    np.testing.assert_allclose(curve, 10.0)


def test_no_loss_curve_without_losses() -> None:
    with pytest.raises(ValueError, match="no curve of 0 losses"):
        loss_curve([])
