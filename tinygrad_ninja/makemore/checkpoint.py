"""A model or a whole training run in a file: its tensors as safetensors, the rest as JSON in the header."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors.numpy import save as serialize

from .. import Generator, Tensor
from ..api.weights import FileError, read, to_arrays
from .data import Vocabulary
from .models import Model
from .settings import Settings, SettingsError

FORMAT = "tinygrad_ninja.makemore"
"""The one key of the header's metadata; a safetensors file without it is no checkpoint of this program."""

VERSION = 2
"""The version of the format, raised whenever an older reader would misread a file."""


@dataclass(frozen=True)
class Checkpoint:
    """A model with what is needed to use it again; words_sha256 is the `fingerprint` of its words.

    training: the run's `Training.state_dict`, to continue from. Without it the file's tensors are those of
    the model's `state_dict`, by their names; with it these are under "model/" and the others under their
    paths, such as "optimizer/state/0/exp_avg".
    """

    model: Model
    vocabulary: Vocabulary
    settings: Settings
    words_sha256: str
    training: Mapping[str, Any] | None = None

    def to_bytes(self) -> bytes:
        """Return the content of the file, the same bytes for the same checkpoint."""
        tensors = self.model.state_dict()
        tree = None
        if self.training is not None:
            tensors = {f"model/{name}": tensor for name, tensor in tensors.items()}
            tree = _take_tensors(self.training, "", tensors)
        header = {
            "version": VERSION,
            "settings": asdict(self.settings),
            "characters": self.vocabulary.characters,
            "words_sha256": self.words_sha256,
            "training": tree,
        }
        header["sha256"] = _digest(header, tensors)
        return serialize(to_arrays(tensors), metadata={FORMAT: json.dumps(header, sort_keys=True)})


def load(path: Path) -> Checkpoint:
    """Return the checkpoint in the file, its model on the CPU.

    Raises FileError where the file is missing, damaged, not a checkpoint or one of another format, and where
    its tensors do not fit its settings.
    """
    metadata, tensors = read(path)
    if FORMAT not in metadata:
        raise FileError(f"{path} is a safetensors file, but not a checkpoint of tinygrad_ninja")
    try:
        header = json.loads(metadata[FORMAT])
        if header["version"] != VERSION:
            age = "a newer" if header["version"] > VERSION else "an older"
            raise FileError(
                f"{path} was written by {age} tinygrad_ninja: its format is {header['version']}, "
                f"and this one reads format {VERSION}"
            )
        if header.pop("sha256") != _digest(header, tensors):
            raise FileError(f"{path} is damaged: its content does not agree with its checksum")
        settings, vocabulary = Settings(**header["settings"]), Vocabulary(header["characters"])
        training = header["training"]
        if training is not None:
            training = _put_tensors(training, "", tensors)
            tensors = {name[6:]: tensor for name, tensor in tensors.items() if name.startswith("model/")}
        try:
            model = settings.build(len(vocabulary), Generator())
            fits = _layout(tensors) == _layout(model.state_dict())
        except (MemoryError, SettingsError):
            fits = False
        if not fits:
            raise FileError(f"{path} is damaged: the shapes of its tensors do not fit its settings")
        model.load_state_dict(tensors)
        return Checkpoint(model, vocabulary, settings, header["words_sha256"], training)
    except (AttributeError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise FileError(f"{path} is damaged: its content is not that of a checkpoint") from error


def fingerprint(words: Iterable[str]) -> str:
    """Return the sha256, in hexadecimal digits, of the words in their order."""
    return hashlib.sha256("\n".join(words).encode()).hexdigest()


def _take_tensors(state: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """Return nested dicts and lists with None for the Tensors, which go into `tensors` under their paths."""
    if isinstance(state, Tensor):
        tensors[path] = state
        return None
    prefix = f"{path}/" if path else ""
    if isinstance(state, Mapping):
        return {str(key): _take_tensors(value, f"{prefix}{key}", tensors) for key, value in state.items()}
    if isinstance(state, (list, tuple)):
        return [_take_tensors(value, f"{prefix}{i}", tensors) for i, value in enumerate(state)]
    return state


def _put_tensors(tree: Any, path: str, tensors: Mapping[str, Tensor]) -> Any:
    """Return what `_take_tensors` was given: its inverse, but that dict keys are strings now, and tuples
    lists."""
    if path in tensors:
        return tensors[path]
    prefix = f"{path}/" if path else ""
    if isinstance(tree, dict):
        return {key: _put_tensors(value, f"{prefix}{key}", tensors) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_put_tensors(value, f"{prefix}{i}", tensors) for i, value in enumerate(tree)]
    return tree


def _layout(tensors: Mapping[str, Tensor]) -> dict[str, tuple[Any, Any]]:
    return {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}


def _digest(header: dict[str, Any], tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name, array in sorted(to_arrays(tensors).items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
