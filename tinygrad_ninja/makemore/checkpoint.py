"""A trained model in a file: its tensors in the safetensors format, everything else as JSON in the header."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as serialize

from .. import Generator, from_numpy
from .data import Vocabulary
from .models import MLP
from .training import Settings

FORMAT = "tinygrad_ninja.makemore"
"""The one key of the header's metadata; a safetensors file without it is not ours."""

VERSION = 1
"""Raised whenever a reader of the version before would misread a file."""


class CheckpointError(ValueError):
    """The file cannot be used as a checkpoint; the message is one sentence that names it."""


@dataclass(frozen=True)
class Checkpoint:
    """A model with what is needed to use it again; words_sha256 is the `fingerprint` of its words."""

    model: MLP
    vocabulary: Vocabulary
    settings: Settings
    words_sha256: str

    def to_bytes(self) -> bytes:
        """The file, the same bytes for the same checkpoint."""
        arrays = _arrays(self.model)
        header = {
            "version": VERSION,
            "settings": asdict(self.settings),
            "characters": self.vocabulary.characters,
            "words_sha256": self.words_sha256,
        }
        header["sha256"] = _digest(header, arrays)
        return serialize(arrays, metadata={FORMAT: json.dumps(header, sort_keys=True)})


def load(path: Path) -> Checkpoint:
    """The checkpoint in the file, its model on the CPU.

    Raises CheckpointError where the file is missing, damaged, not a checkpoint or one of a newer format, and
    where its tensors are not those of its settings.
    """
    header, arrays = _read(path)
    try:
        if header["version"] > VERSION:
            raise CheckpointError(
                f"{path} was written by a newer tinygrad_ninja: its format is {header['version']}, "
                f"and this one reads formats up to {VERSION}"
            )
        if header.pop("sha256") != _digest(header, arrays):
            raise CheckpointError(f"{path} is damaged: its content does not agree with its checksum")
        settings, vocabulary = Settings(**header["settings"]), Vocabulary(header["characters"])
        # The two shapes from which all others follow come first, so that no false size takes up the memory.
        if (
            arrays["C"].shape != (len(vocabulary), settings.embedding)
            or arrays["W1"].shape != (settings.context * settings.embedding, settings.hidden)
            or _layout(arrays) != _layout(_arrays(model := settings.build(len(vocabulary), Generator())))
        ):
            raise CheckpointError(f"{path} is damaged: the shapes of its tensors do not fit its settings")
        model.load_state_dict({name: from_numpy(array) for name, array in arrays.items()})
        return Checkpoint(model, vocabulary, settings, header["words_sha256"])
    except (AttributeError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged: its content is not that of a checkpoint") from error


def write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: a crash leaves the old content or the new. Raises OSError."""
    # A file is moved in one piece only within its folder.
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def fingerprint(words: Iterable[str]) -> str:
    """The sha256, in hexadecimal digits, of the words in their order."""
    return hashlib.sha256("\n".join(words).encode()).hexdigest()


def _read(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    try:
        with path.open("rb"):  # says in plain words why a file cannot be read, which safe_open does not
            pass
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if FORMAT not in metadata:
                raise CheckpointError(f"{path} is a safetensors file, but not a checkpoint of tinygrad_ninja")
            return json.loads(metadata[FORMAT]), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    except SafetensorError as error:
        raise CheckpointError(f"{path} is damaged, or not a checkpoint") from error
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{path} is damaged: its content is not that of a checkpoint") from error


def _arrays(model: MLP) -> dict[str, NDArray[Any]]:
    return {name: tensor.to("cpu").numpy() for name, tensor in model.state_dict().items()}


def _layout(arrays: dict[str, NDArray[Any]]) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    return {name: (array.shape, array.dtype) for name, array in arrays.items()}


def _digest(header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].shape}".encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()
