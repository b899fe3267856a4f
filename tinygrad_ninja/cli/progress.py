"""A training run in the terminal: its lines, a bar where the terminal can show one, and the signals that stop
it."""

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
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column

from ..makemore.run import Run
from ..makemore.training import Training

_COMPILING = "compiling the step …"


def follow(
    run: Run, save_every: int | None, quiet: bool, verbose: bool, watch: Callable[[int], None] | None = None
) -> int | None:
    """Run a training to its end and show its progress; return None, or the number of the signal that ended
    it.

    watch: called after every step with the number of steps done. verbose: print what each loop of the
    compiled step computes. A resumed run prints its earlier lines again, so that the output has those of all
    its steps.
    """
    training, received = run.training, list[int]()
    display = _Display(training, quiet, received)
    display.begin()
    with display.bar, signals(received):
        for done in run.train(save_every, lambda: bool(received)):
            if watch is not None:
                watch(done)
            display.show(done)
            if verbose and training.fused:
                verbose = False
                display.console.out("the loops of the compiled step:", *training.fused, sep="\n  ")
    display.compiling.cancel()
    if received:  # also after the last step, while the checkpoint was written
        return received[0]
    if not training.done:  # another rank has received the signal
        return signal.SIGTERM
    display.end()
    return None


class _Pipe(Console):
    """A console whose reader may go away, as `head` does: then the training is stopped, and kept."""

    def __init__(self, received: list[int]) -> None:
        super().__init__(highlight=False)
        self._received = received

    def on_broken_pipe(self) -> None:
        """Print nothing from now on, and stop the training as a signal would."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        self._received.append(getattr(signal, "SIGPIPE", signal.SIGTERM))  # which Windows has not


class _Display:
    """The lines of a training, and the bar. received: the list for the number of the signal that ends it."""

    def __init__(self, training: Training, quiet: bool, received: list[int]) -> None:
        self._training, self._quiet = training, quiet
        self._first, self._steps = training.step, training.settings.steps
        self._lines_every = min(10_000, max(1, self._steps // 20))
        self.console = _Pipe(received)
        whole = Column(no_wrap=True)  # the bar takes the room that is left
        self.bar = Progress(
            TextColumn("{task.completed:,} of {task.total:,}", table_column=whole),
            BarColumn(bar_width=None, table_column=Column(ratio=1)),
            TextColumn("{task.fields[status]}", table_column=whole),
            TimeRemainingColumn(table_column=whole),
            TextColumn("left", table_column=whole),
            console=self.console,
            auto_refresh=False,
            transient=True,
            expand=True,
            disable=quiet or not self.console.is_terminal,
        )
        # Where there is no bar, a line says what takes so long.
        self.compiling = threading.Timer(1.0, self.console.out, [_COMPILING])

    def begin(self) -> None:
        """Print the lines of the steps that were done before, and show the bar."""
        for done in range(1, self._first + 1):
            self._print(done)
        self._started = self._shown = self._now = time.perf_counter()
        status = _COMPILING if self._training.compiled else ""
        self._task = self.bar.add_task("", total=self._steps, completed=self._first, status=status)
        if status and self.bar.disable and not self._quiet:
            self.compiling.start()

    def show(self, done: int) -> None:
        """Print the lines of a step, and move the bar; beside it stands the mean loss of the last 1,000
        steps, which can be read."""
        if done == self._first + 1:
            self.compiling.cancel()
        self._print(done)
        self._now = time.perf_counter()
        if self._now - self._shown > 0.1:
            self._shown = self._now
            loss = self._training.losses[max(0, done - 1000) : done].mean()
            rate = (done - self._first) / (self._now - self._started)
            self.bar.update(
                self._task, completed=done, status=f"loss {loss:.4f}, {rate:,.0f}/s,", refresh=True
            )

    def _print(self, done: int) -> None:
        """Print the lines of a step, if there are any."""
        if self._quiet:
            return
        if (done - 1) % self._lines_every == 0:
            self.console.out(f"{done - 1:7d}/{self._steps:7d}: {self._training.losses[done - 1]:.4f}")
        if done in self._training.dev_losses:
            self.console.out(f"{done:7d}/{self._steps:7d}: dev {self._training.dev_losses[done]:.4f}")

    def end(self) -> None:
        """Print how long the steps took, and why there are no more."""
        done = self._training.step
        if not self._quiet and done > self._first:
            click.echo(f"{done - self._first:,} steps in {self._now - self._started:.1f} s")
        if not self._quiet and done < self._steps:
            losses = self._training.dev_losses
            best = min(losses, key=losses.__getitem__)
            click.echo(f"stopped early: the dev loss was lowest after {best:,} steps")


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
