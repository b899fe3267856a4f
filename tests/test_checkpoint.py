"""Checkpoints: what comes back is what went in, other programs can read it, and bad files are refused."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from safetensors import safe_open
from safetensors.numpy import save as serialize

from tinygrad_ninja import Generator, tensor
from tinygrad_ninja.makemore import checkpoint
from tinygrad_ninja.makemore.checkpoint import Checkpoint, CheckpointError
from tinygrad_ninja.makemore.data import Vocabulary
from tinygrad_ninja.makemore.training import Settings

VOCABULARY = Vocabulary(["emma", "zoë"])
SIZES = {"context": 4, "embedding": 2, "hidden": 7}
SHAPES = "the shapes of its tensors do not fit its settings"
CONTENT = "its content is not that of a checkpoint"


@pytest.fixture(params=["mlp", "bn-mlp"])
def saved(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Checkpoint, Path]:
    settings = Settings("names.txt", request.param, **SIZES, lr=0.25, seed=3)
    model = settings.build(len(VOCABULARY), Generator().manual_seed(3))
    result = Checkpoint(model, VOCABULARY, settings, checkpoint.fingerprint(["emma", "zoë"]))
    checkpoint.write(tmp_path / "model.safetensors", result.to_bytes())
    return result, tmp_path / "model.safetensors"


def rewrite(path: Path, header_change: dict[str, Any], **arrays: np.ndarray | None) -> None:
    """Change entries of the header and tensors (None removes one), under a checksum that is right."""
    with safe_open(path, framework="numpy") as file:
        header = json.loads(file.metadata()[checkpoint.FORMAT])
        tensors = {name: file.get_tensor(name) for name in file.keys()} | arrays  # noqa: SIM118
    tensors = {name: array for name, array in tensors.items() if array is not None}
    header |= header_change
    del header["sha256"]
    header["sha256"] = checkpoint._digest(header, tensors)
    path.write_bytes(serialize(tensors, metadata={checkpoint.FORMAT: json.dumps(header)}))


def test_a_checkpoint_comes_back_whole(saved: tuple[Checkpoint, Path]) -> None:
    result, path = saved
    loaded = checkpoint.load(path)
    assert loaded.settings == result.settings
    assert loaded.vocabulary.characters == VOCABULARY.characters
    assert loaded.words_sha256 == result.words_sha256
    assert loaded.to_bytes() == result.to_bytes() == path.read_bytes()
    X = tensor([[0, 1, 2, 3]])
    np.testing.assert_array_equal(
        loaded.model.eval()(X).detach().numpy(), result.model.eval()(X).detach().numpy()
    )


def test_torch_users_read_the_same_tensors(saved: tuple[Checkpoint, Path]) -> None:
    result, path = saved
    theirs = safetensors.torch.load_file(path)
    ours = result.model.state_dict()
    assert theirs.keys() == ours.keys()
    for name, expected in theirs.items():
        assert expected.dtype == torch.float32
        np.testing.assert_array_equal(ours[name].numpy(), expected.numpy())


def test_every_damaged_byte_is_noticed(saved: tuple[Checkpoint, Path]) -> None:
    path = saved[1]
    content = path.read_bytes()
    for position in range(0, len(content), 41):
        path.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        with pytest.raises(CheckpointError) as caught:
            checkpoint.load(path)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("length", [0, 1, 8, 100, -1])
def test_a_truncated_file_is_refused(saved: tuple[Checkpoint, Path], length: int) -> None:
    path = saved[1]
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(CheckpointError, match="is damaged, or not a checkpoint"):
        checkpoint.load(path)


def test_files_that_are_no_checkpoints_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("emma\nolivia\n" * 100)
    (tmp_path / "foreign").write_bytes(serialize({"C": np.zeros((27, 10), dtype=np.float32)}))
    (tmp_path / "other").write_bytes(serialize({}, metadata={checkpoint.FORMAT: "[]"}))
    for name, message in [
        ("absent", "cannot read .*: No such file"),
        ("", "cannot read "),
        ("text", "is damaged, or not a checkpoint"),
        ("foreign", "is a safetensors file, but not a checkpoint of tinygrad_ninja"),
        ("other", CONTENT),
    ]:
        with pytest.raises(CheckpointError, match=message) as caught:
            checkpoint.load(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("header", "arrays", "message"),
    [
        ({"version": 2}, {}, "was written by a newer tinygrad_ninja: its format is 2"),
        ({"characters": ".ab"}, {}, SHAPES),
        ({"settings": {**SIZES, "hidden": 10**12}}, {}, SHAPES),
        ({"settings": {**SIZES, "model": "rnn"}}, {}, CONTENT),
        ({"settings": {"layers": 3}}, {}, CONTENT),
        ({}, {"W2": np.zeros((7, 3), dtype=np.float32)}, SHAPES),
        ({}, {"W2": None}, SHAPES),
        ({}, {"W3": np.zeros((7, 3), dtype=np.float32)}, SHAPES),
        ({}, {"b2": np.zeros(len(VOCABULARY))}, SHAPES),
        ({}, {"C": None}, CONTENT),
    ],
)
def test_contents_that_do_not_agree_are_refused(
    saved: tuple[Checkpoint, Path], header: dict[str, Any], arrays: dict[str, Any], message: str
) -> None:
    path = saved[1]
    rewrite(path, {})
    checkpoint.load(path)
    rewrite(path, header, **arrays)
    with pytest.raises(CheckpointError, match=message) as caught:
        checkpoint.load(path)
    assert str(path) in str(caught.value)


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.safetensors"
    checkpoint.write(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.write(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
