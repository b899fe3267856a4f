"""The explanation of one value of a derivation: where it is used, and where its gradient comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property

from ...ops import linalg
from ..instructions import Var, behind
from .backward_lines import Backward, Line, Share
from .evidence import Evidence
from .formula import Formulas
from .indexed import Index, Indexed, NoIndexFormError
from .listing import Writer
from .local import index_of_input, local_derivatives
from .mathematics import ATOM, TRANSPOSED, displayed, sup
from .mathematics import math as piece
from .mathematics import name as name_of
from .new_names import gradient_name
from .paths import Paths, Use
from .record import Forward
from .sizes import Sizes
from .small_cases import small_case
from .statements import written
from .wording import Effect, count, effect, series, summed, times, why_transposed


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
        self.makers = writer.makers
        sizes = Sizes(writer.sizes.names, piece, name_of, writer.sizes.parts)
        self.typeset = Formulas(writer.makers, writer.helpers, sizes)
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
        uses = [self.paths.use(*pair) for pair in self._shares_of(var)]
        text = [f"## `{name}`", "", self._where_from(var)]
        if var is self.forward.loss:
            end = name_of(gradient_name(name)).latex
            return "\n".join([*text, "", f"It is the end of the pass: ${end} = 1$.", ""])
        text += ["", *self._uses(var, uses)]
        for number, use in enumerate(uses, 1):
            text += ["", *self._use(number if len(uses) > 1 else 0, use)]
        if len(uses) > 1:
            text += ["", *self._sum_of_shares(var, uses)]
        self.writer.begin()
        code = [line for use in uses for line in written(self.writer.share(use.share))]
        text += ["", "In code:", "", _code(code)]
        gradient = self.backward.gradients[var].value
        small = bool(abs(gradient).max(initial=0) < 1e-5 * self.greatest)
        return "\n".join([*text, "", *self.evidence.about(var, gradient, small), ""])

    def formulas(self) -> str:
        """Return the formula of each gradient but the loss's own, in the order of the backward pass."""
        self._told.clear()
        totals = ([share for _, share in self._shares_of(var)] for var in self.backward.gradients)
        return "\n\n".join(text for shares in totals if shares for text in self._total(shares) if text)

    def _shares_of(self, var: Var) -> list[tuple[Line, Share]]:
        """Return the shares of the value's gradient with their lines, in the order of the code."""
        return [
            (line, share)
            for line in reversed(self.backward.lines)
            for share in line.shares
            if share.of is var
        ]

    def _total(self, shares: list[Share]) -> list[str]:
        """Return the formula of a whole gradient, with those of the parts that it names."""
        return self._equation(shares[0].total.name, [share.contribution for share in shares])

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

    def _uses(self, var: Var, uses: list[Use]) -> list[str]:
        """Return which lines of the forward pass read the value, and how often, with a drawing."""
        reading = [line for line in self.writer.lines if any(var in s.reads() for s in line.instructions)]
        reads = self.paths.reads(var)
        code = [text for line in reading for text in written(self.writer.forward(line))]
        text = [f"It is read {times(reads)} on the way to the loss:", "", _code(code)]
        ends = [use.share.by for use in uses]
        together = dict.fromkeys(self.chains[by.output] for by in ends if by.output in self.chains)
        whole = dict.fromkeys(f"`{by.operation.name}`" for by in ends if self.paths.is_written_out(by))
        if reads > len(uses) and (together or whole):
            text += ["", f"{series([*(together or whole)])}: all of that is answered in one go."]
        elif reads > len(uses):
            text += ["", f"A gradient comes back from {count(len(uses))} of these."]
        return [*text, "", "```text", *self.paths.drawn(var.name, uses), "```"]

    # -- one use ---------------------------------------------------------------------------------------------

    def _use(self, number: int, use: Use) -> list[str]:
        """Return the part about one use: the local derivative, the upstream gradient, the chain rule, and why
        there is a sum or a repeat."""
        out, why = use.line.var, effect(use.share) or self._effect_inside(use)
        title = f"### {number}. Through `{out.name}`" if number else f"### Through `{out.name}`"
        text = [title, "", *self._equation(out.name, [out])]
        text += ["", *self._local(use)]
        upstream = name_of(gradient_name(out.name)).latex
        text += [
            "",
            f"**The upstream gradient** is what a change of `{out.name}` does to the loss, and is known by "
            f"now: ${upstream} = \\partial L/\\partial {name_of(out.name).latex}$, {_shape(out)}.",
            "",
            *self._chain_rule(number, use),
        ]
        if why is not None:
            text += ["", why.reason]
        if case := small_case(use.path[0], use.place):
            text += ["", "A small case, with PyTorch:", "", _code(case)]
        return text

    def _equation(self, called: str, parts: list[Var]) -> list[str]:
        """Return a formula, and those of the parts that it names itself."""
        return [displayed(self.typeset.equation(called, parts)), *self._where(parts)]

    def _where(self, parts: Sequence[Var]) -> list[str]:
        """Return the formulas of the parts that an expression names itself, once on a page, in the order in
        which they are computed."""
        steps = behind(parts, self.makers, lambda x: x.name)
        read = {x for step in steps for x in step.reads()} - self._told
        helpers = [x for x in self.makers if x in read and x in self.writer.helpers]
        self._told.update(helpers)
        lines = [displayed(self.typeset.equation(self.writer.helpers[x], [x])) for x in helpers]
        return ["", "with", *(text for line in lines for text in ("", line))] if lines else []

    def _local(self, use: Use) -> list[str]:
        """Return the local derivatives of the operations that lead from the value to the end of the line."""
        taken = {x.name for x in self.forward.program.variables()} | set(self.writer.helpers.values())
        makers = {step.output: step for step in use.line.instructions} | self.makers
        told = local_derivatives(use.path, use.place, replace(self.typeset, makers=makers), taken)
        if len(use.path) == 1:
            return next(told)
        text = [
            f"Between `{use.share.of.name}` and `{use.line.var.name}` stand {count(len(use.path))} "
            f"operations, one after the other. **The local derivative** of each says what a change of its "
            f"input does to its output:"
        ]
        for first, *rest in told:  # set in by four, and with an empty line before the next: else no list
            text += ["", f"- {first}", *(f"    {more}" if more else "" for more in rest)]
        return text

    def _chain_rule(self, number: int, use: Use) -> list[str]:
        """Return the chain rule for one use: with indices, and for the arrays as wholes."""
        share, x = use.share, use.share.of
        called = name_of(share.total.name, x.shape)
        if number:  # the name belongs to the sum, of which this is a share
            called = sup(called, piece(number).at(ATOM + 1))
        whole = replace(self.typeset, shapes=True).equation(called, [share.contribution])
        which = f" (share {number} of the gradient)" if number else ""
        indexed = Indexed(self.typeset)
        begin = (
            f"**The chain rule** multiplies the two, and adds up over every element that an element of "
            f"`{x.name}` went into{which}"
        )
        try:
            index = self._index(indexed, use)
            element = indexed.equation(share.total.name, [share.contribution], index, number)
            turned = use.path[0].operation is linalg.matmul and whole.has(TRANSPOSED)
            why = why_transposed(use.place) if turned else ""
            text = [f"{begin}:", "", displayed(element), "", f"{why}For the arrays as wholes:"]
        except NoIndexFormError:
            text = [f"{begin}. For the arrays as wholes:"]
        return [*text, "", displayed(whole), *self._where([share.contribution])]

    def _index(self, indexed: Indexed, use: Use) -> Index:
        """Return the letters for an element of the value: those of its local derivative, if it has one."""
        shape = use.share.of.shape
        with suppress(NoIndexFormError):
            index = index_of_input(use.path[0], use.place, self.typeset)
            if all((i is None) == (n == 1) for i, n in zip(index, shape, strict=True)):
                return index
        return indexed.index(use.share.of)

    def _effect_inside(self, use: Use) -> Effect | None:
        """Return why there is a sum over what was broadcast inside a part that is answered in one go."""
        x, by = use.share.of, use.share.by
        spread = len(x.shape) < len(by.output.shape) or x.value.size < by.output.value.size
        inside = spread and x in by.inputs[1:] and by.output in self.chains
        return summed(x, by.output) if inside and use.path[0].operation is not linalg.matmul else None

    def _sum_of_shares(self, var: Var, uses: list[Use]) -> list[str]:
        """Return the part about the sum of several shares."""
        through = list(dict.fromkeys(f"`{use.line.var.name}`" for use in uses))
        return [
            "### Together",
            "",
            f"A change of `{var.name}` reaches the loss through {series(through)}, and to first order "
            f"the effects of several paths add up. So do the shares:",
            "",
            *self._total([use.share for use in uses]),
        ]


def _shape(var: Var) -> str:
    """Return a variable's shape in words."""
    return " × ".join(map(str, var.shape)) if var.shape else "a single number"


def _code(lines: list[str]) -> str:
    """Return lines of Python as a block of Markdown."""
    return "\n".join(["```python", *lines, "```"])
