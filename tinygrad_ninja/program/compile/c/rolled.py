"""Operations on numbers as loops of instructions, recovered from a straight line of them.

Python runs a model over its points one by one, so the recording of a step of Values holds the same operations
again and again. Where a stretch of them repeats, it becomes one loop, whose body stands once: as instructions
on arrays with an element for each turn.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from ....ops import Operation, elementwise, indexing
from ...identities import instruction_of, unknown
from ...instructions import Array, Instruction, Program, Var, needed
from ..lowering.lower import merge, parts_for_c
from ..recording.values import COMPUTED, CONSTANT, INPUT, NONE, Scalars
from .buffers import Address, Buffer, Layout

LEAST = 32
"""A repetition that saves fewer operations than this is left as it is."""
LONGEST = 512
"""The most operations without repetition that stay together: a C compiler takes more than twice as long for
twice as many."""
_SMALL, _PEAKS = range(1, 9), 24
"""The periods that are tried in any case, and how many others are: those after which most repeats."""
DOUBLE, _PLACE = np.dtype(np.float64), np.dtype(np.int32)


@dataclass
class Turns:
    """A stretch of operations as the instructions of one turn, in which a `put` keeps a number at an address.
    layout: where lies what they read."""

    stretch: Stretch
    instructions: list[Instruction]
    layout: Layout


class Rolled:
    """The operations that some outputs depend on, in loops.

    turns: the loops, in order; size: how many numbers lie in memory, inputs first; constants: those that
    never change, by their places; outputs: the places of the outputs; table: places that follow no rule.
    read, written: the memory, as what is only read and as what is written; places: the table.
    """

    def __init__(self, tape: Scalars, outputs: list[int]) -> None:
        """Roll what was recorded. outputs: the codes of the results that are wanted."""
        self.read, self.written = (Buffer(name, DOUBLE, (), (), 0) for name in ("x", "m"))
        self.places = Buffer("places", _PLACE, (), (), 1)
        self.size, self.table = tape.inputs, list[int]()
        self.constants: dict[int, float] = {}
        self._known: dict[bytes, int] = {}  # where constants lie that are there already
        self._numbers = np.array(tape.constants, np.float64)
        self._operations, self._operands, wanted = _needed(tape, outputs)
        self._slots = np.full(len(self._operations), -1, np.int64)  # where each lies that is kept
        labels = {operation: i for i, operation in enumerate(dict.fromkeys(self._operations))}
        keys = np.array([labels[operation] for operation in self._operations], np.int64) * 64
        pieces = [p for s in stretches(keys + (self._operands & 3) @ (16, 4, 1)) for p in s.parts()]
        self._keep(pieces, wanted)
        self.turns = [self._turns(piece) for piece in pieces]
        self.outputs = [self._output(code) for code in wanted.tolist()]

    def _keep(self, pieces: list[Stretch], wanted: Array) -> None:
        """Give memory to each number that is wanted, or is read in another stretch or another turn."""
        read = np.zeros(len(self._operations), bool)
        read[wanted[wanted & 3 == COMPUTED] >> 2] = True
        for piece in pieces:
            codes = piece.of(self._operands)
            read[codes[(codes & 3 == COMPUTED) & ~_own(piece, codes)] >> 2] = True
        for piece in pieces:
            for column in np.flatnonzero(piece.of(read).any(0)):
                piece.of(self._slots)[:, column] = self._room(piece.times)

    def _room(self, count: int) -> Array:
        """Return the places of so many new numbers in memory."""
        self.size += count
        return np.arange(self.size - count, self.size)

    def _constants(self, numbers: Array) -> int:
        """Return where these numbers, which never change, lie one after the other."""
        key = numbers.tobytes()
        if key not in self._known:
            places = self._room(len(numbers)).tolist()
            self._known[key] = places[0]
            self.constants.update(zip(places, numbers.tolist(), strict=True))
        return self._known[key]

    def _output(self, code: int) -> int:
        """Return the place of a number that is wanted."""
        kind, number = code & 3, code >> 2
        if kind == CONSTANT:
            return self._constants(self._numbers[[number]])
        return int(self._slots[number]) if kind == COMPUTED else number

    def _turns(self, piece: Stretch) -> Turns:
        """Return a stretch as the instructions of one turn, simplified."""
        layout, steps, memory = Layout({}, {}, set()), list[Instruction](), unknown((0,), DOUBLE)
        codes, slots = piece.of(self._operands), piece.of(self._slots)
        own, first = _own(piece, codes)[0].tolist(), (codes[0] - 4 * piece.start).tolist()
        results: list[Var] = []
        known: dict[bytes, Any] = {}
        for i in range(piece.body):
            operands = []
            for j, code in enumerate(first[i]):
                key = codes[:, i, j].tobytes()
                if own[i][j]:
                    operands.append(results[code >> 2])
                elif code & 3 != NONE:
                    if key not in known:
                        known[key] = self._operand(codes[:, i, j], piece.shape, layout, steps)
                    operands.append(known[key])
            results.append(apply(steps, self._operations[piece.start + i], operands, piece.shape))
            if slots[0, i] >= 0:
                address = _address(self.written, slots[:, i])
                inputs = memory, results[-1]
                steps.append(instruction_of(indexing.put, inputs, (address,), piece.shape, DOUBLE))
        parts = [[step] if step.operation is indexing.put else parts_for_c(step) for step in steps]
        simple, _ = merge([*chain(*parts)])
        layout.by.update((instruction.output, instruction) for instruction in simple)
        kept = [x.output for x in simple if x.operation is indexing.put]
        return Turns(piece, needed(simple, kept), layout)

    def _operand(self, codes: Array, shape: tuple[int, ...], layout: Layout, steps: list[Instruction]) -> Any:
        """Return an operand that lies in memory, of these codes in all turns: a number or a variable, with an
        instruction that looks its place up if that follows no rule."""
        kind, places = codes[0] & 3, codes >> 2
        if kind == CONSTANT:
            numbers = self._numbers[places]
            if len({*numbers.view(np.int64).tolist()}) == 1:
                return float(numbers[0])
            places = self._constants(numbers) + np.arange(len(numbers))
        elif kind == COMPUTED:
            places = self._slots[places]
        buffer, var = self.written if kind == COMPUTED else self.read, unknown(shape, DOUBLE)
        address = _address(buffer, places)
        if address is not None:
            layout.kept[var] = address
            return var
        whole, at = unknown((self.size,), DOUBLE), unknown(shape, _PLACE)
        layout.kept[whole] = Address(buffer, 0, (self.size,), (1,))
        layout.kept[at] = Address(self.places, len(self.table), shape, (1,))
        layout.positive.add(at)
        self.table += places.tolist()
        return apply(steps, indexing.gather, [whole, 0, at], shape)


def apply(
    steps: list[Instruction], operation: Operation, operands: list[Any], shape: tuple[int, ...] = ()
) -> Var:
    """Add an operation on numbers, and return its result: of a comparison, 0 or 1."""
    inputs, parameters = operands[: len(operation.inputs)], operands[len(operation.inputs) :]
    dtype = np.dtype(bool) if operation.predicate else DOUBLE
    step = instruction_of(operation, tuple(inputs), tuple(parameters), shape, dtype)
    steps.append(step)
    if operation.predicate:
        return apply(steps, elementwise.cast, [step.output, DOUBLE], shape)
    return step.output


def program(tape: Scalars, outputs: list[int]) -> Program:
    """Return the operations that the outputs depend on as instructions on arrays without dimensions."""
    steps, results = list[Instruction](), list[Any]()
    known: dict[int, Any] = {COMPUTED: results, CONSTANT: tape.constants}
    known[INPUT] = [Var(np.zeros(())) for _ in range(tape.inputs)]
    for operation, codes in zip(tape.operations, tape.operands, strict=True):
        results.append(apply(steps, operation, [known[x & 3][x >> 2] for x in codes if x != NONE]))
    return Program(steps, [known[x & 3][x >> 2] for x in outputs if x & 3 != CONSTANT]).needed()


def _needed(tape: Scalars, outputs: list[int]) -> tuple[list[Operation], Array, Array]:
    """Return the operations that the outputs depend on, with the codes of their operands and of the outputs,
    where no others count."""
    wanted = bytearray(len(tape.operations))
    for code in outputs:
        if code & 3 == COMPUTED:
            wanted[code >> 2] = True
    for i in reversed(range(len(wanted))):
        if wanted[i]:
            for code in tape.operands[i]:
                if code & 3 == COMPUTED:
                    wanted[code >> 2] = True
    kept = np.frombuffer(wanted, bool)
    numbers = 4 * (np.cumsum(kept) - 1) + COMPUTED
    operands, ends = np.array(tape.operands, np.int64).reshape(-1, 3)[kept], np.array(outputs, np.int64)
    for codes in (operands, ends):
        computed = codes & 3 == COMPUTED
        codes[computed] = numbers[codes[computed] >> 2]
    return [operation for operation, x in zip(tape.operations, wanted, strict=True) if x], operands, ends


def _own(piece: Stretch, codes: Array) -> Array:
    """Return whether an operand is in every turn what the same operation of that turn computed, of shape
    (1, body, 3)."""
    number = (codes >> 2) - (piece.start + piece.body * np.arange(piece.times).reshape(-1, 1, 1))
    same = (number == number[0]) & (number >= 0) & (number < piece.body) & (codes & 3 == COMPUTED)
    return same.all(0, keepdims=True)


def _address(buffer: Buffer, places: Array) -> Address | None:
    """Return the address of an array whose elements lie at these places, if they follow a rule."""
    start, step = int(places[0]), int(places[1] - places[0]) if len(places) > 1 else 0
    if (places != start + step * np.arange(len(places))).any():
        return None
    shape = (len(places),) if len(places) > 1 else ()
    return Address(buffer, start, shape, (step,) * len(shape))


@dataclass(frozen=True)
class Stretch:
    """Operations [start, start + body · times): a body that is run so many times."""

    start: int
    body: int
    times: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape of arrays with an element for each turn."""
        return (self.times,) if self.times > 1 else ()

    def __str__(self) -> str:
        return f"{self.body} operations" + (f", {self.times} times" if self.times > 1 else "")

    @property
    def end(self) -> int:
        """Return the position after the last operation."""
        return self.start + self.body * self.times

    def of(self, x: Array) -> Array:
        """Return what belongs to its operations, of shape (times, body, …), as a view."""
        return x[self.start : self.end].reshape(self.times, self.body, *x.shape[1:])

    def parts(self) -> list[Stretch]:
        """Return it as several, of at most LONGEST operations each where nothing repeats."""
        if self.times > 1:
            return [self]
        starts = range(self.start, self.end, LONGEST)
        return [Stretch(start, min(LONGEST, self.end - start), 1) for start in starts]


def stretches(keys: Array) -> Iterator[Stretch]:
    """Yield the operations, identified by their keys (int64), as stretches in order.

    The repetition that saves most is taken first; what is left and right of it is then divided the same way.
    """
    pending = [Stretch(0, len(keys), 1)]
    settled: set[Stretch] = set()
    while pending:
        stretch = pending.pop()
        longest = None if stretch in settled else _longest(keys[stretch.start : stretch.end])
        if longest is None:
            if stretch.body:
                yield stretch
            continue
        at, body, times = longest
        repeated = Stretch(stretch.start + at, body, times)
        settled.add(repeated)
        left, right = Stretch(stretch.start, at, 1), Stretch(repeated.end, stretch.end - repeated.end, 1)
        pending += [right, repeated, left]


def _longest(keys: Array) -> tuple[int, int, int] | None:
    """Return (start, body, times) of the repetition that saves most operations; None where none is worth
    it."""
    best, most = None, LEAST
    if len(keys) <= LEAST:
        return None
    for body in _periods(keys):
        same = keys[:-body] == keys[body:]
        breaks = np.flatnonzero(np.concatenate(([True], ~same, [True])))
        lengths = np.diff(breaks) - 1  # of the runs of equal keys between two breaks
        saved = lengths // body * body
        i = int(saved.argmax())
        if saved[i] > most:
            most, best = int(saved[i]), (int(breaks[i]), body, int(saved[i]) // body + 1)
    return best


def _periods(keys: Array) -> list[int]:
    """Return the lengths after which much repeats, shortest first: peaks of the autocorrelation of random
    numbers that stand for the keys."""
    n = len(keys)
    noise = np.random.default_rng(0).normal(size=int(keys.max()) + 1)[keys]
    size = 1 << (2 * n - 1).bit_length()
    spectrum = np.fft.rfft(noise - noise.mean(), size)
    alike = np.fft.irfft(np.abs(spectrum) ** 2, size)[: n // 2 + 1]
    alike[0] = -np.inf
    peaks = np.argsort(-alike)[:_PEAKS]
    return sorted({*(p for p in _SMALL if p <= n // 2), *(int(p) for p in peaks if p)})
