"""A model or a whole training run in a file: its tensors as safetensors, the rest as JSON in the header."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from safetensors.numpy import save as serialize

from .. import Generator, Tensor
from ..api.weights import FileError, opened, tensors_of, to_arrays
from .data import Vocabulary
from .fields import FieldError, Slot
from .header import VERSION, VERSIONS, check_header, check_numbers, check_training
from .models import Model
from .settings import Settings, SettingsError

FORMAT = "tinygrad_ninja.makemore"
"""The one key of the header's metadata; a safetensors file without it is no checkpoint of this program."""

LONGEST = 8_000_000
"""The most bytes of a file's header; with all that `Settings` allows it has fewer."""

MODEL = "model/"
"""Before the names of the model's tensors in a file that holds a training too."""


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
            tensors = {f"{MODEL}{name}": tensor for name, tensor in tensors.items()}
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

    What the header says is compared with the shapes of the tensors before a model is built or a tensor read,
    so that a file costs no more than its size. Raises FileError where the file is missing, damaged, not a
    checkpoint or one of another format, and where its tensors do not fit its settings.
    """
    try:
        with opened(path, _check_outline) as file:
            metadata = file.metadata() or {}
            if FORMAT not in metadata:
                raise FileError(f"{path} is a safetensors file, but not a checkpoint of tinygrad_ninja")
            header = _parsed(metadata[FORMAT])
            if header["version"] != VERSION:
                age = "a newer" if header["version"] > VERSION else "an older"
                raise FileError(
                    f"{path} was written by {age} tinygrad_ninja: its format is {header['version']}, "
                    f"and this one reads format {VERSION}"
                )
            checksum = header.pop("sha256", None)
            settings, vocabulary = check_header(header)
            model = _built(settings, vocabulary, header["training"], file)
            tensors = tensors_of(file, path)
        if checksum != _digest(header, tensors):
            raise FieldError("its content does not agree with its checksum")
        training = header["training"]
        if training is not None:
            training = _put_tensors(training, "", tensors)
            check_numbers(training)
            own = [name for name in tensors if name.startswith(MODEL)]
            tensors = {name.removeprefix(MODEL): tensors[name] for name in own}
    except FieldError as error:
        raise FileError(f"{path} is damaged: {error}") from error
    except RecursionError as error:
        raise FileError(f"{path} is damaged: its header is nested too deeply") from error
    model.load_state_dict(tensors)
    return Checkpoint(model, vocabulary, settings, header["words_sha256"], training)


def _parsed(text: str) -> dict[str, Any]:
    """Return the header, a JSON object with a version. Raises FieldError."""
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:  # no JSON, or with numbers or a depth that Python refuses
        raise FieldError("its header is no JSON that can be read") from error
    if not isinstance(header, dict):
        raise FieldError("its header is no JSON object")
    VERSIONS.check(header.get("version"), "header/version")
    return header


def _built(settings: Settings, vocabulary: Vocabulary, training: Any, file: Any) -> Model:
    """Return a new model of the settings, if the tensors of the file are those of it and its training.

    Raises FieldError before anything is built that is larger than the file.
    """
    try:
        layout = settings.layout(len(vocabulary))
    except SettingsError as error:
        raise FieldError(f"header/settings: {error}") from error
    prefix = "" if training is None else MODEL
    names = set(file.keys())
    own = {f"{prefix}{name}": slot for name, slot in layout.items()}

    def held(name: str) -> Slot | None:
        """Return what the file holds under the name, unread."""
        if name not in names:
            return None
        stored = file.get_slice(name)
        return Slot(tuple(stored.get_shape()), stored.get_dtype())

    if own.keys() != {name for name in names if name.startswith(prefix)} or any(
        held(name) != slot for name, slot in own.items()
    ):
        raise FieldError("the shapes of its tensors do not fit its settings")
    model = settings.build(len(vocabulary), Generator())
    if training is not None:
        check_training(training, settings, model, layout, held)
        if names - own.keys() - set(_tensor_paths(training, "")):
            raise FieldError("it holds tensors that its header does not name")
    return model


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


def _put_tensors(tree: Any, path: str, tensors: Mapping[str, Any]) -> Any:
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


def _tensor_paths(tree: Any, path: str) -> Iterator[str]:
    """Yield the paths of the Tensors that `_take_tensors` has taken from a tree."""
    prefix = f"{path}/" if path else ""
    if tree is None:
        yield path
    elif isinstance(tree, (dict, list)):
        for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from _tensor_paths(value, f"{prefix}{key}")


def _check_outline(file: BinaryIO) -> None:
    """Raise FieldError where safetensors would take long to parse the header of the file: where it is longer
    than LONGEST bytes, or describes itself by more than one entry."""
    length = int.from_bytes(file.read(8), "little")
    if length > os.fstat(file.fileno()).st_size:
        return  # no safetensors file, as its reader says at once
    if length > LONGEST:
        raise FieldError(f"its header is longer than {LONGEST:,} bytes")
    try:
        header = json.loads(file.read(length))
    except (ValueError, RecursionError):
        return  # the same
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    if isinstance(metadata, dict) and len(metadata) > 1:
        raise FieldError("it describes itself by more than a header of tinygrad_ninja")


def _digest(header: dict[str, Any], tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name, array in sorted(to_arrays(tensors).items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
