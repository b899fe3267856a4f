"""`save` and `load`: what comes back, beside what PyTorch's give; and the files between the two."""

import io
import json
import math
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from both import assert_same, assert_same_error, cases

import tinygrad_ninja
from tinygrad_ninja import load, nn, save
from tinygrad_ninja.serialization import FileError, load_state_dict, save_state_dict


def there_and_back(t: Any, value: Any, **options: Any) -> Any:
    """What is loaded of the saved value."""
    file = io.BytesIO()
    t.save(value, file)
    file.seek(0)
    return t.load(file, **options)


def kinds(value: Any) -> Any:
    """The classes of a nest, which `assert_same` does not tell apart."""
    if isinstance(value, dict):
        return {key: kinds(item) for key, item in value.items()}, type(value).__name__
    if isinstance(value, (list, tuple)):
        return [kinds(item) for item in value], type(value).__name__
    return type(value).__name__


@cases(
    lambda t: t.arange(6.0).reshape(2, 3),
    lambda t: t.arange(6.0).reshape(2, 3).T,
    lambda t: t.tensor(2.5),
    lambda t: t.zeros(0, 3),
    lambda t: t.ones(2, requires_grad=True),
    lambda t: t.ones(2, requires_grad=True) * 2,
    lambda t: t.nn.Parameter(t.ones(2)),
    lambda t: t.nn.Parameter(t.ones(2), requires_grad=False),
    lambda t: t.tensor([math.nan, math.inf, -0.0]),
    lambda t: {"a": t.ones(2), "b": [t.zeros(1), (t.ones(()), None)], "c": {"d": t.arange(3)}},
    lambda t: {"a.b": t.ones(1), "a": {"b": t.zeros(1)}, "__metadata__": t.ones(2)},
    lambda t: {"ä\ud800": t.ones(1), "": t.zeros(2), '"\n': "\ud800ß"},
    lambda t: OrderedDict(b=t.ones(1), a=OrderedDict()),
    lambda t: {1: "a", 2.5: "b", None: "c", (1, "x"): "d", True + 1: [], "1": {}},
    lambda t: [1, True, 2.5, -0.0, math.inf, -math.inf, math.nan, "text", None, t.float32],
    lambda t: (t.Size([2, 3]), (), [], {}),
    lambda t: None,
    lambda t: 3,
    lambda t: "text",
    lambda t: t.nn.Sequential(t.nn.Linear(3, 2), t.nn.BatchNorm1d(2)).state_dict()["1.running_var"],
)
def test_a_nest_comes_back_as_it_was(case: Callable[[Any], Any]) -> None:
    def back(t: Any) -> Any:
        t.manual_seed(0)
        loaded = there_and_back(t, case(t))
        return loaded, kinds(loaded)

    assert_same(back, signed_zeros=True)


@pytest.mark.parametrize(
    "d", ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"]
)
def test_every_dtype_comes_back(d: str) -> None:
    assert_same(lambda t: there_and_back(t, [t.arange(5).to(getattr(t, d)), t.zeros(0).to(getattr(t, d))]))


@cases(
    lambda t, x: [x, x],
    lambda t, x: [x, x.detach()],
    lambda t, x: {"a": x.view(4), "b": x.view(4)},
    lambda t, x: [x[0], x[1]],
    lambda t, x: [x[:, 0], x[:, 1]],
    lambda t, x: [x[:0], x],
    lambda t, x: [t.nn.Parameter(x), x],
    lambda t, x: [x[0], x[1], x[0]],
)
def test_what_shared_memory_shares_it_again(case: Callable[..., Any]) -> None:
    def changed(t: Any) -> Any:
        loaded = there_and_back(t, case(t, t.arange(4.0).reshape(2, 2)))
        values = list(loaded.values()) if isinstance(loaded, dict) else loaded
        values[0].data += 10
        return loaded, [value is values[0] for value in values]

    assert_same(changed)


@pytest.mark.parametrize("device", ["cpu", "torch"])
@cases(
    lambda x: [x, x[0]],
    lambda x: [x, x.T],
    lambda x: {"a": {"b": x[0]}, "c": x[:, 0]},
    lambda x: [x.view(4)[1:], x],
)
def test_views_of_the_same_elements_are_refused(case: Callable[..., Any], device: str) -> None:
    x = tinygrad_ninja.arange(4.0).reshape(2, 2).to(device)
    with pytest.raises(ValueError, match=r"are different views of the same .*: clone\(\) one of them"):
        save(case(x), io.BytesIO())
    there_and_back(tinygrad_ninja, [x, x[0].clone(), x.T.clone()])


def trained(t: Any) -> tuple[Any, Any]:
    t.manual_seed(0)
    model = t.nn.Sequential(t.nn.Linear(3, 4), t.nn.BatchNorm1d(4), t.nn.Tanh(), t.nn.Linear(4, 1))
    return model, t.optim.AdamW(model.parameters(), lr=0.01)


def train(t: Any, model: Any, optimizer: Any, steps: int) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        model(t.randn(8, 3)).pow(2).mean().backward()
        optimizer.step()


def test_a_training_goes_on_from_a_file(tmp_path: Path) -> None:
    t, path = tinygrad_ninja, tmp_path / "checkpoint.pt"
    model, optimizer = trained(t)
    train(t, model, optimizer, 3)
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}
    save({**state, "rng": t.get_rng_state()}, path)
    train(t, model, optimizer, 3)

    again, other = trained(t)
    checkpoint = load(str(path), map_location="cpu", weights_only=True)
    again.load_state_dict(checkpoint["model"])
    other.load_state_dict(checkpoint["optimizer"])
    t.set_rng_state(checkpoint["rng"])
    assert checkpoint["epoch"] == 3
    train(t, again, other, 3)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(again.state_dict()[name].numpy(), value.numpy())
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_state_dict_moves_to_pytorch_and_back(tmp_path: Path) -> None:
    path = tmp_path / "model"
    ours, theirs = trained(tinygrad_ninja)[0], trained(torch)[0]
    save(ours.state_dict(), path)
    theirs.load_state_dict(safetensors.torch.load_file(path))
    assert load(path).keys() == load_state_dict(path).keys() == ours.state_dict().keys()

    safetensors.torch.save_file(theirs.state_dict(), path)
    ours.load_state_dict(load(path))
    save_state_dict(path, ours.state_dict())
    assert isinstance(load(path)["0.weight"], tinygrad_ninja.Tensor)


@pytest.mark.parametrize("requires_grad", [False, True])
def test_bfloat16(tmp_path: Path, requires_grad: bool) -> None:
    numbers = [1.0, -2.5, 3.140625, math.inf, 1e-40, 0.0]
    x = tinygrad_ninja.tensor(numbers, dtype=tinygrad_ninja.bfloat16, device="torch")
    save({"x": x.requires_grad_(requires_grad), "none": x.detach()[:0]}, tmp_path / "x")
    theirs = safetensors.torch.load_file(tmp_path / "x")
    assert theirs["x"].dtype is torch.bfloat16
    assert theirs["x"].tolist() == torch.tensor(numbers, dtype=torch.bfloat16).tolist()
    loaded = load(tmp_path / "x")
    assert (loaded["x"].dtype, str(loaded["x"].device)) == (tinygrad_ninja.bfloat16, "torch")
    assert loaded["x"].requires_grad is requires_grad
    assert loaded["x"].tolist() == x.tolist()
    assert loaded["none"].shape == (0,)

    safetensors.torch.save_file(theirs, tmp_path / "x")
    assert load(tmp_path / "x", map_location="torch")["x"].tolist() == x.tolist()
    for options in ({}, {"map_location": "cpu"}):
        with pytest.raises(FileError, match="in bfloat16, which NumPy lacks: take map_location='torch'"):
            load(tmp_path / "x", **options)


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (None, "torch"),
        ("cpu", "cpu"),
        (tinygrad_ninja.device("cpu"), "cpu"),
        ("torch", "torch"),
        ({"torch": "cpu"}, "cpu"),
        ({"cuda:0": "cpu"}, "torch"),
    ],
)
def test_map_location(place: Any, expected: str) -> None:
    x = tinygrad_ninja.arange(3.0).to("torch")
    first, second = there_and_back(tinygrad_ninja, [x, x.detach()], map_location=place)
    assert str(first.device) == expected
    first += 1
    assert second.tolist() == [1, 2, 3]


def test_a_python_float_comes_back() -> None:
    x = there_and_back(tinygrad_ninja, tinygrad_ninja.tensor(2.5).to("float"))
    assert (str(x.device), x.item()) == ("float", 2.5)


@cases(
    lambda t, path: t.load(path / "absent"),
    lambda t, path: t.save(t.ones(1), path / "absent" / "file"),
    lambda t, path: t.save(t.ones(1), 3),
    lambda t, path: t.load(3),
    lambda t, path: t.save(t.ones(1)),
)
def test_errors(case: Callable[..., Any], tmp_path: Path) -> None:
    assert_same_error(lambda t: case(t, tmp_path))


@pytest.mark.parametrize("zipped", [True, False])
def test_pytorchs_own_files_are_refused_with_the_way_out(tmp_path: Path, zipped: bool) -> None:
    torch.save({"x": torch.ones(2)}, tmp_path / "x.pt", _use_new_zipfile_serialization=zipped)
    way = r"x\.pt is a file of PyTorch's own format.*torch\.load it in PyTorch, safetensors\.torch\.save_file"
    with pytest.raises(FileError, match=way):
        load(tmp_path / "x.pt")


class Own:
    """What is no nest of Tensors."""


@cases(
    lambda t: (Own(), "a Own, the object itself, can't be saved"),
    lambda t: ({"a": [Own()]}, r"a Own, 'a\.0', can't be saved: only dicts, lists and tuples"),
    lambda t: (nn.Linear(1, 1), r"a Linear, the object itself, .* of a Module .* its state_dict\(\)"),
    lambda t: ({"a": np.ones(2)}, "a ndarray, 'a', can't"),
    lambda t: ({"a": np.float64(2)}, "a float64, 'a', can't"),
    lambda t: ({"a": {1, 2}}, "a set, 'a', can't"),
    lambda t: ({"a": b"bytes"}, "a bytes, 'a', can't"),
    lambda t: ({"a": {t.ones(1): 1}}, "a Tensor, as a key of 'a', can't"),
    lambda t: ({(1, Own()): 1}, "a Own, as a key of the object itself, can't"),
)
def test_what_is_no_nest_is_refused(case: Callable[..., Any]) -> None:
    value, message = case(tinygrad_ninja)
    with pytest.raises(TypeError, match=message):
        save(value, io.BytesIO())


def test_a_nest_that_contains_itself_is_refused() -> None:
    nest: dict[str, Any] = {"a": []}
    nest["a"].append(nest)
    with pytest.raises(ValueError, match=r"'a\.0' contains itself"):
        save(nest, io.BytesIO())
    shared = [1]
    assert there_and_back(tinygrad_ninja, [shared, shared]) == [[1], [1]]


@pytest.mark.parametrize(
    "options", [{"pickle_module": json}, {"mmap": True}, {"map_location": lambda x, on: x}]
)
def test_arguments_that_are_not_offered_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(NotImplementedError, match=f"load: {next(iter(options))}=.* is not offered here"):
        load(io.BytesIO(), **options)


def with_nest(nest: str) -> bytes:
    """A file that says that of its nest."""
    metadata = {"tinygrad_ninja.nest": nest}
    return safetensors.torch.save({"x": torch.ones(2)}, metadata)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"emma",
        b"\x08\0\0\0\0\0\0\0{}",
        safetensors.torch.save({"x": torch.ones(2)})[:-1],
        with_nest("{"),
        with_nest('{"tensor": {"name": "y"}}'),
        with_nest('{"tensor": {"name": ["x"]}}'),
        with_nest('{"tensor": "x"}'),
        with_nest('{"same": 0}'),
        with_nest('{"unheard_of": 0}'),
        with_nest('{"dict": [], "tuple": []}'),
        with_nest('{"dict": [[[], 1]]}'),
        with_nest('{"dict": [1]}'),
        with_nest('{"float": "x"}'),
        with_nest("[" * 100_000),
    ],
)
def test_damaged_files_are_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "torn").write_bytes(content)
    with pytest.raises(FileError, match="torn is damaged"):
        load(tmp_path / "torn")


@pytest.mark.parametrize("dtype", [torch.complex64, torch.uint16])
def test_a_dtype_that_there_is_not_here_is_named(dtype: torch.dtype) -> None:
    content = safetensors.torch.save({"x": torch.ones(2).to(dtype)})
    with pytest.raises(FileError, match="the file holds numbers of a type that there is not here"):
        load(io.BytesIO(content))


def test_a_file_that_is_not_binary_is_told() -> None:
    with pytest.raises(TypeError, match="must be opened in binary mode"):
        load(io.StringIO("text"))


def test_large_integers_come_back() -> None:
    assert there_and_back(tinygrad_ninja, [-(2**70), 2**63]) == [-(2**70), 2**63]


def test_what_is_loaded_can_be_changed() -> None:
    x = there_and_back(tinygrad_ninja, tinygrad_ninja.zeros(2))
    x += 1
    assert x.tolist() == [1, 1]
