"""`ninja derive`: the backward pass of one of the models, written out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from .. import Generator, from_numpy
from ..makemore import lecture
from ..makemore.data import Vocabulary, read_words
from ..makemore.models import MODELS
from ..makemore.settings import Settings
from ..program import Derivation
from ..program import derive as derive_loss
from ..program.derive.derivation import SUFFIXES, is_ours, text, write
from ..program.languages import LANGUAGES
from .options import SHIPPED, count_option, data_option, drop_unset, model_option, seed_option

LETTERS, WORDS = 32, 4
"""Examples in the batch, if none are asked for: of a model that predicts the next letter, and of one that
predicts every letter of a word."""

LECTURE = "lecture"
FIXED = "the lecture's steps have the lecture's sizes and seed: leave out the other options."


@click.command(name="derive", short_help="Write out the backward pass of a model.")
@model_option(f"{', '.join(MODELS)}; or {LECTURE}, the lecture's own 26 steps.", LECTURE)
@data_option(SHIPPED)
@count_option("--batch", 10**4, "Examples in the batch.", show_default=f"{LETTERS}, or {WORDS} whole words")
@count_option("--hidden", 10**4, "Units in a hidden layer.", show_default="the model's")
@seed_option(None, str(Settings.seed))
@click.option(
    "--simplify", is_flag=True, help="Answer softmax with cross-entropy, batch norm and the like in one go."
)
@click.option("--explain", is_flag=True, help="Add a page on every value; not in a script.")
@click.option(
    "--target", type=click.Choice(list(LANGUAGES)), default="torch", help="The library of the code."
)
@click.option(
    "--out",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A script (.py), a page (.md) or a notebook (.ipynb); without it the code is printed.",
)
def derive_command(out: Path | None, simplify: bool, explain: bool, target: str, **options: Any) -> None:
    """Write the backward pass of a model as the code that a person would write.

    The script runs alone, with the target library only, and checks every gradient against a numeric one.
    """
    if out is not None and out.suffix not in SUFFIXES:
        raise click.BadParameter(f"{out} must end in {', '.join(SUFFIXES)}.", param_hint="--out")
    if out is not None and explain and out.suffix == ".py":
        raise click.BadParameter(
            "a script has no room for explanations: write .md or .ipynb.", param_hint="--explain"
        )
    if out is not None and out.exists() and not is_ours(out):
        raise click.BadParameter(
            f"{out} is there, and not by ninja derive: move it away, or choose another.", param_hint="--out"
        )
    derivation = derive_model(simplify=simplify, **drop_unset(options))
    if out is None:
        click.echo(text(derivation, ".md", target, derivation.values) if explain else derivation.code(target))
        return
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if explain:
            with click.progressbar(derivation.values, label="explaining", file=sys.stderr) as values:
                write(derivation, out, target, values)
        else:
            write(derivation, out, target)
    except OSError as error:
        raise click.BadParameter(f"{out} cannot be written: {error.strerror}.", param_hint="--out") from error
    for sentence in derivation.simplifications:
        click.echo(f"recognised: {sentence}")
    click.echo(f"saved {len(derivation.values) - 1} gradients in {out}")


def derive_model(
    model: str = Settings.model,
    data: str | None = None,
    simplify: bool = False,
    batch: int | None = None,
    **options: Any,
) -> Derivation:
    """Return the derivation of an untrained model's loss on a batch of words, without dropout; "lecture" is
    the lecture's model in its own steps.

    batch: the number of examples; None for LETTERS or WORDS of them. options: other fields of `Settings`,
    such as hidden and seed. Raises SettingsError and DataError, and click.BadParameter for a size that the
    lecture's model does not take.
    """
    if model == LECTURE:
        if batch is not None or options:
            raise click.BadParameter(
                "the lecture's steps have the lecture's sizes and seed.", param_hint=LECTURE
            )
        names = lecture.recorded(data)
        return derive_loss(names["loss"], names=names, simplify=simplify, seed=lecture.SEED)
    settings = Settings.of(model, batch=batch or LETTERS, **_without_dropout(model), **options)
    words = read_words(data)
    vocabulary, generator = Vocabulary(words), Generator().manual_seed(settings.seed)
    untrained = settings.build(len(vocabulary), generator)
    sample = words[: settings.batch]  # every word gives an example at least
    examples = untrained.examples(sample, vocabulary, settings.context)
    size = WORDS if batch is None and examples[1].ndim > 1 else settings.batch
    X, Y = (from_numpy(array[:size]) for array in examples)
    return derive_loss(untrained.loss, X, Y, names={"n": size}, simplify=simplify, seed=settings.seed)


def _without_dropout(model: str) -> dict[str, float]:
    """Return the setting that lets the model drop nothing, which hides none of its numbers."""
    return {"dropout": 0.0} if MODELS[model].recipe.dropout else {}
