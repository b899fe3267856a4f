"""`save` and `load`: nests of Tensors in files, without pickle.

A file is a safetensors file of the Tensors, whose metadata describe the nest in JSON. A Tensor is stored
under its path, as in "model.0.weight", so that `safetensors.torch.load_file` reads a `state_dict` as it is.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections import OrderedDict
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from safetensors import SafetensorError, deserialize

from ..api.creation import _finish
from ..api.missing import refuse
from ..api.unreplayed import unreplayed
from ..api.weights import FileError, check_regular, widened, write
from ..arrays.dispatch import namespace_of
from ..arrays.dtypes import ALL, BY_NAME, bfloat16, dtype
from ..engine.tensor import Size, Tensor, device, wrap
from ..nn.tree import Parameter

_NEST = "tinygrad_ninja.nest"
_CODES = {
    d: {"bool": "BOOL", "bfloat16": "BF16"}.get(d.name, re.sub(r"([a-z])[a-z]*", r"\1", d.name).upper())
    for d in ALL
}
"""What safetensors calls each dtype: "F32", "I64", "U8"."""
_BY_CODE = {code: d for d, code in _CODES.items()}
_SEQUENCES = {"tuple": tuple, "Size": Size}
_MAPPINGS = {"dict": dict, "OrderedDict": OrderedDict}
_CONTAINERS: tuple[type, ...] = (list, *_SEQUENCES.values(), *_MAPPINGS.values())


@unreplayed
def save(obj: Any, f: Any, pickle_module: Any = None, pickle_protocol: Any = None) -> None:
    """Write a nest of dicts, lists and tuples of Tensors, numbers, strings, dtypes and None, for `load`.

    f: a path, where the whole file is written or nothing, or a file object. Tensors that show the same
    elements are stored once, and share their memory when they are loaded; their strides are not kept, nor is
    it that a list or dict occurs twice. Raises TypeError, which says where, for anything else in the nest,
    ValueError where it contains itself, and for Tensors that overlap; RuntimeError where there is no such
    folder; AttributeError for an `f` that is no file.
    """
    refuse("save", "safetensors", pickle_module=pickle_module, pickle_protocol=pickle_protocol)
    nest = _Nest()
    description = nest.describe(obj, ())
    content = _serialized(nest.arrays, {"format": "pt", _NEST: json.dumps(description)})
    if isinstance(f, (str, os.PathLike)):
        path = Path(f)
        if not path.parent.is_dir():
            raise RuntimeError(f"Parent directory {path.parent} does not exist.")
        write(path, content)
    elif hasattr(f, "write"):
        f.write(content)
    else:
        raise AttributeError(f"expected 'f' to be a path or a file object with a write(), not {f!r}")


@unreplayed
def load(
    f: Any,
    map_location: Any = None,
    pickle_module: Any = None,
    *,
    weights_only: bool | None = True,
    mmap: bool | None = None,
) -> Any:
    """Return what `save` has written; of any other safetensors file its Tensors by their names.

    f: a path or a file object. Each Tensor is put on the device that it was on, or by `map_location`, a
    device or a dict from each device to another. `weights_only` changes nothing, since no file can hold more.

    Raises FileError for a damaged file, one of PyTorch's own format, and bfloat16 where there is none;
    OSError where the file cannot be read, RuntimeError where there is no such device; NotImplementedError for
    a `map_location` that is a function; AttributeError for an `f` that is neither a path nor a file object,
    TypeError for a file of text.
    """
    refuse("load", "safetensors", pickle_module=pickle_module, mmap=mmap)
    if callable(map_location):
        refuse("load", "a device, as in map_location='cpu', or a dict of them", map_location=map_location)
    if isinstance(f, (str, os.PathLike)):
        check_regular(Path(f))
        content, name = Path(f).read_bytes(), str(f)
    elif hasattr(f, "read"):
        content, name = f.read(), str(getattr(f, "name", "the file"))
    else:
        raise AttributeError(f"expected 'f' to be a path or a file object with a read(), not {f!r}")
    if not isinstance(content, (bytes, bytearray)):
        raise TypeError(f"{name} must be opened in binary mode, as in open(…, 'rb')")
    numbers = _deserialized(bytes(content), name)
    stored = _Stored(name, numbers, map_location)
    try:
        (size,) = np.frombuffer(content, "<u8", 1).tolist()
        nest = json.loads(content[8 : 8 + size]).get("__metadata__", {}).get(_NEST)
        if nest is None:
            return {key: stored.tensor(key) for key in numbers}
        return stored.built(json.loads(nest))
    except FileError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError) as error:
        raise FileError(f"{name} is damaged: what it says of its nest makes no sense") from error


class _Nest:
    """A nest on its way into a file: its Tensors' numbers by their names there."""

    def __init__(self) -> None:
        self.arrays: dict[str, tuple[dtype, np.ndarray[Any, Any]]] = {}
        self._tensors: dict[int, tuple[int, Tensor]] = {}
        self._memory: dict[int, tuple[Any, list[tuple[str, Tensor]]]] = {}
        self._around: list[int] = []

    def describe(self, value: Any, path: tuple[str, ...]) -> Any:
        """Return the value at the path as JSON has it; what JSON lacks is {what it is: of what}."""
        kind = type(value)
        if isinstance(value, Tensor):
            return self._tensor(value, path)
        if value is None or kind in (bool, int, str):
            return value
        if kind is float:
            return value if math.isfinite(value) else {"float": repr(value)}
        if kind is dtype:
            return {"dtype": value.name}
        if kind not in _CONTAINERS:
            _refuse(value, path)
        if id(value) in self._around:
            raise ValueError(f"save: {_where(path)} contains itself, and can't be saved")
        self._around.append(id(value))
        if kind in _MAPPINGS.values():
            for key in value:
                _check_key(key, path)
            pairs = [[self.describe(k, path), self.describe(v, (*path, str(k)))] for k, v in value.items()]
            described: Any = {kind.__name__: pairs}
        else:
            items = [self.describe(item, (*path, str(i))) for i, item in enumerate(value)]
            described = items if kind is list else {kind.__name__: items}
        self._around.pop()
        return described

    def _tensor(self, tensor: Tensor, path: tuple[str, ...]) -> Any:
        if id(tensor) in self._tensors:
            return {"same": self._tensors[id(tensor)][0]}
        self._tensors[id(tensor)] = len(self._tensors), tensor
        facts: dict[str, Any] = {"name": self._stored(tensor, path)}
        if str(tensor.device) != "cpu":
            facts["device"] = str(tensor.device)
        if tensor.requires_grad:
            facts["requires_grad"] = True
        if isinstance(tensor, Parameter):
            facts["parameter"] = True
        return {"tensor": facts}

    def _stored(self, tensor: Tensor, path: tuple[str, ...]) -> str:
        """Return the name under which the numbers are stored: another's, where they are the same memory."""
        if type(tensor.array) is not float and tensor.numel():
            storage = namespace_of(tensor.array).storage(tensor.array)
            sharing = self._memory.setdefault(id(storage), (storage, []))[1]
            for name, other in sharing:
                if _view(other) == _view(tensor):
                    return name
                if _overlap(other, tensor):
                    raise ValueError(
                        f"save: {_where(path)} and {name!r} are different views of the same elements, which "
                        "can't be saved: clone() one of them"
                    )
        else:
            sharing = []
        name = self._free_name(path)
        sharing.append((name, tensor))
        host = tensor.detach().to("cpu" if tensor.dtype is not bfloat16 else tensor.device)
        self.arrays[name] = tensor.dtype, np.asarray(host.numpy(), order="C")
        return name

    def _free_name(self, path: tuple[str, ...]) -> str:
        name = ".".join(path).encode(errors="backslashreplace").decode() or "tensor"
        while name in self.arrays or name == "__metadata__":
            name += "_"
        return name


def _view(tensor: Tensor) -> tuple[Any, ...]:
    return tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype


def _overlap(a: Tensor, b: Tensor) -> bool:
    """Return whether two Tensors of the same memory have elements of it in common; of torch's arrays whether
    what lies between their first and their last element has."""
    if isinstance(a.array, np.ndarray) and isinstance(b.array, np.ndarray):
        return np.shares_memory(a.array, b.array)

    def end(tensor: Tensor) -> int:
        steps = sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride(), strict=True))
        return int(tensor.data_ptr() + (steps + 1) * tensor.dtype.itemsize)

    return bool(a.data_ptr() < end(b) and b.data_ptr() < end(a))


def _check_key(key: Any, path: tuple[str, ...]) -> None:
    if not isinstance(key, (str, int, float, type(None), tuple, dtype)):
        _refuse(key, path, "as a key of ")
    if isinstance(key, tuple):
        for part in key:
            _check_key(part, path)


def _refuse(value: Any, path: tuple[str, ...], how: str = "") -> NoReturn:
    raise TypeError(
        f"save: a {type(value).__name__}, {how}{_where(path)}, can't be saved: only dicts, lists and tuples "
        "of Tensors, numbers, strings, dtypes and None; of a Module or an optimizer its state_dict()"
    )


def _where(path: tuple[str, ...]) -> str:
    return repr(".".join(path)) if path else "the object itself"


def _serialized(arrays: dict[str, tuple[dtype, np.ndarray[Any, Any]]], metadata: dict[str, str]) -> bytes:
    """Return a safetensors file. The package of that name writes no bfloat16 without PyTorch."""
    header: dict[str, Any] = {"__metadata__": metadata}
    blocks: list[bytes] = []
    end = 0
    for name, (d, array) in sorted(arrays.items(), key=lambda item: -item[1][0].itemsize):  # aligned
        if d is bfloat16:  # the upper half of a float32
            array = (array.view(np.uint32) >> 16).astype(np.uint16)
        block = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
        start, end = end, end + len(block)
        header[name] = {"dtype": _CODES[d], "shape": list(array.shape), "data_offsets": [start, end]}
        blocks.append(block)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, *blocks])


def _deserialized(content: bytes, name: str) -> dict[str, tuple[dtype, np.ndarray[Any, Any]]]:
    """Return the numbers of a safetensors file, each with its dtype, in memory of their own."""
    try:
        entries = deserialize(content)
    except (SafetensorError, ValueError) as error:
        if content.startswith((b"PK\x03\x04", b"\x80")):  # a zip archive, a pickle
            raise FileError(
                f"{name} is a file of PyTorch's own format, a pickle, which is not read here: "
                "torch.load it in PyTorch, safetensors.torch.save_file the tensors, and load that file here"
            ) from None
        raise FileError(f"{name} is damaged, or no safetensors file") from error
    numbers: dict[str, tuple[dtype, np.ndarray[Any, Any]]] = {}
    for key, entry in entries:
        d = _BY_CODE.get(entry["dtype"])
        if d is None:
            raise FileError(f"{name} holds numbers of a type that there is not here: {entry['dtype']}")
        if d is bfloat16:
            array: np.ndarray[Any, Any] = widened(entry["data"])
        else:
            array = np.frombuffer(entry["data"], d.numpy.newbyteorder("<")).astype(d.numpy)
        numbers[key] = d, array.reshape(entry["shape"])
    return numbers


class _Stored:
    """A file's Tensors on their way out of it."""

    def __init__(
        self, file: str, numbers: dict[str, tuple[dtype, np.ndarray[Any, Any]]], map_location: Any
    ) -> None:
        self._file = file
        self._numbers = numbers
        self._map_location = map_location
        self._placed: dict[tuple[str, str], Any] = {}
        self._tensors: list[Tensor] = []

    def built(self, node: Any) -> Any:
        """Return the value that `describe` has described so."""
        if isinstance(node, list):
            return [self.built(item) for item in node]
        if not isinstance(node, dict):
            return node
        ((kind, content),) = node.items()
        if kind in _SEQUENCES:
            return _SEQUENCES[kind](self.built(item) for item in content)
        if kind in _MAPPINGS:
            return _MAPPINGS[kind]((self.built(key), self.built(value)) for key, value in content)
        match kind:
            case "float":
                return float(content)
            case "dtype":
                return BY_NAME[content]
            case "same":
                return self._tensors[content]
            case "tensor":
                return self._described(content)
        raise KeyError(kind)

    def _described(self, facts: dict[str, Any]) -> Tensor:
        tensor = self.tensor(facts["name"], facts.get("device", "cpu"))
        requires_grad = facts.get("requires_grad", False)
        if facts.get("parameter", False):
            tensor = Parameter(tensor, requires_grad)
        elif requires_grad:
            tensor.requires_grad_()
        self._tensors.append(tensor)
        return tensor

    def tensor(self, name: str, location: str = "cpu") -> Tensor:
        """Return a Tensor of the numbers stored under the name, where `map_location` has it; all that are
        stored under one name share its memory."""
        if (name, location) not in self._placed:
            self._placed[name, location] = self._place(name, location).array
        return wrap(self._placed[name, location])

    def _place(self, name: str, location: str) -> Tensor:
        d, array = self._numbers[name]
        place = self._map_location
        if isinstance(place, dict):
            place = {str(own): other for own, other in place.items()}.get(location)
        if place is None:
            place = location
        if d is bfloat16 and device(place).type in ("cpu", "float"):
            raise FileError(
                f"{self._file} holds {name!r} in bfloat16, which NumPy lacks: take map_location='torch'"
            )
        return _finish(array, place, False, d)
