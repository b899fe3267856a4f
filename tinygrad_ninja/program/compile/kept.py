"""Recordings that are kept, and whether one holds for the arguments of a call."""

from __future__ import annotations

from typing import Any

from .first_call import FirstCall
from .recording.signature import kinds_of_found, objects_in
from .recording.sources import Source
from .recording.symbols import same


class Kept:
    """A recording that is kept, for arguments of the signature `key`: its step, what the function read
    besides, the numbers that it depends on, and what comparisons with other numbers gave.

    holds, call: those of the world and the step, which is compiled when it is first called, and has `run`
    since; entries: the places in which the function finds Tensors, which are `found` behind the arguments;
    numbered: whether there are numbers to be compared, met: whether Tensors are.
    """

    __slots__ = (
        "_kinds", "_take", "_unread", "call", "classes", "conditions", "entries", "given", "holds", "key",
        "met", "numbered", "numbers", "run", "step", "world",
    )  # fmt: skip

    def __init__(self, key: Any, step: Any, first: FirstCall) -> None:
        self.key, self.run = key, False
        self.step, self.world, self.holds = step, first.world, first.world.holds
        self.call = self._call_first
        self.numbers, self.conditions = first.numbers, first.conditions
        self.numbered = bool(self.numbers or self.conditions)
        self.entries, self._unread = first.entries, first.unread
        self._take = first.take if first.set else None
        self._kinds = first.kinds_of_found()
        reached = first.world.tensors
        given = [(i, x) for i, x in first.arguments.items() if i not in first.bare]
        # Those among the arguments, each with that which the function reaches in another way too, if it does.
        self.given = [(i, x if x in reached else None) for i, x in given if reached]
        self.classes = [(i, type(x)) for i, x in given if first.world.asks_for_classes]
        self.met = bool(self.given or self.classes)

    def _call_first(self, values: tuple[Any, ...]) -> Any:
        """Compile the step, and run it."""
        self.call, self.run = self.step.call, True
        if (take := self._take) is not None:
            call, self.call = self.call, lambda values: take(call(values))
        return self.call(values)

    def found(self, values: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """Return the arguments with the Tensors that the function finds in Python's objects; None where these
        are of another kind than they were."""
        every = (*values, *[entry.held() for entry in self.entries])
        return every if kinds_of_found(every, len(values), self._unread) == self._kinds else None

    def is_of_others(self, key: Any) -> bool:
        """Return whether it belongs to other objects, such as another model, than a call whose arguments have
        this signature."""
        known = {*map(id, objects_in(key))}
        return any(id(x) not in known for x in objects_in(self.key)) or self.world.is_of_others()

    def swapped(self, values: tuple[Any, ...]) -> bool:
        """Return whether an argument is a Tensor that the function reaches in another way too, and was none,
        or the reverse; or one of another class, such as a view, where the function asks for that."""
        reached = self.world.tensors
        for i, x in self.given:
            if values[i] in reached if x is None else values[i] is not x:
                return True
        for i, kind in self.classes:  # noqa: SIM110 - a generator takes twice as long
            if type(values[i]) is not kind:
                return True
        return False

    def others(self, values: tuple[Any, ...]) -> list[Source]:
        """Return the numbers that are others than the recording depends on."""
        others = []
        for source, number in self.numbers:
            now = source.read(values)
            equal = now is number or (now and now == number) or same(now, number)  # mostly at once
            if not equal:
                others.append(source)
        for condition in self.conditions:
            if not condition.holds(values):
                others += condition.sources
        return others
