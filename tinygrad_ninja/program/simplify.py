"""The backward pass in one go: chains with a pen-and-paper answer are recognised, and given it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np

from ..ops import elementwise, shape
from .backward import Backward, backward
from .candidates import Shapes
from .chains import CHAINS, Chain
from .instructions import Instruction, Program, Var, double, reached, substitute, widened
from .record import Forward
from .terms import Algebra, UnknownTermError

Found = dict[Var, tuple[Chain, tuple[Any, ...], tuple[Any, ...]]]
"""Chains, by the value in which each ends, with what it is of: inputs and parameters."""

TOLERANCE = 1e-6
"""Of a gradient's greatest element, in double precision: the constants were rounded as they were recorded."""


def simplify(forward: Forward) -> tuple[Backward, Backward, dict[Var, str]]:
    """The whole backward pass, the one with a single answer for each chain, and what was recognised: by the
    value in which a chain ends, a sentence.

    Each gradient is computed in both ways, in double precision. RuntimeError where they differ.
    """
    algebra = Algebra(reached(forward.program.instructions, forward.leaves))
    for var in forward.program.inputs:
        algebra.term(var)
    for step in forward.program.instructions:
        algebra.take(step)
    found = recognised(forward.program, algebra)
    shorter = _shorter(forward, found)
    used = {each.output for each in shorter.program.instructions}
    short = backward(shorter)  # which gives the names
    expanded = backward(forward, sparing=True)
    short = _reusing(short, algebra)
    _check(forward, expanded, short)
    sentences = {end: _sentence(end, *each) for end, each in found.items() if end in used}
    return expanded, short, sentences


def recognised(program: Program, algebra: Algebra) -> Found:
    """The chains in a program: by the value in which one ends, the chain and what it is of."""
    found: Found = {}
    occurring = Shapes.of(program)
    makers = {each.output: each for each in program.instructions}

    def stops(end: Var, inputs: tuple[Any, ...]) -> bool:
        """Whether a gradient that goes back from the end comes to each of the inputs, and to no other."""
        seen = _within(end, inputs, makers)
        wanted = {x for x in inputs if x in algebra.reached}
        return wanted == {x for x in seen if x in inputs or x not in makers}

    algebra.closed = True
    for chain in CHAINS:
        for inputs, parameters in chain.candidates(occurring):
            for way in chain.ways:
                try:
                    term = way(algebra, *(algebra.term(x) for x in inputs), *parameters)
                except UnknownTermError:
                    continue
                end = algebra.found.get((term.key, term.shape, inputs[0].dtype))
                if end not in makers or end in found or term.constant:
                    continue
                if makers[end].operation is not chain.operation and stops(end, inputs):
                    found[end] = chain, inputs, parameters
    algebra.closed = False
    return found


def _shorter(forward: Forward, found: Found) -> Forward:
    """The forward pass with an instruction for each chain.

    A chain is taken out of `found` where a value in the middle of it is also used elsewhere: its gradient
    would lack what comes through the chain.
    """
    makers = {each.output: each for each in forward.program.instructions}
    wanted = reached(makers.values(), forward.leaves)
    while True:
        chosen = dict(makers)
        for end, (chain, inputs, parameters) in found.items():
            flows = tuple(x in wanted for x in inputs)
            chosen[end] = Instruction(chain.operation, inputs, parameters, end, flows)
        program = Program([chosen[var] for var in makers], [forward.loss]).needed()
        steps = program.instructions
        used = {x for each in steps for x, flow in zip(each.inputs, each.flows, strict=True) if flow}
        ends = [each.output for each in steps if each.output in found]
        middles = {end: _within(end, found[end][1], makers).difference(found[end][1]) for end in ends}
        shared = [end for end, middle in middles.items() if not used.isdisjoint(middle)]
        if not shared:
            return replace(forward, program=program)
        for end in shared:
            del found[end]


def _within(end: Var, inputs: tuple[Any, ...], makers: dict[Var, Instruction]) -> set[Any]:
    """The values to which a gradient goes from the end of a chain: those in the middle, and its inputs, where
    it stops."""
    seen: set[Any] = set()
    stack: list[Any] = [end]
    while stack:
        step = makers.get(stack.pop())
        for x, flow in zip(step.inputs, step.flows, strict=True) if step else ():
            if flow and x not in seen:
                seen.add(x)
                stack += [] if x in inputs else [x]
    return seen


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
        known, inverse = None, None
        if not term.constant:
            known = algebra.lookup(term, each.output.dtype)
            inverse = algebra.lookup(term**-1, each.output.dtype) if known is None else None
        found = known or inverse
        if found is not None and found.shape != term.shape:
            shaped = Var(found.value.reshape(term.shape))
            kept.append(
                replace(
                    each, operation=shape.reshape, inputs=(found,), parameters=(term.shape,), output=shaped
                )
            )
            found, algebra.of[shaped] = shaped, algebra.broadcast_to(algebra.term(found), term.shape)
        if known is not None:
            same[each.output] = cast(Var, found)
            continue
        if inverse is not None:
            each.operation, each.inputs, each.parameters = elementwise.reciprocal, (cast(Var, found),), ()
        algebra.find(term, each.output)
        kept.append(each)
    return replace(answered, program=Program(kept, answered.program.outputs).needed())


def _check(forward: Forward, expanded: Backward, short: Backward) -> None:
    """Both backward passes in double precision, and their gradients beside each other."""
    inputs = {var: double(var.value) for var in forward.program.inputs}
    there = widened(forward.program).run(inputs)
    one, other = (widened(each.program).run(there) for each in (expanded, short))
    known = {var: np.isfinite(one[var]) for var in expanded.gradients.values()}  # at no other place a slope
    greatest = max(abs(one[var][there]).max(initial=0) for var, there in known.items())
    for var, gradient in short.gradients.items():
        long = expanded.gradients[var]
        mine, whole = other[gradient][known[long]], one[long][known[long]]
        allowed = TOLERANCE * (abs(whole).max(initial=0) + 1e-3 * greatest)
        if not np.allclose(mine, whole, rtol=0, atol=allowed):
            worst = abs(mine - whole).max()
            raise RuntimeError(
                f"the simplified gradient of {var.name} differs from the expanded one by {worst:g}"
            )
