"""The first call of a function, which is its recording: what it is given, what it returns, and what a later
call depends on."""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import dataclass
from functools import partial
from typing import Any

from ...engine.callers import PACKAGE, place
from ...engine.node import Node, clock
from ...engine.tensor import Tensor
from ...ops import Operation
from ...optim.optimizer import awaits_state
from ..instructions import Var
from ..trace import source as readers_line
from .guards.held import READ_ANEW, Entry, numbers_of
from .guards.owners import a, is_a
from .guards.trusted import is_constant
from .guards.world import VALUES_ALONE, World, code_of
from .recording.capture import Recording, is_spent
from .recording.captured import Captured
from .recording.leaving import leave
from .recording.recorded import real
from .recording.signature import DEPTH, Leaf, kinds_of_found, rebuilt
from .recording.sources import Condition, Source
from .recording.symbols import is_large, number_of
from .recording.tape import StepTape
from .recording.values import ValueRecording
from .recording.values import number_of as value_of
from .results import containers, mapped
from .value_step import ValueStep


def beginning(fn: Any) -> str:
    """Return the line at which a function begins, as "file:line"; that which calls it, where the function is
    not the reader's; its name, where there is no line."""
    code = code_of(fn)
    if code is not None and not code.co_filename.startswith(PACKAGE):
        return place(code.co_filename, code.co_firstlineno)
    return readers_line() or str(getattr(fn, "__name__", type(fn).__name__))


@dataclass(eq=False)
class _SetAnew:
    """A place in which a step sets a Tensor anew. spent: the operation that has made it, where a gradient has
    gone through its history already."""

    entry: Entry
    spent: Operation | None = None

    def look_at_history(self, recording: Recording) -> None:
        """Take notice of the Tensor's history. Close the tape where later calls could go back through it."""
        tensor = self.entry.read()
        edge = tensor.edge if recording.made(tensor) else None
        if edge is not None and recording.has_spent(edge):
            self.spent = edge.op
        elif edge is not None and recording.went_back(edge):
            recording.tape.stop("a Tensor that is set anew has a part of a history that is left; detach() it")


class FirstCall:
    """A call of a function that is recorded meanwhile.

    world: what the function reads besides; numbers: those that a recording depends on, with their sources;
    conditions: what comparisons with other numbers gave; by_value: the numbers of which more is used than
    arithmetic, each with the line that does. reason: why it can't be compiled; changed, line: what the
    function itself has changed of what it reads, and where.

    entries: the places of Tensors that the function finds in Python's objects, and may set anew: these are
    arguments, too, the last ones; set: where it has set others: it returns those, too; unread: the positions
    of those of which it has read no more than whether they have a history.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        apart: bool,
        loose: Set[Entry],
    ) -> None:
        self._fn, self._names = fn, tuple(kwargs)
        self._args, self._depth = (*args, *kwargs.values()), DEPTH if apart else 0
        self._leaves = self._flat()
        self.world = World(fn, self._objects(), loose)
        if self.world.values and loose:  # whose steps set no numbers
            self.world = World(fn, self._objects())
        self.entries = [*self.world.set_anew]
        self._count = len(self._leaves)
        self._leaves += [Leaf(entry.read(), name, True) for entry, name in self.world.set_anew.items()]
        self._values = tuple([leaf.value for leaf in self._leaves])
        self.reason = self.world.refusal or self._refused()
        self.changed = self.line = ""
        numbers = [(i, leaf) for i, leaf in enumerate(self._leaves) if type(leaf.value) in READ_ANEW]
        self.numbers = [(Source(leaf.name, i), leaf.value) for i, leaf in numbers]
        self.numbers += _left(self.world)
        self.conditions: list[Condition] = []
        self.by_value: dict[Source, str] = {}
        self.arguments: dict[int, Tensor] = {}
        self.set: list[_SetAnew] = []
        self.unread: set[int] = set()
        self.captured: Captured | Callable[[], ValueStep] | None = None

    def _given(self) -> list[Leaf]:
        """Return the arguments with what to call them."""
        first = len(self._args) - len(self._names)
        names = [*range(first), *map(repr, self._names)]
        return [Leaf(x, f"argument {name}") for x, name in zip(self._args, names, strict=True)]

    def _flat(self) -> list[Leaf]:
        """Return the leaves of the arguments, as they are now."""
        return [leaf for argument in self._given() for leaf in argument.leaves(self._depth)]

    def _objects(self) -> list[tuple[str, Any]]:
        """Return the arguments that are neither memory nor compared by value, with what to call them."""
        classes = [leaf for argument in self._given() for leaf in argument.classes(self._depth)]
        return [(leaf.name, leaf.value) for leaf in (*classes, *self._leaves) if leaf.is_object]

    def _refused(self) -> str:
        """Return why the arguments can't be compiled; "" where they can."""
        for i, leaf in enumerate(self._leaves):
            if self.world.values and is_a(leaf.value, Tensor):
                return f"{leaf.name} is a Tensor, and {VALUES_ALONE}"
            edge = None if leaf.tensor is None else leaf.tensor.edge
            if edge is not None and edge.hooks and (i < self._count or edge.op is None):
                return f"{leaf.name} has hooks of its own; register them inside the function"
        return ""

    @property
    def bare(self) -> set[int]:
        """Return the positions of the arguments that are arrays."""
        return {i for i, tensor in self.arguments.items() if tensor is not self._values[i]}

    @property
    def comes_first(self) -> bool:
        """Return whether an optimizer is reached whose first step creates what later ones find: a recording
        of that would hold for no other call."""
        return any(map(awaits_state, self.world.optimizers))

    def run_ahead(self) -> Any:
        """Call the function without recording it, and return its result, without a history of which nothing
        is left."""
        self.changed = "the state of an optimizer is created"
        start = next(clock)
        result = self._call([x.value if x.tensor is None else x.tensor for x in self._leaves])
        if containers(result)[1] is not None:
            return result

        def bare(x: Any) -> Any:
            made = is_a(x, Tensor) and x.edge is not None and x.edge.order >= start
            return x.detach() if made and is_spent(x.edge, start) else x

        return mapped(result, bare, anew=False)

    def run(self, symbolic: set[Source], at_once: bool) -> Any:
        """Call the function, record it meanwhile, and return its result. symbolic: the numbers to be read
        anew at every call. Raises UnsupportedError where it can't be recorded, if at_once."""
        return (self._on_values if self.world.values else self._on_tensors)(symbolic, at_once)

    def kinds_of_found(self) -> tuple[Any, ...]:
        """Return what the recording depends on in the Tensors that the function finds in Python's objects."""
        return kinds_of_found(self._values, self._count, self.unread)

    def _look_around(self) -> None:
        """Take notice of what the function has changed of what it reads."""
        self.changed = self.world.difference()
        self.line = self.world.line
        self.changed = self.changed or self._replaced()

    def _replaced(self) -> str:
        """Return, in words, that a list or a dict among the arguments has changed; "" where none has."""
        after, given = self._flat(), self._leaves[: self._count]
        if len(after) != len(given):
            return "a list or a dict among the arguments has another number of elements"
        pairs = zip(given, after, strict=True)
        other = next((y for x, y in pairs if x.value is not y.value or x.name != y.name), None)
        return f"{other.name} is another" if other is not None else ""

    def _call(self, given: list[Any]) -> Any:
        """Return the function's result for the arguments given, and let go of these: its frame, which is
        kept, leads here."""
        parts = iter(given)
        args = [rebuilt(x, parts, self._depth) for x in self._args]
        first = len(args) - len(self._names)
        named = dict(zip(self._names, args[first:], strict=True))
        del args[first:], parts
        given.clear()
        try:
            return self._fn(*args, **named)
        finally:
            args.clear()
            named.clear()

    def repeat(self, values: tuple[Any, ...]) -> Any:
        """Return the function's result for the arguments of a later call, as eager code."""
        leaves = [leaf._replace(value=x) for leaf, x in zip(self._leaves, values, strict=True)]
        return self._call([leaf.value if leaf.tensor is None else leaf.tensor for leaf in leaves])

    @property
    def may_repeat(self) -> bool:
        """Return whether the function can be called once more for what a later call was given: it changes
        nothing, and its arguments can be put together."""
        captured = self.captured
        return (
            isinstance(captured, Captured)
            and not (captured.gradients or captured.rebound or captured.noted)
            and not (captured.settings or captured.repeats or self.entries)
            and not any(cell.is_changed for cell in captured.cells)
            and all(number.source is None or number.source.entry is None for number in captured.numbers)
            and not any(leaf.fixed for leaf in self._leaves)
        )

    def _on_tensors(self, symbolic: set[Source], at_once: bool) -> Any:
        tensors = enumerate(leaf.tensor for leaf in self._leaves)
        self.arguments = {i: tensor for i, tensor in tensors if tensor is not None}
        given = [self.arguments.get(i, x) for i, x in enumerate(self._values)]
        leaves = {i: x.edge for i, x in self.arguments.items() if x.edge is not None}
        owned = [x for i, x in self.arguments.items() if i not in self.bare]
        recording = Recording(at_once, owned, self.world.tensors)
        symbolic = {x for x, number in self.numbers if x in symbolic and self._takes_symbol(x, number)}
        left = [source for source, _ in self.numbers if source.entry is not None]
        recording.rates.expect(left, symbolic, self.world.schedulers)
        for source, number in self.numbers:
            if source in symbolic and source.entry is None:
                given[source.place] = recording.symbols.symbol(source, number)
        recording.tape.code, recording.hands_arrays_out = self.world.code, not self.world.reads_arrays
        with recording:
            try:
                result = self._call(given)
            except BaseException as error:
                error.args = tuple(map(_own, error.args))
                recording.rates.leave()
                recording.tape.take_variables()
                leave(recording.symbols.known, number_of)
                raise
            variables, recording.tape.line = recording.tape.take_variables(), beginning(self._fn)
            tree = self._look_at(result, recording.tape)
            if tree:
                result = mapped(result, lambda x: x, anew=False, key_of=number_of)
            found = zip(self.entries, self._values[self._count :], strict=True)
            self.set = [_SetAnew(entry) for entry, had in found if entry.holds_other(had)]
            if self.set:
                result = result, tuple([each.entry.read() for each in self.set])
            for each in self.set:
                each.look_at_history(recording)
            captured = recording.captured(result if tree else None, self.arguments.values())
        self.reason = recording.tape.reason
        if captured is not None:
            captured.names = _names(recording.tape, variables)
            captured.reached, captured.leaves = {*self.world.tensors}, leaves
            self.by_value = recording.symbols.turned_back
            read_anew = {number.source for number in captured.numbers}.difference(self.by_value)
            self.numbers = [(source, number) for source, number in self.numbers if source not in read_anew]
            self.conditions = [c for c in recording.symbols.conditions if c.sources & read_anew]
            self.captured = captured
        variables.clear()
        leave(recording.tape.left(), real)
        if captured is not None:
            self.unread = {
                i for i in range(self._count, len(self._values)) if not captured.uses(self._values[i])
            }
            self._look_around()
        if captured is None or self.changed:  # what it has kept is to be what it returns
            result = result[0] if self.set else result
            return mapped(result, _own, anew=False) if tree else result
        kept = {x.tensor for history in captured.histories for x in history.results}
        kept.update(each.entry.read() for each in self.set)
        return self.take(mapped(result, partial(_handed_out, recording, kept, {}), anew=False))

    def take(self, result: Any) -> Any:
        """Set the Tensors that the step sets anew, which it returns beside its result, and return that."""
        if self.set:
            result, tensors = result
            for each, tensor in zip(self.set, tensors, strict=True):
                if each.spent is not None and tensor.edge is None:
                    tensor.edge = Node(each.spent, (), None)
                each.entry.write(tensor)
        return result

    def _look_at(self, result: Any, tape: StepTape) -> bool:
        """Close the tape where the function returns a container that was there before, or one list or dict in
        two places. Return whether it is a tree, as it is but for the latter."""
        given = {id(x) for argument in self._args for x in containers(argument)[0]}
        parts, repeated = containers(result)
        for x in parts:
            known = id(x) in given or self.world.reaches(x)
            if known and not (isinstance(x, tuple) and all(map(is_constant, x))):
                tape.stop(f"the function returns {a(type(x))} that was there before; return a copy")
        if repeated is not None:
            tape.stop(f"the function returns one {type(repeated).__name__} in two places; return a copy")
        return repeated is None

    def _takes_symbol(self, source: Source, number: Any) -> bool:
        """Return whether a Symbol may stand in the place of a number."""
        if is_large(number):
            return False
        if source.entry is not None:
            return self.world.takes_symbol(source.entry, type(number) is bool)
        return not self.world.asks_for_types and not self._leaves[source.place].fixed

    def _on_values(self, symbolic: set[Source], at_once: bool) -> Any:
        recording = ValueRecording(at_once)
        try:
            with recording:
                leaves = enumerate(self._leaves)
                result = self._call(
                    [x.value if x.fixed else recording.argument(i, x.value) for i, x in leaves]
                )
                outputs = recording.outputs(result)
                changed = [] if recording.tape.reason else recording.numbers_changed()
        finally:
            leave(recording.tape.left(), value_of)
        self.reason = recording.tape.reason
        self.numbers = [
            (source, number)
            for source, number in self.numbers
            if source.entry is not None or self._leaves[source.place].fixed
        ]
        self.captured = lambda: ValueStep(recording, changed, outputs)
        if not self.reason:
            self._look_around()
        return mapped(result, value_of, anew=False, key_of=value_of)


def _handed_out(recording: Recording, kept: Set[Tensor], bare: dict[Tensor, Tensor], x: Any) -> Any:
    """Return a part of what the call returns: a number in the place of a Symbol, and a Tensor that the step
    has computed without its history, as later calls replay it, unless that is among those kept. bare: those
    without it, by those with it."""
    if not is_a(x, Tensor) or x.edge is None or x in kept:
        return _own(x)
    if x not in bare:
        bare[x] = x.detach() if recording.made(x) else x
    return bare[x]


def _own(x: Any) -> Any:
    """Return the number or the array that a stand-in stands for; anything else unchanged."""
    return real(number_of(x))


def _left(world: World) -> list[tuple[Source, Any]]:
    """Return the numbers in Python's objects that are left to the caller."""
    held = [(name, entry, numbers_of(entry.read())) for entry, (name, _) in world.left.items()]
    return [(Source(name, at, entry), x) for name, entry, numbers in held for at, x in numbers.items()]


def _names(tape: StepTape, variables: dict[str, Tensor]) -> dict[Var, str]:
    """Return the names of the local variables of the function that the tape has recorded."""
    names: dict[Var, str] = {}
    for name, value in variables.items():
        if name.isidentifier() and name.isascii():
            handle = tape.handle_of(value._array)
            if handle is not None:
                var = handle.memory.before or handle.var(tape)
                if not var.constant:
                    names.setdefault(var, name)
    return names
