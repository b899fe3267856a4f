"""A recorded step that can be run: as C, or as straight-line NumPy."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, cast

import numpy as np

from ...api.threads import get_num_threads
from ...engine.tensor import Tensor
from ...ops import order
from ..entries import FIRST_EQUAL
from ..instructions import Instruction, Program
from .c.blas import loaded
from .c.buffers import ALIGNED
from .c.build import NoCompilerError, build, vector_bytes
from .c.emit_c import ENTRY, Emitted, Emitter
from .c.fuse import Fusion
from .c.plan import Storage, reads_memory
from .c.sharing import COUNT
from .caller import caller
from .lowering.fewer_copies import with_fewer_copies
from .lowering.lower import forget_values, parts_for_c, parts_for_numpy, primitives, reduced_size
from .memory import Arena, aligned
from .recording.captured import Captured
from .recording.checks import Check, CheckError
from .refusals import warn_once
from .step_memory import StepMemory, Targets
from .straight import Straight


class Step:
    """One recording, compiled when it first runs. `program` is what was recorded, `source` its C, or "" where
    NumPy runs it; `guards` are called before each run, and raise where it may not be."""

    memory_of: type[StepMemory] = StepMemory

    def __init__(
        self,
        captured: Captured,
        arguments: dict[int, Tensor],
        bare: set[int],
        backend: str,
        arena: Arena | None = None,
    ) -> None:
        """Write the code for what was captured. arguments: the Tensors among the function's arguments, by
        their position; bare: the positions of those that are given as arrays; arena: where it leaves, or
        finds, variables."""
        self.captured, self.arena = captured, arena or Arena(())
        self.memory = self.memory_of(captured, arguments, bare)
        self.source = ""
        self.fused: list[str] = []
        self.guards: list[Callable[[], None]] = []
        self.program = Program(captured.instructions, self.memory.wanted).needed()
        self.complains = True  # whether it may find an error
        self._ready = self._runner(backend)
        forget_values(captured.instructions)

    @cached_property
    def call(self) -> Callable[[tuple[Any, ...]], Any]:
        """Return the function of the arguments that runs the step once. It is compiled only now: a recording
        that no call fits, as where a learning rate changes with every step, costs no compiler's time. Raise
        NoCompilerError where the compiler fails."""
        self.run = self._ready()
        return cast("Callable[[tuple[Any, ...]], Any]", caller(self))

    def _runner(self, backend: str) -> Callable[[], Callable[[], None]]:
        """Return what makes the function that runs the step. backend: "c", "numpy", or "auto", the first that
        can be had."""
        if backend != "numpy":
            try:
                emitted = self.emit()
                self.source, self.fused = str(emitted.source), emitted.summary
                return partial(self._compiled, emitted)
            except NoCompilerError as error:
                if backend == "c":
                    raise
                warn_once(no_c(error))
        run = self._interpreted()
        return lambda: run

    def _compiled(self, emitted: Emitted) -> Callable[[], None]:
        """Return the function that runs the step as C."""
        library = build(emitted.source, emitted.threads)
        if (blas := loaded()) is not None:
            blas.connect(library)
        function = getattr(library, ENTRY)
        function.restype = ctypes.c_int
        self.memory.table.arrays[0] = aligned((emitted.scratch,), np.uint8)
        self.memory.table.finish()
        # Converted once, which takes as long as the call.
        place = ctypes.c_void_p(ctypes.addressof(self.memory.table.slots))
        complaints = emitted.complaints
        self.complains = bool(complaints)

        def run() -> None:
            answer = function(place)
            if answer:
                raise CheckError(*complaints[answer - 1])

        if not emitted.threads:
            return run
        threads = ctypes.c_int.in_dll(library, COUNT)

        def share() -> None:
            threads.value = get_num_threads()
            run()

        return share

    def _simplified(
        self, parts: Callable[[Instruction], list[Instruction]]
    ) -> tuple[list[Instruction], list[Check], Targets, Targets]:
        """Return the program in primitive operations, with what it checks, and the outputs and stores that it
        writes. parts: gives those of an instruction."""
        instructions, instead = primitives(self.program.instructions, self.memory.wanted, parts)
        for old, new in instead.items():
            new.name = new.name or old.name
        return (
            instructions,
            [replace(check, var=instead.get(check.var, check.var)) for check in self.captured.checks],
            [(address, instead.get(var, var)) for address, var in self.memory.outputs],
            [(address, instead.get(var, var)) for address, var in self.memory.stores],
        )

    def emit(self) -> Emitted:
        """Return the C of the step."""
        memory = self.memory
        instructions, checks, outputs, stores = self._simplified(parts_for_c)
        checked = {check.var for check in checks}
        instructions = with_fewer_copies(instructions, [*checked, *(var for _, var in (*outputs, *stores))])
        for instruction in instructions:
            if instruction.operation in (FIRST_EQUAL, order.argsort):
                memory.ranges[instruction.output] = (0, reduced_size(instruction))
            # What is given to a function must be memory, even where all elements are one number.
            if reads_memory(instruction.operation):
                for x in instruction.reads():
                    if x.constant and x not in memory.inputs:
                        memory.add_constant(x, x.value)
        for check in checks:
            memory.ranges.setdefault(check.var, (check.low, check.high))
        for address, _ in outputs:  # the step's own memory
            address.buffer.spare = ALIGNED // address.buffer.dtype.itemsize
        homes = {var: address for address, var in reversed(outputs)}
        storage = Storage(
            instructions, memory.inputs, memory.fixed, homes, memory.ranges, checked, vector_bytes()
        )
        return Emitter(Fusion(storage, instructions, checks, outputs, stores), loaded()).emit()

    def _interpreted(self) -> Callable[[], None]:
        """Return the function that runs the step as straight-line NumPy."""
        memory = self.memory
        memory.table.finish()
        instructions, checks, outputs, stores = self._simplified(parts_for_numpy)
        function = Straight(instructions, checks, memory.inputs, [*outputs, *stores], memory.table).function()

        def run() -> None:
            try:
                function()
            except (IndexError, RuntimeError) as error:  # the memory of Tensors is written to at the end
                raise CheckError(type(error), str(error)) from None

        return run


def no_c(error: NoCompilerError) -> str:
    """Return, as a sentence, what runs steps where there is no compiler, or it fails."""
    return f"{error}; compiled functions run as straight-line NumPy instead"
