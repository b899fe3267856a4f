"""SummaryWriter: the numbers that TensorBoard reads are those that it reads from PyTorch's."""

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_ninja
from tinygrad_ninja.utils.tensorboard import SummaryWriter

pytest.importorskip("tensorboard", reason="needs TensorBoard")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def write(t: Any, writer: Any) -> None:
    with writer:
        for step in range(3):
            writer.add_scalar("Loss/train", step**2, step, walltime=float(step))
            writer.add_scalars("both", {"a": step, "b/c": t.tensor(-step)}, step, walltime=2.0)
        writer.flush()
        writer.add_scalar("loss", t.tensor([0.1]), np.int64(7), 1.0)
        writer.add_scalar("nan", math.nan)
        assert writer.get_logdir() == writer.log_dir


def events(folder: Path) -> dict[str, Any]:
    """What stands in the event files: by folder and tag, time, step and value of each number."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = {}
    for place in {file.parent for file in folder.rglob("events.out.tfevents.*")}:
        board = EventAccumulator(str(place)).Reload()
        for tag in board.Tags()["scalars"]:
            numbers = [(x.wall_time * (tag != "nan"), x.step, repr(x.value)) for x in board.Scalars(tag)]
            read[f"{place.relative_to(folder)} {tag}"] = numbers
    return read


@pytest.mark.slow
def test_the_numbers_are_pytorchs(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from torch.utils import tensorboard

    write(torch, tensorboard.SummaryWriter(tmp_path / "theirs"))
    write(tinygrad_ninja, SummaryWriter(tmp_path / "ours"))
    expected = events(tmp_path / "theirs")
    assert events(tmp_path / "ours") == expected
    assert len(expected) == 5


def test_where_it_writes_unless_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with SummaryWriter(comment="_small") as writer:
        writer.add_scalar("x", 1, 1)
        writer.close()
        writer.add_scalar("x", 2, 2)  # opens another file
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.endswith("_small")
    assert len(events(tmp_path)) == 1


def test_what_is_not_offered_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = SummaryWriter(tmp_path)
    with pytest.raises(AttributeError, match="SummaryWriter has no 'add_image' here"):
        writer.add_image("x", None)
    with pytest.raises(NotImplementedError, match="double_precision=True is not offered"):
        writer.add_scalar("x", 1, double_precision=True)
    writer.close()
    monkeypatch.setitem(sys.modules, "tensorboard.summary.writer", None)
    with pytest.raises(ImportError, match="SummaryWriter needs TensorBoard"):
        SummaryWriter(tmp_path)
