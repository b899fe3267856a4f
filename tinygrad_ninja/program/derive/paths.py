"""How a value leads to what is computed from it: through which of the instructions that are shown; and as a
drawing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from ...ops import shape
from ..instructions import Instruction, Var, behind, called, extreme
from ..trace import lower
from .backward_lines import Line, Share
from .new_names import gradient_name
from .proofs import proof


@dataclass(frozen=True)
class Use:
    """A use of a value from which a gradient comes back. share: what it adds to the gradient; line: the line
    that it is in; path: the instructions that lead from the value to the end of the line; place: as which
    input the first of them reads the value."""

    line: Line
    share: Share
    path: list[Instruction]
    place: int


class Paths:
    """The ways from values to values. makers: the instructions as they are shown, by their outputs."""

    def __init__(self, makers: Mapping[Var, Instruction]) -> None:
        self._makers = makers

    def reads(self, var: Var) -> int:
        """Return how often the forward pass, as it is shown, reads a value."""
        forward = [step for step in self._makers.values() if step.answers is None]
        maxima = (step for step in forward if extreme(step, self._makers))
        unwritten = {step.parameters[-1] for step in maxima}  # their indices
        return sum(list(step.reads()).count(var) for step in forward if step.output not in unwritten)

    def is_written_out(self, step: Instruction) -> bool:
        """Return whether an operation is written as simpler ones."""
        made = self._makers.get(step.output)
        return made is not None and made.operation is not step.operation

    def use(self, line: Line, share: Share) -> Use:
        """Return a use with its path. A closed form, which has a proof of its own, stands for all that it is
        made of."""
        path, place = self._inside_of(share.by, share.place)
        for step in line.instructions:
            end = path[-1].output
            if end in step.reads() and step is not share.by:
                path += self._inside_of(step, step.inputs.index(end))[0]
        while len(path) > 1 and path[-1].operation is shape.clone:  # a copy only gives the value its name
            path[-2:] = [replace(path[-2], output=path[-1].output)]
        return Use(line, share, path, place)

    def drawn(self, name: str, uses: Sequence[Use]) -> list[str]:
        """Return a drawing in letters of where a value goes, and of where its gradient comes from."""
        ways = [" · ".join(called(step, self._makers) for step in use.path) for use in uses]
        ends, wide = [use.line.var.name for use in uses], max(map(len, ways))
        forth = [f" {how} {'─' * (wide - len(how))}─▶ {end}" for how, end in zip(ways, ends, strict=True)]
        back = [f" {gradient_name(end)}" for end in ends]
        return [*_fork(name, forth, "─"), "", *_fork(gradient_name(name), back, "◀")]

    def _inside_of(self, by: Instruction, place: int) -> tuple[list[Instruction], int]:
        """Return the instructions that an operation is written as, as far as they lead from an input to its
        output, and as which input the first reads that; the operation itself where they are not one path."""
        if not self.is_written_out(by) or (place == 0 and proof(by)):
            return [by], place
        parts = lower(by)
        for readers in (
            lambda x: self._readers(by.output, x),
            lambda x: [part for part in parts if x in part.inputs],  # those that it is defined by
        ):
            if path := _only_path(by.inputs[place], by.output, readers):
                return path, path[0].inputs.index(by.inputs[place])
        return [by], place

    def _readers(self, end: Var, x: Var) -> list[Instruction]:
        """Return the instructions that read a value, of those that compute `end` from named values."""
        steps = behind([end], self._makers, lambda var: var.name or var is x)
        return [step for step in steps for var in step.reads() if var is x]


def _only_path(x: Var, end: Var, readers: Callable[[Var], list[Instruction]]) -> list[Instruction]:
    """Return the instructions that lead from a value to another; none where they are not one path."""
    path: list[Instruction] = []
    while x is not end:
        following = readers(x)
        if len(following) != 1:
            return []
        path += following
        x = following[0].output
    return path


def _fork(stem: str, branches: list[str], tip: str) -> list[str]:
    """Return a drawing of a stem that divides into branches. tip: what stands before each branch."""
    if len(branches) == 1:
        return [f"{stem} {'─' if tip == '─' else '◀─'}{branches[0]}"]
    blank = " " * len(stem)
    marks = ["┬", *["├"] * (len(branches) - 2), "└"]
    heads = [f"{stem} {'─' if tip == '─' else '◀'}", *[f"{blank}  "] * (len(branches) - 1)]
    return [f"{head}{mark}─{branch}" for head, mark, branch in zip(heads, marks, branches, strict=True)]
