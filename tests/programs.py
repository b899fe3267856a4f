"""Programs made by hand, run as C, as straight-line NumPy and as torch code beside eager NumPy."""

from __future__ import annotations

import ctypes
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from tinygrad_ninja.ops import Operation
from tinygrad_ninja.program.compile.c.build import build, vector_bytes
from tinygrad_ninja.program.compile.c.emit_c import ENTRY
from tinygrad_ninja.program.compile.c.emit_c import Emitter as CEmitter
from tinygrad_ninja.program.compile.c.fuse import Fusion
from tinygrad_ninja.program.compile.c.plan import Storage
from tinygrad_ninja.program.compile.emit_torch import Emitter
from tinygrad_ninja.program.compile.lowering.lower import lowered, parts_for_c, parts_for_numpy, primitives
from tinygrad_ninja.program.compile.memory import Table, aligned
from tinygrad_ninja.program.compile.recording.shapes import ShapeTape
from tinygrad_ninja.program.compile.replay import function_of
from tinygrad_ninja.program.compile.straight import Straight
from tinygrad_ninja.program.instructions import Array, Instruction, Program, Var


class Written:
    """A program that is written down one instruction after the other."""

    def __init__(self) -> None:
        self.instructions: list[Instruction] = []
        self.inputs: dict[Var, Array] = {}

    def input(self, array: Any) -> Var:
        """Return a variable that is read from memory."""
        var = Var(np.array(array))
        self.inputs[var] = var.value
        return var

    def of(self, operation: Operation, *inputs: Any, parameters: tuple[Any, ...] = ()) -> Var:
        """Return the output of an operation, which is computed by NumPy at once."""
        instruction = Instruction(operation, inputs, parameters, Var(np.zeros(())), source="program.py:1")
        value = Program([instruction], [instruction.output]).run({})[instruction.output]
        instruction.output = Var(np.asarray(value))
        self.instructions.append(instruction)
        return instruction.output

    def table(self) -> tuple[Table, dict[Var, Any]]:
        """Return memory for the inputs."""
        table = Table()
        table.add(aligned((0,), np.uint8), "scratch")
        places = {}
        for var, array in self.inputs.items():
            places[var] = table.add(array.copy(), f"x{len(places)}")
        return table, places

    def simple(self, outputs: list[Var], parts: Callable[[Instruction], list[Instruction]]) -> Any:
        """Return the primitive instructions, and the outputs among their variables."""
        instructions, instead = primitives(self.instructions, outputs, parts)
        return instructions, [instead.get(var, var) for var in outputs]

    def as_c(self, *outputs: Var) -> list[Array]:
        """Return the outputs, computed by C."""
        instructions, wanted = self.simple(list(outputs), parts_for_c)
        table, inputs = self.table()
        places = [table.add(aligned(var.shape, var.dtype), f"out{i}") for i, var in enumerate(wanted)]
        storage = Storage(instructions, inputs, set(), {}, {}, set(), vector_bytes())
        fusion = Fusion(storage, instructions, [], list(zip(places, wanted, strict=True)), [])
        emitted = CEmitter(fusion).emit()
        function = getattr(build(emitted.source), ENTRY)
        table.arrays[0] = aligned((emitted.scratch,), np.uint8)
        table.finish()
        assert function(ctypes.c_void_p(ctypes.addressof(table.slots))) == 0
        return [table.arrays[place.slot] for place in places]

    def as_numpy(self, *outputs: Var) -> list[Array]:
        """Return the outputs, computed by straight-line NumPy."""
        instructions, wanted = self.simple(list(outputs), parts_for_numpy)
        table, inputs = self.table()
        places = [table.add(aligned(var.shape, var.dtype), f"out{i}") for i, var in enumerate(wanted)]
        table.finish()
        Straight(instructions, [], inputs, list(zip(places, wanted, strict=True)), table).function()()
        return [table.arrays[place.slot] for place in places]

    def as_torch(self, *outputs: Var) -> list[Array]:
        """Return the outputs, computed by torch code on the CPU."""
        instructions, wanted = self.simple(list(outputs), lambda part: lowered(part, ShapeTape))
        names = {var: f"x{i}" for i, var in enumerate(self.inputs)}
        stores = [(f"out{i}", var) for i, var in enumerate(wanted)]
        emitter = Emitter(names, set(), {}, "cpu")
        function = function_of(emitter.emit(instructions, [], stores))
        given = {names[var]: torch.tensor(array) for var, array in self.inputs.items()}
        given |= {
            name: torch.from_numpy(np.zeros_like(var.value)).reshape(var.shape or 1) for name, var in stores
        }
        given["wrong"] = torch.zeros((), dtype=torch.int64)
        function(**{name: given[name] for name in inspect.signature(function).parameters})
        assert not given["wrong"]
        return [given[name].reshape(var.shape).numpy() for name, var in stores]
