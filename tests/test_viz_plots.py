"""Plots of a training: the numbers in the figures are those that NumPy and PyTorch give."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

import tinygrad_ninja
import viz
from tinygrad_ninja import nn
from viz import plots
from viz.training_plots import training_plots

LETTERS = [".", "a", "$", "b"]


def legend(figure: Figure) -> list[str]:
    return [
        text.get_text() for box in (*figure.legends, figure.axes[0].get_legend()) if box for text in box.texts
    ]


def written(figure: Figure) -> set[str]:
    return {text.get_text() for text in figure.axes[0].texts}


def test_loss_curve_is_the_lectures_mean_over_1000() -> None:
    losses = np.random.default_rng(0).uniform(2, 3, 200_000)
    expected = torch.tensor(losses).log10().view(-1, 1000).mean(1)  # the lecture's line
    axes = plots.loss_curve(losses).axes[0]
    (line,) = axes.lines
    np.testing.assert_allclose(line.get_ydata(), 10**expected, rtol=1e-12)
    assert (axes.get_ylabel(), axes.get_yscale()) == ("loss (nats)", "log")


def test_activations_tell_the_share_that_is_saturated() -> None:
    h = torch.tanh(2 * torch.randn(32, 100, generator=torch.Generator().manual_seed(1)))
    share = f"saturated {(h.abs() > 0.97).float().mean().item():.1%}"
    figure = plots.activation_histograms({"h": h.numpy(), "h2": tinygrad_ninja.zeros(4)})
    assert share in legend(figure)[0]
    assert "saturated 0.0%" in legend(figure)[1]
    line = figure.axes[0].lines[0]
    x, y = np.asarray(line.get_xdata()), np.asarray(line.get_ydata())
    assert np.sum(y) * (x[1] - x[0]) == pytest.approx(1)  # a density


def test_gradients_that_are_not_finite_or_all_alike_are_told() -> None:
    layers = {"nan": np.full(3, np.nan), "zero": np.zeros(3), "tiny": np.array([1e-300, 2e-300])}
    figure = plots.gradient_histograms(layers)
    assert legend(figure)[0] == "nan: no finite numbers"
    assert legend(figure)[1] == "zero: mean +0, deviation 0"
    assert plots.to_png(figure).startswith(b"\x89PNG")


def test_update_ratios_are_the_lectures() -> None:
    W = torch.randn(5, 4, generator=torch.Generator().manual_seed(1), requires_grad=True)
    (W**3).sum().backward()
    ours = tinygrad_ninja.from_numpy(W.detach().numpy().copy()).requires_grad_()
    assert np.isnan(plots.update_ratio(ours, 0.1))
    (ours**3).sum().backward()
    expected = (0.1 * W.grad.std(unbiased=False) / W.data.std(unbiased=False)).item()
    assert plots.update_ratio(ours, 0.1) == pytest.approx(expected, rel=1e-5)
    figure = plots.update_ratios({"W": [expected, 0.0, 1e-3]}, every=10)
    line = figure.axes[0].lines[0]
    np.testing.assert_allclose(line.get_ydata(), [np.log10(expected), np.nan, -3])
    assert list(line.get_xdata()) == [0, 10, 20]


def test_dlogits_are_shown_as_they_are() -> None:
    logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(1), requires_grad=True)
    torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2, 3, 0, 1])).backward()
    figure = plots.dlogits_heatmap(logits.grad.numpy(), LETTERS)
    (image,) = figure.axes[0].images
    np.testing.assert_array_equal(image.get_array(), logits.grad.numpy())
    low, high = image.get_clim()
    assert low == -high
    page = Path(viz.__file__).with_name("web").joinpath("static", "page.css").read_text("utf-8")
    for number, name in ((low, "negative"), (0, "zero"), (high, "positive")):
        drawn = to_hex(image.cmap(image.norm(number)))
        assert f"--{name}: {drawn};" in page.partition("@media")[0]
    assert [each.get_text() for each in figure.axes[0].get_xticklabels()] == LETTERS


def test_embedding_puts_each_letter_at_its_numbers() -> None:
    C = np.random.default_rng(0).normal(size=(4, 3))
    figure = plots.embedding_scatter(tinygrad_ninja.from_numpy(C), LETTERS, dims=(2, 0))
    found = {text.get_text(): text.get_position() for text in figure.axes[0].texts}
    assert found == {letter: (row[2], row[0]) for letter, row in zip(LETTERS, C, strict=True)}


def test_bigrams_show_pair_and_count() -> None:
    counts = tinygrad_ninja.arange(16).view(4, 4) * 100
    assert {"..\n0", ".a\n100", "b.\n1,200", "$b\n1,100"} <= written(plots.bigram_matrix(counts, LETTERS))


def test_a_dollar_is_a_letter_and_no_formula() -> None:
    counts, names = np.ones((2, 2), int), ["$\\frac", "x$"]
    for figure in (
        plots.bigram_matrix(counts, names),
        plots.embedding_scatter(counts, names),
        plots.activation_histograms({"$\\frac$": counts}),
        plots.update_ratios({"$\\frac$": [1.0]}),
    ):
        assert plots.to_png(figure).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("draw", "sentence"),
    [
        (lambda: plots.activation_histograms({}), "no activations: give at least one layer"),
        (lambda: plots.update_ratios({}), "no ratios: give those of at least one parameter"),
        (lambda: plots.dlogits_heatmap(np.ones(3)), r"dlogits of shape \(3,\): a matrix with two dimensions"),
        (lambda: plots.dlogits_heatmap(np.ones((3, 3)), LETTERS), "4 columns, one a letter"),
        (lambda: plots.embedding_scatter(np.ones((3, 2)), LETTERS), "4 columns, one a letter"),
        (
            lambda: plots.embedding_scatter(np.ones((4, 1)), LETTERS),
            r"1 dimensions has no dimensions \(0, 1\)",
        ),
        (lambda: plots.bigram_matrix(np.ones((3, 4)), LETTERS), r"a square matrix, not \(3, 4\)"),
    ],
)
def test_data_of_another_shape_is_named(draw: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        draw()


def test_pyplot_is_not_touched() -> None:
    code = (
        "import sys, viz.training_plots as t, viz.plots as p; p.to_png(p.loss_curve([1.0, 2.0])); "
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.C = nn.Embedding(4, 2)
        self.layers = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4))

    def forward(self, X: Any) -> Any:
        return self.layers(self.C(X).flatten(1))


def test_training_plots_find_the_layers_by_themselves() -> None:
    model = Model()
    X, Y = tinygrad_ninja.tensor([[0, 1, 2], [3, 2, 1]]), tinygrad_ninja.tensor([1, 3])
    logits = model(X)
    loss = nn.functional.cross_entropy(logits, Y)
    figures = training_plots(
        loss, model, losses=[2.0, 1.0], ratios={"C": [0.1]}, letters=LETTERS, counts=np.ones((4, 4), int)
    )
    names = ["activation-gradients", "activations", "bigrams", "dlogits", "embedding", "loss", "updates"]
    assert sorted(figures) == [*names, "weight-gradients"]
    assert legend(figures["activations"])[0].startswith("1 layers.1: mean")
    assert [each.split(":")[0] for each in legend(figures["weight-gradients"])] == [
        "C.weight",
        "layers.0.weight",
        "layers.2.weight",
    ]
    logits.retain_grad()
    loss.backward()  # the graph is still whole
    np.testing.assert_allclose(figures["dlogits"].axes[0].images[0].get_array(), logits.grad.numpy())


def test_the_calls_of_a_recurrent_cell_are_one_layer() -> None:
    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.out = nn.Sequential(nn.Linear(4, 4), nn.Tanh()), nn.Linear(4, 2)

        def forward(self, x: Any) -> Any:
            for _ in range(6):
                x = self.cell(x)
            return self.out(x).relu()

    model = Network()
    figures = training_plots(model(tinygrad_ninja.ones(2, 4)).sum(), model, losses=[1.0])
    for name in ("activations", "activation-gradients"):
        (first, second) = (text.split(":")[0] for text in legend(figures[name]))
        assert (first, second) == ("1 cell.1, tanh × 6", "2 relu")


def test_training_plots_of_little_are_few() -> None:
    W = nn.Parameter(tinygrad_ninja.ones(3))
    model = nn.Module()
    model.W = W
    assert set(training_plots((W * 2).sum(), model, losses=[1.0])) == {"loss"}
