"""What small steps say about a gradient: the slope of the loss at one element, and why a slope is zero."""

from __future__ import annotations

from functools import cached_property
from math import floor, log10
from typing import Any

import numpy as np

from ...ops import comparison, composed, elementwise
from ..decided import HOLD, decided
from ..instructions import Array, Instruction, Program, Var, double, reached, widened
from .mathematics import math
from .nearby import are_close
from .new_names import gradient_name
from .record import Forward
from .simplify import known_chains
from .wording import series

STEP = 1e-5
"""The step for the numeric slope, as a share of the value itself, in double precision."""


class Evidence:
    """The forward pass in double precision, with every decision held fixed, from which values are moved."""

    def __init__(self, forward: Forward) -> None:
        steps = decided(forward.program.instructions, reached(forward.program.instructions, forward.leaves))
        program = Program(steps, [forward.loss])
        kept = {step.output for step in steps if step.operation is HOLD}
        held = {var: double(value) for var, value in program.run({}).items() if var in kept}
        inputs = {var: double(var.value) for var in forward.program.inputs}
        rest = widened(Program([step for step in steps if step.output not in kept], [forward.loss]))
        self._forward, self.loss = forward, forward.loss
        self.steps = rest.instructions
        self.base = rest.run(inputs | held)

    def moved(self, var: Var, steps: list[Instruction], change: Any) -> dict[Var, Array]:
        """Return the values that depend on a variable, with `change` added to that. steps: those that compute
        them."""
        beyond = Program(steps, [self.loss])
        known = {x: self.base[x] for x in beyond.inputs} | {var: self.base[var] + change}
        return beyond.run(known)

    def after(self, var: Var) -> list[Instruction]:
        """Return the instructions whose results depend on a variable."""
        depending, steps = {var}, []
        for step in self.steps:
            if step.output is not var and not depending.isdisjoint(step.reads()):
                depending.add(step.output)
                steps.append(step)
        return steps

    def about(self, var: Var, gradient: Array, small: bool) -> list[str]:
        """Return the part of a page about the numbers of a value and of its gradient. small: whether the
        gradient is so small that it may be rounding."""
        title = ["### In numbers", ""]
        base = self.base[var]
        finite = np.isfinite(gradient) & np.isfinite(base)
        if not finite.any() or not np.isfinite(self.base[self.loss]).all():
            return [*title, f"No number of `{var.name}` has a finite slope here."]
        steps = self.after(var)
        zero = self._why_zero(var, gradient, steps) if small else []
        text = zero or self._slope(var, gradient, finite, steps)
        return title + text + self._masked(var)

    def _masked(self, var: Var) -> list[str]:
        """Return the sentence about the numbers that are -∞, if there are any."""
        base = self.base[var]
        masked = int((base == -np.inf).sum())
        if not masked:
            return []
        readers = {step.operation for step in self.steps if var in step.reads()}
        softmaxes = (composed.softmax, composed.log_softmax, composed.logsumexp, elementwise.exp)
        hidden = " (masked: the softmax makes exactly 0 of them)" if readers & set(softmaxes) else ""
        return [
            "",
            f"{masked} of the {base.size} numbers of `{var.name}` are -∞{hidden}: no step moves them.",
        ]

    def _slope(self, var: Var, gradient: Array, finite: Any, steps: list[Instruction]) -> list[str]:
        """Return the sentences about the slope at one element, by a small step each way."""
        base = self.base[var]
        # The element at which a step that is small compared with the number itself still shows in the loss.
        weight = np.where(np.isfinite(base), abs(gradient * base), 0)
        weight = np.where(finite, weight if weight[finite].any() else abs(gradient), -1.0)
        place = np.unravel_index(int(np.argmax(weight)), gradient.shape)
        h = float(f"{STEP * (abs(float(base[place])) or 1):.0e}")
        step = np.zeros(base.shape)
        step[place] = h
        ahead, behind = (self.moved(var, steps, s * step)[self.loss].item() for s in (1, -1))
        slope = (ahead - behind) / (2 * h)
        digits = max(12, 7 - floor(log10(h)))  # as many as the quotient needs
        more, less = f"{ahead:.{digits}f}", f"{behind:.{digits}f}"
        where = f"{var.name}[{', '.join(map(str, place))}]" if place else var.name
        return [
            f"`{where}` is {float(base[place]) + 0.0:.6g}. With {h:g} more the loss is {more}, with {h:g} "
            f"less {less}: a slope of",
            "",
            f"$$\\frac{{{more} - {less}}}{{2 \\cdot {_power_of_ten(h)}}} = {math(slope + 0.0).latex}$$",
            "",
            f"and the gradient there is `{gradient_name(where)}` = {float(gradient[place]) + 0.0:.6g}.",
        ]

    def _why_zero(self, var: Var, gradient: Array, steps: list[Instruction]) -> list[str]:
        """Return the sentences about a gradient that is exactly zero, because the loss does not depend on the
        value; an empty list where it does."""
        base, random = self.base[var], np.random.default_rng(0)
        size = abs(base[np.isfinite(base)]).max(initial=0) or 1.0
        change = np.where(np.isfinite(base), 0.1 * size * random.standard_normal(base.shape), 0)
        moved = self.moved(var, steps, change)
        if not are_close(self.base[self.loss], moved[self.loss]):
            return []
        changed = {var} | {
            step.output for step in steps if not are_close(self.base[step.output], moved[step.output])
        }
        ends = [
            step.output
            for step in steps
            if step.output not in changed and not changed.isdisjoint(step.reads())
        ]
        named = series([f"`{x.name}`" for x in ends if x.name] or [""])
        by_zero = all(self._times_zero(step, changed) for step in steps if step.output in ends)
        where = f" In {named} the change {'is multiplied by 0' if by_zero else 'cancels'}." if named else ""
        size_of_rounding = float(abs(gradient[np.isfinite(gradient)]).max(initial=0))
        rounding = (
            f" What stands in `{gradient_name(var.name)}` instead, at most {size_of_rounding:.1g}, is "
            f"rounding: terms that cancel, added up with a finite number of digits."
            if size_of_rounding
            else ""
        )
        return [
            f"Move the numbers of `{var.name}` as you like, each by another amount, and the loss stays "
            f"{float(self.base[self.loss].item()):.12g}.{where}{self._shift(ends)} So the gradient is "
            f"exactly zero.{rounding}"
        ]

    def _shift(self, ends: list[Var]) -> str:
        """Return a sentence about the values in which a change cancels, where it is known why."""
        titles = {self._titles[end] for end in ends if end in self._titles}
        titles |= {step.operation.name for step in self.steps if step.output in ends}
        if any(composed.softmax.name in title for title in titles):
            return " A softmax does not change when one number is added to a whole row."
        if elementwise.sub.name in titles:
            return " What is subtracted there moves by the same amount."
        if comparison.where.name in titles:
            return " Where it would reach the loss, a `where` takes another number."
        return ""

    def _times_zero(self, step: Instruction, changed: set[Var]) -> bool:
        """Return whether an instruction multiplies what has changed by zeros."""
        others = [x for x in step.reads() if x not in changed]
        return step.operation is elementwise.mul and any(not self.base[x].any() for x in others)

    @cached_property
    def _titles(self) -> dict[Var, str]:
        """The titles of the chains that are recognised, by the values in which they end."""
        return {end: chain.title for end, (chain, *_) in known_chains(self._forward)[1].items()}


def _power_of_ten(x: float) -> str:
    """Return a power of ten as LaTeX."""
    digit, exponent = f"{x:.0e}".split("e")
    power = f"10^{{{int(exponent)}}}"
    return power if digit == "1" else f"{digit} \\cdot {power}"
