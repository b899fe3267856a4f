"""The progress of a training run in files that other programs read: JSON lines, and TensorBoard's.

A line of metrics.jsonl is one JSON object:

    {"step": 2000, "loss": 2.4171, "lr": 0.1, "dev_loss": 2.3952, "steps_per_second": 4102.3}

step: steps done; loss: the mean loss of the last batches (a thousandth of the run), in nats; lr: the learning
rate of the last of them; dev_loss: the loss on all development words, only in the lines of steps that
computed it; steps_per_second: the speed since the line before, the only number that depends on the machine.
"""

from __future__ import annotations

import errno
import json
import os
import time
import warnings
from pathlib import Path
from typing import Any

from .training import Training

START = b'{"step": '
"""How every line starts."""


class Metrics:
    """The metrics file of a run, truncated to its first `position` bytes and open for further lines.

    board: of `open_board`, to which the same numbers go. Warns where lines have been lost, also while the run
    lasts. Raises OSError.
    """

    def __init__(self, training: Training, path: Path, position: int = 0, board: Any = None) -> None:
        self._training, self._path = training, path
        self._length = 0
        path.touch()
        with path.open("rb+") as file:
            # A half-written last line, which only a crash of the machine leaves, is dropped.
            # A read takes the memory that it is asked for.
            content = file.read(min(position, path.stat().st_size))
            complete = content.rpartition(b"\n")[0]
            file.truncate(len(complete) + 1 if complete else 0)
        lines = [*map(_line, complete.splitlines())]
        if len(content) < position or None in lines:
            self._warn_of_loss()
        self._board = board
        for line in filter(None, lines):
            self._show(line)
        self._open()
        self._last = training.step, time.perf_counter()

    def follow(self) -> None:
        """Write a line if one is due after the step that the training run has just done."""
        training = self._training
        step, steps = training.step, training.settings.steps
        every = max(1, steps // 1000)
        dev_loss = training.dev_losses.get(step)
        if step % every and not training.done and dev_loss is None:
            return
        previous, now = self._last, (step, time.perf_counter())
        self._last = now
        line = {
            "step": step,
            "loss": float(training.losses[max(0, step - every) : step].mean()),
            "lr": training.settings.learning_rate(step - 1),
            **({} if dev_loss is None else {"dev_loss": dev_loss}),
            "steps_per_second": round((now[0] - previous[0]) / (now[1] - previous[1]), 1),
        }
        self._length += self._file.write(json.dumps(line).encode() + b"\n")
        self._show(line)

    def position(self) -> int:
        """Return the length of the file in bytes, once all lines are on the disk.

        A file that was deleted meanwhile begins anew. Raises OSError, also where another has its place.
        """
        self._file.flush()
        os.fsync(self._file.fileno())
        held = os.fstat(self._file.fileno())
        if not self._path.exists():
            self._file.close()
            self._open()
            self._warn_of_loss()
        elif not os.path.samestat(held, self._path.stat()):
            raise OSError(errno.EEXIST, "another file has taken its place", str(self._path))
        elif held.st_size != self._length:
            self._length = held.st_size
            self._warn_of_loss()
        return self._length

    def _open(self) -> None:
        self._file = self._path.open("ab")
        self._length = self._path.stat().st_size

    def _warn_of_loss(self) -> None:
        message = f"{self._path} has lost lines of the steps up to {self._training.step:,}"
        warnings.warn(message, stacklevel=3)

    def close(self) -> None:
        """Close the files."""
        self._file.close()
        if self._board is not None:
            self._board.close()

    def _show(self, line: dict[str, Any]) -> None:
        if self._board is not None:
            for name in line.keys() - {"step"}:
                self._board.add_scalar(name, line[name], line["step"])


def _line(text: bytes) -> dict[str, Any] | None:
    """Return a line of the file; None where it is damaged."""
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return line if isinstance(line, dict) and isinstance(line.get("step"), int) else None


def open_board(folder: Path) -> Any:
    """Return a writer of TensorBoard's event files in the folder; those of an earlier run are deleted, so
    that no step is in them twice. Raises OSError, and ImportError without TensorBoard."""
    from tensorboard.summary import Writer

    for old in folder.glob("events.out.tfevents.*"):
        old.unlink()
    return Writer(str(folder))
