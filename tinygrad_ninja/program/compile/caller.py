"""The Python code around every run of a compiled step, generated for that step.

A step of the lecture's model takes less time than a loop over its parameters and their checks would, so the
checks are unrolled, as dataclasses generate their methods: the generated text consists only of numbers and of
the lines here.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from operator import le
from sys import getrefcount
from typing import TYPE_CHECKING, Any

from ...engine.inference import as_inference, is_marked, marked
from ...engine.tensor import Tensor, wrap
from ...engine.versions import note_writes, version
from ...engine.view import note_assigned
from ...rng.generator import _TWISTER_SIZE
from .memory import pointer
from .recording.checks import CheckError
from .recording.outputs import Returned
from .recording.shapes import is_torch, stand_in
from .results import leaves

if TYPE_CHECKING:
    from .step import Step


_GRADIENT = "a gradient is there that was not, or the reverse"
_INFERENCE = "an inference tensor in the place of another, or the reverse"
_SHARED = "Tensors that share their memory and did not, or the reverse"


class ChangedError(Exception):
    """The conditions under which the step was recorded have changed: it must be recorded again."""


def _same(condition: bool, what: str) -> None:
    """Raise ChangedError where a condition of the recording does not hold."""
    if not condition:
        raise ChangedError(what)


def _is_plain(tensor: Tensor) -> bool:
    """Return whether a Tensor is nothing but its array."""
    return type(tensor) is Tensor and tensor.edge is None


class Caller:
    """The functions that the generated code calls in rare cases."""

    def __init__(self, step: Step) -> None:
        self.step = step
        # In one order everywhere, so that no two steps wait for each other's locks.
        self.generators = sorted({draw.generator for draw in step.captured.draws}, key=id)
        self.moves: set[int] = set()  # the slots that got other memory since the last call of `apart`
        self.changed = {address.buffer.slot for address, _ in step.stores}
        table = step.table
        # The bounds of a slot's elements from its address; any array that replaces it has the same.
        self._reach = {}
        for _, array, slot, _ in step.owners:
            at = table.address(slot)
            self._reach[slot] = tuple(address - at for address in table.span(array))
        self._sort()
        arrays = {slot: array for _, array, slot, _ in step.owners}
        noted = [memory.address.buffer.slot for memory in step.captured.noted]
        self.versions = [version(arrays[slot]) for slot in noted]
        self._places: dict[int, list[int]] = {}  # in this list, by the slot
        for i, slot in enumerate(noted):
            self._places.setdefault(slot, []).append(i)

    def moved(self, slot: int, array: Any) -> Any:
        """Take the address of the array that a Tensor holds now, if it is of the same kind."""
        alike = self.step.table.alike(slot, array)
        _same(alike, "a Tensor has another shape, dtype or layout than before")
        if marked:
            _same(is_marked(array) == is_marked(self.step.table.arrays[slot]), _INFERENCE)
        self.step.table.point(slot, array)
        if self.changed:
            self.moves.add(slot)
        for i in self._places.get(slot, ()):
            self.versions[i] = version(array)
        return array

    def replaceable(self) -> dict[Tensor, int]:
        """Return the gradients in whose place the step takes others, with their numbers: Tensors that it
        reaches as a gradient alone, and neither returns nor gives other memory."""
        captured = self.step.captured
        gradients = {grad: i for i, (_, grad) in enumerate(captured.needs) if grad is not None}
        kept = {*captured.reached, *self.step.given, *(tensor for tensor, _ in captured.rebound)}
        kept.update(x.tensor for x in leaves(captured.result) if isinstance(x, Returned))
        several = len(gradients) < sum(grad is not None for _, grad in captured.needs)
        if several or not all(map(_is_plain, gradients)):
            return {}
        return {grad: i for grad, i in gradients.items() if grad not in kept}

    def gradient(self, tensor: Tensor | None, args: tuple[Any, ...]) -> Tensor:
        """Return a gradient that is there in the place of another, if it is one like it."""
        known = tensor in self.step.captured.reached or any(tensor is x for x in args)
        _same(tensor is not None and _is_plain(tensor) and not known, _GRADIENT)
        assert tensor is not None
        return tensor

    def apart(self) -> None:
        """Raise ChangedError where memory that the step changes overlaps with other memory of the step."""
        looked_at: Iterable[int] = self.moves
        if not self.changed.isdisjoint(looked_at):
            self._sort()
            looked_at = self._reach.keys() - self.changed
        for slot in looked_at:
            start, end = self._span(slot)
            last = bisect_left(self._starts, end) - 1  # the last that begins before this one ends
            if last >= 0 and self._ends[last] > start and start < end:
                raise ChangedError(_SHARED)
        self.moves.clear()

    def _span(self, slot: int) -> tuple[int, int]:
        """Return the addresses between which a slot's elements lie."""
        at, (low, high) = self.step.table.address(slot), self._reach[slot]
        return at + low, at + high

    def _sort(self) -> None:
        """Sort the memory that the step changes by its addresses."""
        spans = sorted(self._span(slot) for slot in self.changed)
        spans = [(start, end) for start, end in spans if start < end]
        self._starts, self._ends = [start for start, _ in spans], [end for _, end in spans]
        _same(all(map(le, self._ends, self._starts[1:])), _SHARED)

    def give_back(self, *marks: Any) -> None:
        """Return the generators to where they were before the step drew; their locks are held since then."""
        for generator, mark in zip(self.generators, marks, strict=True):
            generator.return_to(mark)

    def words(self, number: int, slot: int) -> tuple[Any, int]:
        """Draw random words beyond those in the generator's memory; return its new memory, and the address of
        that."""
        generator, n = self.step.words[number]
        self.step.table.point(slot, generator._words(n))
        return generator._block, pointer(generator._block)

    def fresh(self, slot: int) -> Tensor:
        """Return a new gradient, where somebody holds the last one: its memory is theirs from now on."""
        return wrap(self.step.table.renew(slot))


def arranged(array: Any, strides: tuple[int, ...]) -> Any:
    """Return a copy of an array with these strides, counted in elements."""
    if is_torch(array):
        return array.new_empty_strided(array.shape, strides).copy_(array)
    copied = stand_in(array.shape, array.dtype, strides)
    copied[...] = array
    return copied


def caller(step: Step) -> Any:
    """Return a function of the arguments that runs the step once. It raises ChangedError, before anything was
    drawn or written, where the recording does not hold any more."""
    own = Caller(step)
    names: dict[str, Any] = {
        "own": own, "slots": step.table.slots, "run": step.run, "same": _same, "count": getrefcount,
        "new": object.__new__, "Tensor": Tensor,
    }  # fmt: skip
    state, checks, before, after = [], [], [], []

    def bind(name: str, value: Any) -> str:
        names[name] = value
        return name

    gradients = own.replaceable()
    for i, (node, grad) in enumerate(step.captured.needs):
        check = f"if {bind(f'needs{i}', node)}._grad is not had{i}: "
        if grad in gradients:
            state.append(f"had{i}")
            names[f"first_had{i}"] = grad
            checks.append(f"{check}had{i} = own.gradient(needs{i}._grad, args)")
        else:
            bind(f"had{i}", grad)
            checks.append(f"{check}same(False, {_GRADIENT!r})")

    def named(owner: Tensor, place: int) -> str:
        """Return the text for a Tensor, or for the array that is given in its place."""
        if owner in gradients:
            return f"had{gradients[owner]}"
        return f"args[{place}]" if place >= 0 else bind(f"x{len(names)}", owner)

    def held(name: str, place: int) -> str:
        """Return the text for the array that it holds now."""
        return name if place in step.bare else f"{name}._array"

    def copied(slot: int) -> str:
        """Return the text for a copy of what was computed, with the strides that eager code gives it."""
        array, layout = step.table.arrays[slot], step.layouts.get(slot)
        name = bind(f"out{slot}", array)
        text = f"{name}.{'clone' if is_torch(array) else 'copy'}()"
        if layout is not None:
            text = f"{bind('arranged', arranged)}({name}, {layout})"
        return f"{bind('as_inference', as_inference)}({text})" if slot in step.inference else text

    def taken(name: str, slot: int) -> list[str]:
        """Return the lines that make a Tensor of it."""
        return [f"{name} = new(Tensor)", f"{name}._array = {copied(slot)}", f"{name}.edge = None"]

    for i, (owner, array, slot, place) in enumerate(step.owners):
        name = named(owner, place)
        source = held(name, place)
        state.append(f"a{i}")
        names[f"first_a{i}"] = array
        checks.append(f"if {source} is not a{i}: a{i} = own.moved({slot}, {source})")
    for i, owner, place in step.shared:
        checks.append(f"if {held(named(owner, place), place)} is not a{i}: same(False, {_SHARED!r})")
    if own.changed:
        names["moves"] = own.moves
        checks.append("if moves: own.apart()")
    # What flows to a Tensor that is given twice, or was found elsewhere too, is the sum of two gradients.
    holders = [*((owner, place) for owner, *_, place in step.owners), *(shared[1:] for shared in step.shared)]
    known = names["known"] = {holder.edge for holder, place in holders if place < 0}
    for i, leaf in step.leaves.items():
        others = [f"is args[{j}].edge" for j, other in step.leaves.items() if j < i and other is not leaf]
        others += ["in known"] if leaf not in known else []
        checks += [f"if args[{i}].edge {other}: same(False, {_SHARED!r})" for other in others]
    # A Tensor that gets other memory leaves those behind that shared the old one, but not itself.
    for tensor, _ in step.rebound_slots:
        mine = named(tensor, step.given.get(tensor, -1))
        for other, place in holders:
            if place >= 0 or tensor in step.given:
                is_ = "is not" if other is tensor else "is"
                checks.append(f"if {mine} {is_} {named(other, place)}: same(False, {_SHARED!r})")
    checks += [f"{bind(f'guard{i}', guard)}()" for i, guard in enumerate(step.guards)]
    for i, (number, read) in enumerate(step.numbers):
        before.append(f"{bind(f'number{i}', number)}[()] = {bind(f'read{i}', read)}(args)")
    run, draws = ["run()"], []
    for i, (generator, n, slot) in enumerate(
        (*word, slot) for word, slot in zip(step.words, step.word_slots, strict=True)
    ):
        g = bind(f"g{i}", generator)
        state += [f"block{i}", f"address{i}"]
        names[f"first_block{i}"], names[f"first_address{i}"] = None, 0
        slow = f"block{i}, address{i} = own.words({i}, {slot})"
        fast = [
            f"start = {g}._position",
            f"if start <= {_TWISTER_SIZE - n} and {g}._block is block{i}:",
            f"    {g}._position = start + {n}",
            f"    slots[{slot}] = address{i} + 8 * start",
            f"else: {slow}",
        ]
        draws += fast if step.source else [slow]
    for i, (draw, drawn) in enumerate(step.draws):
        method = bind(f"draw{i}", getattr(draw.generator, draw.method))
        draws.append(
            f"{bind(f'holder{i}', drawn)}[...] = {method}"
            f"(*{bind(f'with{i}', draw.arguments)}, **{bind(f'options{i}', draw.options)})"
        )
    drawn_from = [bind(f"from{i}", g) for i, g in enumerate(own.generators)]
    locked = step.draws_on_device  # whether the generators are while it runs
    if step.complains and drawn_from:  # it draws before it finds an error, and eager code draws anew
        locked = True
        draws = [*(f"was{i} = {g}.mark()" for i, g in enumerate(drawn_from)), *draws]
        marks = ", ".join(f"was{i}" for i in range(len(drawn_from)))
        run = ["try: run()", "except CheckError:", f"    own.give_back({marks})", "    raise"]
        names["CheckError"] = CheckError
    if drawn_from:
        locks = [bind(f"lock{i}", g.lock) for i, g in enumerate(own.generators)]
        inside, behind = ([*draws, *run], []) if locked else (draws, run)
        run = [f"with {', '.join(locks)}:", *(f"    {line}" for line in inside), *behind]
    for i, (node, place_of) in enumerate(step.gradient_slots):
        target = bind(f"node{i}", node)
        if place_of is None:
            after.append(f"{target}._grad = None")
            continue
        if place_of in step.layouts:
            after += [*taken(f"t{i}", place_of), f"{target}._grad = t{i}"]
            continue
        state.append(f"t{i}")
        names[f"first_t{i}"] = wrap(step.table.arrays[place_of])
        # Held by the node, by t, and by the call of count; its array by the table and by the Tensor.
        before.append(
            f"if count(t{i}) > (3 if {target}._grad is t{i} else 2) or count(t{i}._array) > 3: "
            f"t{i} = own.fresh({place_of})"
        )
        after.append(f"{target}._grad = t{i}")
    for owner, place_of in step.rebound_slots:
        place = step.given.get(owner, -1)
        if place not in step.bare:  # the Tensor that an array is given in is the function's own
            target = named(owner, place)
            after += [f"{target}._array = {copied(place_of)}", f"note_assigned({target})"]
            names["note_assigned"] = note_assigned
    if own.versions:
        names |= {"note_writes": note_writes, "versions": own.versions}
        after.append("note_writes(versions)")
    results = []
    for i, slot in enumerate(step.result_slots):
        after += taken(f"r{i}", slot)
        results.append(f"r{i}")
    answer = results[0] if step.plain_result else f"fill([{', '.join(results)}], args)"
    if not step.plain_result:
        names["fill"] = step.fill
    body = [*checks, *before, *run, *after, f"return {answer}"]
    lines = ["def make():", *(f"    {name} = first_{name}" for name in state), "    def call(args):"]
    lines += [f"        nonlocal {', '.join(state)}"] if state else []
    lines += [f"        {line}" for line in body]
    exec("\n".join([*lines, "    return call"]), names)
    step_caller = names["make"]()
    for name in state:
        del names[f"first_{name}"]
    return step_caller
