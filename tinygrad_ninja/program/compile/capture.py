"""Recording a whole step: what it computes, what it draws, and what it leaves changed.

While a function runs under `Recording`, an observer of its thread, every Tensor it touches shows a `Recorded`
array, however the function reached that Tensor; the engine's operations and rules run on
these as on any other kind of array and leave instructions on a tape. Nothing is written to memory: a change
in place only says which variable that memory holds from then on. What Tensors, nodes and generators hold is
kept in the recording, and gone with it; attributes of Modules and an optimizer's state are restored. So a
recording leaves no trace, whether it succeeds or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import get_ident
from typing import Any, Self

import numpy as np

from ...arrays.dispatch import namespace_of
from ...engine.hook import Observer, observers
from ...engine.node import Node, clock
from ...engine.tensor import Tensor, wrap
from ...engine.value import Value
from ...nn.module import Module
from ...optim.optimizer import Optimizer
from ...rng.generator import Generator
from ..instructions import Array, Instruction, Var
from ..trace import XP, ReadOutError
from .checks import Check, is_unknown, unknown_within
from .collector import still_held
from .results import mapped
from .shapes import is_torch, stand_in_for
from .tape import Cell, Recorded, StepTape, UnsettledError, read_out_message, refuse
from .values import ValuesMetError


@dataclass(eq=False)
class Draw:
    """Random numbers that the step takes: generator.method(*arguments, **options), as the variable `var`."""

    generator: Generator
    method: str
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    var: Var


@dataclass(eq=False)
class Number:
    """A Python number that the step reads anew at every call: `read(arguments)`, as the variable `var`."""

    read: Callable[[tuple[Any, ...]], float]
    var: Var


@dataclass
class Captured:
    """What a step does. instructions: in order. cells: the memory of Tensors that it found, with its value
    afterwards. checks: those to be made before. gradients: nodes, and their gradients afterwards (None: no
    gradient); needs: the gradient that a node must have (or None) for this recording to hold. result: what
    the function returned, with variables for Tensors. elsewhere: the arguments that the function can also
    reach in another way. place: the device of its torch tensors, "cpu" where there are none; places: those of
    the variables that are torch tensors.
    """

    instructions: list[Instruction]
    cells: list[Cell]
    draws: list[Draw]
    numbers: list[Number]
    checks: list[Check]
    gradients: list[tuple[Node, Var | None]]
    needs: list[tuple[Node, Tensor | None]]
    settings: list[tuple[dict[str, Any], dict[str, Any]]]
    optimizers: list[Optimizer]
    result: Any = None
    names: dict[Var, str] = field(default_factory=dict)
    elsewhere: set[Tensor] = field(default_factory=set)
    place: str = "cpu"
    places: dict[Var, str] = field(default_factory=dict)


_DRAWS = ("integers", "uniform", "normal", "permutation", "exponential")


def _is_memory(array: Any) -> bool:
    """Return whether this is an array that is not recorded."""
    return type(array) is np.ndarray or is_torch(array)


def _require_memory(array: Any) -> None:
    """Raise UnsupportedError where a Tensor holds something other than such an array."""
    if not _is_memory(array):
        refuse(f"a Tensor that holds a {type(array).__name__} is not compiled")


@contextmanager
def _unobserved() -> Iterator[None]:
    """Let this thread run without an observer inside."""
    observer = observers.pop(get_ident())
    try:
        yield
    finally:
        observers[get_ident()] = observer


@dataclass(eq=False)
class _Gradient:
    """The gradient of a node that was there before the recording: the real one (`before`), and the one that
    the recording sees (`now`). read: whether it was read before it was written."""

    read: bool
    before: Tensor | None
    now: Tensor | None


class _Group(dict[str, Any]):
    """An optimizer's group, with the learning rate as a number that is read at each call. Settings that are
    changed here are changed in the group, too."""

    def __init__(self, recording: Recording, group: dict[str, Any]) -> None:
        super().__init__({**group, "lr": recording.rate(group)})
        self._recording, self._group = recording, group

    def __setitem__(self, name: str, value: Any) -> None:
        self._group[name] = value
        super().__setitem__(name, self._recording.rate(self._group) if name == "lr" else value)


class Recording(Observer):
    """A context in which the functions that this thread runs are recorded."""

    def __init__(self) -> None:
        self.tape = StepTape()
        self.cells: dict[int, Cell] = {}
        self.draws: list[Draw] = []
        self.numbers: list[Number] = []
        self.checks: list[Check] = []
        self.settings: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self._born: dict[int, Array] = {}
        # What Tensors and nodes from before hold, for this recording alone: others see the real values.
        self._arrays: dict[Tensor, Any] = {}
        self._grads: dict[Node, _Gradient] = {}
        self._attributes: dict[tuple[Module, str], Any] = {}
        self._optimizers: dict[Optimizer, Any] = {}
        self._groups: dict[Optimizer, list[dict[str, Any]]] = {}
        self._generators: dict[Generator, Generator] = {}  # for each the copy that is drawn from in its place

    def __enter__(self) -> Self:
        self._start = next(clock)
        return super().__enter__()

    def __exit__(self, *exc: Any) -> None:
        super().__exit__()
        self._arrays.clear()
        self._grads.clear()
        self._groups.clear()
        for (module, name), value in self._attributes.items():
            setattr(module, name, value)
        for optimizer, state in self._optimizers.items():
            optimizer.state = state

    # -- what it observes ------------------------------------------------------------------------------------

    def read(self, holder: Any, slot: str) -> Any:
        if isinstance(holder, Tensor):
            return self._read_array(holder)
        if isinstance(holder, Value):
            raise ValuesMetError
        return self._gradient(holder, True).now if self._is_older(holder) else holder._grad

    def write(self, holder: Any, slot: str, value: Any) -> None:
        if slot == "edge":
            if not self._is_own(holder):
                refuse(
                    "the history of a Tensor that was there before is changed; use no_grad(), or a clone()"
                )
            holder.edge = value
        elif isinstance(holder, Tensor):
            self._write_array(holder, value)
        elif isinstance(holder, Value):
            raise ValuesMetError
        elif self._is_older(holder):
            self._gradient(holder, False).now = value
        else:
            holder._grad = value

    def _read_array(self, tensor: Tensor) -> Any:
        array = self._held(tensor)
        if isinstance(array, Recorded):
            return self.tape.of(array.cell) if array.cell is not None else array
        _require_memory(array)
        return self.tape.of(self.cell(tensor, array))

    def _held(self, tensor: Tensor) -> Any:
        """Return what a Tensor holds for this recording: a recorded array, or memory that it has not met
        yet."""
        return self._arrays.get(tensor, tensor._array)

    def cell(self, tensor: Tensor, array: Array) -> Cell:
        """Return the memory of a Tensor that is no result of the step's."""
        cell = self.cells.get(id(array))
        if cell is None:
            owner = None if id(array) in self._born else tensor
            value = array
            if is_torch(array):
                value = stand_in_for(array) if owner is not None else namespace_of(array).to_numpy(array)
            cell = self.cells[id(array)] = Cell(array, Var(value), owner)
            if owner is None:
                self.tape.fixed.add(cell.var)
            if is_torch(array):
                self.tape.put(cell.var, namespace_of(array).device(array))
        elif all(tensor is not holder for holder in (cell.owner, *cell.others)) and cell.owner is not None:
            cell.others.append(tensor)
        return cell

    def _write_array(self, tensor: Tensor, array: Any) -> None:
        if self._is_own(tensor):
            tensor._array = array
        else:
            _require_memory(tensor._array)
            self._arrays[tensor] = array
        if _is_memory(array) and id(array) not in self.cells:
            self._born[id(array)] = array

    def _is_own(self, tensor: Tensor) -> bool:
        """Return whether the step made the Tensor."""
        array = getattr(tensor, "_array", None)
        return array is None or isinstance(array, Recorded) or id(array) in self._born

    def _is_older(self, node: Node) -> bool:
        """Return whether the node was there before the recording."""
        return node.order < self._start

    def _gradient(self, node: Node, read: bool) -> _Gradient:
        """Return the recording's entry for the gradient of a node."""
        return self._grads.setdefault(node, _Gradient(read, node._grad, node._grad))

    def draw(
        self, generator: Generator, method: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]
    ) -> Any:
        name = method.__name__
        if name not in _DRAWS:
            refuse(f"Generator.{name} is not compiled")
        with _unobserved():
            if generator not in self._generators:
                self._generators[generator] = generator.clone_state()
            value = method(self._generators[generator], *args, **options)
        drawn = Draw(generator, name, args, options, Var(np.asarray(value)))
        self.draws.append(drawn)
        return self.tape.array(drawn.var)

    def unrecorded(self, what: str, instead: str = "") -> None:
        refuse(f"{what} is not compiled; {instead}" if instead else f"{what} is not compiled")

    def unknown(self, array: Any) -> bool:
        return is_unknown(array)

    def check(self, array: Any, low: int, high: int, error: type[Exception], message: str) -> None:
        if array.size:
            self.checks.append(Check(self.tape.variable(array), low, high, error, message))

    def read_out(self, how: str, data: Any) -> None:
        if unknown_within(data):
            raise ReadOutError(read_out_message(how))

    def number(self, x: Any) -> Any:
        if not isinstance(x, Tensor):
            raise ValuesMetError
        return self._as_number(XP.astype(x.array, np.dtype(np.float64)))

    def recorded(self, node: Node | Value) -> None:
        if isinstance(node, Value):
            raise ValuesMetError
        super().recorded(node)

    def set_attribute(self, module: Module, name: str) -> None:
        if (module, name) not in self._attributes and hasattr(module, name):
            self._attributes[module, name] = getattr(module, name)

    def param_groups(self, optimizer: Optimizer) -> list[dict[str, Any]]:
        if optimizer not in self._optimizers:
            groups = optimizer._param_groups
            self._optimizers[optimizer] = {p: {**kept} for p, kept in optimizer.state.items()}
            for group in groups:
                fixed = {name: value for name, value in group.items() if name not in ("lr", "params")}
                self.settings.append((group, fixed))
            self._groups[optimizer] = [_Group(self, group) for group in groups]
        return self._groups[optimizer]

    # -- numbers ---------------------------------------------------------------------------------------------

    def rate(self, group: dict[str, Any]) -> Recorded:
        """Return a group's learning rate, which is read anew at every call."""

        if isinstance(group["lr"], Tensor):
            return self._as_number(group["lr"].array)
        return self.number_of(lambda _: group["lr"], np.array(group["lr"], np.float64))

    def number_of(self, read: Callable[[tuple[Any, ...]], float], value: Array) -> Recorded:
        """Return a Python number that is read anew at every call."""
        number = Number(read, Var(value))
        self.numbers.append(number)
        return self._as_number(self.tape.array(number.var))

    def argument(self, place: int, value: float) -> Tensor:
        """Return a number among the function's arguments, as a Tensor without dimensions."""
        kind = np.float64 if isinstance(value, float) else np.int64
        return wrap(self.number_of(lambda args: args[place], np.array(value, kind)))

    def _as_number(self, array: Any) -> Recorded:
        """Mark an array as a Python number, and return it."""
        array.number = True
        return array

    # -- what was recorded -----------------------------------------------------------------------------------

    def captured(self, result: Any, arguments: Iterable[Tensor]) -> Captured:
        """Return what the step did, its result included; called inside, after the function. UnsupportedError
        where it left something behind that a compiled call would not leave."""
        for optimizer, state in self._optimizers.items():
            if any(state.get(p) != kept for p, kept in optimizer.state.items()):
                raise UnsettledError
        for (module, name), before in self._attributes.items():
            self._rebound(f"{type(module).__name__}.{name}", before, getattr(module, name))
        for tensor, now in self._arrays.items():
            before = tensor._array
            if isinstance(now, Recorded) and not (now.cell is not None and now.cell.array is before):
                self._take_over(self.cell(tensor, before), now, "a Tensor's data")
        gradients: list[tuple[Node, Var | None]] = []
        needs = []
        given = {argument.edge for argument in arguments}
        for node, kept in self._grads.items():
            if node in given:
                refuse("the gradient of an argument is read or written; return what autograd.grad() gives")
            read, before, now = kept.read, kept.before, kept.now
            if read:
                needs.append((node, before))
            if now is before and (now is None or not read):
                gradients += [(node, None)] if now is None else []
            elif now is not before:
                gradients.append((node, None if now is None else self.tape.variable(now.array)))
        return Captured(
            [
                instruction
                for instruction in self.tape.instructions
                if instruction.output not in self.tape.fixed
            ],
            list(self.cells.values()),
            self.draws,
            self.numbers,
            self.checks,
            gradients,
            needs,
            self.settings,
            [*self._optimizers],
            mapped(result, self._output),
            place=self.tape.place,
            places=self.tape.places,
        )

    def _rebound(self, what: str, before: Any, now: Any) -> None:
        """Record that an attribute was set to another Tensor, as a change of the memory of the one before."""
        if now is before:
            return
        if not isinstance(now, Tensor) or not isinstance(before, Tensor):
            refuse(f"{what} is set to something that is no Tensor, or was none before")
        self._take_over(self.cell(before, before._array), now.array, what)

    def _take_over(self, cell: Cell, now: Any, what: str) -> None:
        """Let a memory hold a new value from now on. Raise UnsupportedError where its shape or dtype
        changes."""
        if cell.before.shape != now.shape or cell.before.dtype != now.dtype:
            refuse(f"{what} changes its shape or dtype")
        cell.var = self.tape.variable(now)
        cell.version += 1

    def _output(self, result: Any) -> Any:
        """Return the variable of a Tensor that the step computed; anything else as it is."""
        if isinstance(result, Tensor):
            array = self._held(result)
            if _is_memory(array):
                if id(array) in self._born:
                    return self.tape.variable(result.array)
                refuse("the function returns a Tensor that it has not computed; return a clone() of it")
            if array.seen is not None and array.seen[0].owner is not None:
                refuse("the function returns a view of a Tensor that it has not computed; clone() it")
            if result.edge is not None and not self._went_back():
                refuse(
                    "the result still needs its history; call backward() inside the function, or use "
                    "no_grad()"
                )
            var = self.tape.variable(result.array)
            if var in self._computed_numbers():
                refuse("the function returns a Python number that it has computed; return a Tensor")
            return var
        if result is None or isinstance(result, (bool, int, float, str)):
            return result
        kind = "NumPy array" if isinstance(result, np.ndarray) else type(result).__name__
        return refuse(f"the function returns a {kind}; Tensors, numbers and tuples can be compiled")

    def _computed_numbers(self) -> set[Var]:
        """Return what is computed of Python's numbers alone, and is no Tensor in eager code."""
        numbers = {number.var for number in self.numbers}
        for instruction in self.tape.instructions:
            read = [var for var in instruction.reads() if not (var.constant and var.shape == ())]
            if read and numbers.issuperset(read):
                numbers.add(instruction.output)
        return numbers

    def _went_back(self) -> bool:
        """Return whether a gradient was computed."""
        return any(
            isinstance(kept.now, Tensor) and kept.now is not kept.before for kept in self._grads.values()
        )

    def escaped(self) -> bool:
        """Return whether something that the step computed is still held; call it after the step, within
        `resting_collector`."""
        return still_held(lambda: any(array() is not None for array in self.tape.arrays))
