"""How emitted torch code is run: fused by torch's own compiler where there is one, and on a GPU replayed as
one CUDA graph.

A CUDA graph replays the same kernels on the same memory, so that what differs from call to call (arguments,
numbers, random numbers of the host) is copied into memory of the graph's own before.
"""

from __future__ import annotations

import importlib.util
import linecache
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from itertools import count
from typing import Any

import numpy as np

from ...torch_generator import TorchGenerator
from ..instructions import Array
from .capture import Draw
from .compiled import CompileWarning
from .emit_torch import ENTRY

torch: Any = import_module("torch")
_numbers = count()
_ALIGNED = 64
"""Bytes: where a value may begin in what is copied at once."""


def missing_tools(place: str) -> str:
    """What torch's compiler lacks here for that device, as a sentence; "" where it lacks nothing."""
    if place.startswith("cuda") and importlib.util.find_spec("triton") is None:
        return "torch.compile needs Triton for a GPU, which is not installed: pip install triton"
    names = ("cl",) if sys.platform == "win32" else ("c++", "g++", "clang++")
    if not any(shutil.which(name) for name in (os.environ.get("CXX", ""), *names) if name):
        return "torch.compile needs a C++ compiler, and there is none: install g++ or clang"
    return ""


def function_of(source: str) -> Callable[..., None]:
    """The function that emitted source defines."""
    file = f"<step {next(_numbers)} of tinygrad_ninja>"
    linecache.cache[file] = len(source), None, source.splitlines(keepends=True), file
    names: dict[str, Any] = {"torch": torch}
    exec(compile(source, file, "exec"), names)  # made of instructions and names of variables alone
    function: Callable[..., None] = names[ENTRY]
    return function


class Upload:
    """Copies arrays of the host to a device, all at once and without waiting; `tensors` are where they go."""

    def __init__(self, arrays: Sequence[Array], device: Any) -> None:
        starts = [0]
        for each in arrays:
            starts.append(starts[-1] + -(-each.nbytes // _ALIGNED) * _ALIGNED)
        self._host = np.zeros(starts[-1], np.uint8)
        self._there = torch.from_numpy(self._host).to(device)  # the same memory, where the device is the CPU
        self._sent = None if device.type == "cpu" else self._host.copy()
        self._views, self.tensors = [], []
        for each, start in zip(arrays, starts, strict=False):
            part = slice(start, start + each.nbytes)
            self._views.append(self._host[part].view(each.dtype).reshape(each.shape))
            kind = getattr(torch, each.dtype.name)
            self.tensors.append(self._there[part].view(kind).reshape(each.shape))

    def __call__(self, arrays: Sequence[Array]) -> None:
        for view, each in zip(self._views, arrays, strict=True):
            view[...] = each
        if self._sent is not None and not np.array_equal(self._host, self._sent):
            # Pinned memory that torch takes back when the copy is done, however far ahead the host is.
            self._there.copy_(torch.from_numpy(self._host).pin_memory(), non_blocking=True)
            self._sent[...] = self._host


class OnDevice(TorchGenerator):
    """A generator's stream, whose numbers stay on the device where they are drawn."""

    def __init__(self, generator: TorchGenerator) -> None:
        self.__dict__.update(generator.__dict__)

    @classmethod
    def draws(cls, draw: Draw, device: Any) -> bool:
        """Whether the numbers are drawn on that device."""
        made = draw.generator
        return isinstance(made, TorchGenerator) and torch.device(made._place).type == device.type

    def _to_numpy(self, drawn: Any) -> Any:
        return drawn


class Replay:
    """Runs a function of tensors that writes into some of them.

    own: the places among its arguments that are other memory at every call; changed: those of them that it
    writes to; draws: those that are drawn on the device, anew at every call.
    """

    def __init__(
        self,
        function: Callable[..., None],
        device: Any,
        fused: bool,
        own: set[int],
        changed: set[int],
        draws: dict[int, Draw],
    ) -> None:
        self._draws = [(place, draw, OnDevice(draw.generator)) for place, draw in draws.items()]  # type: ignore[arg-type]
        self._plain = function
        self._function = torch.compile(function, fullgraph=True, dynamic=False) if fused else function
        self._device, self._own, self._changed = device, own, own & changed
        self._graph: Any = None
        self._warm = False
        self._copies: dict[int, Any] = {}

    def __call__(self, tensors: list[Any]) -> None:
        with torch.no_grad():
            if self._device.type == "cpu":
                self._run(tensors)
            else:
                with torch.cuda.device(self._device):
                    self._replay(tensors)

    def forget(self) -> None:
        """Other memory will be given from now on, also in the places that are not `own`."""
        self._graph, self._warm = None, False

    def _run(self, tensors: list[Any]) -> None:
        for place, draw, generator in self._draws:
            drawn = getattr(generator, draw.method)(*draw.arguments, **draw.options)
            tensors[place] = drawn.reshape(draw.var.shape)
        try:
            self._function(*tensors)
        except torch._dynamo.exc.TorchDynamoException as error:
            warnings.warn(
                "torch.compile failed, and the step runs as straight-line torch code: "
                + (str(error).strip().splitlines() or [type(error).__name__])[0],
                CompileWarning,
                stacklevel=6,
            )
            self._function = self._plain
            self._function(*tensors)

    def _replay(self, tensors: list[Any]) -> None:
        """The first call runs the code as it is, which makes torch and its libraries ready; the second
        captures it; every call from then on is one launch."""
        given = {place: tensors[place] for place in self._own}
        for place, each in given.items():
            if place not in self._copies:
                self._copies[place] = torch.empty_like(each)
            self._copies[place].copy_(each, non_blocking=True)
        tensors = [self._copies.get(place, each) for place, each in enumerate(tensors)]
        if not self._warm:
            self._warm_up(tensors)
        else:
            if self._graph is None:
                self._graph = torch.cuda.CUDAGraph()
                for *_, generator in self._draws:  # so that each replay draws what comes next
                    self._graph.register_generator_state(generator._generator)
                with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
                    self._run(tensors)
            self._graph.replay()
        for place in self._changed:
            given[place].copy_(self._copies[place], non_blocking=True)

    def _warm_up(self, tensors: list[Any]) -> None:
        """A step on a stream beside the usual one, as before any capture."""
        usual, beside = torch.cuda.current_stream(), torch.cuda.Stream()
        beside.wait_stream(usual)
        with torch.cuda.stream(beside):
            self._run(tensors)
        usual.wait_stream(beside)
        self._warm = True
