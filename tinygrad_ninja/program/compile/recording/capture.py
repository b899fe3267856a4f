"""Recording a whole step while it runs: what it computes, what it draws, and what it leaves changed.

The recording is the first call. A function runs under `Recording`, an observer of its thread, and does what
it does: Tensors hold real arrays, memory, gradients and generators change. What the engine computes with are
recorded arrays, which stand for the real ones and leave instructions on a tape. Where something can't be
recorded, the tape is closed with the reason, and the call goes on as eager code.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from sys import _getframe
from threading import get_ident
from typing import Any, Self
from weakref import WeakSet, ref

import numpy as np

from ....arrays.dispatch import namespace_of
from ....engine.callers import PACKAGE
from ....engine.hook import Observer, observers
from ....engine.node import Hooks, Node, clock
from ....engine.tensor import Tensor, wrap
from ....engine.value import Value
from ....ops import Operation, elementwise
from ....rng.generator import Generator
from ...instructions import Var, substitute
from ...trace import XP, plain
from ..refusals import read_out_message
from ..results import mapped
from .captured import Captured, Draw
from .checks import Check, is_unknown, unknown_within
from .histories import record_histories, younger
from .leaving import leave
from .outputs import Outputs
from .rates import Rates
from .recorded import Handle, Memory, Recorded, in_numpy, real
from .shapes import is_torch, stand_in_for
from .symbols import Symbol, Symbols, is_flag, is_symbol, number_of
from .tape import StepTape

_PASSED = -1
"""The number of the hook that waits for gradients of arguments; handles begin at 0."""
_DRAWS = ("integers", "uniform", "normal", "permutation", "exponential")


def _is_memory(array: Any) -> bool:
    """Return whether this is an array that is not recorded."""
    return type(array) is np.ndarray or is_torch(array)


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
    """The gradient that a node had before the recording; read: whether it was read before it was written."""

    read: bool
    before: Tensor | None


class Recording(Observer):
    """A context in which the functions that this thread runs are recorded. at_once: raise UnsupportedError
    where something can't be. arguments: the Tensors among the function's arguments; reached: others that it
    may use. given: the nodes of arguments with a history; begun: the leaves that arguments become. rates: the
    numbers in Python's objects."""

    def __init__(
        self, at_once: bool = False, arguments: Iterable[Tensor] = (), reached: Collection[Tensor] = ()
    ) -> None:
        self.tape = StepTape(at_once)
        self.tape.on_close = self._let_go
        self.symbols = Symbols(self.tape)
        self._arguments, self._reached = {*arguments}, reached
        edges = [x.edge for x in self._arguments if x.edge is not None]
        self.given = {edge for edge in edges if edge.op is not None}
        self.begun: dict[Tensor, Node] = {}
        self.rates = Rates(self.symbols)
        self.cells: list[Memory] = []
        self.draws: list[Draw] = []
        self.checks: list[Check] = []
        self.hands_arrays_out = True  # where the reader's code reads one
        self._own: dict[int, ref[Tensor]] = {}  # the Tensors that the step makes, by id
        self._nodes: WeakSet[Node] = WeakSet()  # and its nodes
        self._arrays: dict[Tensor, Any] = {}  # what Tensors held that hold other memory now
        self._grads: dict[Node, _Gradient] = {}
        self._noted: list[Memory] = []

    def __enter__(self) -> Self:
        self.start = next(clock)
        self.rates.take()
        for edge in self.given:
            edge.hooks = Hooks() if edge.hooks is None else edge.hooks
            edge.hooks[_PASSED] = self._gone_beyond
        return super().__enter__()

    def __exit__(self, *exc: object) -> None:
        super().__exit__()
        self.rates.leave()
        for edge in self.given:
            if edge.hooks is not None:
                edge.hooks.pop(_PASSED, None)
                edge.hooks = edge.hooks if edge.hooks or edge.hooks.keep else None
        if not self.tape.closed:
            self.tape.closed = True
            self._let_go()

    def _gone_beyond(self, grad: Tensor) -> None:
        """Take notice of a gradient that comes to an argument with a history: what is below is not the
        step's."""
        self.tape.stop(
            "a gradient goes back into the history of an argument; detach() that, or do it outside"
        )

    def _let_go(self) -> None:
        """Leave real arrays in the place of recorded ones."""
        for node in self._nodes:
            if node.values is not None:
                node.values = substitute(node.values, lambda x: plain(real(x)))

    # -- what it observes ------------------------------------------------------------------------------------

    def read(self, holder: Any, slot: str) -> Any:
        if isinstance(holder, Value) or self.tape.closed:
            return super().read(holder, slot)
        if isinstance(holder, Tensor):
            if not self.hands_arrays_out and _is_read_by_reader():
                self.tape.stop(read_out_message(".array"))
                return super().read(holder, slot)
            return self._read_array(holder)
        if self._is_older(holder):
            self._grads.setdefault(holder, _Gradient(True, holder._grad))
        return super().read(holder, slot)

    def write(self, holder: Any, slot: str, value: Any) -> None:
        if isinstance(holder, Value):
            super().write(holder, slot, value)
            return
        if self.tape.closed:
            value = plain(real(value))
        elif slot == "edge":
            begins = self._begins(holder, value)
            if begins and holder in self._arguments:
                self.begun[holder] = value
            elif not begins and not self.is_own(holder):
                self.tape.stop(
                    "the history of a Tensor that was there before is changed; use no_grad(), or a clone()"
                )
        elif isinstance(holder, Tensor):
            value = self._written(holder, value)
        elif self._is_older(holder):
            self._grads.setdefault(holder, _Gradient(False, holder._grad))
        super().write(holder, slot, value)

    def _begins(self, tensor: Tensor, edge: Any) -> bool:
        """Return whether a Tensor without a history becomes a leaf: an argument, or another, of which that is
        compared, so that a later call is recorded."""
        is_leaf = edge is not None and edge.op is None and not self._is_older(edge) and tensor.edge is None
        return is_leaf and (tensor in self._reached or (tensor in self._arguments and edge._grad is None))

    def _read_array(self, tensor: Tensor) -> Any:
        array = tensor._array
        if not _is_memory(array):
            self.tape.stop(f"a Tensor that holds a {type(array).__name__} is not compiled")
            return array
        handle = self.tape.handle_of(array)
        if handle is None:
            handle = self._meet(tensor, array)
        else:
            memory = handle.memory
            known = memory.array is not array or memory.owner is None or self.is_own(tensor)
            if not known and all(tensor is not holder for holder in (memory.owner, *memory.others)):
                memory.others.append(tensor)
        return self.tape.shown(array, handle)

    def _meet(self, tensor: Tensor, array: Any) -> Handle:
        """Take memory that was there before the step."""
        var = Var(stand_in_for(array) if is_torch(array) else array)
        memory = Memory(var, array, before=var, owner=tensor)
        self.cells.append(memory)
        handle = Handle(memory, (), var)
        self.tape.know(array, handle)
        if is_torch(array):
            self.tape.put(var, namespace_of(array).device(array))
        return handle

    def _written(self, tensor: Tensor, value: Any) -> Any:
        """Return the real array that a Tensor is to hold."""
        array = plain(real(value))
        if not _is_memory(array):
            self.tape.stop(f"a Tensor that holds a {type(array).__name__} is not compiled")
        elif not hasattr(tensor, "_array"):
            self._own[id(tensor)] = ref(tensor)
        elif not self.is_own(tensor) and array is not tensor._array:
            self._read_array(tensor)
            self._arrays.setdefault(tensor, tensor._array)
        if not self.tape.closed and self.tape.handle_of(array) is None:
            self.tape.born(array)
        return array

    def is_own(self, tensor: Tensor) -> bool:
        """Return whether the step has made the Tensor."""
        known = self._own.get(id(tensor))
        return known is not None and known() is tensor

    def _is_older(self, node: Node) -> bool:
        """Return whether the node was there before the recording."""
        return node.order < self.start

    def draw(
        self, generator: Generator, method: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]
    ) -> Any:
        name = method.__name__
        if name not in _DRAWS:
            self.tape.stop(
                f"Generator.{name} is not compiled; draw outside, and give what was drawn as an argument"
            )
        if self.tape.closed:
            return super().draw(generator, method, tuple(map(in_numpy, args)), options)
        with _unobserved():
            value = method(generator, *args, **options)
        var = Var(stand_in_for(value) if is_torch(value) else np.asarray(value))
        self.draws.append(Draw(generator, name, args, options, var))
        if is_torch(value):
            self.tape.put(var, namespace_of(value).device(value))
        return self.tape.fresh(var, value if is_torch(value) else np.asarray(value))

    def unrecorded(self, what: str, instead: str = "") -> None:
        self.tape.stop(f"{what} is not compiled; {instead}" if instead else f"{what} is not compiled")

    def unknown(self, array: Any) -> bool:
        return is_unknown(array)

    def check(self, array: Any, low: int, high: int, error: type[Exception], message: str) -> Any:
        if is_unknown(array) and array.size:
            self.checks.append(Check(self.tape.variable(array), low, high, error, message))
        return plain(real(array))

    def read_out(self, how: str, data: Any) -> Any:
        if unknown_within(data):
            self.tape.stop(read_out_message(how))
        return mapped(data, number_of) if isinstance(data, (list, tuple, Symbol)) else data

    def changed(self, array: Any) -> None:
        if isinstance(array, Recorded) and array.handle is not None:
            self._noted.append(array.handle.memory)
        super().changed(array)

    def number(self, x: Any) -> Any:
        if not isinstance(x, Tensor):
            return super().number(x)
        if self.tape.closed:
            return float(x)
        array = XP.astype(x.array, np.dtype(np.float64))
        if isinstance(array, Recorded) and array.handle is not None:
            array.handle.number = True
        return array

    def recorded(self, node: Node | Value) -> None:
        if not isinstance(node, Value):
            self._nodes.add(node)
            older = [edge for edge in node.edges if edge is not None and edge.op and self._is_older(edge)]
            if not self.given.issuperset(older):
                self.tape.stop("a Tensor with a history from before the step; detach() it before")
        super().recorded(node)

    def repeat(self, owner: Any, call: Callable[[], None]) -> bool:
        return not self.tape.closed and self.rates.repeat(owner, call, self._changes())

    def _changes(self) -> list[Any]:
        """Return what the step has changed until now of what was there before, and what it has drawn."""
        held: list[tuple[Any, Any]] = [*((tensor, tensor._array) for tensor in self._arrays)]
        held += ((node, node._grad) for node, kept in self._grads.items() if node._grad is not kept.before)
        written = [memory for memory in self.cells for _ in range(memory.version)]
        return [*chain(*held), *written, *self.draws]

    # -- numbers ---------------------------------------------------------------------------------------------

    def operand(self, op: Operation, x: Any) -> Any:
        if is_symbol(x):  # how a power is computed depends on the exponent
            known = self.tape.closed or op is elementwise.pow or is_flag(x)
            x = x.settle_plain() if known else wrap(x.recorded_number)
        return super().operand(op, x)

    # -- what was recorded -----------------------------------------------------------------------------------

    def captured(self, result: Any, arguments: Iterable[Tensor]) -> Captured | None:
        """Return what the step did, its result included; called inside, after the function. None, and the
        tape is closed, where a compiled call could not do the same."""
        gradients: list[tuple[Node, Var | None]] = []
        needs = []
        arguments = [*arguments]
        outputs = Outputs(self)
        for node, kept in self._grads.items():
            if node in self.given:
                self.tape.stop("the gradient of an argument with a history is read or written; detach() that")
            now = node._grad
            if kept.read:
                needs.append((node, kept.before))
            if now is not kept.before:
                gradients.append((node, None if now is None else outputs.gradient(node, now)))
            elif now is None and not kept.read:
                gradients.append((node, None))
        gradients += [
            (node, None if node._grad is None else outputs.gradient(node, node._grad))
            for node in self.begun.values()
        ]
        rebound = [
            (tensor, outputs.add(tensor, "the data of a Tensor"))
            for tensor in self._arrays
            if self.rebound(tensor)
        ]
        returned = mapped(mapped(result, number_of), outputs.returned)
        histories = record_histories(self, outputs.with_history)
        self.rates.leave()
        leave(self.symbols.known, number_of)
        self.rates.check(self._changes())
        if self.tape.closed:
            return None
        fixed = self.tape.fixed
        return Captured(
            [instruction for instruction in self.tape.instructions if instruction.output not in fixed],
            self.cells,
            self.draws,
            self.symbols.numbers,
            self.checks,
            gradients,
            needs,
            rebound,
            [memory for memory in self._noted if memory.before is not None],
            returned,
            outputs.layouts,
            inference=outputs.inference,
            place=self._place([*arguments, *outputs.tensors]),
            places=self.tape.places,
            histories=histories,
            begun={**self.begun},
            settings=self.rates.settings,
            repeats=self.rates.repeats,
        )

    def _place(self, handed: list[Tensor]) -> str:
        """Return the device of the step's torch tensors; where it computes nothing, of those that it hands
        through."""
        if self.tape.place != "cpu" or self.tape.instructions:
            return self.tape.place
        places = (namespace_of(tensor._array).device(tensor._array) for tensor in handed)
        return next((place for place in places if place != "cpu"), "cpu")

    def rebound(self, tensor: Tensor) -> bool:
        """Return whether a Tensor that was there before holds other memory now."""
        return tensor in self._arrays and tensor._array is not self._arrays[tensor]

    def made(self, tensor: Tensor) -> bool:
        """Return whether a Tensor, or what it shows, is the step's own."""
        handle = self.tape.handle_of(tensor._array)
        return self.is_own(tensor) or (handle is not None and handle.memory.before is None)

    def has_spent(self, edge: Node) -> bool:
        """Return whether values in a history are gone, so that no gradient can go back through it again."""
        return is_spent(edge, self.start)

    def went_back(self, edge: Node) -> bool:
        """Return whether a gradient was computed, or the values that it needs are gone."""
        gradients = [(node._grad, kept.before) for node, kept in self._grads.items()]
        gradients += [(node._grad, None) for node in self.begun.values()]
        return self.has_spent(edge) or any(x is not y for x, y in gradients if isinstance(x, Tensor))


def is_spent(edge: Node, start: int) -> bool:
    """Return whether a gradient was computed that has let go of values in the history since a time."""
    return any(node.op is not None and node.values is None for node in younger([edge], start))


_ARRAY, _PASSED_ON = Tensor.array.fget.__code__, Observer.read.__code__  # type: ignore[attr-defined]


def _is_read_by_reader() -> bool:
    """Return whether the reader's code itself reads the array that is read now."""
    frame = _getframe(2)
    while frame.f_code is _PASSED_ON and frame.f_back is not None:  # by the observers within
        frame = frame.f_back
    by = frame.f_back
    return frame.f_code is _ARRAY and by is not None and not by.f_code.co_filename.startswith(PACKAGE)
