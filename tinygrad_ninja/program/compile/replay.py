"""How emitted torch code is run: fused by torch's own compiler where there is one, and on a GPU replayed as
one CUDA graph.

A CUDA graph replays the same kernels on the same memory, so what differs from call to call (arguments,
numbers, random numbers of the host) is first copied into memory of the graph's own.
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

from ...rng.torch_generator import TorchGenerator
from ..instructions import Array
from .emit_torch import ENTRY
from .recording.captured import Draw
from .refusals import CompileWarning

torch: Any = import_module("torch")
_numbers = count()
_ALIGNED = 64
"""The bytes to whose multiples each value is aligned in what is copied at once."""


def missing_tools(place: str) -> str:
    """Return, as a sentence, what torch's compiler lacks here for that device; "" where it lacks nothing."""
    if place.startswith("cuda") and importlib.util.find_spec("triton") is None:
        return "torch.compile needs Triton for a GPU, which is not installed: pip install triton"
    names = ("cl",) if sys.platform == "win32" else ("c++", "g++", "clang++")
    if not any(shutil.which(name) for name in (os.environ.get("CXX", ""), *names) if name):
        return "torch.compile needs a C++ compiler, and there is none: install g++ or clang"
    return ""


def function_of(source: str) -> Callable[..., None]:
    """Return the function that is defined by emitted source."""
    file = f"<step {next(_numbers)} of tinygrad_ninja>"
    linecache.cache[file] = len(source), None, source.splitlines(keepends=True), file
    names: dict[str, Any] = {"torch": torch}
    exec(compile(source, file, "exec"), names)  # made of instructions and names of variables alone
    function: Callable[..., None] = names[ENTRY]
    return function


class Upload:
    """Copies arrays of the host to a device, all at once and without waiting; `tensors` are the copies."""

    def __init__(self, arrays: Sequence[Array], device: Any) -> None:
        starts = [0]
        for array in arrays:
            starts.append(starts[-1] + -(-array.nbytes // _ALIGNED) * _ALIGNED)
        self._host = np.zeros(starts[-1], np.uint8)
        self._there = torch.from_numpy(self._host).to(device)  # the same memory, where the device is the CPU
        self._sent = None if device.type == "cpu" else self._host.copy()
        self._views, self.tensors = [], []
        for array, start in zip(arrays, starts, strict=False):
            part = slice(start, start + array.nbytes)
            self._views.append(self._host[part].view(array.dtype).reshape(array.shape))
            kind = getattr(torch, array.dtype.name)
            self.tensors.append(self._there[part].view(kind).reshape(array.shape))

    def __call__(self, arrays: Sequence[Array]) -> None:
        for view, array in zip(self._views, arrays, strict=True):
            view[...] = array
        if self._sent is not None and not np.array_equal(self._host, self._sent):
            # torch frees this pinned memory only when the copy is done, however far ahead the host is.
            self._there.copy_(torch.from_numpy(self._host).pin_memory(), non_blocking=True)
            self._sent[...] = self._host


class OnDevice(TorchGenerator):
    """A generator's stream, whose numbers stay on the device where they are drawn."""

    def __init__(self, generator: TorchGenerator) -> None:
        self.__dict__.update(generator.__dict__)

    @classmethod
    def draws(cls, draw: Draw, device: Any) -> bool:
        """Return whether a draw's numbers are drawn on that device."""
        generator = draw.generator
        return isinstance(generator, TorchGenerator) and torch.device(generator._place).type == device.type

    def _to_numpy(self, drawn: Any) -> Any:
        return drawn


class Replay:
    """Runs a function of tensors that writes into some of them.

    own: the positions among its arguments that are other memory at every call; changed: the positions that it
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
        """Drop the captured graph: other memory will be given from now on, also in the places that are not
        `own`."""
        self._graph, self._warm = None, False

    def _run(self, tensors: list[Any]) -> None:
        """Run the function once, with newly drawn numbers."""
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
        """Run the function on a GPU. The first call runs the code as it is, which initialises torch and its
        libraries; the second captures it; every call from then on is one launch."""
        given = {place: tensors[place] for place in self._own}
        for place, tensor in given.items():
            if place not in self._copies:
                self._copies[place] = torch.empty_like(tensor)
            self._copies[place].copy_(tensor, non_blocking=True)
        tensors = [self._copies.get(place, tensor) for place, tensor in enumerate(tensors)]
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
        """Run a step on a stream beside the usual one, as is required before a capture."""
        usual, beside = torch.cuda.current_stream(), torch.cuda.Stream()
        beside.wait_stream(usual)
        with torch.cuda.stream(beside):
            self._run(tensors)
        usual.wait_stream(beside)
        self._warm = True
