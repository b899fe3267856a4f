"""What a call of a step does in rare cases: where other Tensors, gradients or memory are in the place of
those of the last call, or random numbers run out."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from operator import le
from typing import TYPE_CHECKING, Any

from ...engine.inference import is_marked, marked
from ...engine.tensor import Tensor, wrap
from ...engine.versions import version
from .memory import pointer

if TYPE_CHECKING:
    from .step_memory import StepMemory

GRADIENT = "a gradient is there that was not, or the reverse"
_INFERENCE = "an inference tensor in the place of another, or the reverse"
SHARED = "Tensors that share their memory and did not, or the reverse"


class ChangedError(Exception):
    """The conditions under which the step was recorded have changed: it must be recorded again."""


def require(condition: bool, what: str) -> None:
    """Raise ChangedError where a condition of the recording does not hold."""
    if not condition:
        raise ChangedError(what)


def is_plain(tensor: Tensor) -> bool:
    """Return whether a Tensor is nothing but its array."""
    return type(tensor) is Tensor and tensor.edge is None


def root_of(x: Any) -> Any:
    """Return the Tensor that another one is a view of, at the beginning of a chain; None for all else."""
    return getattr(x, "root", None)


def may_begin(tensor: Tensor, others: tuple[tuple[Any, bool], ...]) -> None:
    """Raise ChangedError where a Tensor can't become a leaf as another one did: it holds a gradient already,
    or is one of the others, of which each is given with whether it must be a view of it."""
    require(getattr(tensor, "_parked_grad", None) is None, GRADIENT)
    require(all(tensor is not x and (root_of(x) is tensor) is is_view for x, is_view in others), SHARED)


class Changes:
    """The functions that the generated code of a step calls in the rare cases."""

    def __init__(self, memory: StepMemory) -> None:
        self.memory = memory
        # In one order everywhere, so that no two steps wait for each other's locks.
        self.generators = sorted({draw.generator for draw in memory.captured.draws}, key=id)
        self.moves: set[int] = set()  # the slots that got other memory since the last call of `apart`
        self.changed = {address.slot for address, _ in memory.stores}
        table = memory.table
        # The bounds of a slot's elements from its address; any array that replaces it has the same.
        self._reach = {}
        for _, array, slot, _ in memory.owners:
            at = table.address(slot)
            self._reach[slot] = tuple(address - at for address in table.span(array))
        self._sort()
        arrays = {slot: array for _, array, slot, _ in memory.owners}
        noted = [noted.address.slot for noted in memory.captured.noted]
        self.versions = [version(arrays[slot]) for slot in noted]
        self._places: dict[int, list[int]] = {}  # in this list, by the slot
        for i, slot in enumerate(noted):
            self._places.setdefault(slot, []).append(i)

    def moved(self, slot: int, array: Any) -> Any:
        """Take the address of the array that a Tensor holds now, if it is of the same kind."""
        alike = self.memory.table.alike(slot, array)
        require(alike, "a Tensor has another shape, dtype or layout than before")
        if marked:
            require(is_marked(array) == is_marked(self.memory.table.arrays[slot]), _INFERENCE)
        self.memory.table.point(slot, array)
        if self.changed:
            self.moves.add(slot)
        for i in self._places.get(slot, ()):
            self.versions[i] = version(array)
        return array

    def gradient(self, tensor: Tensor | None, args: tuple[Any, ...]) -> Tensor:
        """Return a gradient that is there in the place of another, if it is one like it."""
        known = tensor in self.memory.captured.reached or any(tensor is x for x in args)
        require(tensor is not None and is_plain(tensor) and not known, GRADIENT)
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
                raise ChangedError(SHARED)
        self.moves.clear()

    def _span(self, slot: int) -> tuple[int, int]:
        """Return the addresses between which a slot's elements lie."""
        at, (low, high) = self.memory.table.address(slot), self._reach[slot]
        return at + low, at + high

    def _sort(self) -> None:
        """Sort the memory that the step changes by its addresses."""
        spans = sorted(self._span(slot) for slot in self.changed)
        spans = [(start, end) for start, end in spans if start < end]
        self._starts, self._ends = [start for start, _ in spans], [end for _, end in spans]
        require(all(map(le, self._ends, self._starts[1:])), SHARED)

    def give_back(self, *marks: Any) -> None:
        """Return the generators to where they were before the step drew; their locks are held since then."""
        for generator, mark in zip(self.generators, marks, strict=True):
            generator.return_to(mark)

    def words(self, number: int) -> tuple[Any, int]:
        """Draw random words beyond those in the generator's memory; return its new memory, and the address of
        that."""
        generator, n, slot = self.memory.words[number]
        self.memory.table.point(slot, generator._words(n))
        return generator._block, pointer(generator._block)

    def fresh(self, slot: int) -> Tensor:
        """Return a new gradient, where somebody holds the last one: its memory is theirs from now on."""
        return wrap(self.memory.table.renew(slot))
