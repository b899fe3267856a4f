"""Tensors in files, in the safetensors format, as users of PyTorch read and write a `state_dict`.

    save_state_dict("model.safetensors", model.state_dict())
    model.load_state_dict(load_state_dict("model.safetensors"))

`safetensors.torch.load_file` reads the same file for the same model written in `torch.nn`, and files of
`safetensors.torch.save_file` are read here.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize, safe_open
from safetensors.numpy import save as serialize

from ..engine.tensor import Tensor
from .creation import from_numpy


class FileError(ValueError):
    """The file does not hold what it should; the message is one sentence that names it."""


def save_state_dict(path: str | os.PathLike[str], state_dict: Mapping[str, Tensor]) -> None:
    """Write the Tensors, which may be on any device, under their names: the whole file or nothing.

    Raises TypeError for anything but a mapping of names to Tensors; OSError where the file cannot be written.
    """
    if not isinstance(state_dict, Mapping):
        raise TypeError(
            f"expected a state_dict, such as model.state_dict(), not a {type(state_dict).__name__}"
        )
    for name, tensor in state_dict.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise TypeError(
                f"a state_dict holds Tensors by their names, not {name!r}: {type(tensor).__name__}"
            )
    write(Path(path), serialize(to_arrays(state_dict)))


def load_state_dict(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Return the Tensors of the file by their names, on the CPU, with their shapes and dtypes.

    bfloat16, which NumPy lacks, becomes float32, which has all of its numbers. A Tensor that safetensors'
    `save_model` has stored once for several names is returned under each of them.

    Raises FileError where the file cannot be read, is damaged or no safetensors file, or holds a dtype that
    this package lacks.
    """
    path = Path(path)
    with opened(path) as file:
        tensors = tensors_of(file, path)
        for name, kept in (file.metadata() or {}).items():
            if name != "format" and kept in tensors:  # `save_model` says so of a name that it left out
                tensors.setdefault(name, tensors[kept])
        return tensors


def to_arrays(state_dict: Mapping[str, Tensor]) -> dict[str, NDArray[Any]]:
    """Return the Tensors as NumPy arrays in C order, since safetensors writes the memory as it is."""
    return {
        name: np.asarray(tensor.detach().to("cpu").numpy(), order="C") for name, tensor in state_dict.items()
    }


@contextmanager
def opened(path: Path, check: Callable[[BinaryIO], None] | None = None) -> Iterator[Any]:
    """Open a safetensors file whose Tensors are read within the block; errors as for `load_state_dict`.

    check: called with the file before safetensors parses it.
    """
    try:
        check_regular(path)
        with path.open("rb") as stream:  # its error says in plain words why a file can't be read
            if check is not None:
                check(stream)
        with safe_open(path, framework="numpy") as file:
            yield file
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror}") from error
    except SafetensorError as error:
        raise FileError(f"{path} is damaged, or no safetensors file") from error


def tensors_of(file: Any, path: Path) -> dict[str, Tensor]:
    """Return the Tensors of an `opened` file by their names, bfloat16 as float32.

    Raises FileError, which names the path, for a dtype that this package lacks.
    """
    tensors: dict[str, Tensor] = {}
    stored: dict[str, Any] = {}
    try:
        for name in file.keys():  # noqa: SIM118
            if file.get_slice(name).get_dtype() == "BF16":
                stored = stored or dict(deserialize(path.read_bytes()))
                array = widened(stored[name]["data"]).reshape(stored[name]["shape"])
            else:
                array = file.get_tensor(name)
            tensors[name] = from_numpy(array)
    except (AttributeError, TypeError) as error:  # raised by NumPy, or by `from_numpy`
        raise FileError(f"{path} holds numbers of a type that there is not here: {error}") from error
    return tensors


def widened(data: bytes) -> NDArray[np.float32]:
    """Return bfloat16 numbers, as safetensors stores them, in float32, of which they are the upper half."""
    return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)


def check_regular(path: Path) -> None:
    """Raise OSError where reading might never end: for a device, a pipe or a socket, and what is absent."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # a folder's own error is as good
        raise OSError(errno.EINVAL, "it is a device or a pipe, and no file", str(path))


def write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: a crash leaves the old content or the new. Raises OSError."""
    # Renaming a file is atomic only within its folder.
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:  # whose message names the temporary file
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)
