"""`ninja train`: from words to a model, and from where it was stopped to its end."""

from __future__ import annotations

import os
import shlex
import signal
from collections.abc import Callable
from contextlib import nullcontext
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import click

from ..makemore.processes import DistributedError, is_launched, is_restarted, process_group
from ..makemore.run import CHECKPOINT, MODEL, PICTURE, SAVE_SECONDS, TENSORBOARD, Run, RunError, locked
from ..makemore.settings import MOST, Settings
from ..makemore.training import TrainingError
from .options import count_option, drop_unset, model_options, models_table, rate_option, require
from .pictures import PLOTS, UpdateRatios, check_replaceable, plots_of, save
from .report import SAMPLE_SEED, SAMPLES, print_losses, print_samples


class Stopped(Exception):  # noqa: N818 - no error
    """A signal ended the training run; the message says how to continue, `status` is the process's exit
    status."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.status = 128 + number


@click.command(epilog=models_table())
@model_options
@count_option("--steps", MOST, "Steps of gradient descent.", show_default="the model's")
@rate_option("--lr", "the model's", "Learning rate at its highest; in the end it falls.")
@count_option(
    "--eval-every",
    MOST,
    "Print the loss of the dev words every N steps.",
    show_default="never; with --early-stop a hundred times",
)
@count_option(
    "--early-stop",
    MOST,
    "Stop after N of these losses without a new lowest one, and keep the model of the lowest.",
    show_default="never",
)
@click.option(
    "--calibrate",
    is_flag=True,
    default=None,
    help="End with batch-norm statistics of the whole training set in the place of the running averages.",
)
@click.option(
    "--sync-batchnorm",
    is_flag=True,
    default=None,
    help="Take batch-norm statistics over the batches of all processes, where torchrun started several.",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Go on with the training in DIR, to the same end as if it had not stopped; without one, start.",
)
@click.option(
    "--exact",
    is_flag=True,
    help="With --resume: refuse to go on where the end could not be the same to the last digit, as on "
    "another device, or without the C compiler.",
)
@click.option(
    "--restart",
    "--force",
    is_flag=True,
    help="Start anew, and replace the training, or the model, that DIR holds.",
)
@count_option(
    "--save-every", MOST, "Steps from one checkpoint to the next.", show_default=f"{SAVE_SECONDS} seconds"
)
@click.option(
    "--plots",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder for pictures of the training: activations, gradients, updates, the embedding and others.",
)
@click.option("--tensorboard", is_flag=True, help=f"Write files for TensorBoard too, to DIR/{TENSORBOARD}.")
@click.option("--quiet", is_flag=True, help="Print the results only.")
@click.option("--verbose", is_flag=True, help="Print what each loop of the compiled step computes.")
def train(
    out: Path | None,
    device: str | None,
    eager: bool | None,
    resume: bool,
    exact: bool,
    restart: bool,
    save_every: int | None,
    plots: Path | None,
    tensorboard: bool,
    quiet: bool,
    verbose: bool,
    **options: Any,
) -> None:
    """Train a model on a list of words, and let it invent new ones.

    DIR receives the model, model.safetensors; where the training stands, checkpoint.safetensors; its course,
    metrics.jsonl, a JSON object a line; and the picture of its loss, loss.png.

    A training that was stopped, by Ctrl-C or by anything else, goes on with --resume, and ends as if it had
    not been. It keeps its settings, but --steps may be raised, also when it has ended. With another --device,
    or compiled where it was eager, its numbers differ in their last places: that is said, or with --exact
    refused.

    Several processes share a training that torchrun starts: torchrun --nproc-per-node 2 -m tinygrad_ninja
    train. --batch counts the examples of all; the training may go on with more or fewer of them.
    """
    if resume and restart:
        raise click.UsageError("--resume goes on and --restart starts anew: give one of them.")
    if quiet and verbose:
        raise click.UsageError("--quiet prints less and --verbose more: give one of them.")
    if tensorboard and find_spec("tensorboard") is None:
        raise click.BadParameter(
            "TensorBoard is missing: pip install tensorboard.", param_hint="--tensorboard"
        )
    options = drop_unset(options)
    out = out or Path("runs", options.get("model", Settings.model))
    resume = resume or is_restarted()
    if exact and not resume:
        raise click.UsageError("--exact says how to go on: give --resume too.")
    if not (resume or restart):
        _check_unfinished(out)
    go_on = f"go on with: {shlex.join(_command(out))}"
    try:
        # Before the checkpoint is read: another training may be about to write a later one. A folder that
        # comes into being after this is another's, too, and nothing in it is replaced unasked.
        is_locked = out.is_dir() and os.environ.get("RANK", "0") == "0"
        if is_locked:
            click.get_current_context().with_resource(locked(out))
        replaces = restart or (resume and is_locked)
        resumes = resume and (out / CHECKPOINT).exists()
        saved_mode = Run.saved_mode(out) if resumes else ("cpu", False)
        device = device or saved_mode[0]
        eager = saved_mode[1] if eager is None else eager
        require(device)
        with process_group(device) if is_launched() else nullcontext() as ranks:
            if resumes:
                run = Run.resume(out, options, device, eager, ranks, exact)
                note = f"going on after {run.training.step:,} steps"
            else:
                run = Run.start(out, options, device, eager, ranks)
                note = f"there is no {out / CHECKPOINT} to go on from, so this is the start"
            if resume and run.writes:
                click.echo(f"note: {note}", err=True)
            if run.writes:
                _check_pictures(out, plots)
            ratios = UpdateRatios(run.training) if run.writes and plots is not None else None
            with run.open(replaces=replaces, tensorboard=tensorboard, is_locked=is_locked):
                train_in_folder(run, save_every, quiet or not run.writes, verbose, go_on, ratios)
        if not run.writes:
            return
        print_results(run)
        if plots is not None and ratios is not None:
            for name, figure in plots_of(run, ratios).items():
                save(plots / f"{name}.png", figure)
            click.echo(f"saved the plots in {plots}")
    except KeyboardInterrupt as error:  # before or after the steps, or a second one during them
        exists = (out / CHECKPOINT).exists()
        raise Stopped(
            f"interrupted; {go_on if exists else 'nothing was saved yet'}", signal.SIGINT
        ) from error


def _check_unfinished(out: Path) -> None:
    """Raise click.UsageError where a folder holds the model of a training that has ended."""
    if (out / MODEL).is_file() and (out / CHECKPOINT).is_file():
        raise click.UsageError(
            f"{out} holds a model: choose another folder, such as --out {_free(out)}, or replace it by "
            f"--restart; --resume --steps N trains it on."
        )


def _check_pictures(out: Path, plots: Path | None) -> None:
    """Check that the pictures may be written: of the loss, and the plots, if there is a folder for them."""
    check_replaceable(out / PICTURE)
    if plots is not None:
        for name in PLOTS:
            check_replaceable(plots / f"{name}.png")


def _command(out: Path) -> list[str]:
    """Return the command that goes on with the training in a folder."""
    command = ["ninja"]
    if is_launched():
        processes = os.environ.get("LOCAL_WORLD_SIZE", "1")
        command = ["torchrun", "--nproc-per-node", processes, "-m", "tinygrad_ninja"]
    return [*command, "train", "--resume", "--out", str(out)]


def _free(folder: Path) -> Path:
    """Return a folder beside this one that is not there yet."""
    return next(free for i in count(2) if not (free := folder.with_name(f"{folder.name}-{i}")).exists())


def train_in_folder(
    run: Run,
    save_every: int | None,
    quiet: bool,
    verbose: bool,
    go_on: str,
    watch: Callable[[int], None] | None,
) -> None:
    """Train to the end, and save the model.

    Raises Stopped after a signal, DistributedError and RunError, each with `go_on`, the way to continue, in
    its message, and TrainingError, which says what the last good checkpoint is.
    """
    from .progress import follow  # which loads rich

    training, settings = run.training, run.result.settings
    if not quiet:
        parameters = sum(parameter.numel() for parameter in training.model.parameters())
        words, examples = len(run.words), len(training.train[0])
        click.echo(f"{settings.model}: {parameters:,} parameters, {words:,} words, {examples:,} examples")
    try:
        number = follow(run, save_every, quiet, verbose, watch)
        if number is not None:
            run.save()
            raise Stopped(f"stopped after {training.step:,} of {settings.steps:,} steps; {go_on}", number)
        run.finish()
    except (DistributedError, RunError) as error:
        is_there = (run.folder / CHECKPOINT).is_file()
        kept = f"the last checkpoint is whole, {go_on}" if is_there else "its checkpoint is gone"
        raise type(error)(f"{error}; {kept}") from error
    except TrainingError as error:
        kept = f"{run.folder / CHECKPOINT} is as it was after {run.saved_steps:,} steps"
        raise TrainingError(f"{error}; {kept}") from error


def print_results(run: Run) -> None:
    """Print the losses and new words of a finished run, and save the picture of its loss."""
    print_losses(run.result.model, run.datasets)
    click.echo(f"\n{SAMPLES} new words:")
    print_samples(run.result, SAMPLES, run.result.settings.seed + SAMPLE_SEED)

    from viz.plots import loss_curve

    training, picture = run.training, run.folder / PICTURE
    save(picture, loss_curve(training.losses[: training.step], dev_losses=training.dev_losses))
    click.echo(f"\nsaved the model in {run.folder / MODEL}\nsaved the loss curve in {picture}")
