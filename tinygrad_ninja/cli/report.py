"""The output of the commands: the progress of a training run, its losses, new words."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from .. import Generator
from ..makemore.checkpoint import Checkpoint
from ..makemore.models import Model
from ..makemore.run import Run
from ..makemore.sampling import sample
from ..makemore.training import Examples, evaluate

SAMPLES = 20
SAMPLE_SEED = 10  # the lecture samples with the seed of its training plus 10


def follow(
    run: Run,
    save_every: int | None,
    quiet: bool,
    verbose: bool,
    watch: Callable[[int], None] | None = None,
) -> int | None:
    """Run a training to its end and show its progress; return None, or the number of the signal that ended
    it.

    watch: called after every step with the number of steps done. The loss beside the bar is the mean of the
    last 1,000 steps, so that it can be read. A resumed run prints its earlier lines again, so that the output
    has those of all its steps.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Column

    class Pipe(Console):
        """A console whose reader may go away, as `head` does: then the training is stopped, and kept."""

        def on_broken_pipe(self) -> None:
            """Print nothing from now on, and stop the training as a signal would."""
            self.quiet = True
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            received.append(getattr(signal, "SIGPIPE", signal.SIGTERM))  # which Windows has not

    training, first = run.training, run.training.step
    steps = training.settings.steps
    received: list[int] = []
    console = Pipe(highlight=False)
    whole = Column(no_wrap=True)  # the bar takes the room that is left
    progress = Progress(
        TextColumn("{task.completed:,} of {task.total:,}", table_column=whole),
        BarColumn(bar_width=None, table_column=Column(ratio=1)),
        TextColumn("{task.fields[status]}", table_column=whole),
        TimeRemainingColumn(table_column=whole),
        TextColumn("left", table_column=whole),
        console=console,
        auto_refresh=False,
        transient=True,
        expand=True,
        disable=quiet or not console.is_terminal,
    )
    lines_every = min(10_000, max(1, steps // 20))

    def report(done: int) -> None:
        """Print the lines of one step, if there are any."""
        if (done - 1) % lines_every == 0:
            console.out(f"{done - 1:7d}/{steps:7d}: {training.losses[done - 1]:.4f}")
        if done in training.dev_losses:
            console.out(f"{done:7d}/{steps:7d}: dev {training.dev_losses[done]:.4f}")

    if not quiet:
        for done in range(1, first + 1):
            report(done)
    started = shown = now = time.perf_counter()
    patience = threading.Timer(1.0, console.out, ["compiling the step …"])
    if training.compiled and not quiet and progress.disable:
        patience.start()
    with progress, signals(received):
        status = "compiling the step …" if training.compiled else ""
        task = progress.add_task("", total=steps, completed=first, status=status)
        progress.refresh()
        for done in run.train(save_every, lambda: bool(received)):
            if done == first + 1:
                patience.cancel()
            if watch is not None:
                watch(done)
            if not quiet:
                report(done)
            if verbose and training.fused:
                verbose = False
                console.out("the loops of the compiled step:", *training.fused, sep="\n  ")
            now = time.perf_counter()
            if now - shown > 0.1:
                shown = now
                recent = training.losses[max(0, done - 1000) : done].mean()
                status = f"loss {recent:.4f}, {(done - first) / (now - started):,.0f}/s,"
                progress.update(task, completed=done, status=status, refresh=True)
    patience.cancel()
    if received:  # also after the last step, while the checkpoint was written
        return received[0]
    if not training.done:  # another rank has received the signal
        return signal.SIGTERM
    if not quiet and training.step > first:
        click.echo(f"{training.step - first:,} steps in {now - started:.1f} s")
    if not quiet and training.step < steps:
        best = min(training.dev_losses, key=training.dev_losses.__getitem__)
        click.echo(f"stopped early: the dev loss was lowest after {best:,} steps")
    return None


@contextmanager
def signals(received: list[int]) -> Iterator[None]:
    """Add the number of the first SIGINT or SIGTERM to the list; a second one acts as it did before."""

    def note(number: int, frame: Any) -> None:
        """Store the number of the signal."""
        received.append(number)
        restore()

    # A signal that is ignored, as in the background of a shell, stays ignored.
    watched = [
        number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) != signal.SIG_IGN
    ]
    previous = [signal.signal(number, note) for number in watched]

    def restore() -> None:
        """Put the previous handlers back."""
        for number, handler in zip(watched, previous, strict=True):
            signal.signal(number, handler)

    try:
        yield
    finally:
        restore()


def print_losses(model: Model, datasets: dict[str, Examples]) -> None:
    """Print a table of the model's mean loss on every dataset, in nats."""
    from rich.console import Console
    from rich.table import Table

    table = Table("data", "loss (nats)")
    for name, (X, Y) in datasets.items():
        table.add_row(name, f"{evaluate(model, X, Y):.4f}")
    Console().print(table)


def print_samples(trained: Checkpoint, count: int, seed: int) -> None:
    """Print `count` words drawn from the model, one per line."""
    model, generator = trained.model.to("cpu"), Generator().manual_seed(seed)
    for _ in range(count):
        click.echo(sample(model, trained.vocabulary, generator))
