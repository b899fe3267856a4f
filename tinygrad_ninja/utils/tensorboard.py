"""Numbers for TensorBoard to show, under the names of PyTorch's `utils.tensorboard`."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from ..api.missing import explain, refuse

__all__ = ["SummaryWriter"]


class SummaryWriter:
    """Writes numbers and their steps into event files, which `tensorboard --logdir` shows.

    log_dir: the folder, by default `runs/`, the time, the machine's name and `comment`. max_queue,
    flush_secs: after how many numbers, and seconds, they are on the disk. filename_suffix: the end of the
    files' names. Raises ImportError where TensorBoard is not installed.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] | None = None,
        comment: str = "",
        purge_step: int | None = None,
        max_queue: int = 10,
        flush_secs: float = 120,
        filename_suffix: str = "",
    ) -> None:
        refuse("SummaryWriter", "a new log_dir", purge_step=purge_step)
        try:
            from tensorboard.summary.writer import event_file_writer  # it takes long
        except ImportError as error:
            hint = 'pip install "tinygrad-ninja[tensorboard]"'
            raise ImportError(f"SummaryWriter needs TensorBoard: {hint}", name=error.name) from error
        if not log_dir:
            start = datetime.now().strftime("%b%d_%H-%M-%S")
            log_dir = Path("runs") / f"{start}_{socket.gethostname()}{comment}"
        self.log_dir = os.fspath(log_dir)
        self._open = lambda folder: event_file_writer.EventFileWriter(
            folder, max_queue, flush_secs, filename_suffix
        )
        self._writers: dict[str, Any] = {}
        self._writer(self.log_dir)

    def add_scalar(
        self,
        tag: str,
        scalar_value: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        new_style: bool = False,
        double_precision: bool = False,
    ) -> None:
        """Write a number, which may be a Tensor of one element, under the name `tag`.

        walltime: seconds since 1970, by default now.
        """
        nearest = "float32 in an event of the usual form"
        refuse("add_scalar", nearest, new_style=new_style, double_precision=double_precision)
        self._write(self.log_dir, tag, scalar_value, global_step, walltime)

    def add_scalars(
        self,
        main_tag: str,
        tag_scalar_dict: Mapping[str, Any],
        global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:
        """Write several numbers, which TensorBoard shows in one picture: each into a folder of its own."""
        for tag, value in tag_scalar_dict.items():
            folder = f"{self.log_dir}/{main_tag.replace('/', '_')}_{tag}"
            self._write(folder, main_tag, value, global_step, walltime)

    def get_logdir(self) -> str:
        """Return the folder."""
        return self.log_dir

    def flush(self) -> None:
        """Bring all numbers onto the disk."""
        for writer in self._writers.values():
            writer.flush()

    def close(self) -> None:
        """Bring all numbers onto the disk and close the files; what is written later goes into new ones."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise AttributeError(explain(type(self).__name__, name, dir(type(self))))

    def _writer(self, folder: str) -> Any:
        if folder not in self._writers:
            self._writers[folder] = self._open(folder)
        return self._writers[folder]

    def _write(self, folder: str, tag: str, value: Any, step: int | None, walltime: float | None) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        number = value.item() if hasattr(value, "item") else float(value)
        summary = Summary(value=[Summary.Value(tag=tag, simple_value=number)])
        event = Event(wall_time=time.time() if walltime is None else walltime, summary=summary)
        if step is not None:
            event.step = int(step)
        self._writer(folder).add_event(event)


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise AttributeError(explain("utils.tensorboard", name, __all__))
