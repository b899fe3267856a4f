"""`ninja derive`: the backward pass of one of the models, written out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .. import Generator, from_numpy
from ..makemore.data import Vocabulary, read_words
from ..makemore.models import MODELS
from ..makemore.settings import Settings
from ..program import Derivation
from ..program import derive as derive_loss
from ..program.derive.document import SUFFIXES, write
from ..program.languages import LANGUAGES
from .options import SHIPPED, count_option, data_option, drop_unset, seed_option

DEFAULT_BATCH = 32


@click.command(name="derive", short_help="Write out the backward pass of a model.")
@click.option("--model", type=click.Choice(list(MODELS)), default=Settings.model, help="Which of the models.")
@data_option(SHIPPED)
@count_option("--batch", 10**4, "Examples in the batch.", default=DEFAULT_BATCH)
@count_option("--hidden", 10**4, "Units in a hidden layer.", show_default="the model's")
@seed_option(Settings.seed, True)
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
    required=True,
    help="A script (.py), a page (.md) or a notebook (.ipynb).",
)
def derive_command(out: Path, simplify: bool, explain: bool, target: str, **options: Any) -> None:
    """Write the backward pass of a model as the code that a person would write.

    The script runs alone, with the target library only, and checks every gradient against a numeric one.
    """
    if out.suffix not in SUFFIXES:
        raise click.BadParameter(f"{out} must end in {', '.join(SUFFIXES)}.", param_hint="--out")
    if explain and out.suffix == ".py":
        raise click.BadParameter(
            "a script has no room for explanations: write .md or .ipynb.", param_hint="--explain"
        )
    derivation = derive_model(simplify=simplify, **drop_unset(options))
    try:
        write(derivation, out, target, explain)
    except OSError as error:
        raise click.BadParameter(f"{out} cannot be written: {error.strerror}.", param_hint="--out") from error
    for name in derivation.simplifications:
        click.echo(f"recognised: {name}")
    click.echo(f"saved {len(derivation.values) - 1} gradients in {out}")


def derive_model(
    model: str = Settings.model, data: str | None = None, simplify: bool = False, **options: Any
) -> Derivation:
    """Return the derivation of an untrained model's loss on a batch of words.

    options: fields of `Settings`, such as batch, hidden, seed. Raises SettingsError and DataError.
    """
    settings = Settings.of(model, **options)
    words = read_words(data)
    vocabulary, generator = Vocabulary(words), Generator().manual_seed(settings.seed)
    untrained = settings.build(len(vocabulary), generator)
    sample = words[: settings.batch]  # every word gives an example at least
    examples = untrained.examples(sample, vocabulary, settings.context)
    X, Y = (from_numpy(array[: settings.batch]) for array in examples)
    return derive_loss(untrained.loss, X, Y, names={"n": settings.batch}, simplify=simplify)
