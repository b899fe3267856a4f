"""The explanation of one value of a derivation: where it is used, and where its gradient comes from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import chain

from ...ops import linalg
from ..instructions import Instruction, Var, needed
from . import formula
from .backward_lines import Backward, Line, Share
from .displayed import displayed
from .evidence import Evidence
from .indexed import Index, Indexed, NoIndexFormError
from .listing import Writer
from .local import MOVED, index_of_input, local_derivative
from .mathematics import ATOM, TRANSPOSED, Math, sup
from .mathematics import math as piece
from .mathematics import name as name_of
from .paths import Paths
from .proofs import proof
from .record import Forward, gradient_name, unused
from .small_cases import small_case
from .statements import notes, written
from .uses_drawn import drawing
from .wording import count, reason, series, times, why_transposed

LETTERS = "uvwabcst"
"""The names on a page for what is computed inside a line."""


class Explainer:
    """Writes the page of each value. writer: that of the code; chains: the sentence about each part that is
    answered in one go, by the value in which it ends."""

    def __init__(
        self, forward: Forward, backward: Backward, writer: Writer, chains: Mapping[Var, str]
    ) -> None:
        self.forward = forward
        self.backward = backward
        self.writer = writer
        self.chains = chains
        self.numbers = formula.numbers(writer.sizes.names, writer.sizes.parts)
        self.makers = writer.makers
        self.paths = Paths(writer.makers)
        self._told: set[Var] = set()  # the parts whose formulas stand on the page
        self.named = {var.name: var for var in backward.gradients if var.name}

    @cached_property
    def evidence(self) -> Evidence:
        """The forward pass from which values are moved."""
        return Evidence(self.forward)

    @cached_property
    def greatest(self) -> float:
        """The greatest finite element of all gradients."""
        gradients = [gradient.value for gradient in self.backward.gradients.values()]
        return max(float(abs(value[value < float("inf")]).max(initial=0)) for value in gradients)

    def page(self, name: str) -> str:
        """Return an explanation as Markdown, with mathematics between dollar signs. Raise ValueError where no
        value with a gradient has the name."""
        if name not in self.named:
            raise ValueError(f"there is no value {name!r} with a gradient; there are {', '.join(self.named)}")
        self.writer.begin()
        self._told.clear()
        var = self.named[name]
        uses = self._uses_of(var)
        text = [f"## `{name}`", "", self._where_from(var)]
        if var is self.forward.loss:
            end = name_of(gradient_name(name)).latex
            return "\n".join([*text, "", f"It is the end of the pass: ${end} = 1$.", ""])
        text += ["", *self._uses(var, uses)]
        for number, (line, share) in enumerate(uses, 1):
            text += ["", *self._use(number if len(uses) > 1 else 0, line, share)]
        if len(uses) > 1:
            text += ["", *self._sum_of_shares(var, uses)]
        self.writer.begin()
        code = [line for _, share in uses for line in written(self.writer.share(share))]
        text += ["", "In code:", "", _code(code)]
        gradient = self.backward.gradients[var].value
        small = bool(abs(gradient).max(initial=0) < 1e-5 * self.greatest)
        return "\n".join([*text, "", *self.evidence.about(var, gradient, small), ""])

    def formulas(self) -> str:
        """Return the formula of each gradient but the loss's own, in the order of the backward pass."""
        self._told.clear()
        totals = ((var, self._uses_of(var)) for var in self.backward.gradients)
        return "\n\n".join(text for var, uses in totals if uses for text in self._total(uses) if text)

    def _uses_of(self, var: Var) -> list[tuple[Line, Share]]:
        """Return the shares of the value's gradient with their lines, in the order of the code."""
        return [
            (line, share)
            for line in reversed(self.backward.lines)
            for share in line.shares
            if share.of is var
        ]

    def _total(self, uses: list[tuple[Line, Share]]) -> list[str]:
        """Return the formula of a whole gradient, with those of the parts that it names."""
        return self._equation(uses[0][1].total.name, [share.contribution for _, share in uses])

    # -- where it comes from, and where it goes --------------------------------------------------------------

    def _where_from(self, var: Var) -> str:
        """Return where the value comes from: the lines that compute it."""
        lines = [line for line in self.writer.lines if line.var is var]
        if not lines:
            return f"`{var.name}` is an input of the pass: {_shape(var)}, {var.dtype}."
        return (
            f"`{var.name}` ({_shape(var)}, {var.dtype}) is computed by\n\n"
            f"{_code(written(self.writer.forward(lines[0])))}"
        )

    def _uses(self, var: Var, uses: list[tuple[Line, Share]]) -> list[str]:
        """Return which lines of the forward pass read the value, and how often, with a drawing."""
        reading = [line for line in self.writer.lines if any(var in s.reads() for s in line.instructions)]
        reads = self.paths.reads(var)
        code = [text for line in reading for text in written(self.writer.forward(line))]
        text = [f"It is read {times(reads)} on the way to the loss:", "", _code(code)]
        ends = [share.by for _, share in uses]
        together = dict.fromkeys(self.chains[by.output] for by in ends if by.output in self.chains)
        whole = dict.fromkeys(f"`{by.operation.name}`" for by in ends if self.paths.is_written_out(by))
        if reads > len(uses) and (together or whole):
            text += ["", f"{series([*(together or whole)])}: all of that is answered in one go."]
        elif reads > len(uses):
            text += ["", f"A gradient comes back from {count(len(uses))} of these."]
        there = [
            (" · ".join(map(self.paths.called, self.paths.path(*use)[0])), use[0].var.name) for use in uses
        ]
        return [*text, "", "```text", *drawing(var.name, there), "```"]

    # -- one use ---------------------------------------------------------------------------------------------

    def _use(self, number: int, line: Line, share: Share) -> list[str]:
        """Return the part about one use: the local derivative, the upstream gradient, the chain rule, and why
        there is a sum or a repeat."""
        out = line.var
        title = f"### {number}. Through `{out.name}`" if number else f"### Through `{out.name}`"
        text = [title, "", *self._equation(out.name, [out])]
        text += ["", *self._local(line, share)]
        upstream = name_of(gradient_name(out.name)).latex
        text += [
            "",
            f"**The upstream gradient** is what a change of `{out.name}` does to the loss, and is known by "
            f"now: ${upstream} = \\partial L/\\partial {name_of(out.name).latex}$, {_shape(out)}.",
            "",
            *self._chain_rule(number, line, share),
        ]
        for note in notes(share, True) or self._why_sum(line, share):
            text += ["", reason(note, share)]
        path, place = self.paths.path(line, share)
        case = small_case(path[0], place)
        if case:
            text += ["", "A small case, with PyTorch:", "", _code(case)]
        return text

    def _whole(self, called: str | Math, parts: Sequence[Var], shapes: bool = False) -> Math:
        """Return a formula as the code is written."""
        return formula.equation(called, parts, self.makers, shapes, self.writer.helpers, self.numbers)

    def _equation(self, called: str, parts: list[Var]) -> list[str]:
        """Return a formula, and those of the parts that it names itself."""
        return [displayed(self._whole(called, parts)), *self._where(parts)]

    def _where(self, parts: Sequence[Var]) -> list[str]:
        """Return the formulas of the parts that an expression names itself, once on a page."""
        helpers = [x for x in self._helpers(parts) if x not in self._told]
        self._told.update(helpers)
        lines = [displayed(self._whole(self.writer.helpers[x], [x])) for x in helpers]
        return ["", "with", *(text for line in lines for text in ("", line))] if lines else []

    def _helpers(self, parts: Sequence[Var]) -> list[Var]:
        """Return the values without a name of the reader's that the expressions are made of, in the order in
        which they are computed."""
        unnamed = [step for x, step in self.makers.items() if not x.name or x in parts]
        read = {x for step in needed(unnamed, parts) for x in step.reads()}
        return [x for x in self.makers if x in read and x in self.writer.helpers]

    def _local(self, line: Line, share: Share) -> list[str]:
        """Return the local derivatives of the operations that lead from the value to the end of the line."""
        path, place = self.paths.path(line, share)
        names = {step.output: step.output.name or self.writer.helpers.get(step.output, "") for step in path}
        taken = {x.name for x in self.forward.program.variables()} | set(self.writer.helpers.values())
        letters = chain((letter for letter in LETTERS if letter not in taken), _numbered("part", taken))
        for x in names:
            names[x] = names[x] or next(letters)
        makers = {step.output: step for step in line.instructions} | self.makers
        several = len(path) > 1
        text = []
        if several:
            text += [
                f"Between `{share.of.name}` and `{line.var.name}` stand {count(len(path))} operations, one "
                f"after the other. **The local derivative** of each says what a change of its input does to "
                f"its output:",
                "",
            ]
        for before, step in zip((None, *path), path, strict=False):
            if before is not None:
                place = next(i for i, x in enumerate(step.inputs) if x is before.output)
            said = self._step(step, place, makers, names, letters)
            if several:  # set in by four, and with an empty line before the next: else no Markdown's list
                said = [f"- {said[0]}", *(f"    {rest}" if rest else "" for rest in said[1:]), ""]
            text += said
        return text[:-1] if several else text

    def _step(
        self,
        step: Instruction,
        place: int,
        makers: Mapping[Var, Instruction],
        names: Mapping[Var, str],
        letters: Iterator[str],
    ) -> list[str]:
        """Return what is to be said of one operation: what it computes, and its local derivative or proof.
        letters: names for what is in its formula and has none."""
        text = " ".join((step.operation.__doc__ or "").split())
        rule = re.sub(r"[*<\[]", r"\\\g<0>", text)  # as text: `out[i][j]` would be a link
        x = step.inputs[place]
        assert isinstance(x, Var)
        steps = proof(step) if place == 0 else []
        if steps:
            return [
                f"**The local derivative** of `{step.operation.name}`, step by step.",
                *(part for sentence, latex in steps for part in ("", sentence, "", f"$${latex}$$")),
            ]
        where = []
        if _reads_elsewhere(step, place, makers):  # only what comes through this place is asked for
            alone = Var(x.value, next(letters))
            step = replace(step, inputs=(*step.inputs[:place], alone, *step.inputs[place + 1 :]))
            called = f"{name_of(alone.name).latex} = {name_of(x.name or names[x]).latex}"
            where, names = [f"${called}$ at this place"], {**names, alone: alone.name}
        if step.operation in MOVED:
            inside = self._inside(step, makers, names)
            return [
                f"`{self.paths.called(step)}`{inside}{',' * bool(inside)} moves numbers and changes none: "
                f"**the local derivative** is 1 between a number and the same number in its new place, and 0 "
                f"elsewhere."
            ]
        local = local_derivative(step, place, makers, {**self.writer.helpers, **names}, self.numbers)
        for other in step.reads() if local is None else ():
            if other is not step.inputs[place] and other in makers and not (other.name or names.get(other)):
                letter = next(letters)
                where.append(f"${self._formula(letter, other, makers, names)}$")
                names = {**names, other: letter}
        local = local or local_derivative(step, place, makers, {**self.writer.helpers, **names}, self.numbers)
        what = f"`{step.operation.name}`{self._inside(step, makers, names)}"
        what += f", where {series(where)}" if where else ""
        if local is None:
            return [f"{what}: **the local derivative** is in its rule, {rule}"]
        return [f"{what}: **the local derivative** is", "", displayed(local)]

    def _inside(self, step: Instruction, makers: Mapping[Var, Instruction], names: Mapping[Var, str]) -> str:
        """Return what a part of a line is called, and computed from."""
        out = step.output
        if names[out] == out.name and len(names) == 1:
            return ""  # its formula stands above
        return f", ${self._formula(names[out], out, {**makers, out: step}, names)}$"

    def _formula(
        self, called: str, x: Var, makers: Mapping[Var, Instruction], names: Mapping[Var, str]
    ) -> str:
        """Return a formula on one line."""
        known = {**self.writer.helpers, **names}
        return formula.equation(called, [x], dict(makers), names=known, sizes=self.numbers).latex

    def _chain_rule(self, number: int, line: Line, share: Share) -> list[str]:
        """Return the chain rule for one use: with indices, and for the arrays as wholes."""
        x = share.of
        called = name_of(share.total.name, x.shape)
        if number:  # the name belongs to the sum, of which this is a share
            called = sup(called, piece(number).at(ATOM + 1))
        whole = self._whole(called, [share.contribution], shapes=True)
        which = f" (share {number} of the gradient)" if number else ""
        indexed = Indexed(self.makers, self.writer.helpers, self.numbers)
        begin = (
            f"**The chain rule** multiplies the two, and adds up over every element that an element of "
            f"`{x.name}` went into{which}"
        )
        try:
            index = self._index(indexed, line, share)
            element = indexed.equation(share.total.name, [share.contribution], index, number)
            why = why_transposed(*self.paths.path(line, share)) if whole.has(TRANSPOSED) else ""
            text = [f"{begin}:", "", displayed(element), "", f"{why}For the arrays as wholes:"]
        except NoIndexFormError:
            text = [f"{begin}. For the arrays as wholes:"]
        return [*text, "", displayed(whole), *self._where([share.contribution])]

    def _index(self, indexed: Indexed, line: Line, share: Share) -> Index:
        """Return the letters for an element of the value: those of its local derivative, if it has one."""
        try:
            path, place = self.paths.path(line, share)
            index = index_of_input(path[0], place, indexed)
        except NoIndexFormError:
            return indexed.index(share.of)
        fits = all((i is None) == (n == 1) for i, n in zip(index, share.of.shape, strict=True))
        return index if fits else indexed.index(share.of)

    def _why_sum(self, line: Line, share: Share) -> list[str]:
        """Return the note about a sum over what was broadcast inside a part that is answered in one go."""
        x, out = share.of, share.by.output
        spread = len(x.shape) < len(out.shape) or x.value.size < out.value.size
        spread = spread and self.paths.path(line, share)[0][0].operation is not linalg.matmul
        return ["broadcast"] if spread and x in share.by.inputs[1:] and out in self.chains else []

    def _sum_of_shares(self, var: Var, uses: list[tuple[Line, Share]]) -> list[str]:
        """Return the part about the sum of several shares."""
        through = list(dict.fromkeys(f"`{line.var.name}`" for line, _ in uses))
        return [
            "### Together",
            "",
            f"A change of `{var.name}` reaches the loss through {series(through)}, and to first order "
            f"the effects of several paths add up. So do the shares:",
            "",
            *self._total(uses),
        ]


def _shape(var: Var) -> str:
    """Return a variable's shape in words."""
    return " × ".join(map(str, var.shape)) if var.shape else "a single number"


def _code(lines: list[str]) -> str:
    """Return lines of Python as a block of Markdown."""
    return "\n".join(["```python", *lines, "```"])


def _numbered(stem: str, taken: set[str]) -> Iterator[str]:
    """Yield names that are not taken, and take them."""
    while True:
        yield unused(stem, taken)


def _reads_elsewhere(step: Instruction, place: int, makers: Mapping[Var, Instruction]) -> bool:
    """Return whether the formula of an instruction has one of its inputs in another place, too."""
    stack = [x for i, x in enumerate(step.inputs) if i != place and isinstance(x, Var)]
    while stack:
        other = stack.pop()
        if other is step.inputs[place]:
            return True
        if not other.name and other in makers:
            stack.extend(makers[other].reads())
    return False
