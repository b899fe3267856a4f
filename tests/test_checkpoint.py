"""Checkpoints: what comes back is what went in, other programs can read it, and bad files are refused."""

import functools
import hashlib
import json
import os
import random
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from safetensors import safe_open
from safetensors.numpy import save as serialize

from tinygrad_ninja import Generator, from_numpy, tensor
from tinygrad_ninja.api.weights import write
from tinygrad_ninja.makemore import checkpoint
from tinygrad_ninja.makemore.checkpoint import Checkpoint
from tinygrad_ninja.makemore.data import Vocabulary
from tinygrad_ninja.makemore.models import MODELS
from tinygrad_ninja.makemore.settings import Settings
from tinygrad_ninja.makemore.training import Training
from tinygrad_ninja.serialization import FileError

WORDS = ["emma", "zoë"]
VOCABULARY = Vocabulary(WORDS)
SIZES = {"context": 4, "embedding": 2, "hidden": 7}
SHAPES = "the shapes of its tensors do not fit its settings"

Saved = tuple[Checkpoint, Path]


def begun(**changes: Any) -> Training:
    """A training after its second step and a first loss of the words."""
    options = {"model": "bn-mlp", "data": "names.txt", "lr": 0.25, "seed": 3, "eval_every": 2} | changes
    recipe = MODELS[options["model"]].recipe
    sizes = {name: size for name, size in SIZES.items() if getattr(recipe, name)}
    settings = Settings.of(**sizes | options)
    generator = Generator().manual_seed(3)
    X, Y = map(from_numpy, MODELS[settings.model].examples(WORDS, VOCABULARY, settings.context))
    model = settings.build(len(VOCABULARY), generator)
    training = Training(model, settings, generator, (X, Y), (X, Y), eager=True)
    run = training.run()
    assert [next(run), next(run)] == [1, 2]
    return training


def packed(training: Training, whole: bool) -> Checkpoint:
    mode = {"metrics_bytes": 0, "device": "cpu", "eager": True}
    state = {**training.state_dict(), **mode} if whole else None
    return Checkpoint(training.model, VOCABULARY, training.settings, checkpoint.fingerprint(WORDS), state)


@functools.cache
def file_bytes(whole: bool, **changes: Any) -> bytes:
    """The bytes of a model's file, or of a training's."""
    return packed(begun(**changes), whole).to_bytes()


@pytest.fixture(scope="module", params=["mlp", "bn-mlp"])
def model(request: pytest.FixtureRequest) -> Checkpoint:
    return packed(begun(model=request.param), whole=False)


@pytest.fixture(scope="module")
def training() -> Checkpoint:
    """One that may stop early."""
    return packed(begun(early_stop=3), whole=True)


@pytest.fixture
def saved(model: Checkpoint, tmp_path: Path) -> Saved:
    """A model and its file."""
    write(tmp_path / "model.safetensors", model.to_bytes())
    return model, tmp_path / "model.safetensors"


@pytest.fixture
def whole(training: Checkpoint, tmp_path: Path) -> Saved:
    """A training and its file."""
    write(tmp_path / "checkpoint.safetensors", training.to_bytes())
    return training, tmp_path / "checkpoint.safetensors"


def rewrite(path: Path, header_change: dict[str, Any], **arrays: np.ndarray | None) -> None:
    """Change entries of the header and tensors (None removes one), under a checksum that is right."""
    with safe_open(path, framework="numpy") as file:
        header = json.loads(file.metadata()[checkpoint.FORMAT])
        tensors = {name: file.get_tensor(name) for name in file.keys()} | arrays  # noqa: SIM118
    tensors = {name: array for name, array in tensors.items() if array is not None}
    header |= header_change
    del header["sha256"]
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name, array in sorted(tensors.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
    header["sha256"] = digest.hexdigest()
    path.write_bytes(serialize(tensors, metadata={checkpoint.FORMAT: json.dumps(header)}))


def test_a_checkpoint_comes_back_whole(saved: Saved) -> None:
    result, path = saved
    loaded = checkpoint.load(path)
    assert loaded.settings == result.settings
    assert loaded.vocabulary.characters == VOCABULARY.characters
    assert loaded.words_sha256 == result.words_sha256
    assert loaded.training is None
    assert loaded.to_bytes() == result.to_bytes() == path.read_bytes()
    X = tensor([[0, 1, 2, 3]])
    np.testing.assert_array_equal(
        loaded.model.eval()(X).detach().numpy(), result.model.eval()(X).detach().numpy()
    )


def test_a_training_comes_back_whole(whole: Saved) -> None:
    result, path = whole
    loaded = checkpoint.load(path)
    assert loaded.to_bytes() == result.to_bytes() == path.read_bytes()
    assert loaded.training is not None
    assert loaded.training["step"] == 2
    assert loaded.training["best"].keys() == loaded.model.state_dict().keys()
    assert loaded.training["losses"].shape == (2,)


def test_torch_users_read_the_same_tensors(saved: Saved) -> None:
    result, path = saved
    theirs = safetensors.torch.load_file(path)
    ours = result.model.state_dict()
    assert theirs.keys() == ours.keys()
    for name, expected in theirs.items():
        assert expected.dtype == torch.float32
        np.testing.assert_array_equal(ours[name].numpy(), expected.numpy())


def test_torch_goes_on_from_the_same_generator_state(whole: Saved) -> None:
    training, path = checkpoint.load(whole[1]).training, whole[1]
    assert training is not None
    ours = Generator().set_state(training["generator"])
    theirs = torch.Generator()
    theirs.set_state(safetensors.torch.load_file(path)["generator"])
    assert ours.integers(0, 1000, 5).tolist() == torch.randint(0, 1000, (5,), generator=theirs).tolist()


@pytest.mark.parametrize("whole", [False, True])
def test_every_damaged_byte_is_noticed(whole: bool, tmp_path: Path) -> None:
    path = tmp_path / "damaged"
    content = file_bytes(whole)
    header = 8 + int.from_bytes(content[:8], "little")
    draw = random.Random(0)
    for position in [*range(0, header, 3), *range(header, len(content), 41)]:
        damaged = bytearray(content)
        damaged[position] ^= draw.randrange(1, 256)
        path.write_bytes(damaged)
        try:
            loaded = checkpoint.load(path)
        except FileError as error:
            message = str(error)
        else:  # not every byte of the header means something: one space is as good as another, say
            assert (loaded.to_bytes(), position < header) == (content, True)
            continue
        assert str(path) in message
        assert "\n" not in message


@pytest.mark.parametrize("length", [0, 1, 8, 100, -1])
def test_a_truncated_file_is_refused(saved: Saved, length: int) -> None:
    path = saved[1]
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(FileError, match="is damaged, or no safetensors file"):
        checkpoint.load(path)


def test_files_that_are_no_checkpoints_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("emma\nolivia\n" * 100)
    (tmp_path / "foreign").write_bytes(serialize({"C": np.zeros((27, 10), dtype=np.float32)}))
    (tmp_path / "other").write_bytes(serialize({}, metadata={checkpoint.FORMAT: "[]"}))
    for name, message in [
        ("absent", "cannot read .*: No such file"),
        ("", "cannot read "),
        ("text", "is damaged, or no safetensors file"),
        ("foreign", "is a safetensors file, but not a checkpoint of tinygrad_ninja"),
        ("other", "is damaged: its header is no JSON object"),
    ]:
        with pytest.raises(FileError, match=message) as caught:
            checkpoint.load(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
        assert "\n" not in str(caught.value)


CHANGED = {**asdict(Settings.of("bn-mlp", **SIZES)), "model": "mlp"}


@pytest.mark.parametrize(
    ("header", "arrays", "message"),
    [
        ({"version": checkpoint.VERSION + 1}, {}, "was written by a newer tinygrad_ninja: its format is"),
        ({"version": 1}, {}, "was written by an older tinygrad_ninja: its format is 1"),
        ({"version": "?"}, {}, r"header/version is '\?', not a whole number from 1 to 1,000,000,000"),
        ({"characters": ".ab"}, {}, SHAPES),
        (
            {"settings": {**CHANGED, "hidden": 10**12}},
            {},
            r"hidden is 10*, not a whole number from 1 to 100,000",
        ),
        (
            {"settings": {**CHANGED, "model": "wavenet", "context": 3}},
            {},
            r"its context is 2, 4, 8 \.\.\., not 3",
        ),
        ({"settings": {**CHANGED, "model": "perceptron"}}, {}, "model is 'perceptron', not 'bigram' or"),
        ({"settings": {"layers": 3}}, {}, r"header/settings lacks '\w+'"),
        (
            {"settings": {**CHANGED, "width": 3}},
            {},
            r"header/settings has 'width', which is none of its fields",
        ),
        ({}, {"W2": np.zeros((7, 3), dtype=np.float32)}, SHAPES),
        ({}, {"W2": None}, SHAPES),
        ({}, {"W3": np.zeros((7, 3), dtype=np.float32)}, SHAPES),
        ({}, {"b2": np.zeros(len(VOCABULARY))}, SHAPES),
    ],
)
def test_contents_that_do_not_agree_are_refused(
    saved: Saved, header: dict[str, Any], arrays: dict[str, Any], message: str
) -> None:
    path = saved[1]
    rewrite(path, {})
    checkpoint.load(path)
    rewrite(path, header, **arrays)
    with pytest.raises(FileError, match=message) as caught:
        checkpoint.load(path)
    assert str(path) in str(caught.value)


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.safetensors"
    write(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
