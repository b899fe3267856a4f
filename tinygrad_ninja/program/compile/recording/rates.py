"""Numbers in Python's objects, such as an optimizer's groups, while a step is recorded: those that it reads
anew, and those that it sets."""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import dataclass, replace
from itertools import chain
from operator import is_
from typing import Any

from ..guards.held import Entry, numbers_of
from .sources import Source
from .symbols import Symbols, is_symbol, recipe, same


@dataclass(eq=False)
class Setting:
    """What a step leaves in a place. read: gives it for the arguments of a call."""

    entry: Entry
    read: Callable[[tuple[Any, ...]], Any]


@dataclass(eq=False)
class _Held:
    """What is in a place: `before` the recording, and `now`, where Symbols stand in it; rate: a
    scheduler may set it."""

    entry: Entry
    rate: bool
    before: Any
    now: Any


class Rates:
    """The numbers in Python's objects while a step is recorded. settings: those that the step itself has
    set; repeats: the steps of schedulers that are to be made after every run."""

    def __init__(self, symbols: Symbols) -> None:
        self._symbols = symbols
        self._sources: list[Source] = []
        self._symbolic: Set[Source] = frozenset()
        self._schedulers: list[Any] = []
        self._held: list[_Held] = []
        self._late: list[Source] = []  # of the numbers as a scheduler has set them
        self._before: list[Any] = []  # what the step had changed before
        self._stepping = self._set_late = False
        self.settings: list[Setting] = []
        self.repeats: list[Callable[[], None]] = []

    def expect(self, sources: list[Source], symbolic: Set[Source], schedulers: list[Any]) -> None:
        """Take notice of all numbers that are left to the caller, of those among them that are read anew at
        every call, and of the schedulers whose steps may be repeated."""
        self._sources, self._symbolic, self._schedulers = sources, symbolic, schedulers

    def take(self) -> None:
        """Put Symbols in the place of the numbers that are read anew."""
        self._put(self._anew, self._sources)

    def _anew(self, source: Source, number: Any) -> Any:
        return self._symbols.symbol(source, number) if source in self._symbolic else number

    def _is_rate(self, source: Source) -> bool:
        """Return whether a number is of an optimizer's group, or a scheduler's own, which that may set."""
        groups = (group for scheduler in self._schedulers for group in scheduler.optimizer._param_groups)
        holders = chain(groups, map(vars, self._schedulers))
        return source.entry is not None and any(source.entry.holder is holder for holder in holders)

    def _put(self, instead: Callable[[Source, Any], Any], sources: list[Source]) -> None:
        """Put something in the place of each number, which is given with its source."""
        held: dict[Entry, _Held] = {}
        for source in sources:
            entry, at = source.entry, source.place
            assert entry is not None
            before = entry.read()
            place = held.setdefault(entry, _Held(entry, self._is_rate(source), before, before))
            number = source.read(())
            if (now := instead(source, number)) is not number:
                place.now = now if at < 0 else (*place.now[:at], now, *place.now[at + 1 :])
        self._held += held.values()
        for place in held.values():
            place.entry.write(place.now)

    def leave(self, rates_alone: bool = False) -> None:
        """Leave numbers where Symbols are, and take notice of what the step has set. rates_alone: in
        optimizers' groups."""
        for place in self._held:
            if rates_alone and not place.rate:
                continue
            after = place.entry.held()
            if after is place.now:
                place.entry.write(place.before)
                continue
            self._set_late |= bool(self.repeats) and place.rate
            if (number := _plain(after)) is not None:
                place.entry.write(number)
                if place.now is not place.before or not _same(number, place.before):
                    self.settings.append(Setting(place.entry, _read(after)))
        self._held = [place for place in self._held if rates_alone and not place.rate]

    # -- schedulers ------------------------------------------------------------------------------------------

    def repeat(self, scheduler: Any, step: Callable[[], None], changes: list[Any]) -> bool:
        """Return whether a scheduler has made its step, which is to be made again after every run. changes:
        what was changed until now."""
        if self._stepping:  # it is one of a scheduler's within
            return False
        if all(scheduler is not known for known in self._schedulers):
            self._symbols.tape.stop(f"{_STEP} is not compiled {_WHERE}; take it after the compiled one")
            return False
        self.leave(rates_alone=True)
        self._stop_where_late(changes)
        self._stepping, before = True, self._symbols.uses
        try:
            step()
        finally:
            self._stepping = False
        if self._symbols.uses != before:
            self._symbols.tape.stop(f"{_STEP} reads a number that the function sets; {_INSTEAD}")
        self.repeats.append(step)
        self._before = changes
        self._put(self._after_it, [*filter(self._is_rate, self._sources)])
        return True

    def _after_it(self, source: Source, number: Any) -> Any:
        """Return what stands for a number that a scheduler has set: nothing may depend on it."""
        self._late.append(replace(source, late=len(self.repeats)))
        return self._symbols.late(self._late[-1], number)

    def check(self, changes: list[Any]) -> None:
        """Close the tape where what the step does after a scheduler's step could not be replayed before
        it."""
        self._stop_where_late(changes)
        if any(map(self._symbols.is_used, self._late)):
            self._symbols.tape.stop(f"what {_STEP} has set is read after it; {_INSTEAD}")

    def _stop_where_late(self, changes: list[Any]) -> None:
        same_changes = len(changes) == len(self._before) and all(map(is_, changes, self._before))
        if self.repeats and (self._set_late or not same_changes):
            self._symbols.tape.stop(f"something is changed after {_STEP}; {_INSTEAD}")


_STEP, _INSTEAD = "a scheduler's step", "take that step last, or after the compiled one"
_WHERE = "where code reads what it sets, or where the scheduler is made here, or of a class of your own"


def _plain(x: Any) -> Any:
    """Return a number, or a tuple of numbers, with those in it that Symbols stand for; None for all else."""
    number = tuple(map(_number, x)) if type(x) is tuple else _number(x)
    return number if numbers_of(number) else None


def _number(x: Any) -> Any:
    return x.number if is_symbol(x) else x


def _same(a: Any, b: Any) -> bool:
    """Return whether two numbers, or tuples of them, are the same."""
    a, b = numbers_of(a), numbers_of(b)
    return a.keys() == b.keys() and all(same(a[place], b[place]) for place in a)


def _read(x: Any) -> Callable[[tuple[Any, ...]], Any]:
    """Return what gives a number, or a tuple of numbers, for the arguments of a call."""
    if type(x) is not tuple:
        return recipe(x)
    parts = [*map(recipe, x)]
    return lambda args: tuple([read(args) for read in parts])
