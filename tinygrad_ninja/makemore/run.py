"""A training run in its folder: the files it saves there, and how a stopped run continues."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

from .. import Generator, from_numpy
from ..api.weights import FileError, write
from . import checkpoint
from .checkpoint import Checkpoint
from .data import Vocabulary, read_words, read_words_again, split
from .metrics import START, Metrics, open_board
from .settings import Settings, SettingsError
from .training import Examples, Training, note_other_way

if TYPE_CHECKING:
    from .processes import Ranks

MODEL, CHECKPOINT = "model.safetensors", "checkpoint.safetensors"
METRICS, PICTURE, TENSORBOARD = "metrics.jsonl", "loss.png", "tensorboard"
PICTURE_BYTES = 500_000  # more than a picture takes
SAVE_SECONDS = 30


class RunError(Exception):
    """The folder cannot be used for the run; the message is one sentence that names it or its file."""


@dataclass
class Run:
    """A training run, and the folder in which it is saved while it is `open`.

    checkpoint.safetensors is all that decides how the run continues; every `save` writes it whole or not at
    all. model.safetensors is the model, once the run has ended; metrics.jsonl is described in `metrics`;
    loss.png is the caller's picture. Files that are not of a training run are never replaced.

    result: the model with what is needed to use it; datasets: the train, dev and test examples; words: the
    words that these are of; device, eager: how the steps are computed, on which the last digits of all
    numbers depend; metrics_bytes: the length of metrics.jsonl at the last checkpoint, which is that of
    `saved_steps` steps. Of several ranks each
    has its Run, and only that of rank 0 `writes`.
    """

    folder: Path
    result: Checkpoint
    training: Training
    datasets: dict[str, Examples]
    words: list[str]
    device: str
    eager: bool
    writes: bool = True
    metrics_bytes: int = 0
    saved_steps: int = 0
    metrics: Metrics = field(init=False)

    @classmethod
    def start(
        cls,
        folder: Path,
        options: Mapping[str, Any],
        device: str,
        eager: bool = False,
        ranks: Ranks | None = None,
    ) -> Run:
        """Start a new run; options: fields of `Settings`, the others being the model's own; eager: as
        `Training` takes it; ranks: the ranks that share the run, if there are several.

        Raises SettingsError and DataError.
        """
        settings = Settings.of(**options)
        words = read_words(settings.data)
        vocabulary, generator = Vocabulary(words), Generator().manual_seed(settings.seed)
        model = settings.build(len(vocabulary), generator)
        result = Checkpoint(model, vocabulary, settings, checkpoint.fingerprint(words))
        return cls._of(folder, result, words, generator, device, eager, ranks)

    @staticmethod
    def saved_mode(folder: Path) -> tuple[str, bool]:
        """Return the device of the run in the folder, and whether its steps are eager; errors as `resume`."""
        training = _saved(folder).training or {}
        return training.get("device", "cpu"), training.get("eager", False)

    @classmethod
    def resume(
        cls,
        folder: Path,
        options: Mapping[str, Any],
        device: str,
        eager: bool = False,
        ranks: Ranks | None = None,
        exact: bool = False,
    ) -> Run:
        """Resume the run in the folder from its checkpoint, with the settings that it started with.

        Of the options, `steps` may extend it, and `data` may say where the same words are now. Warns where it
        can't end with the same bits as if it had not stopped, since it is run in another way; with `exact`
        that is refused, here or before the first step. Raises FileError where the checkpoint cannot be used,
        SettingsError for other settings or words, and DataError.
        """
        saved = _saved(folder)
        assert saved.training is not None
        processes = 1 + len(saved.training.get("other_generators", ()))
        began = _way(saved.training["device"], saved.training["eager"], processes)
        now = _way(device, eager, 1 if ranks is None else ranks.size)
        other = next((pair for pair in zip(began, now, strict=True) if pair[0] != pair[1]), None)
        if other is not None and saved.training["step"]:
            note_other_way(*other, exact)
        for name, value in options.items():
            original = getattr(saved.settings, name)
            if name not in ("steps", "data") and value != original:
                raise SettingsError(name, f"the training in {folder} began with {original}: leave it out")
        data = options.get("data")
        words = read_words_again(saved.settings.data, folder) if data is None else read_words(data)
        if checkpoint.fingerprint(words) != saved.words_sha256:
            raise SettingsError("data", f"these are not the words that the training in {folder} began with")
        settings = replace(saved.settings, **options)
        settings.check()
        result = replace(saved, settings=settings, training=None)
        run = cls._of(folder, result, words, Generator(), device, eager, ranks)
        run.training.load_state_dict(saved.training)
        run.training.exact = exact
        run.metrics_bytes = saved.training["metrics_bytes"]
        return run

    @classmethod
    def _of(
        cls,
        folder: Path,
        result: Checkpoint,
        words: list[str],
        generator: Generator,
        device: str,
        eager: bool,
        ranks: Ranks | None,
    ) -> Run:
        datasets = load_datasets(words, result, device)
        parts = result.model.to(device), result.settings, generator, datasets["train"], datasets["dev"]
        if ranks is None:
            return cls(folder, result, Training(*parts, eager), datasets, words, device, eager)
        from .parallel import ParallelTraining  # here, since most runs do not need it

        training = ParallelTraining(*parts, ranks)
        return cls(folder, result, training, datasets, words, device, eager, ranks.rank == 0)

    @contextmanager
    def open(
        self, *, replaces: bool = False, tensorboard: bool = False, is_locked: bool = False
    ) -> Iterator[None]:
        """Lock the folder for this run, and keep its metrics open, while the block lasts.

        replaces: whether an unfinished run may be replaced; tensorboard: write event files; is_locked:
        whether the caller has `locked` the folder, before it read the checkpoint there. Raises RunError
        where the folder cannot be written, is in use, or holds files that must not be replaced, and
        SettingsError where the ranks did not start from the same settings and files.
        """
        self.training.check_alike(self.result.words_sha256)
        if not self.writes:
            self._write_checkpoint()
            yield
            return
        with nullcontext() if is_locked else locked(self.folder):
            self._check_files(replaces)
            self._check_room()
            # Before anything else, so that no --resume takes an earlier run for this one.
            self._write_checkpoint()
            with _writing(self.folder / TENSORBOARD):
                board = open_board(self.folder / TENSORBOARD) if tensorboard else None
            with _writing(self.folder / METRICS):
                self.metrics = Metrics(self.training, self.folder / METRICS, self.metrics_bytes, board)
            try:
                yield
            finally:
                with suppress(OSError):  # a failed write has already been reported
                    self.metrics.close()

    def train(
        self, save_every: int | None = None, stops: Callable[[], bool] = lambda: False
    ) -> Iterator[int]:
        """Train to the end, or until `stops()`; yield the number of steps done after each step.

        save_every: steps from one checkpoint to the next; by default a checkpoint is due every SAVE_SECONDS,
        less often where writing one takes long. Raises RunError where a file cannot be written, and
        TrainingError.
        """
        due = time.perf_counter() + SAVE_SECONDS
        with _writing(self.folder / METRICS):
            for step in self.training.run():
                if self.writes:
                    self.metrics.follow()
                yield step
                now = time.perf_counter()
                is_due = step % save_every == 0 if save_every else now > due
                save, stop = self.training.decide(is_due, stops())
                if stop:
                    return
                if save:
                    self.save()
                    seconds = time.perf_counter() - now
                    due = now + max(SAVE_SECONDS, 100 * seconds)

    def save(self) -> None:
        """Write the checkpoint, and before it the metrics up to it.

        Raises RunError, and TrainingError where training could not go on from it: the last one is kept.
        """
        self.training.check()
        if self.writes:
            with _writing(self.folder / METRICS):
                self.metrics_bytes = self.metrics.position()
        self._write_checkpoint()

    def finish(self) -> None:
        """Save the run at its end, and the trained model. Raises RunError, and TrainingError as `save`."""
        self.save()
        self.training.finish()
        if not self.writes:
            return
        with _writing(self.folder / MODEL):
            write(self.folder / MODEL, self.result.to_bytes())

    def _write_checkpoint(self) -> None:
        state = {
            **self.training.state_dict(),
            "metrics_bytes": self.metrics_bytes,
            "device": self.device,
            "eager": self.eager,
        }
        if not self.writes:
            return
        with _writing(self.folder / CHECKPOINT):
            write(self.folder / CHECKPOINT, replace(self.result, training=state).to_bytes())
        self.saved_steps = self.training.step

    def _check_files(self, replaces: bool) -> None:
        for path in (self.folder / MODEL, self.folder / CHECKPOINT):
            try:
                training = checkpoint.load(path).training if path.exists() else None
            except FileError as error:
                raise RunError(f"{error}; it is not replaced: choose another --out") from error
            if training is not None and training["step"] and not training["done"] and not replaces:
                raise RunError(
                    f"{self.folder} holds a training that stopped after {training['step']:,} steps: "
                    "go on with it by --resume, or replace it by --restart"
                )
        with _writing(self.folder / METRICS):
            if (self.folder / METRICS).exists():
                if not (self.folder / METRICS).is_file():  # to read a pipe may take forever
                    raise RunError(f"{self.folder / METRICS} is no file: choose another --out")
                with (self.folder / METRICS).open("rb") as file:
                    if not START.startswith(file.read(len(START))):
                        raise RunError(
                            f"{self.folder / METRICS} is there, and not by ninja: move it away, or choose "
                            f"another --out"
                        )

    def _check_room(self) -> None:
        """Raise RunError where the disk lacks room for two checkpoints at once, the model and the picture."""
        with _writing(self.folder), TemporaryFile(dir=self.folder) as probe:
            probe.write(bytes(3 * len(self.result.to_bytes()) + PICTURE_BYTES))
        for name in (MODEL, CHECKPOINT):
            for stale in self.folder.glob(f".{name}.*"):  # left over from a write that was killed
                stale.unlink()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other trainings out of the folder, which is made where there is none, while the block lasts.

    In the end the lock is removed, and the folder where it was made and is empty. Raises RunError where one
    is at work there, or the folder cannot be written.
    """
    from filelock import FileLock, Timeout  # here, since most commands need no lock

    is_new, file = not folder.is_dir(), folder / ".lock"
    lock, held = FileLock(file), None
    with _writing(folder):
        while held is None:
            folder.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(blocking=False)
            except Timeout as error:
                raise RunError(f"another training is at work in {folder}: choose another --out") from error
            try:
                held = file.stat()
            except FileNotFoundError:  # removed by a training that ended just now
                lock.release()
    try:
        yield
    finally:
        with suppress(OSError):  # the folder may be gone, and Windows removes the lock by itself
            if os.path.samestat(file.stat(), held):
                file.unlink()
        lock.release()
        if is_new:
            with suppress(OSError):  # it is not empty
                folder.rmdir()


def load_datasets(words: list[str], result: Checkpoint, device: str) -> dict[str, Examples]:
    """Return the examples of the train, dev and test words, as Tensors on the device that the model takes.

    Raises DataError for a letter that the vocabulary lacks, or too few words.
    """
    datasets = {}
    for name, subset in zip(("train", "dev", "test"), split(words), strict=True):
        X, Y = result.model.examples(subset, result.vocabulary, result.settings.context)
        datasets[name] = from_numpy(X).to(device), from_numpy(Y).to(device)
    return datasets


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunError(f"cannot write to {path}: {error.strerror}") from error


def _way(device: str, eager: bool, processes: int) -> tuple[str, str, str]:
    """Return, in words, how steps are run, the most important first."""
    compiled = device == "cpu" and processes == 1 and not eager
    steps = "compiled steps" if compiled else "eager steps"
    return f"the device {device}", f"{processes} process{'es' * (processes > 1)}", steps


def _saved(folder: Path) -> Checkpoint:
    saved = checkpoint.load(folder / CHECKPOINT)
    if saved.training is None:
        raise FileError(f"{folder / CHECKPOINT} holds a model, but not its training")
    return saved
