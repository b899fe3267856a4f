"""`ninja draw`: a model's graph, and its backward pass, as a page for the browser."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType
from typing import Any

import click

from .. import Generator, Tensor, from_numpy, randint
from ..engine.anomaly import detect_anomaly
from ..makemore import lecture, models
from ..makemore.data import Vocabulary, read_words, split
from ..makemore.models import Model
from ..makemore.settings import Settings
from .derive import FIXED, LECTURE
from .options import SHIPPED, count_option, data_option, drop_unset, model_option, models_table, seed_option

PAGE = Path("graph.html")


@click.command(
    "draw", short_help="Draw a model as a page that walks its backward pass.", epilog=models_table()
)
@data_option(SHIPPED)
@model_option(f"One of the models below, or {LECTURE}: the lecture's own 26 steps, one at a time.", LECTURE)
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
        raise click.ClickException(f"{out} is there, and not by ninja: move it away, or choose another --out")
    loss, names, model = _lecture(**options) if options["model"] == LECTURE else _first_step(**options)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        page(loss, {**names, "loss": loss}, model, path=out)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--out") from error
    except OSError as error:
        raise click.ClickException(f"cannot write to {out}: {error.strerror}") from error
    click.echo(f"saved the page in {out}")


def _first_step(**options: Any) -> tuple[Tensor, dict[str, Tensor], Model]:
    """Return the loss of a new model at its first step, with the names of its Tensors, and the model."""
    settings = Settings.of(**drop_unset(options))
    words, generator = read_words(settings.data), Generator().manual_seed(settings.seed)
    vocabulary = Vocabulary(words)
    model = settings.build(len(vocabulary), generator)
    examples = model.examples(split(words)[0], vocabulary, model.context)
    ix = randint(0, len(examples[0]), (settings.batch,), generator=generator)
    return *forward(model, *(from_numpy(array)[ix] for array in examples)), model


def _lecture(data: str | None, **options: Any) -> tuple[Tensor, dict[str, Tensor], None]:
    """Return the loss of the lecture's own steps, and the steps by their names."""
    if drop_unset({**options, "model": None}):
        raise click.BadParameter(FIXED, param_hint=LECTURE)
    with detect_anomaly(check_nan=False):
        names = lecture.recorded(data)
    return names["loss"], {name: value for name, value in names.items() if isinstance(value, Tensor)}, None


def forward(model: Model, X: Tensor, Y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the loss, recorded with the lines that it comes from, and the model's Tensors by their names.

    The names are those of the variables in the functions of `makemore.models`; one that several Tensors have
    is left out.
    """
    folder = str(Path(models.__file__).parent)
    tensors: dict[str, Tensor] = {}
    ambiguous: set[str] = set()

    def collect(frame: FrameType, event: str, _: Any) -> None:
        """Collect the local variables of a function of `makemore.models` as it returns: a profile
        function."""
        if event == "return" and frame.f_code.co_filename.startswith(folder):
            for name, value in frame.f_locals.items():
                if isinstance(value, Tensor) and tensors.setdefault(name, value) is not value:
                    ambiguous.add(name)

    previous = sys.getprofile()
    sys.setprofile(collect)
    try:
        with detect_anomaly(check_nan=False):
            loss = model.loss(X, Y)
    finally:
        sys.setprofile(previous)
    return loss, {name: value for name, value in tensors.items() if name not in ambiguous}
