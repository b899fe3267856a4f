"""`ninja draw`: a model's graph, and its backward pass, as a page for the browser."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType
from typing import Any

import click

from .. import Generator, Tensor, from_numpy, randint
from ..autograd import detect_anomaly
from ..makemore import models
from ..makemore.data import Vocabulary, read_words, split
from ..makemore.models import MODELS, Model
from ..makemore.settings import Settings
from .options import SHIPPED, count_option, data_option, given, models_table, seed_option

PAGE = Path("graph.html")


@click.command("draw", epilog=models_table())
@data_option(SHIPPED)
@click.option(
    "--model",
    type=click.Choice(list(MODELS)),
    show_default=Settings.model,
    help="One of the lecture's models.",
)
@count_option("--batch", 10_000, "Examples that the loss is of.", show_default="the model's")
@seed_option(None, str(Settings.seed))
@click.option(
    "--out", metavar="FILE", type=click.Path(path_type=Path), default=PAGE, help="The page; it ends in .html."
)
def draw(out: Path, **options: Any) -> None:
    """Draw a new model at its first step, as a page in which its backward pass is walked through.

    The page is one file, which needs no network: open it in a browser. Every value and every gradient is in
    it, with the formulas and the lines that they come from.
    """
    from viz.web import is_ours, page

    if out.exists() and not is_ours(out):
        raise click.ClickException(f"{out} is not ours to replace: choose another --out")
    settings = Settings.of(**given(options))
    words, generator = read_words(settings.data), Generator().manual_seed(settings.seed)
    vocabulary = Vocabulary(words)
    model = settings.build(len(vocabulary), generator)
    examples = model.examples(split(words)[0], vocabulary, model.context)
    ix = randint(0, len(examples[0]), (settings.batch,), generator=generator)
    loss, names = forward(model, *(from_numpy(array)[ix] for array in examples))
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        page(loss, {**names, "loss": loss}, model, path=out)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--out") from error
    except OSError as error:
        raise click.ClickException(f"cannot write to {out}: {error.strerror}") from error
    click.echo(f"saved the page in {out}")


def forward(model: Model, X: Tensor, Y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss, recorded with the lines that it comes from, and the Tensors by the names that the functions
    of `makemore.models` give them. A name that is given to several is left out."""
    folder = str(Path(models.__file__).parent)
    found: dict[str, Tensor] = {}
    several: set[str] = set()

    def look(frame: FrameType, event: str, _: Any) -> None:
        if event == "return" and frame.f_code.co_filename.startswith(folder):
            for name, value in frame.f_locals.items():
                if isinstance(value, Tensor) and found.setdefault(name, value) is not value:
                    several.add(name)

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        with detect_anomaly(check_nan=False):
            loss = model.loss(X, Y)
    finally:
        sys.setprofile(before)
    return loss, {name: value for name, value in found.items() if name not in several}
