"""The explanation of one value of a derivation: where it is used, and where its gradient comes from."""

from __future__ import annotations

import math

import numpy as np

from ..decided import HOLD, decided
from ..instructions import Instruction, Program, Var, double, reached, widened
from . import formula
from .backward_lines import Backward, Line, Share
from .listing import Writer
from .mathematics import ATOM, sup
from .mathematics import math as piece
from .mathematics import name as name_of
from .record import Forward, gradient_name
from .statements import notes, written

STEP = 1e-5
"""The step for the numeric slope, as a share of the value itself, in double precision."""


def explain(name: str, forward: Forward, backward: Backward, writer: Writer) -> str:
    """Return an explanation as Markdown, with mathematics between dollar signs. Raise ValueError where no
    value with a gradient has the name."""
    named = {var.name: var for var in backward.gradients if var.name}
    if name not in named:
        raise ValueError(f"there is no value {name!r} with a gradient; there are {', '.join(named)}")
    var = named[name]
    uses = [(line, share) for line in reversed(backward.lines) for share in line.shares if share.of is var]
    text = [f"## `{name}`", "", _where_from(var, backward, writer)]
    if var is forward.loss:
        end = name_of(gradient_name(name)).latex
        return "\n".join([*text, "", f"It is the end of the pass: ${end} = 1$.", ""])
    makers = _makers(backward, writer)
    text += ["", _what_it_goes_into(var, uses, writer)]
    for number, (line, share) in enumerate(uses, 1):
        text += ["", *_use(number if len(uses) > 1 else 0, line, share, makers)]
    if len(uses) > 1:
        text += ["", *_sum_of_shares(var, uses, makers)]
    text += [
        "",
        "In code:",
        "",
        _code([line_of_code for _, share in uses for line_of_code in written(writer.share(share))]),
    ]
    return "\n".join([*text, "", *_evidence(var, forward, backward), ""])


def _shape(var: Var) -> str:
    """Return a variable's shape in words."""
    return " × ".join(map(str, var.shape)) if var.shape else "a single number"


def _code(lines: list[str]) -> str:
    """Return lines of Python as a block of Markdown."""
    return "\n".join(["```python", *lines, "```"])


def _where_from(var: Var, backward: Backward, writer: Writer) -> str:
    """Return where the value comes from: the lines that compute it."""
    lines = [line for line in writer.lines if line.var is var]
    if not lines:
        return f"`{var.name}` is an input of the pass: {_shape(var)}, {var.dtype}."
    return (
        f"`{var.name}` ({_shape(var)}, {var.dtype}) is made by\n\n{_code(written(writer.forward(lines[0])))}"
    )


def _what_it_goes_into(var: Var, uses: list[tuple[Line, Share]], writer: Writer) -> str:
    """Return which lines of the forward pass read the value."""
    lines = list(dict.fromkeys(line.var for line, _ in uses))
    how_often = {1: "once", 2: "twice"}.get(len(uses), f"{len(uses)} times")
    code = [text for line in writer.lines if line.var in lines for text in written(writer.forward(line))]
    return (
        f"It is read {how_often} on the way to the loss:\n\n{_code(code)}"
        if code
        else f"It is read {how_often}."
    )


def _use(number: int, line: Line, share: Share, makers: dict[Var, Instruction]) -> list[str]:
    """Return the part about one use: the local rule, the chain rule with shapes, and why there is a sum or a
    repeat."""
    x, out = share.of, line.var
    called = name_of(share.total.name, x.shape)
    if number:  # the name belongs to the sum, of which this is a share
        called = sup(called, piece(number).at(ATOM + 1))
    whole = formula.equation(called, [share.contribution], makers, shapes=True)
    title = f"### {number}. Through `{out.name}`" if number else f"### Through `{out.name}`"
    text = [title, "", f"$${formula.equation(out.name, [out], makers).latex}$$", ""]
    text += [*_local_rules(line, share), "", _chain_rule(share, out, number), "", f"$${whole.latex}$$"]
    for note in notes(share, True):
        text += ["", _reason(note, share)]
    return text


def _local_rules(line: Line, share: Share) -> list[str]:
    """Return the rules of the operations that lead from the value to the end of the line."""
    ways = [share.by]
    for instruction in line.instructions:
        if ways[-1].output in instruction.reads():
            ways.append(instruction)
    rules = [
        f"`{operation.name}`, with the local rule {' '.join((operation.__doc__ or '').split())}"
        for operation in (instruction.operation for instruction in ways)
    ]
    if len(rules) == 1:
        return [f"The operation that reads it is {rules[0]}"]
    return [
        "It goes through these operations, one after the other:",
        "",
        *(f"- {rule_text}" for rule_text in rules),
    ]


def _chain_rule(share: Share, out: Var, number: int) -> str:
    """Return the sentence about the chain rule."""
    loss, x, y = "L", name_of(share.of.name).latex, name_of(out.name).latex
    which = f" (share {number} of the gradient)" if number else ""
    return (
        f"The chain rule takes what a change of ${y}$ does to the loss, which is known by now as "
        f"${name_of(gradient_name(out.name)).latex} = \\partial {loss}/\\partial {y}$ ({_shape(out)}), and "
        f"multiplies it by what a change of ${x}$ does to ${y}$. Below each variable stands its shape; what "
        f"comes out{which} has that of ${x}$, {_shape(share.of)}:"
    )


def _reason(note: str, share: Share) -> str:
    """Return a note of the code as one or two sentences."""
    x, out = share.of, share.by.output
    if "broadcast" in note:
        return (
            f"Why the sum: `{x.name}` has shape {x.shape} and meets a value of shape {out.shape}, so each "
            f"of its numbers was used {out.value.size // max(x.value.size, 1)} times. What is used several "
            f"times collects the gradient of every use: broadcasting forward is a sum backward."
        )
    if "each element" in note:
        return (
            f"Why the repeat: each number of `{x.name}` went into a {share.by.operation.name} with the "
            f"others, so the one gradient of the result is handed to all of them: a sum forward is a "
            f"broadcast backward."
        )
    return (
        "Why it is added and not assigned: an index may name one row several times; then this row was used "
        "several times, and it collects all of their gradients."
    )


def _sum_of_shares(var: Var, uses: list[tuple[Line, Share]], makers: dict[Var, Instruction]) -> list[str]:
    """Return the part about the sum of several shares."""
    through = [f"`{line.var.name}`" for line, _ in uses]
    ways = list(dict.fromkeys(through))
    whole = formula.equation(uses[0][1].total.name, [share.contribution for _, share in uses], makers)
    return [
        "### Together",
        "",
        f"A change of `{var.name}` reaches the loss through {' and '.join(ways)}, and to first order the "
        f"effects of several ways add up. So do the shares:",
        "",
        f"$${whole.latex}$$",
    ]


def _makers(backward: Backward, writer: Writer) -> dict[Var, Instruction]:
    """Return the instructions that may be written out in a formula: values without a name stand for their
    expressions in both passes."""
    forward = [instruction for line in writer.lines for instruction in line.instructions]
    return {instruction.output: instruction for instruction in (*forward, *backward.program.instructions)}


def _evidence(var: Var, forward: Forward, backward: Backward) -> list[str]:
    """Return the part with the slope at one element, measured by a small step each way, beside the gradient
    there."""
    gradient = backward.gradients[var].value
    steps = decided(forward.program.instructions, reached(forward.program.instructions, forward.leaves))
    program = Program(steps, [forward.loss])
    kept = {step.output for step in steps if step.operation is HOLD}
    held = {var: double(value) for var, value in program.run({}).items() if var in kept}
    inputs = {var: double(var.value) for var in forward.program.inputs}
    rest = widened(Program([step for step in steps if step.output not in kept], [forward.loss]))
    base = rest.run(inputs | held)
    # The element at which a step that is small compared with the number itself still shows in the loss.
    weight = abs(gradient * base[var])
    finite = np.isfinite(gradient) & np.isfinite(base[var])
    if not finite.any() or not np.isfinite(base[forward.loss]).all():
        return ["### In numbers", "", f"No number of `{var.name}` has a finite slope here."]
    weight = np.where(finite, weight if weight[finite].any() else abs(gradient), -1.0)
    place = np.unravel_index(int(np.argmax(weight)), gradient.shape)
    h = float(f"{STEP * (abs(float(base[var][place])) or 1):.0e}")
    beyond = Program(
        [instruction for instruction in rest.instructions if instruction.output is not var], [forward.loss]
    )

    def loss(step: float) -> float:
        moved = np.array(base[var])
        moved[place] += step
        known = {var: base[var] for var in beyond.inputs} | {var: moved}
        return float(beyond.run(known)[forward.loss].item())

    ahead, behind = loss(h), loss(-h)
    slope = (ahead - behind) / (2 * h)
    digits = max(12, 7 - math.floor(math.log10(h)))  # as many as the quotient needs
    more, less = f"{ahead:.{digits}f}", f"{behind:.{digits}f}"
    where = f"{var.name}[{', '.join(map(str, place))}]" if place else var.name
    return [
        "### In numbers",
        "",
        f"`{where}` is {float(base[var][place]):.6g}. With {h:g} more the loss is {more}, with {h:g} less "
        f"{less}: a slope of",
        "",
        f"$$\\frac{{{more} - {less}}}{{2 \\cdot {_power_of_ten(h)}}} = {slope:.6g}$$",
        "",
        f"and the gradient there is `{gradient_name(where)}` = {float(gradient[place]):.6g}.",
    ]


def _power_of_ten(x: float) -> str:
    """Return a power of ten as LaTeX."""
    digit, exponent = f"{x:.0e}".split("e")
    return f"{digit} \\cdot 10^{{{int(exponent)}}}"
