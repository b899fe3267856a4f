"""A recorded step on torch tensors: as torch code, fused by torch's own compiler, replayed as one CUDA graph.

What the step reads from the host (Python numbers, random numbers, NumPy's arrays) is copied to the device in
one piece before it runs; what it changes on the host (an optimizer's count of its steps) the host computes
itself, so that nothing waits for the device.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from importlib import import_module
from operator import attrgetter
from typing import Any

import numpy as np

from ..instructions import Array, Instruction, Program, Var
from .changes import ChangedError
from .emit_torch import Emitter, elements_of, moves
from .lowering.lower import lowered
from .recording.checks import Check, CheckError, index_checks
from .recording.shapes import ShapeTape, is_torch
from .replay import Replay, Upload, function_of
from .step import Step
from .torch_memory import TorchMemory

torch: Any = import_module("torch")


class TorchStep(Step):
    """A recording that torch runs: "inductor" fuses it, "torch" runs the lines as they are."""

    memory_of = TorchMemory
    memory: TorchMemory

    def _runner(self, backend: str) -> Callable[[], Callable[[], None]]:
        memory, table = self.memory, self.memory.table
        instructions, checks, outputs, stores = self._simplified(lambda step: lowered(step, ShapeTape))
        targets = {at.slot: var for at, var in (*outputs, *stores)}
        known = self._of_the_host(instructions)
        used = [check for instruction in instructions for check in index_checks(instruction)]
        checks += [check for check in used if check.var in known and not check.is_known(memory.ranges)]
        self._host_checks = [check for check in checks if check.var in known]
        memory.ranges |= {check.var: (check.low, check.high) for check in self._host_checks}
        checks = [check for check in checks if check.var not in known]
        self._host_targets = {s: var for s, var in targets.items() if table.host(s) and var in known}
        wanted = [*self._host_targets.values(), *(check.var for check in self._host_checks)]
        self._host = Program(instructions, wanted).needed()
        self._assume(instructions, checks, set(targets))
        targets = {s: var for s, var in targets.items() if s not in self._host_targets}
        run = self._on_device(instructions, checks, targets, backend)
        return lambda: run

    def _of_the_host(self, instructions: list[Instruction]) -> set[Var]:
        """Return the variables that depend on nothing but the host's memory."""
        memory = self.memory
        known = {var for var, at in memory.inputs.items() if memory.table.host(at.slot)}
        for instruction in instructions:
            read = [var for var in instruction.reads() if not var.constant and var not in memory.fixed]
            if read and known.issuperset(read):
                known.add(instruction.output)
        return known

    def _assume(self, instructions: list[Instruction], checks: Iterable[Check], written: set[int]) -> None:
        """Check the indices in a tensor that somebody holds once, and again only when it was changed: to
        check them at every call would mean to wait for the device. All others the code checks itself."""
        memory, table = self.memory, self.memory.table
        whole, parts = elements_of(instructions, attrgetter("whole")), elements_of(instructions, moves)
        known = set(memory.ranges)
        self._looks: list[tuple[int, Check]] = []
        for check in (*checks, *(c for instruction in instructions for c in index_checks(instruction))):
            source = parts.get(check.var, check.var)
            if source not in memory.inputs or source in known:
                continue
            slot = memory.inputs[source].slot
            array: Any = table.arrays[slot]
            if table.host(slot) or slot in written or not array.numel():
                continue
            if whole.get(check.var, check.var) is source:
                self._looks.append((slot, check))
            elif _lies_in(array, check):  # the code relies on this for the elements that it reads
                why = f"an index that is not in [{check.low}, {check.high})"
                self._looks.append((slot, replace(check, error=ChangedError, message=why)))
            else:
                continue
            low, high = memory.ranges.get(check.var, (-math.inf, math.inf))
            memory.ranges[check.var] = max(low, check.low), min(high, check.high)
        # The tensor in each slot, and its version, when it was last checked.
        self._seen: dict[int, tuple[Any, int]] = {slot: (None, 0) for slot, _ in self._looks}
        if self._looks:
            self.guards.append(self._look)

    def _look(self) -> None:
        """Check the tensors that were replaced or changed since they were last checked."""
        arrays: list[Any] = self.memory.table.arrays
        now = {slot: (arrays[slot], arrays[slot]._version) for slot, _ in self._looks}
        seen = {slot for slot, (x, n) in self._seen.items() if x is now[slot][0] and n == now[slot][1]}
        for slot, check in self._looks:
            if slot not in seen and not _lies_in(arrays[slot], check):
                if check.error is ChangedError:
                    raise ChangedError(check.message)
                check.fail()
        self._seen = now

    def _on_device(
        self, instructions: list[Instruction], checks: list[Check], targets: dict[int, Var], backend: str
    ) -> Callable[[], None]:
        """Return the function that runs the step on the device."""
        memory, table = self.memory, self.memory.table
        tensors: dict[str, Any] = {"wrong": table.zeros((), np.int64)}
        self._copies: dict[int, Any] = {}  # computed on the device and needed on the host
        stores: list[tuple[str, Var]] = []
        for slot, var in targets.items():
            name = table.names[slot]
            if table.host(slot):
                name += "_there"
                tensors[name] = self._copies[slot] = table.zeros(var.shape, var.dtype)
            stores.append((name, var))
        names = {var: at.buffer.name for var, at in memory.inputs.items()}
        emitter = Emitter(names, memory.fixed, memory.ranges, str(table.device))
        wanted = [*targets.values(), *(check.var for check in checks)]
        self.source = emitter.emit(Program(instructions, wanted).needed().instructions, checks, stores)
        function = function_of(self.source)
        parameters = function.__code__.co_varnames[: function.__code__.co_argcount]
        slots = [*map({name: slot for slot, name in enumerate(table.names)}.get, parameters)]
        crossing = [slot for slot in slots if slot is not None and table.host(slot)]
        upload = Upload([table.arrays[slot] for slot in crossing], table.device)
        tensors |= {table.names[slot]: t for slot, t in zip(crossing, upload.tensors, strict=True)}
        table.given = {slot for _, _, slot, place in memory.owners if place >= 0 and not table.host(slot)}
        own = {i for i, slot in enumerate(slots) if slot in table.given}
        changed = {i for i, slot in enumerate(slots) if slot in targets}
        draws = {i: memory.device_draws[s] for i, s in enumerate(slots) if s in memory.device_draws}
        fused = backend == "inductor" and not emitter.swaps  # inductor (of torch 2.13) gets swaps wrong
        replay = Replay(function, table.device, fused, own, changed, draws)
        boxed = [i for i, name in enumerate(parameters) if name in emitter.boxed]
        # For each argument the slot that it is read from at each call, or the tensor that it always is.
        arguments = [tensors.get(name, slot) for name, slot in zip(parameters, slots, strict=True)]

        def run() -> None:
            known = self._on_host()
            upload([table.arrays[slot] for slot in crossing])
            if table.moved:
                replay.forget()
                table.moved = False
            given: list[Any] = [
                table.arrays[argument] if type(argument) is int else argument for argument in arguments
            ]
            for i in boxed:
                given[i] = given[i].view(1)
            replay(given)
            if emitter.complaints and (answer := int(tensors["wrong"])):
                raise CheckError(*emitter.complaints[answer - 1])
            for slot, var in self._host_targets.items():
                table.arrays[slot][...] = known[var]
            for slot, tensor in self._copies.items():
                table.arrays[slot][...] = tensor.cpu().numpy()

        return run

    def _on_host(self) -> dict[Var, Array]:
        """Return what the host computes itself. Raise the errors of the checks that fail there."""
        if not self._host.outputs:
            return {}
        arrays = {var: self.memory.table.arrays[at.slot] for var, at in self.memory.inputs.items()}
        values = self._host.run({var: array for var, array in arrays.items() if not is_torch(array)})
        for check in self._host_checks:
            check.look(values[check.var])
        return values


def _lies_in(array: Any, check: Check) -> bool:
    """Return whether all elements of a torch tensor are in the range of a check."""
    smallest, largest = torch.aminmax(array)
    return bool((smallest >= check.low) & (largest < check.high))
