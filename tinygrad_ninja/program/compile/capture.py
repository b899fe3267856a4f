"""Recording a whole step: what it computes, what it draws, and what it leaves changed.

While a function runs under `Recording`, every Tensor it touches shows a `Recorded` array, whatever the way by
which the function came to that Tensor; the engine's operations and rules run on these as on any other kind of
array and leave instructions on a tape. Nothing is written to memory: a change in place only says which
variable that memory holds from then on. What the engine itself keeps (gradients, generators, an optimizer's
state) is put back as it was, so that a recording leaves no trace, whether it succeeds or not.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...generator import Generator
from ...kinds import kind_of
from ...nn.module import Module
from ...optim import adam
from ...optim.lr_scheduler import LRScheduler, SequentialLR
from ...optim.optimizer import Optimizer
from ...record import Node, clock
from ...tensors import Tensor, wrap
from ...torch_generator import TorchGenerator
from ..instructions import Array, Instruction, Var
from ..trace import XP, ReadOutError
from .checks import COPIES, Check, is_unknown, noting, unknown_within
from .replacing import Replacing
from .results import mapped
from .shapes import is_torch, stand_in_for
from .tape import Cell, Recorded, StepTape, UnsettledError, refuse, told
from .values import watch_for_values


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
    """What a step does. instructions: in order. cells: the memory of Tensors that it found, each with what it
    holds afterwards. checks: what it looks for before. gradients: node, and what its gradient is then (None:
    none); needs: the gradient that a node must have (or None) for this recording to hold. result: what the
    function returned, variables for Tensors. elsewhere: the arguments that the function can come to by
    another way, too. place: the device of its torch tensors, "cpu" where there are none; places: which they
    are.
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


_ARRAY: Any = Tensor.__dict__["_array"]
_GRAD: Any = Node.__dict__["_grad"]
_DRAWS = ("integers", "uniform", "normal", "permutation", "exponential")
_NO_DRAWS = ("manual_seed", "seed", "get_state", "set_state", "multinomial", "_words")


def _is_memory(array: Any) -> bool:
    """Whether it is an array that is not recorded."""
    return type(array) is np.ndarray or is_torch(array)


class Recording(Replacing):
    """A context: the functions that run inside, in this thread, are recorded."""

    def __init__(self) -> None:
        super().__init__()
        self.tape = StepTape()
        self.cells: dict[int, Cell] = {}
        self.draws: list[Draw] = []
        self.numbers: list[Number] = []
        self.checks: list[Check] = []
        self.settings: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self._born: dict[int, Array] = {}
        self._arrays: dict[Tensor, Any] = {}  # Tensors of which the array was replaced, and what it was
        self._grads: dict[Node, tuple[bool, Tensor | None]] = {}  # whether it was read first, and what it was
        self._attributes: dict[tuple[Module, str], Any] = {}
        self._optimizers: dict[Optimizer, Any] = {}
        self._groups: dict[Optimizer, list[dict[str, Any]]] = {}
        self._states: dict[Generator, Any] = {}
        self._drawing = False

    # -- what is replaced while it records -------------------------------------------------------------------

    def __enter__(self) -> Recording:
        super().__enter__()
        self._start = next(clock)
        self.replace(Tensor, "_array", property(self._get_array, self._set_array))
        self.replace(Node, "_grad", property(self._get_grad, self._set_grad))
        for cls in (Generator, TorchGenerator):
            for name in set(_DRAWS) & set(vars(cls)):
                self.replace(cls, name, self._drawn(name, getattr(cls, name)))
            for name in set(_NO_DRAWS) & set(vars(cls)):
                self.replace(cls, name, self._undrawn(name, getattr(cls, name)))
        self.replace(Module, "__setattr__", self._noting_attributes(Module.__setattr__))
        self.replace(Optimizer, "param_groups", property(self._get_groups, self._set_groups))
        for scheduler in (LRScheduler, SequentialLR):
            self.replace(scheduler, "step", self._scheduling(scheduler.step))
        self.replace(adam, "count", lambda step: self._as_number(XP.astype(step.array, np.dtype(np.float64))))
        watch_for_values(self)
        for owner, name, how in COPIES:
            self.replace(owner, name, self._uncopied(getattr(owner, name), how))
        for module, name, noted in noting(self.tape, self.checks):
            self.replace(module, name, self._noting_checks(getattr(module, name), noted))
        return self

    def put_back(self) -> None:
        for tensor, array in self._arrays.items():
            _ARRAY.__set__(tensor, array)
        for node, (_, grad) in self._grads.items():
            _GRAD.__set__(node, grad)
        super().put_back()  # only now: other threads read these slots
        self._groups.clear()  # of arrays that nobody else is to hold any more
        for (module, name), value in self._attributes.items():
            setattr(module, name, value)
        for optimizer, state in self._optimizers.items():
            optimizer.state = state
        for generator, state in self._states.items():
            generator.set_state(state)

    def _get_array(self, tensor: Tensor) -> Any:
        array = _ARRAY.__get__(tensor)
        if not self.mine():
            return self._arrays.get(tensor, array)  # what another thread is to see
        if isinstance(array, Recorded):
            return self.tape.of(array.cell) if array.cell is not None else array
        if not _is_memory(array):
            refuse(f"a Tensor that holds a {type(array).__name__} is not compiled")
        return self.tape.of(self.cell(tensor, array))

    def cell(self, tensor: Tensor, array: Array) -> Cell:
        """The memory of a Tensor that is no result of the step's."""
        found = self.cells.get(id(array))
        if found is None:
            owner = None if id(array) in self._born else tensor
            value = array
            if is_torch(array):
                value = stand_in_for(array) if owner is not None else kind_of(array).to_numpy(array)
            found = self.cells[id(array)] = Cell(array, Var(value), owner)
            if owner is None:
                self.tape.fixed.add(found.var)
            if is_torch(array):
                self.tape.put(found.var, kind_of(array).device(array))
        elif all(tensor is not each for each in (found.owner, *found.others)) and found.owner is not None:
            found.others.append(tensor)
        return found

    def _set_array(self, tensor: Tensor, array: Any) -> None:
        if self.mine():
            try:
                before = _ARRAY.__get__(tensor)
            except AttributeError:
                before = None
            if _is_memory(before) and id(before) not in self._born:
                self._arrays.setdefault(tensor, before)
            if _is_memory(array) and id(array) not in self.cells:
                self._born[id(array)] = array
        _ARRAY.__set__(tensor, array)

    def _get_grad(self, node: Node) -> Tensor | None:
        grad: Tensor | None = _GRAD.__get__(node)
        if not self.mine():
            return self._grads[node][1] if node in self._grads else grad
        if node.order > self._start:
            self._grads.setdefault(node, (True, grad))
        return grad

    def _set_grad(self, node: Node, grad: Tensor | None) -> None:
        if self.mine() and node.order > self._start:
            self._grads.setdefault(node, (False, _GRAD.__get__(node)))
        _GRAD.__set__(node, grad)

    def _drawn(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def draw(generator: Generator, *args: Any, **options: Any) -> Any:
            if not self.mine() or self._drawing:
                return original(generator, *args, **options)
            self._drawing = True
            try:
                if generator not in self._states:
                    self._states[generator] = generator.get_state()
                value = original(generator, *args, **options)
            finally:
                self._drawing = False
            made = Draw(generator, name, args, options, Var(np.asarray(value)))
            self.draws.append(made)
            return self.tape.array(made.var)

        return draw

    def _undrawn(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(generator: Generator, *args: Any, **options: Any) -> Any:
            if self.mine() and not self._drawing:
                refuse(f"Generator.{name} is not compiled" if name[0] != "_" else "this draw is not compiled")
            return original(generator, *args, **options)

        return call

    def _noting_attributes(self, original: Callable[..., None]) -> Callable[..., None]:
        def setattr_(module: Module, name: str, value: Any) -> None:
            if self.mine() and (module, name) not in self._attributes and hasattr(module, name):
                self._attributes[module, name] = getattr(module, name)
            original(module, name, value)

        return setattr_

    def _noting_checks(self, original: Callable[..., Any], noted: Callable[..., Any]) -> Callable[..., Any]:
        def check(first: Any, *args: Any) -> Any:
            array = first.array if isinstance(first, Tensor) else first
            if not self.mine() or not is_unknown(array):
                return original(first, *args)
            return noted(array, *args)

        return check

    def _uncopied(self, original: Callable[..., Any], how: str) -> Callable[..., Any]:
        """A function that copies values by NumPy, which no tape sees."""

        def copy(*args: Any, **options: Any) -> Any:
            if self.mine() and unknown_within((*args, *options.values())):
                raise ReadOutError(told(how))
            return original(*args, **options)

        return copy

    def _get_groups(self, optimizer: Optimizer) -> list[dict[str, Any]]:
        """An optimizer's groups; its own methods find a learning rate in them that is read anew at every
        call."""
        groups: list[dict[str, Any]] = optimizer.__dict__["param_groups"]
        if not self.mine() or sys._getframe(1).f_locals.get("self") is not optimizer:
            return groups
        if optimizer not in self._optimizers:
            self._optimizers[optimizer] = {p: {**kept} for p, kept in optimizer.state.items()}
            for group in groups:
                fixed = {name: each for name, each in group.items() if name not in ("lr", "params")}
                self.settings.append((group, fixed))
            self._groups[optimizer] = [{**group, "lr": self._rate(group)} for group in groups]
        return self._groups[optimizer]

    def _set_groups(self, optimizer: Optimizer, groups: list[dict[str, Any]]) -> None:
        if self.mine() and optimizer in self._optimizers:
            refuse("an optimizer's groups are replaced, which is not compiled")
        optimizer.__dict__["param_groups"] = groups

    def _scheduling(self, original: Callable[..., None]) -> Callable[..., None]:
        def step(scheduler: LRScheduler, *args: Any) -> None:
            if self.mine():
                refuse("a scheduler's step is not compiled; take it after the compiled one")
            original(scheduler, *args)

        return step

    def _rate(self, group: dict[str, Any]) -> Recorded:
        if isinstance(group["lr"], Tensor):
            return self._as_number(group["lr"].array)
        return self.number(lambda _: group["lr"], np.array(group["lr"], np.float64))

    def number(self, read: Callable[[tuple[Any, ...]], float], value: Array) -> Recorded:
        """A Python number that is read anew at every call."""
        made = Number(read, Var(value))
        self.numbers.append(made)
        return self._as_number(self.tape.array(made.var))

    def argument(self, place: int, value: float) -> Tensor:
        """A number among the function's arguments, as a Tensor without dimensions."""
        kind = np.float64 if isinstance(value, float) else np.int64
        return wrap(self.number(lambda args: args[place], np.array(value, kind)))

    def _as_number(self, array: Any) -> Recorded:
        array.number = True
        return array

    # -- what was recorded -----------------------------------------------------------------------------------

    def captured(self, result: Any, arguments: Iterable[Tensor]) -> Captured:
        """What the step did, its result included; called inside, after the function. UnsupportedError where
        it left something behind that a compiled call would not leave."""
        for optimizer, kept in self._optimizers.items():
            if any(kept.get(p) != each for p, each in optimizer.state.items()):
                raise UnsettledError
        for (module, name), before in self._attributes.items():
            self._rebound(f"{type(module).__name__}.{name}", before, getattr(module, name))
        for tensor, before in self._arrays.items():
            now = _ARRAY.__get__(tensor)
            if isinstance(now, Recorded) and not (now.cell is not None and now.cell.array is before):
                self._take_over(self.cell(tensor, before), now, "a Tensor's data")
        gradients: list[tuple[Node, Var | None]] = []
        needs = []
        given = {each.edge for each in arguments}
        for node, (read, before) in self._grads.items():
            if node in given:
                refuse("the gradient of an argument is read or written; return what autograd.grad() gives")
            now = _GRAD.__get__(node)
            if read:
                needs.append((node, before))
            if now is before and (now is None or not read):
                gradients += [(node, None)] if now is None else []
            elif now is not before:
                gradients.append((node, None if now is None else self.tape.variable(now.array)))
        return Captured(
            [each for each in self.tape.instructions if each.output not in self.tape.fixed],
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
        if now is before:
            return
        if not isinstance(now, Tensor) or not isinstance(before, Tensor):
            refuse(f"{what} is set to something that is no Tensor, or was none before")
        self._take_over(self.cell(before, _ARRAY.__get__(before)), now.array, what)

    def _take_over(self, cell: Cell, now: Any, what: str) -> None:
        if cell.before.shape != now.shape or cell.before.dtype != now.dtype:
            refuse(f"{what} changes its shape or dtype")
        cell.var = self.tape.variable(now)
        cell.version += 1

    def _output(self, result: Any) -> Any:
        """The variable of a Tensor that the step computed; else what the function returned as it is."""
        if isinstance(result, Tensor):
            array = _ARRAY.__get__(result)
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
        """What is computed of Python's numbers alone, and is no Tensor in eager code."""
        found = {each.var for each in self.numbers}
        for each in self.tape.instructions:
            read = [var for var in each.reads() if not (var.constant and var.shape == ())]
            if read and found.issuperset(read):
                found.add(each.output)
        return found

    def _went_back(self) -> bool:
        return any(
            isinstance(now := _GRAD.__get__(node), Tensor) and now is not before
            for node, (_, before) in self._grads.items()
        )

    def escaped(self) -> bool:
        """Whether something that the step computed is still held; asked after it, inside `one_at_a_time`."""
        if any(each() is not None for each in self.tape.arrays):
            gc.collect(0)
        return any(each() is not None for each in self.tape.arrays)
