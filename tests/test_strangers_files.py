"""Checkpoints from strangers: every field of the header is checked, before anything is built or read."""

import json
import os
import tracemalloc
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import call, posix, refuses
from every_model import EVERY_MODEL
from safetensors import safe_open
from test_checkpoint import begun, file_bytes, rewrite

from tinygrad_ninja import Generator
from tinygrad_ninja.api.weights import FileError, write
from tinygrad_ninja.makemore import checkpoint
from tinygrad_ninja.makemore.fields import FieldError, Number, OneOf, Slot, Whole
from tinygrad_ninja.makemore.metrics import START, Metrics
from tinygrad_ninja.makemore.models import MODELS
from tinygrad_ninja.makemore.settings import FIELDS, SIZES, Settings, SettingsError

ESCAPE = "\x1b]0;mine\x07\x1b[31m"
CODES = {"float32": "F32", "int64": "I64"}


@pytest.fixture(params=["model", "training"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A model's file, or a training's."""
    path = tmp_path / "checkpoint.safetensors"
    write(path, file_bytes(request.param == "training"))
    return path


@pytest.fixture
def training(tmp_path: Path) -> Path:
    """The file of a training, which may stop early."""
    path = tmp_path / "checkpoint.safetensors"
    write(path, file_bytes(True, early_stop=3))
    return path


def header_of(path: Path) -> dict[str, Any]:
    with safe_open(path, framework="numpy") as file:
        header: dict[str, Any] = json.loads(file.metadata()[checkpoint.FORMAT])
    return header


def refused(path: Path) -> str:
    """What `load` says of the file: one line, in which everything can be printed."""
    with pytest.raises(FileError, match="is damaged") as caught:
        checkpoint.load(path)
    assert str(path) in str(caught.value)
    assert str(caught.value).isprintable()
    return str(caught.value)


@pytest.mark.parametrize("changes", [{}, {"embedding": 6, "hidden": 5, "layers": 3, "heads": 2}])
@pytest.mark.parametrize("model", EVERY_MODEL)
def test_the_layout_of_a_model_is_that_of_its_state(model: str, changes: dict[str, int]) -> None:
    recipe = MODELS[model].recipe
    settings = Settings.of(model, **{name: value for name, value in changes.items() if getattr(recipe, name)})
    state = settings.build(27, Generator()).state_dict()
    found = {name: Slot(tuple(x.shape), CODES[x.numpy().dtype.name]) for name, x in state.items()}
    assert settings.layout(27) == found


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("model", ["perceptron", None, 1, ["mlp"], {}]),
        ("data", [7, 0, "a\0b", "\ud800", "x" * 5000, ["names.txt"]]),
        ("context", [0, -3, 10**6, "4", 4.0, True]),
        ("embedding", [0, 10**6, -2, None, 5]),
        ("hidden", [-5, 10**6, 10**4000, "7", 99_999]),
        ("layers", [1, 10**9, -1, 0.0]),
        ("heads", [1, -1, "2"]),
        ("dropout", [1.0, -0.1, float("nan")]),
        ("steps", [0, 10**18, "200"]),
        ("batch", [0, 1, 10**12, -1]),
        ("lr", [float("nan"), float("inf"), 0, -1.0, "x", 10**400]),
        ("optimizer", ["adam", 1]),
        ("weight_decay", [-1, float("inf")]),
        ("schedule", ["steps", 7]),
        ("milestone", [-1, 2, "x"]),
        ("warmup", [-1, 0.5]),
        ("seed", [2**64, 2**32, -1, 1.5, "1"]),
        ("eval_every", [-1, 2.0, None]),
        ("early_stop", [-1, "3"]),
        ("calibrate", [0, 1, "yes"]),
        ("sync_batchnorm", [None, 1]),
    ],
)
def test_a_setting_has_its_type_and_its_range(file: Path, name: str, values: list[Any]) -> None:
    content, settings = file.read_bytes(), header_of(file)["settings"]
    for value in [*values, 1 if name == "data" else ESCAPE]:
        file.write_bytes(content)
        rewrite(file, {"settings": {**settings, name: value}})
        refused(file)


def test_every_setting_is_described() -> None:
    assert FIELDS.keys() == asdict(Settings.of()).keys()
    assert set(SIZES) < FIELDS.keys()


@pytest.mark.parametrize("model", EVERY_MODEL)
def test_what_a_setting_may_not_be_is_refused_before_the_training_too(model: str) -> None:
    for changes in ({"context": 10**6}, {"seed": 2**64}, {"steps": 10**6, "eval_every": 1}, {"lr": np.nan}):
        with pytest.raises(SettingsError):
            Settings.of(model, **changes)


@pytest.mark.parametrize(
    "change",
    [
        {"version": ESCAPE},
        {"version": True},
        {"version": 2.5},
        {"characters": "." + ESCAPE},
        {"characters": ".\u200d"},
        {"characters": ".aab"},
        {"characters": ".ba"},
        {"characters": "ab"},
        {"characters": [".", "a"]},
        {"characters": 5},
        {"words_sha256": [1]},
        {"words_sha256": ESCAPE},
        {"settings": []},
        {"training": ESCAPE},
        {"training": {}},
        {"more": 1},
        {ESCAPE: 1},
    ],
)
def test_a_field_has_its_type_and_its_range(file: Path, change: dict[str, Any]) -> None:
    rewrite(file, change)
    refused(file)


ZEROS = np.zeros(3, np.float32)


@pytest.mark.parametrize(
    ("change", "arrays"),
    [
        ({"step": -1}, {}),
        ({"step": 1}, {}),
        ({"step": 3}, {}),
        ({"step": ESCAPE}, {}),
        ({"step": 10**12}, {}),
        ({"done": 1}, {}),
        ({"waited": -1}, {}),
        ({"waited": 5}, {}),
        ({"dev_losses": 7}, {}),
        ({"dev_losses": [[3, 1.0]]}, {}),
        ({"dev_losses": [[2, ESCAPE]]}, {}),
        ({"dev_losses": [[2, float("nan")]]}, {}),
        ({"dev_losses": [[2, 1.0], [1, 1.0]]}, {}),
        ({"dev_losses": [[2]]}, {}),
        ({"metrics_bytes": -4}, {}),
        ({"metrics_bytes": 10**30}, {}),
        ({"device": 3}, {}),
        ({"device": ESCAPE}, {}),
        ({"eager": "x"}, {}),
        ({"more": 1}, {}),
        ({"other_generators": [None]}, {}),
        ({"optimizer": {"state": {}, "param_groups": []}}, {}),
        ({"optimizer": {"state": {"x": {}}, "param_groups": []}}, {}),
        ({"optimizer": {"state": {}, "param_groups": [{"params": [0, 1], "lr": 0.1}]}}, {}),
        ({}, {"losses": None}),
        ({}, {"losses": np.zeros((2, 2), np.float32)}),
        ({}, {"losses": np.zeros(2)}),
        ({}, {"losses": np.full(2, np.nan, np.float32)}),
        ({}, {"generator": None}),
        ({}, {"generator": np.zeros(5056, np.uint8)}),
        ({}, {"generator": np.full(5056, 255, np.uint8)}),
        ({}, {"generator": ZEROS}),
        ({}, {"best/b2": ZEROS}),
        ({}, {"best/b2": None}),
        ({}, {"more": ZEROS}),
        ({}, {"model/more": ZEROS}),
    ],
)
def test_the_state_of_a_training_has_its_types_and_ranges(
    training: Path, change: dict[str, Any], arrays: dict[str, Any]
) -> None:
    rewrite(training, {"training": {**header_of(training)["training"], **change}}, **arrays)
    refused(training)


@pytest.mark.slow
def test_an_optimizer_counts_the_steps_of_its_training(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    write(path, file_bytes(True, model="gpt", layers=1, heads=1))
    rewrite(path, {})
    checkpoint.load(path)
    for change in ({"step": np.array(-1, np.float32)}, {"exp_avg": ZEROS}):
        content = path.read_bytes()
        rewrite(path, {}, **{f"optimizer/state/0/{name}": value for name, value in change.items()})
        assert "optimizer/state/0" in refused(path)
        path.write_bytes(content)


def test_metrics_that_are_shorter_than_the_checkpoint_says_take_no_memory(tmp_path: Path) -> None:
    training, path = begun(), tmp_path / "metrics.jsonl"
    path.write_bytes(START + b'1, "loss": 3.0}\n')
    tracemalloc.start()
    try:
        with pytest.warns(UserWarning, match="has lost lines"):
            Metrics(training, path, 2**30).close()
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
    assert path.read_bytes() == START + b'1, "loss": 3.0}\n'


def outline(text: str, **tensors: Any) -> bytes:
    """A safetensors file with this text for its header, and tensors of no numbers."""
    header = json.dumps({"__metadata__": {checkpoint.FORMAT: text}, **tensors}).encode()
    return len(header).to_bytes(8, "little") + header


def largest(header: dict[str, Any], change: dict[str, Any]) -> str:
    return json.dumps({**header, "settings": {**header["settings"], **change}})


@pytest.mark.parametrize(
    "text",
    [
        lambda header: "[" * 1000 + "]" * 1000,
        lambda header: "[" * 100_000,
        lambda header: json.dumps({**header, "training": json.loads("[" * 900 + "]" * 900)}),
        lambda header: json.dumps(header).replace('"version": 2', '"version": ' + "9" * 5000),
        lambda header: largest(header, {"context": 1000, "embedding": 10_000, "hidden": 100_000}),
        lambda header: largest(header, {"model": "gpt", "hidden": 0, "layers": 200, "heads": 1}),
        lambda header: json.dumps({**header, "a": [[]] * 100_000}),
        lambda header: json.dumps({**header, "training": {"x" * 4000: [0] * 100_000}}),
        lambda header: "x" * (checkpoint.LONGEST + 1),
        lambda header: json.dumps({**header, "characters": "." + ESCAPE}),
        lambda header: "null",
    ],
)
def test_a_header_costs_little(file: Path, text: Callable[[dict[str, Any]], str]) -> None:
    file.write_bytes(outline(text(header_of(file))))
    tracemalloc.start()
    try:
        refused(file)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100_000_000


def test_a_file_with_many_names_costs_little(file: Path) -> None:
    header = json.dumps(header_of(file))
    empty = {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}
    file.write_bytes(outline(header, **{str(i): empty for i in range(200_000)}))
    assert "longer than 8,000,000 bytes" in refused(file)
    content = json.dumps({"__metadata__": {checkpoint.FORMAT: header, "more": ""}}).encode()
    file.write_bytes(len(content).to_bytes(8, "little") + content)
    assert "describes itself by more" in refused(file)


@posix
@pytest.mark.parametrize("command", ["sample", "eval"])
def test_what_never_ends_is_not_read(tmp_path: Path, command: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "/dev/zero"):
        assert f"cannot read {name}: it is a device or a pipe" in refuses(call(tmp_path, command, name))
    path = tmp_path / "model.safetensors"
    for name in ("pipe", "/dev/zero"):
        write(path, file_bytes(False))
        rewrite(path, {"settings": {**header_of(path)["settings"], "data": name}})
        assert f"cannot read {name}: it is a device or a pipe" in refuses(call(tmp_path, "eval", str(path)))


def test_what_a_file_says_reaches_the_terminal_escaped(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write(path, file_bytes(False))
    rewrite(path, {"settings": {**header_of(path)["settings"], "data": ESCAPE + "\n"}})
    said = refuses(call(tmp_path, "eval", str(path)))
    assert r"cannot read \x1b]0;mine\x07\x1b[31m\n: No such file" in said
    assert said.rstrip("\n").isprintable()
    said = refuses(call(tmp_path, "sample", ESCAPE))
    assert said.rstrip("\n").isprintable()


@pytest.mark.parametrize(
    ("kind", "allowed", "others"),
    [
        (Whole(1, 3), [1, 3], [0, 4, True, 1.0, "1", None, 10**4000]),
        (Number(0, 2), [0, 2, 1.5], [-1, 2.1, float("nan"), float("inf"), True, "1", 10**4000]),
        (Number(0, 2, above=True), [0.1], [0, 0.0]),
        (OneOf(False, True), [True, False], [0, 1, None]),
        (OneOf(1, "a"), [1, "a"], [True, 1.0, "b", [], {}]),
    ],
)
def test_a_kind_says_what_it_allows(kind: Any, allowed: list[Any], others: list[Any]) -> None:
    for value in allowed:
        kind.check(value, "it")
    for value in others:
        with pytest.raises(FieldError, match=r"^it is .* not "):
            kind.check(value, "it")
