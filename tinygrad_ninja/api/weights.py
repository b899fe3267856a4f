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
from safetensors import SafetensorError, safe_open
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
    """Return the Tensors of the file by their names, on the CPU, with the dtypes they were saved with.

    Raises FileError where the file cannot be read, is damaged or no safetensors file, or holds a dtype that
    this package lacks.
    """
    return read(Path(path))[1]


def to_arrays(state_dict: Mapping[str, Tensor]) -> dict[str, NDArray[Any]]:
    """Return the Tensors as NumPy arrays in C order, since safetensors writes the memory as it is."""
    return {
        name: np.asarray(tensor.detach().to("cpu").numpy(), order="C") for name, tensor in state_dict.items()
    }


def read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Return the metadata and the Tensors of a safetensors file; errors as for `load_state_dict`."""
    with opened(path) as file:
        return file.metadata() or {}, tensors_of(file, path)


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
    """Return the Tensors of an `opened` file by their names. Raises FileError, which names the path, for a
    dtype that this package lacks."""
    try:
        return {name: from_numpy(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
    except (AttributeError, TypeError) as error:  # raised by NumPy, or by `from_numpy`
        raise FileError(f"{path} holds numbers of a type that there is not here: {error}") from error


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
