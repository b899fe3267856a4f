"""`ninja sample` and `ninja eval`: a trained model at work."""

from __future__ import annotations

from pathlib import Path

import click

from ..makemore import checkpoint
from ..makemore.data import read_words, read_words_again
from ..makemore.run import MODEL, load_datasets
from .options import RUNS, checkpoint_argument, count_option, data_option, device_option, require, seed_option
from .report import SAMPLE_SEED, SAMPLES, print_losses, print_samples


def load(file: Path) -> checkpoint.Checkpoint:
    """Return the trained model in the file. Raises ClickException where there is no such file, which names
    those that are there, and FileError where it cannot be used."""
    if file.exists():
        return checkpoint.load(file)
    there = sorted(map(str, RUNS.glob(f"*/{MODEL}")))
    tried = f"there is no {file}"
    if there:
        raise click.ClickException(f"{tried}; of these models there are: {', '.join(there)}")
    raise click.ClickException(f"{tried}, and no model in {RUNS}: train one with ninja train")


@click.command("sample")
@checkpoint_argument
@count_option("--count", 10**6, "How many words.", SAMPLES)
@seed_option(None, f"{SAMPLE_SEED} more than that of the training")
def sample_command(file: Path, count: int, seed: int | None) -> None:
    """Print new words, drawn from a trained model.

    CHECKPOINT is a file that "ninja train" saved; without it, that of a training without options.
    """
    trained = load(file)
    print_samples(trained, count, trained.settings.seed + SAMPLE_SEED if seed is None else seed)


@click.command("eval")
@checkpoint_argument
@data_option("the words that it was trained on")
@click.option(
    "--calibrate",
    is_flag=True,
    help="First make the statistics of batch normalization those of all training words, as the lecture does.",
)
@device_option()
def eval_command(file: Path, data: str | None, calibrate: bool, device: str) -> None:
    """Print the losses of a trained model.

    CHECKPOINT is a file that "ninja train" saved; without it, that of a training without options.
    """
    require(device)
    trained = load(file)
    words = read_words_again(trained.settings.data, file.parent) if data is None else read_words(data)
    if checkpoint.fingerprint(words) != trained.words_sha256:
        click.echo("note: these are not the words that the model was trained on", err=True)
    datasets = load_datasets(words, trained, device)
    model = trained.model.to(device)
    if calibrate:
        model.calibrate(datasets["train"][0])
    print_losses(model, datasets)
