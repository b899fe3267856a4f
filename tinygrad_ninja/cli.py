"""The command line, `ninja`: it asks, reports and saves; the work is done by `makemore`, `check` and `viz`.

rich and matplotlib are imported where they are used, so that `ninja --help` answers at once.
"""

from __future__ import annotations

import math
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import click
import numpy as np
from numpy.typing import NDArray

from . import Generator, Tensor, __version__, from_numpy, zeros
from .makemore import checkpoint, training
from .makemore.checkpoint import Checkpoint, CheckpointError
from .makemore.data import DataError, Vocabulary, build_dataset, read_words, split
from .makemore.models import MLP, MODELS
from .makemore.sampling import sample
from .makemore.training import Settings, TrainingError

CHECKPOINT = "model.safetensors"
PICTURE = "loss.png"
PICTURE_BYTES = 500_000  # more than a picture takes

SAMPLES = 20
SAMPLE_SEED = 10  # the lecture samples with the seed of its training plus 10

BAD_INPUT, INTERRUPTED = 2, 130


def main() -> NoReturn:
    """Run the command that `sys.argv` asks for, and exit: 0, or 2 after bad input, or 130 after Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # a terminal may lack a letter
    try:
        sys.exit(ninja.main(prog_name="ninja", standalone_mode=False))
    except click.ClickException as error:
        message, status = error.format_message(), BAD_INPUT
    except (DataError, CheckpointError, TrainingError, OSError) as error:
        message, status = str(error), BAD_INPUT
    except MemoryError as error:
        message, status = f"not enough memory: {error}", BAD_INPUT
    except click.Abort:
        message, status = "interrupted", INTERRUPTED
    click.echo(f"error: {message}", err=True)
    sys.exit(status)


class InOrder(click.Group):
    """A group whose help lists the commands as they follow one another here, not by the alphabet."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=InOrder, invoke_without_command=True, context_settings={"show_default": True})
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.pass_context
def ninja(context: click.Context) -> None:
    """Train the lecture's makemore model on an engine that you can read.

    Start with "ninja train": it needs no options, and ends in new names.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


checkpoint_argument = click.argument(
    "file",
    metavar="[CHECKPOINT]",
    type=click.Path(path_type=Path),
    default=Path("runs", Settings.model, CHECKPOINT),
)
device_option = click.option(
    "--device",
    type=click.Choice(["cpu", "torch", "cuda"]),
    default="cpu",
    help="What holds the numbers: NumPy arrays, PyTorch's tensors, or PyTorch's tensors on the GPU.",
)


SHIPPED = "a list of names that comes with the program"


def data_option(default: str) -> Any:
    """The option --data, whose default is described by `default`."""
    return click.option(
        "--data",
        metavar="FILE|makemore",
        show_default=default,
        help="A text file with a word a line, or the lecture's own list of names, which is downloaded once.",
    )


def count_option(name: str, default: int, largest: int, help: str) -> Any:
    """An option for a whole number from 1 to `largest`."""
    return click.option(name, metavar="N", type=click.IntRange(1, largest), default=default, help=help)


def seed_option(default: int | None, show_default: str | bool) -> Any:
    """The option --seed."""
    return click.option(
        "--seed",
        metavar="N",
        type=click.IntRange(0, 2**32 - 1),
        default=default,
        show_default=show_default,
        help="Where the random numbers start: the same seed gives the same result.",
    )


@ninja.command()
@data_option(SHIPPED)
@click.option(
    "--model",
    type=click.Choice(list(MODELS)),
    default=Settings.model,
    help="One hidden layer, without or with batch normalization.",
)
@count_option("--steps", Settings.steps, 10**9, "Steps of gradient descent.")
@count_option("--hidden", Settings.hidden, 100_000, "Units in the hidden layer.")
@count_option("--embedding", Settings.embedding, 10_000, "Numbers that describe a letter.")
@count_option("--context", Settings.context, 1000, "Letters that the next one is predicted from.")
@count_option("--batch", Settings.batch, 10**6, "Examples in each step.")
@click.option(
    "--lr",
    metavar="RATE",
    type=click.FloatRange(0, 1000, min_open=True),
    default=Settings.lr,
    help="Learning rate; after half of the steps it falls to a tenth.",
)
@seed_option(Settings.seed, True)
@device_option
@click.option(
    "--out",
    metavar="DIR",
    type=click.Path(path_type=Path),
    show_default="runs/MODEL",
    help=f"Folder for the checkpoint, {CHECKPOINT}, and the picture of the loss, {PICTURE}.",
)
@click.option("--quiet", is_flag=True, help="Print the results only.")
def train(out: Path | None, device: str, quiet: bool, **options: Any) -> None:
    """Train a model on a list of words, and let it invent new ones."""
    settings = Settings(**options)
    if math.isnan(settings.lr):
        raise click.BadParameter("nan is not a number.", param_hint="--lr")
    if settings.model == "bn-mlp" and settings.batch == 1:
        raise click.BadParameter("batch normalization needs two examples or more.", param_hint="--batch")
    require(device)
    words = read_words(settings.data)
    vocabulary = Vocabulary(words)
    datasets = load_datasets(words, vocabulary, settings.context, device)
    generator = Generator().manual_seed(settings.seed)
    model = settings.build(len(vocabulary), generator)
    result = Checkpoint(model, vocabulary, settings, checkpoint.fingerprint(words))
    out = out or Path("runs", settings.model)
    claim(out, size=len(result.to_bytes()) + PICTURE_BYTES)

    X, Y = datasets["train"]
    if not quiet:
        parameters = sum(parameter.numel() for parameter in model.parameters())
        click.echo(f"{settings.model}: {parameters:,} parameters, {len(words):,} words, {len(X):,} examples")
    losses = follow(training.train(model.to(device), X, Y, settings, generator), settings.steps, quiet)
    save(out / CHECKPOINT, result.to_bytes())
    print_losses(model, datasets)
    click.echo(f"\n{SAMPLES} new words:")
    print_samples(result, SAMPLES, settings.seed + SAMPLE_SEED)

    from viz.plots import loss_curve, to_png

    save(out / PICTURE, to_png(loss_curve(losses)))
    click.echo(f"\nsaved the checkpoint in {out / CHECKPOINT}\nsaved the loss curve in {out / PICTURE}")


@ninja.command("sample")
@checkpoint_argument
@count_option("--count", SAMPLES, 10**6, "How many words.")
@seed_option(None, f"{SAMPLE_SEED} more than that of the training")
def sample_command(file: Path, count: int, seed: int | None) -> None:
    """Print new words, drawn from a trained model.

    CHECKPOINT is a file that "ninja train" saved; without it, that of a training without options.
    """
    trained = checkpoint.load(file)
    print_samples(trained, count, trained.settings.seed + SAMPLE_SEED if seed is None else seed)


@ninja.command("eval")
@checkpoint_argument
@data_option("the words that it was trained on")
@device_option
def eval_command(file: Path, data: str | None, device: str) -> None:
    """Print the losses of a trained model.

    CHECKPOINT is a file that "ninja train" saved; without it, that of a training without options.
    """
    require(device)
    trained = checkpoint.load(file)
    words = read_words(trained.settings.data if data is None else data)
    if checkpoint.fingerprint(words) != trained.words_sha256:
        click.echo("note: these are not the words that the model was trained on", err=True)
    datasets = load_datasets(words, trained.vocabulary, trained.settings.context, device)
    print_losses(trained.model.to(device), datasets)


@ninja.command()
@data_option(SHIPPED)
@click.option(
    "--device",
    type=click.Choice(["cpu", "torch", "cuda"]),
    show_default="cpu, then torch",
    help="What holds this engine's numbers. PyTorch's are on the CPU, for cuda on the GPU.",
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float64"]),
    show_default="one, then the other",
    help="Precision of the numbers.",
)
def check(data: str | None, device: str | None, dtype: str | None) -> None:
    """Compare the lecture's values and gradients with PyTorch's, which has to be installed.

    Prints tables with a row for every tensor on the way from the letters to the loss, and exits with status 1
    where one is not as near to PyTorch's as it must be.
    """
    require("torch")
    if device is not None:
        require(device)

    from .check import lecture

    held, wrong = [], []
    for each in ["cpu", "torch"] if device is None else [device]:
        for precision in ["float32", "float64"] if dtype is None else [dtype]:
            comparison = lecture.table(each, precision, data)
            title = f"{precision} on {lecture.ARRAYS[each]}"
            click.echo(f"{title}\n\n{comparison}\n")
            held.append(f"{title} {lecture.claim(each, precision)}")
            complaints = lecture.complaints(comparison, each, precision)
            wrong += [f"{title} differs:", *complaints] if complaints else []
    if wrong:
        click.echo("\n".join(wrong))
        raise click.exceptions.Exit(1)
    click.echo(
        f"All {len(comparison)} values and gradients are PyTorch's, measured by the greatest element of each "
        f"tensor (the gradients that cancel to zero, of {' and '.join(lecture.TERMS)}, by their terms): "
        f"{', '.join(held)}."
    )


def require(device: str) -> None:
    """Raises ClickException where this machine does not have the device."""
    try:
        zeros(1).to(device)
    except (ImportError, RuntimeError) as error:
        raise click.ClickException(str(error)) from error


def load_datasets(
    words: list[str], vocabulary: Vocabulary, context: int, device: str
) -> dict[str, tuple[Tensor, Tensor]]:
    """The examples X, (N, context), and Y, (N,), of the train, dev and test words, on the device."""
    datasets = {}
    for name, part in zip(("train", "dev", "test"), split(words), strict=True):
        X, Y = build_dataset(part, vocabulary, context)
        datasets[name] = from_numpy(X).to(device), from_numpy(Y).to(device)
    return datasets


def claim(folder: Path, size: int) -> None:
    """Make the folder; raises ClickException where it lacks room for `size` bytes or holds others' files."""
    from viz.plots import is_ours

    try:
        if (folder / CHECKPOINT).exists():
            checkpoint.load(folder / CHECKPOINT)
        if (folder / PICTURE).exists() and not is_ours(folder / PICTURE):
            raise click.ClickException(f"{folder / PICTURE} is not ours to replace: choose another --out")
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(size))
    except CheckpointError as error:
        raise click.ClickException(f"{error}; it is not ours to replace: choose another --out") from error
    except OSError as error:
        raise click.ClickException(f"cannot write to {folder}: {error.strerror}") from error


def save(path: Path, content: bytes) -> None:
    """Write the file; raises ClickException where that fails."""
    try:
        checkpoint.write(path, content)
    except OSError as error:
        raise click.ClickException(f"cannot write {path}: {error.strerror}") from error


def follow(losses: Iterator[float], steps: int, quiet: bool) -> NDArray[np.float32]:
    """Run a training to its end and show how far it is; returns the loss of every step.

    The loss beside the bar is the mean of the last 1,000 steps, so that it can be read.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(highlight=False)
    progress = Progress(
        TextColumn("step {task.completed:,} of {task.total:,}"),
        BarColumn(),
        TextColumn("{task.fields[status]} left:"),
        TimeRemainingColumn(),
        console=console,
        auto_refresh=False,
        transient=True,
        disable=quiet or not console.is_terminal,
    )
    kept = np.empty(steps, dtype=np.float32)
    lines_every = min(10_000, max(1, steps // 20))
    began = shown = time.perf_counter()
    with progress:
        task = progress.add_task("", total=steps, status="time")
        for step, loss in enumerate(losses):
            kept[step] = loss
            if step % lines_every == 0 and not quiet:
                console.out(f"{step:7d}/{steps:7d}: {loss:.4f}")
            now = time.perf_counter()
            if now - shown > 0.1:
                shown = now
                recent = kept[max(0, step - 999) : step + 1].mean()
                status = f"loss {recent:.4f}, {step / (now - began):,.0f} steps/s,"
                progress.update(task, completed=step, status=status, refresh=True)
    if not quiet:
        click.echo(f"{steps:,} steps in {now - began:.1f} s")
    return kept


def print_losses(model: MLP, datasets: dict[str, tuple[Tensor, Tensor]]) -> None:
    """Print the table of the model's mean losses."""
    from rich.console import Console
    from rich.table import Table

    table = Table("data", "loss (nats)")
    for name, (X, Y) in datasets.items():
        table.add_row(name, f"{training.evaluate(model, X, Y):.4f}")
    Console().print(table)


def print_samples(trained: Checkpoint, count: int, seed: int) -> None:
    """Print `count` words drawn from the model, one a line."""
    model, generator = trained.model.to("cpu"), Generator().manual_seed(seed)
    for _ in range(count):
        click.echo(sample(model, trained.vocabulary, generator))
