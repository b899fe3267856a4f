"""The backward pass in one go: chains with a pen-and-paper answer are recognised, and given it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np

from ..ops import TABLE
from .backward import Backward, backward
from .candidates import Shapes
from .chains import CHAINS, Chain
from .instructions import Instruction, Program, Var, double, substitute
from .record import Forward
from .terms import Algebra, UnknownTermError

TOLERANCE = 1e-6
"""Of a gradient's greatest element, in double precision: the constants were rounded as they were recorded."""


def simplify(forward: Forward) -> tuple[Backward, Backward, dict[Var, str]]:
    """The whole backward pass, the one with a single answer for each chain, and what was recognised: by the
    value in which a chain ends, a sentence.

    Each gradient is computed in both ways, in double precision. RuntimeError where they differ.
    """
    algebra = Algebra()
    for var in forward.program.inputs:
        algebra.term(var)
    for step in forward.program.instructions:
        algebra.take(step)
    found = recognised(forward.program, algebra)
    makers = {each.output: each for each in forward.program.instructions}
    for end, (chain, inputs, parameters) in found.items():
        flows = tuple(_flows(x, forward) for x in inputs)
        makers[end] = Instruction(chain.operation, inputs, parameters, end, flows)
    steps = [makers[each.output] for each in forward.program.instructions]
    shorter = replace(forward, program=Program(steps, [forward.loss]).needed())
    used = {each.output for each in shorter.program.instructions}
    short = backward(shorter)  # which gives the names
    expanded = backward(forward, sparing=True)
    short = _reusing(short, algebra)
    _check(forward, expanded, short)
    sentences = {end: _sentence(end, *each) for end, each in found.items() if end in used}
    return expanded, short, sentences


def recognised(
    program: Program, algebra: Algebra
) -> dict[Var, tuple[Chain, tuple[Any, ...], tuple[Any, ...]]]:
    """The chains in a program: by the value in which one ends, the chain and what it is of."""
    found: dict[Var, tuple[Chain, tuple[Any, ...], tuple[Any, ...]]] = {}
    occurring = Shapes.of(program)
    makers = {each.output: each for each in program.instructions}
    algebra.closed = True
    for chain in CHAINS:
        for inputs, parameters in chain.candidates(occurring):
            for way in chain.ways:
                try:
                    term = way(algebra, *(algebra.term(x) for x in inputs), *parameters)
                except UnknownTermError:
                    continue
                end = algebra.found.get((term.key, term.shape))
                if end in makers and end not in found and makers[end].operation is not chain.operation:
                    found[end] = chain, inputs, parameters
    algebra.closed = False
    return found


def _flows(x: Any, forward: Forward) -> bool:
    """Whether a gradient is wanted of a value: it is a leaf, or comes from one."""
    reached = set(forward.leaves)
    for each in forward.program.instructions:
        if any(flow and var in reached for var, flow in zip(each.inputs, each.flows, strict=True)):
            reached.add(each.output)
    return x in reached


def _sentence(end: Var, chain: Chain, inputs: tuple[Any, ...], parameters: tuple[Any, ...]) -> str:
    given = dict(zip(chain.operation.parameters, parameters, strict=True))
    more = []
    if "correction" in given:
        more.append("with Bessel's correction" if given["correction"] else "without Bessel's correction")
        more.append(f"epsilon {given['eps']:g}" if given["eps"] else "no epsilon")
    return ", ".join(
        [f"{end.name or 'a value'} is the {chain.title} of {inputs[0].name or 'a value'}", *more]
    )


def _reusing(answered: Backward, algebra: Algebra) -> Backward:
    """The backward pass with what was computed before, in the forward pass above all, not computed again."""
    same: dict[Var, Var] = {}
    shares = {share.contribution for line in answered.lines for share in line.shares}
    kept = []

    def seen(x: Any) -> Any:
        return same.get(x, x) if isinstance(x, Var) else x

    for each in answered.program.instructions:
        each.inputs = tuple(seen(x) for x in each.inputs)
        each.parameters = substitute(each.parameters, seen)
        term = algebra.of[each.output] = algebra.compute(each)
        if each.output.name or each.output in shares:
            kept.append(each)
            continue
        known = algebra.lookup(term)
        inverse = algebra.lookup(term**-1) if known is None else None
        found = known or inverse
        if found is not None and found.shape != term.shape:
            shaped = Var(found.value.reshape(term.shape))
            kept.append(
                replace(
                    each, operation=TABLE["reshape"], inputs=(found,), parameters=(term.shape,), output=shaped
                )
            )
            found, algebra.of[shaped] = shaped, algebra.broadcast_to(algebra.term(found), term.shape)
        if known is not None:
            same[each.output] = cast(Var, found)
            continue
        if inverse is not None:
            each.operation, each.inputs, each.parameters = TABLE["reciprocal"], (cast(Var, found),), ()
        algebra.found[term.key, term.shape] = each.output
        kept.append(each)
    return replace(answered, program=Program(kept, answered.program.outputs).needed())


def _check(forward: Forward, expanded: Backward, short: Backward) -> None:
    """Both backward passes in double precision, and their gradients beside each other."""
    inputs = {var: double(var.value) for var in forward.program.inputs}
    there = forward.program.run(inputs)
    one, other = (
        Program(each.program.instructions, each.program.outputs).run(there) for each in (expanded, short)
    )
    greatest = max(abs(one[var]).max(initial=0) for var in expanded.gradients.values())
    for var, gradient in short.gradients.items():
        mine, whole = other[gradient], one[expanded.gradients[var]]
        allowed = TOLERANCE * (abs(whole).max(initial=0) + 1e-3 * greatest)
        if not np.allclose(mine, whole, rtol=0, atol=allowed, equal_nan=True):
            worst = abs(mine - whole).max()
            raise RuntimeError(
                f"the simplified gradient of {var.name} differs from the expanded one by {worst:g}"
            )
