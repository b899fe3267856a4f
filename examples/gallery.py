"""Draws the pictures of the gallery: `python examples/gallery.py [FOLDER]`, by default examples/gallery."""

import sys
from pathlib import Path

import micrograd_demo

import tinygrad_ninja as torch
import viz
from tinygrad_ninja import Value, nn

GALLERY = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "gallery")


def neuron() -> None:
    """Draw micrograd's neuron: each number, each gradient."""
    x1, x2 = Value(2.0, label="x1"), Value(0.0, label="x2")
    w1, w2 = Value(-3.0, label="w1"), Value(1.0, label="w2")
    b = Value(6.8813735870195432, label="b")
    n = x1 * w1 + x2 * w2 + b
    n.label = "n"
    o = n.tanh()
    o.label = "o"
    o.backward()
    viz.save(viz.draw(o), GALLERY / "neuron.png")


def layers() -> None:
    """Draw a network of modules: layers are clusters, values show their spread, broadcasts their shapes."""
    generator = torch.manual_seed(2147483647)
    model = nn.Sequential(nn.Linear(30, 100), nn.BatchNorm1d(100), nn.Tanh(), nn.Linear(100, 27))
    x, y = torch.randn(32, 30, generator=generator), torch.randint(0, 27, (32,), generator=generator)
    loss = nn.functional.cross_entropy(model(x), y)
    viz.save(
        viz.draw(loss, names={"x": x, "loss": loss}, model=model, direction="TB"), GALLERY / "layers.png"
    )
    viz.page(loss, names={"x": x, "loss": loss}, model=model, path=GALLERY / "layers.html")


def folded() -> None:
    """Draw twenty equal layers as one, with "× 20"."""
    torch.manual_seed(0)
    model = nn.Sequential(*(nn.Sequential(nn.Linear(16, 16), nn.Tanh()) for _ in range(20)))
    viz.save(viz.draw((model(torch.randn(4, 16)) ** 2).mean(), model=model), GALLERY / "folded.png")


def moons() -> None:
    """Play the training of micrograd's demo: its loss, its parameters, and the border between the moons."""
    model, X, y = micrograd_demo.start()
    film = viz.Film(model, points=X, labels=y, score=lambda points: map(model, points), grid=16)
    for step in range(24):
        loss, accuracy = micrograd_demo.train_step(model, X, y, step)
        if step % 3 == 2:
            film.take(loss, f"step {step + 1}, accuracy {accuracy:.0%}")
    film.page(GALLERY / "moons.html")


if __name__ == "__main__":
    GALLERY.mkdir(exist_ok=True)
    for draw in (neuron, layers, folded, moons):
        draw()
        print(f"{draw.__name__}: {draw.__doc__}")
