"""The memory of a step on torch's tensors: these, and the host's arrays."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

import numpy as np

from ..instructions import Array, Var
from .c.buffers import Address, Buffer
from .memory import Table, aligned, pointer
from .recording.captured import Draw
from .recording.shapes import is_torch
from .replay import OnDevice
from .step_memory import StepMemory

torch: Any = import_module("torch")


class TorchTable(Table):
    """The memory of a step on torch tensors: these, and the host's arrays.

    names: those of the slots, in the code. given: the slots that hold another tensor at every call. moved:
    whether a tensor in another slot was replaced.
    """

    def __init__(self, place: str) -> None:
        super().__init__()
        self.device = torch.device("cpu" if place == "torch" else place)
        self.names: list[str] = []
        self.given: set[int] = set()
        self.moved = False

    def add(self, array: Any, name: str) -> Address:
        shape = tuple(array.shape)
        buffer = Buffer(name, np.dtype(np.int8), shape, (0,) * len(shape), len(self.arrays))
        self.arrays.append(array)
        self.names.append(name)
        return Address(buffer, 0, buffer.shape, buffer.strides)

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """Return a tensor of zeros on the device."""
        return torch.zeros(shape, dtype=getattr(torch, np.dtype(dtype).name), device=self.device)

    def host(self, slot: int) -> bool:
        """Return whether a slot holds the host's memory."""
        return not is_torch(self.arrays[slot])

    def span(self, array: Any) -> tuple[int, int]:
        if not is_torch(array):
            return super().span(array)
        reach = sum((n - 1) * step for n, step in zip(array.shape, array.stride(), strict=True)) + 1
        start = array.data_ptr()
        return start, start + (reach * array.element_size() if array.numel() else 0)

    def alike(self, slot: int, array: Any) -> bool:
        before: Any = self.arrays[slot]
        if self.host(slot):
            return super().alike(slot, array)
        return is_torch(array) and (array.shape, array.dtype, array.stride(), array.device) == (
            before.shape, before.dtype, before.stride(), before.device,
        )  # fmt: skip

    def renew(self, slot: int) -> Any:
        before = self.arrays[slot]
        self.point(slot, np.zeros_like(before) if self.host(slot) else torch.zeros_like(before))
        return self.arrays[slot]

    def address(self, slot: int) -> int:
        array: Any = self.arrays[slot]
        return pointer(array) if self.host(slot) else array.data_ptr()

    def point(self, slot: int, array: Any) -> None:
        self.arrays[slot] = array
        self.moved |= slot not in self.given and is_torch(array)


class TorchMemory(StepMemory):
    """What a step reads and writes on the device, and on the host. device_draws: by their slot, the random
    numbers that the device draws."""

    draws_integers = False
    reserved = re.compile(r"(t|x|out|constant|number|drawn)\d+(_.*)?")
    table: TorchTable

    def _new_table(self) -> TorchTable:
        return TorchTable(self.captured.place)

    def _names(self) -> dict[Var, str]:
        names = self.captured.names
        for cell in self.captured.cells:
            for node, grad in self.captured.gradients:
                if grad is not None and cell.owner is not None and node is cell.owner.edge:
                    assert cell.before is not None
                    names.setdefault(grad, f"{names.get(cell.before, 'x')}_grad")
        return super()._names()

    def _home(self, var: Var) -> Any:
        if self.captured.places.get(var, "cpu") == "cpu" and not var.constant:
            return aligned(var.shape, var.dtype)
        return self.table.zeros(var.shape, var.dtype)

    def add_constant(self, var: Var, array: Array) -> None:
        super().add_constant(var, array)
        self.table.arrays[self.inputs[var].slot] = torch.from_numpy(np.array(array)).to(self.table.device)

    def _add_draws(self) -> None:
        super()._add_draws()
        for draw in self.captured.draws:
            if draw.method == "integers":
                self.ranges[draw.var] = draw.arguments[:2]
            elif draw.method == "permutation":
                self.ranges[draw.var] = 0, draw.arguments[0]
        self.device_draws: dict[int, Draw] = {}
        for draw, holder in self.draws:
            if OnDevice.draws(draw, self.table.device):
                slot = self.inputs[draw.var].slot
                self.device_draws[slot] = draw
                self.table.arrays[slot] = self.table.zeros(holder.shape, holder.dtype)
        self.draws = [pair for pair in self.draws if pair[0] not in self.device_draws.values()]
        self.draws_on_device = bool(self.device_draws)
