"""Weights in safetensors files: from a model here to the same model in torch.nn, and back."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

import tinygrad_ninja
from tinygrad_ninja.serialization import FileError, load_state_dict, save_state_dict


def mlp(nn: Any) -> Any:
    return nn.Sequential(
        nn.Embedding(27, 10),
        nn.Flatten(),
        nn.Linear(30, 20, bias=False),
        nn.BatchNorm1d(20),
        nn.Tanh(),
        nn.Linear(20, 27),
    )


def nested(nn: Any) -> Any:
    # A LayerNorm after a layer would divide that layer's rounding by a deviation that may be near 0.
    inner = nn.ModuleList([nn.LayerNorm(8), nn.Linear(8, 3)])
    return nn.Sequential(nn.Embedding(27, 8), nn.Sequential(*inner), nn.Linear(3, 2, bias=False))


@pytest.mark.parametrize("build", [mlp, nested])
@pytest.mark.parametrize("device", ["cpu", "torch"])
def test_weights_move_to_torch_and_back(tmp_path: Path, build: Callable[[Any], Any], device: str) -> None:
    X = np.random.default_rng(0).integers(0, 27, (64, 3))
    path = tmp_path / "weights.safetensors"
    ours, theirs = build(tinygrad_ninja.nn).to(device), build(torch.nn)
    for _ in range(3):  # so that the running statistics are not those of the start
        ours(tinygrad_ninja.from_numpy(X).to(device))
    save_state_dict(path, ours.state_dict())
    theirs.load_state_dict(safetensors.torch.load_file(path))
    assert_equal_outputs(ours, theirs, X, device)

    for _ in range(3):
        theirs.train()(torch.from_numpy(X[::-1].copy()))
    safetensors.torch.save_file(theirs.state_dict(), path)
    ours = build(tinygrad_ninja.nn).to(device)
    ours.load_state_dict(load_state_dict(path))
    assert_equal_outputs(ours, theirs, X, device)


def assert_equal_outputs(ours: Any, theirs: Any, X: np.ndarray, device: str) -> None:
    expected = theirs.eval()(torch.from_numpy(X)).detach().numpy()
    out = ours.eval()(tinygrad_ninja.from_numpy(X).to(device)).detach().to("cpu").numpy()
    np.testing.assert_allclose(out, expected, rtol=1e-6, atol=1e-6)
    states = ours.state_dict(), theirs.state_dict()
    assert states[0].keys() == states[1].keys()
    for name, tensor in states[1].items():
        assert str(states[0][name].dtype) == str(tensor.dtype)
        np.testing.assert_array_equal(states[0][name].to("cpu").numpy(), tensor.numpy(), err_msg=name)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "int32", "int64", "float16", "float64"])
def test_every_dtype_and_a_single_number_come_back(tmp_path: Path, dtype: str) -> None:
    state = {"single": np.ones(()), "none": np.ones((0, 2)), "turned": np.eye(3, 2).T}
    state = {name: array.astype(dtype) for name, array in state.items()}
    path = tmp_path / "file"
    save_state_dict(path, {name: tinygrad_ninja.from_numpy(array) for name, array in state.items()})
    for loaded in (load_state_dict(path), safetensors.torch.load_file(path)):
        assert loaded.keys() == state.keys()
        for name, tensor in loaded.items():
            np.testing.assert_array_equal(tensor.numpy(), state[name], strict=True)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.uint16])
def test_a_dtype_that_there_is_not_here_is_named(tmp_path: Path, dtype: torch.dtype) -> None:
    path = tmp_path / "file"
    safetensors.torch.save_file({"w": torch.ones(2).to(dtype)}, path)
    with pytest.raises(FileError, match=f"file holds numbers of a type .*{str(dtype).partition('.')[2]}"):
        load_state_dict(path)


def test_bfloat16_is_read_as_float32(tmp_path: Path) -> None:
    path = tmp_path / "file"
    numbers = torch.tensor([[1.0, -0.0, 3.14], [float("inf"), 1e-40, -3e38]]).to(torch.bfloat16)
    safetensors.torch.save_file({"w": numbers, "none": numbers[:0], "x": torch.ones(3)}, path)
    loaded = load_state_dict(path)
    np.testing.assert_array_equal(loaded["w"].numpy(), numbers.float().numpy(), strict=True)
    assert loaded["none"].shape == (0, 3)
    assert {str(x.dtype) for x in loaded.values()} == {"torch.float32"}


class Tied(torch.nn.Module):
    """An embedding whose weights are those of the output too."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(5, 3)
        self.head = torch.nn.Linear(3, 5, bias=False)
        self.head.weight = self.embedding.weight


def test_tied_weights_of_save_model_have_all_their_names(tmp_path: Path) -> None:
    path, model = tmp_path / "file", Tied()
    safetensors.torch.save_model(model, str(path))
    assert len(safetensors.torch.load_file(path)) == 1
    loaded = load_state_dict(path)
    assert loaded.keys() == model.state_dict().keys()
    assert loaded["head.weight"] is loaded["embedding.weight"]
    np.testing.assert_array_equal(loaded["head.weight"].numpy(), model.head.weight.detach().numpy())


def test_files_that_hold_no_weights_are_named(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("emma")
    with pytest.raises(FileError, match="text is damaged, or no safetensors file"):
        load_state_dict(tmp_path / "text")
    with pytest.raises(FileError, match=r"cannot read .*absent: No such file"):
        load_state_dict(tmp_path / "absent")


def test_what_cannot_be_saved_is_told(tmp_path: Path) -> None:
    model, path = mlp(tinygrad_ninja.nn), tmp_path / "weights.safetensors"
    with pytest.raises(TypeError, match=r"such as model\.state_dict\(\), not a Sequential"):
        save_state_dict(path, model)
    with pytest.raises(TypeError, match="by their names, not 'w': ndarray"):
        save_state_dict(path, {"w": np.ones(2)})  # type: ignore[dict-item]
    with pytest.raises(FileNotFoundError) as told:
        save_state_dict(tmp_path / "absent" / "weights.safetensors", model.state_dict())
    assert told.value.filename == str(tmp_path / "absent" / "weights.safetensors")
    assert not list(tmp_path.iterdir())
