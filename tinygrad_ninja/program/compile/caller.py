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

from ...engine.tensor import Tensor, wrap
from ...rng.generator import _TWISTER_SIZE
from .memory import pointer
from .shapes import is_torch

if TYPE_CHECKING:
    from .step import Step


_SHARED = "Tensors that share their memory and did not, or the reverse"


class ChangedError(Exception):
    """The conditions under which the step was recorded have changed: it must be recorded again."""


def _same(condition: bool, what: str) -> None:
    """Raise ChangedError where a condition of the recording does not hold."""
    if not condition:
        raise ChangedError(what)


class Caller:
    """The functions that the generated code calls in rare cases."""

    def __init__(self, step: Step) -> None:
        self.step = step
        self.moves: set[int] = set()  # the slots that got other memory since the last call of `apart`
        self.changed = {address.buffer.slot for address, _ in step.stores}
        table = step.table
        # The bounds of a slot's elements from its address; any array that replaces it has the same.
        self._reach = {}
        for _, array, slot, _ in step.owners:
            at = table.address(slot)
            self._reach[slot] = tuple(address - at for address in table.span(array))
        self._sort()

    def moved(self, slot: int, array: Any) -> Any:
        """Take the address of the array that a Tensor holds now, if it is of the same kind."""
        alike = self.step.table.alike(slot, array)
        _same(alike, "a Tensor has another shape, dtype or layout than before")
        self.step.table.point(slot, array)
        if self.changed:
            self.moves.add(slot)
        return array

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

    def words(self, number: int, slot: int) -> tuple[Any, int]:
        """Draw random words beyond those in the generator's memory; return its new memory, and the address of
        that."""
        generator, n = self.step.words[number]
        self.step.table.point(slot, generator._words(n))
        return generator._block, pointer(generator._block)

    def fresh(self, slot: int) -> Tensor:
        """Return a new gradient, where somebody holds the last one: its memory is theirs from now on."""
        return wrap(self.step.table.renew(slot))


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

    for i, (node, grad) in enumerate(step.captured.needs):
        checks.append(
            f"if {bind(f'needs{i}', node)}._grad is not {bind(f'had{i}', grad)}: "
            "same(False, 'a gradient is there that was not, or the reverse')"
        )
    for i, (group, fixed) in enumerate(step.captured.settings):
        settings = ", ".join(f"{bind(f'group{i}', group)}[{name!r}]" for name in fixed)
        checks.append(
            f"if ({settings},) != {bind(f'fixed{i}', tuple(fixed.values()))}: "
            "same(False, 'a setting of the optimizer was changed')"
        )
    for i, optimizer in enumerate(step.captured.optimizers):
        mine = bind(f"optimizer{i}", optimizer)
        for name, kept in (("state", optimizer.state), ("param_groups", optimizer.param_groups)):
            checks.append(
                f"if {mine}.{name} is not {bind(f'{name}{i}', kept)} or len({name}{i}) != {len(kept)}: "
                "same(False, 'the state or the groups of the optimizer were replaced')"
            )

    def named(owner: Tensor, place: int) -> str:
        """Return the text for a Tensor, or for the array that is given in its place."""
        return f"args[{place}]" if place >= 0 else bind(f"x{len(names)}", owner)

    def held(name: str, place: int) -> str:
        """Return the text for the array that it holds now."""
        return name if place in step.bare else f"{name}._array"

    for i, (owner, array, slot, place) in enumerate(step.owners):
        name = named(owner, place)
        source = held(name, place)
        state.append(f"a{i}")
        names[f"first_a{i}"] = array
        if place < 0:
            checks.append(
                f"if {name}.edge is not {bind(f'edge{i}', owner.edge)}: "
                "same(False, 'whether a Tensor requires a gradient was changed')"
            )
        checks.append(f"if {source} is not a{i}: a{i} = own.moved({slot}, {source})")
    leaves = [owner.edge for owner, *_, place in step.owners if place < 0 and owner.edge is not None]
    for i, leaf in enumerate(dict.fromkeys([*leaves, *(node for node, _ in step.captured.gradients)])):
        hooks = tuple((leaf.hooks or {}).values())
        now = f"{bind(f'leaf{i}', leaf)}.hooks"
        changed = f"tuple({now}.values()) != {bind(f'hooks{i}', hooks)}" if hooks else now
        checks.append(f"if {changed}: same(False, 'a hook was added or removed')")
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
    checks += [f"{bind(f'guard{i}', guard)}()" for i, guard in enumerate(step.guards)]
    for i, (holder, read) in enumerate(step.numbers):
        before.append(f"{bind(f'number{i}', holder)}[()] = {bind(f'read{i}', read)}(args)")
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
        before += fast if step.source else [slow]
    for i, (draw, holder) in enumerate(step.draws):
        method = bind(f"draw{i}", getattr(draw.generator, draw.method))
        before.append(
            f"{bind(f'holder{i}', holder)}[...] = {method}"
            f"(*{bind(f'with{i}', draw.arguments)}, **{bind(f'options{i}', draw.options)})"
        )
    for i, (node, place_of) in enumerate(step.gradient_slots):
        target = bind(f"node{i}", node)
        if place_of is None:
            after.append(f"{target}._grad = None")
            continue
        state.append(f"t{i}")
        names[f"first_t{i}"] = wrap(step.table.arrays[place_of])
        # Held by the node, by t, and by the call of count; its array by the table and by the Tensor.
        before.append(
            f"if count(t{i}) > (3 if {target}._grad is t{i} else 2) or count(t{i}._array) > 3: "
            f"t{i} = own.fresh({place_of})"
        )
        after.append(f"{target}._grad = t{i}")
    results = []
    for i, slot in enumerate(step.result_slots):
        copy = "clone" if is_torch(step.table.arrays[slot]) else "copy"
        after += [
            f"r{i} = new(Tensor)",
            f"r{i}._array = {bind(f'out{i}', step.table.arrays[slot])}.{copy}()",
            f"r{i}.edge = None",
        ]
        results.append(f"r{i}")
    answer = results[0] if step.plain_result else f"fill([{', '.join(results)}])"
    if not step.plain_result:
        names["fill"] = step.fill
    body = [*checks, *before, "run()", *after, f"return {answer}"]
    lines = ["def make():", *(f"    {name} = first_{name}" for name in state), "    def call(args):"]
    lines += [f"        nonlocal {', '.join(state)}"] if state else []
    lines += [f"        {line}" for line in body]
    exec("\n".join([*lines, "    return call"]), names)
    step_caller = names["make"]()
    for name in state:
        del names[f"first_{name}"]
    return step_caller
