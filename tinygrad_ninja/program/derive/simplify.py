"""The shorter backward pass: chains whose gradient is known from pen and paper are recognised, and answered
in one step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ...ops import elementwise, shape
from ..instructions import Instruction, Program, Var, behind, double, reached, widened
from ..passes import replaced
from .backward_lines import Backward, backward
from .candidates import Shapes
from .chains import CHAINS, OPERATIONS, Chain
from .nearby import Nearby
from .record import Forward

Found = dict[Var, tuple[Chain, tuple[Any, ...], tuple[Any, ...]]]
"""Chains, by the value in which each ends, with the inputs and parameters that they are applied to."""

TOLERANCE = 1e-6
"""The allowed difference as a share of a gradient's greatest element, in double precision: the constants were
rounded as they were recorded."""


def simplify(forward: Forward) -> tuple[Backward, Backward, dict[Var, str]]:
    """Return the whole backward pass, the one with a single answer for each chain, and a sentence about each
    chain that was recognised, by the value in which it ends.

    Each gradient is computed in both ways, in double precision. Raise RuntimeError where they differ.
    """
    nearby, chains = known_chains(forward)
    shorter = _shorter(forward, chains)
    used = {instruction.output for instruction in shorter.program.instructions}
    short = backward(shorter)  # this gives the names
    expanded = backward(forward, sparing=True)
    short = _reusing(short, nearby)
    _check(forward, expanded, short)
    sentences = {end: _sentence(end, *chain) for end, chain in chains.items() if end in used}
    return expanded, short, sentences


def known_chains(forward: Forward) -> tuple[Nearby, Found]:
    """Return the values of a forward pass nearby, and the chains that are recognised in it."""
    steps = forward.program.instructions
    carried, makers = reached(steps, forward.leaves), {step.output: step for step in steps}
    nearby, occurring = Nearby(carried), Shapes(forward.program)
    for step in steps:
        nearby.take(step, step.flows)
    for var in forward.program.variables():
        nearby.add(var)
    chains: Found = {}

    def stops(end: Var, inputs: tuple[Any, ...]) -> bool:
        """Return whether a gradient that goes back from the end reaches exactly the inputs."""
        seen = _within(end, inputs, makers)
        return {x for x in inputs if x in carried} == {x for x in seen if x in inputs or x not in makers}

    for chain in CHAINS:
        for inputs, parameters in chain.candidates(occurring, chain.operation):
            end = nearby.find(nearby.of(chain.operation, inputs, parameters), inputs[0].dtype)
            if end not in makers or end in chains:
                continue
            operation = makers[end].operation
            if operation is not chain.operation and not operation.view and stops(end, inputs):
                chains[end] = chain, inputs, parameters
    return nearby, chains


def _shorter(forward: Forward, chains: Found) -> Forward:
    """Return the forward pass with one instruction for each chain.

    A chain is taken out of `chains` where a value in the middle of it is also used elsewhere: its gradient
    would lack what comes through the chain.
    """
    makers = {instruction.output: instruction for instruction in forward.program.instructions}
    wanted = reached(makers.values(), forward.leaves)
    while True:
        chosen = dict(makers)
        for end, (chain, inputs, parameters) in chains.items():
            flows = tuple(x in wanted for x in inputs)
            chosen[end] = Instruction(chain.operation, inputs, parameters, end, flows)
        program = Program([chosen[var] for var in makers], [forward.loss]).needed()
        steps = program.instructions
        used = {x for step in steps for x in step.sends_to()}
        ends = [step.output for step in steps if step.output in chains]
        middles = {end: _within(end, chains[end][1], makers).difference(chains[end][1]) for end in ends}
        shared = [end for end, middle in middles.items() if not used.isdisjoint(middle)]
        if not shared:
            return replace(forward, program=program)
        for end in shared:
            del chains[end]


def _within(end: Var, inputs: tuple[Any, ...], makers: dict[Var, Instruction]) -> set[Any]:
    """Return the values to which a gradient goes from the end of a chain: those in the middle, and its
    inputs, where it stops."""
    steps = behind([end], makers, inputs.__contains__, Instruction.sends_to)
    return {x for step in steps for x in step.sends_to()}


def _sentence(end: Var, chain: Chain, inputs: tuple[Any, ...], parameters: tuple[Any, ...]) -> str:
    """Return the sentence about a chain that was recognised."""
    given = dict(zip(chain.operation.parameters, parameters, strict=True))
    more = []
    if "correction" in given:
        more.append("with Bessel's correction" if given["correction"] else "without Bessel's correction")
        more.append(f"epsilon {given['eps']:g}" if given["eps"] else "without epsilon")
    called, of = end.name or "a value without a name", inputs[0].name or "another"
    article = "a" if chain.operation is OPERATIONS["linear layer"] else "the"
    return ", ".join([f"{called} is {article} {chain.title} of {of}", *more])


def _reusing(answered: Backward, nearby: Nearby) -> Backward:
    """Return the backward pass without computing again what was computed before, in the forward pass above
    all."""
    same: dict[Var, Var] = {}
    shares = {share.contribution for line in answered.lines for share in line.shares}
    kept = []
    for step in (replaced(step, same) for step in answered.program.instructions):
        out = step.output
        nearby.take(step)
        if out.name or out in shares or step.operation.view or nearby.stays(out):
            kept.append(step)
            continue
        value = nearby.values[out]
        known = nearby.find_repeated(value, out.dtype)
        with np.errstate(all="ignore"):
            source = known or nearby.find_repeated(1 / value, out.dtype)
        if source is not None and source.shape != out.shape:
            view = replace(step, operation=shape.reshape, inputs=(source,), parameters=(out.shape,))
            view.output = source = Var(source.value.reshape(out.shape))
            nearby.take(view)
            kept.append(view)
        if source is not None and known is not None:
            same[out] = source
            continue
        if source is not None:
            step.operation, step.inputs, step.parameters = elementwise.reciprocal, (source,), ()
        nearby.add(out)
        kept.append(step)
    return replace(answered, program=Program(kept, answered.program.outputs).needed())


def _check(forward: Forward, expanded: Backward, short: Backward) -> None:
    """Compare the gradients of both backward passes in double precision. Raise RuntimeError where they
    differ."""
    inputs = {var: double(var.value) for var in forward.program.inputs}
    there = widened(forward.program).run(inputs)
    first, other = (widened(passed.program).run(there) for passed in (expanded, short))
    # Where a gradient is not finite there is no slope to compare.
    known = {var: np.isfinite(first[var]) for var in expanded.gradients.values()}
    greatest = max(abs(first[var][there]).max(initial=0) for var, there in known.items())
    for var, gradient in short.gradients.items():
        long = expanded.gradients[var]
        mine, whole = other[gradient][known[long]], first[long][known[long]]
        allowed = TOLERANCE * (abs(whole).max(initial=0) + 1e-3 * greatest)
        if not np.allclose(mine, whole, rtol=0, atol=allowed):
            worst = abs(mine - whole).max()
            raise RuntimeError(
                f"the simplified gradient of {var.name} differs from the expanded one by {worst:g}"
            )
