"""The backward pass of a recorded forward pass, line by line as a person would write it.

The forward pass is first cut into lines: a value that has a name ends one, and a value without a name that
is used once is written into the line that uses it. Then each line is answered, the last one first: its rules
turn its gradient into a share for each value that it reads, in the order in which it reads them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from ...ops import Operation, comparison, elementwise, indexing, shape
from ..decided import HOLD
from ..hints import hinting
from ..instructions import Instruction, Program, Var, behind, known_number, repeats, substitute
from ..trace import XP, Tape, Traced, plain
from .new_names import RESERVED, gradient_name, name_lines
from .record import Forward

STEPWISE = frozenset((indexing.put, indexing.put_view, indexing.scatter, indexing.scatter_along))
"""The operations that take more than an expression: first an array, and then what is written into it."""

LIGHT = 2
"""The most arithmetic operations that are written again rather than given a name."""


@dataclass(eq=False)
class Share:
    """What one use of a value adds to its gradient.

    of: the value; by: the forward instruction that used it, as input number `place`; contribution: the share
    itself; total: the gradient with this share added, the same variable for the first share.
    """

    of: Var
    by: Instruction
    place: int
    contribution: Var
    total: Var

    @property
    def first(self) -> bool:
        """Return whether the gradient begins with it."""
        return self.total is self.contribution


@dataclass(eq=False)
class Line:
    """A line of the forward pass: the instructions written in it, of which the last computes its value, and
    the shares that answer it."""

    instructions: list[Instruction]
    shares: list[Share] = field(default_factory=list)

    @property
    def var(self) -> Var:
        """Return the variable whose value the line computes."""
        return self.instructions[-1].output


@dataclass
class Backward:
    """A backward pass. lines: those of the forward pass, in its order; program: the backward instructions;
    gradients: the gradient of each value that has one; inner: the same for values written into a line."""

    lines: list[Line]
    program: Program
    gradients: dict[Var, Var]
    inner: dict[Var, Var]


class RuleTape(Tape):
    """A tape for rules, which records what a person would write.

    What a rule does at a single point only, where one value is exactly another (the slope of a root at 0), is
    left out where no recorded value is at that point. And an operation on repeated values is applied to the
    values before they are repeated.
    """

    def __init__(self) -> None:
        super().__init__()
        self._makers: dict[Var, Instruction] = {}

    def apply(self, operation: Operation, inputs: tuple[Any, ...], parameters: tuple[Any, ...]) -> Traced:
        shapes = [np.shape(x) for x in inputs]
        if operation is comparison.where and (known := self._known_beforehand(*parameters)) is not None:
            taken, value = inputs[0 if known else 1], self.value(operation, inputs, parameters)
            if not isinstance(taken, Traced):
                return self.constant(value)
            taken = taken if taken.dtype == value.dtype else XP.astype(taken, value.dtype)
            return cast(Traced, taken if taken.shape == value.shape else XP.broadcast_to(taken, value.shape))
        if operation in (shape.expand, shape.reshape) and parameters == (shapes[0],):
            return cast(Traced, inputs[0])
        if operation is indexing.scatter and all(map(_reads_all, parameters[1])):
            return self.apply(shape.reshape, inputs, parameters[:1])
        alone = operation.broadcasts and len(inputs) == 2 and not parameters
        if alone and (fewer := self._before_repeated(inputs)):
            made_of_fewer = self.apply(operation, fewer, parameters)
            return cast(Traced, XP.broadcast_to(made_of_fewer, np.broadcast_shapes(*shapes)))
        result = super().apply(operation, inputs, parameters)
        if self.instructions:
            self._makers[self.instructions[-1].output] = self.instructions[-1]
        return result

    def made_of(self, var: Var, known: set[Var]) -> set[Var]:
        """Return the variable and those that its expression reads, except those that are known."""
        steps = behind([var] if var not in known else (), self._makers, known.__contains__)
        return {var, *(x for step in steps for x in step.reads())} - known

    def _known_beforehand(self, condition: Any) -> bool | None:
        """Return the one value of a condition, whatever the inputs of the program are; False where it asks
        for a single point at which no recorded value is. None where it depends."""
        var = self.variable(condition)
        maker, known = self._makers.get(var), known_number(var)
        if maker is not None and maker.operation is comparison.eq and not plain(condition).any():
            return False
        return None if known is None else bool(known)

    def _before_repeated(self, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the inputs with a repeated one as it was before, if the other one is a number; else an empty
        tuple."""
        for x, other in (inputs, inputs[::-1]):
            repeated, number = self._makers.get(self.variable(x)), known_number(self.variable(other))
            if repeated is not None and repeats(repeated) and number is not None:
                before = self.operand(repeated.inputs[0])
                return (before, number) if x is inputs[0] else (number, before)
        return ()


def is_zero(var: Var) -> bool:
    """Return whether a variable is 0 throughout, whatever the inputs of the program are."""
    return var.constant and not var.number


def _reads_all(item: Any) -> bool:
    """Return whether an item of an index reads everything along its dimension, in order."""
    return item is None or item is Ellipsis or (isinstance(item, slice) and item == slice(None))


def apply_rule(tape: Tape, instruction: Instruction, place: int, dout: Traced) -> Traced:
    """Apply the rule of one input of an instruction, on arrays that record to `tape` what is computed, and
    return the input's share."""
    tape.answers, operation = instruction, instruction.operation
    tape.forget()
    if operation.variadic:
        operation = operation.for_inputs(len(instruction.inputs))
    values = (instruction.output, *instruction.inputs, *instruction.parameters)
    with hinting():
        share = operation.rules[place](dout, substitute(values, tape.operand))
    tape.answers = None
    return share if isinstance(share, Traced) else tape.constant(np.asarray(share))


def backward(forward: Forward, sparing: bool = False) -> Backward:
    """Answer every line of the forward pass.

    A value without a name gets a line of its own, and a name, where several instructions read it, or its
    gradient, and that is too much to be written twice; where `sparing`, only where several read it.
    Raise ValueError where the name of a gradient is also the name of another value.
    """
    theirs = {*RESERVED, *(var.name for var in forward.program.variables() if var.name)}
    given: set[Var] = set()
    taken = theirs
    while True:
        lines = _lines(forward.program)
        answered = _answer(forward.loss, lines)
        ends = [line.var for line in lines if not line.var.name]
        unnamed = ends if sparing else _worth_a_name(lines, answered)
        if not unnamed:
            break
        given.update(unnamed)
        taken = set(theirs)
        name_lines(forward.program, given, taken)
    for var, gradient in answered.gradients.items():
        if gradient.name in taken:
            raise ValueError(
                f"the name {gradient.name} is given to two tensors: a value of the forward pass, and the "
                f"gradient of {var.name}; call one of the two something else"
            )
    return answered


# -- the lines -----------------------------------------------------------------------------------------------


def _lines(program: Program) -> list[Line]:
    """Return the forward pass cut into lines."""
    uses = Counter(var for instruction in program.instructions for var in instruction.reads())
    waiting: dict[Var, list[Instruction]] = {}  # what will be written into the line that reads it
    lines = []
    for instruction in program.instructions:
        within = [inner for var in dict.fromkeys(instruction.reads()) for inner in waiting.pop(var, ())]
        within.append(instruction)
        once = uses[instruction.output] == 1 and instruction.operation not in STEPWISE
        if once and not instruction.output.name and instruction.output not in program.outputs:
            waiting[instruction.output] = within
        else:
            lines.append(Line(within))
    return lines


def _uses(line: Line) -> list[tuple[Instruction, int]]:
    """Return where the line reads values from outside through which a gradient comes back, in the order in
    which they are read from left to right: the instruction, and as which input it reads the value."""
    makers = {instruction.output: instruction for instruction in line.instructions}
    uses: list[tuple[Instruction, int]] = []

    def read(instruction: Instruction) -> None:
        for place, var in enumerate(instruction.inputs):
            if var in makers:
                read(makers[var])
            elif instruction.flows[place]:
                uses.append((instruction, place))

    read(line.instructions[-1])
    return uses


# -- the answers ---------------------------------------------------------------------------------------------


class _Answers:
    """The gradients, while the lines are answered from the last to the first."""

    def __init__(self, loss: Var, lines: list[Line]) -> None:
        self.tape = RuleTape()
        self.gradients: dict[Var, Traced] = {loss: self.tape.constant(np.ones_like(loss.value))}
        self.inner: dict[Var, Var] = {}  # the gradients of values inside a line
        steps = [instruction for line in lines for instruction in line.instructions]
        self._owned = {var for step in steps for var in (step.output, *step.reads())}
        self._uses = Counter(step.inputs[place] for line in lines for step, place in _uses(line))

    def take(self, line: Line) -> None:
        """Answer a line whose value has a gradient: add the shares of what it reads, in that order."""
        shares = self._shares(line)
        before: set[Var] = set()  # the variables that the shares so far depend on
        for use in _uses(line):
            if use not in shares:
                continue
            instruction, place = use
            var, made = instruction.inputs[place], self.tape.variable(shares[use])
            if self._uses[var] > 1 or made in before:
                # The name belongs to a sum that is not complete, or not there yet: nothing else may use it.
                self._owned.update(self.inner.values())
            before |= self.tape.made_of(made, self._owned)
            self.tape.answers = instruction
            share = self._own(shares[use])
            total = self.gradients[var] = self._added(self.gradients.get(var), share)
            self.tape.answers = None
            parts = self.tape.variable(share), self.tape.variable(total)
            line.shares.append(Share(var, instruction, place, *parts))

    def _shares(self, line: Line) -> dict[tuple[Instruction, int], Traced]:
        """Return the share of each use of a value from outside the line: what the rules make of the line's
        gradient, from its end back."""
        inside = {instruction.output for instruction in line.instructions}
        upstream = {line.var: self.gradients[line.var]}
        shares: dict[tuple[Instruction, int], Traced] = {}
        for instruction in reversed(line.instructions):
            dout = upstream.get(instruction.output)
            for place, var in enumerate(instruction.inputs):
                if dout is None or not instruction.flows[place]:
                    continue
                share = apply_rule(self.tape, instruction, place, dout)
                if isinstance(var, Var) and var in inside:
                    upstream[var] = share
                    self.inner[var] = self.tape.variable(share)
                else:
                    shares[instruction, place] = share
        return shares

    def _own(self, share: Traced) -> Traced:
        """Return a share, or a sum, as a variable of its own, which will have a name."""
        var = self.tape.variable(share)
        if var.constant:
            share = self.tape.constant(var.value)
        elif var in self._owned:
            share = self.tape.apply(shape.clone, (share,), (False,))
        self._owned.add(self.tape.variable(share))
        return share

    def _added(self, gradient: Traced | None, share: Traced) -> Traced:
        """Return a gradient with one more share."""
        if gradient is None:
            return share
        if is_zero(self.tape.variable(share)):
            return gradient
        # Without the simplification of sums, which would keep the share itself out of the program.
        return self._own(Tape.apply(self.tape, elementwise.add, (gradient, share), ()))


def _answer(loss: Var, lines: list[Line]) -> Backward:
    """Return the backward pass of the lines."""
    answers = _Answers(loss, lines)
    tape = answers.tape
    for line in reversed(lines):
        if line.var in answers.gradients:
            answers.take(line)
    gradients = {var: tape.variable(array) for var, array in answers.gradients.items()}
    gradients[loss].name = gradient_name(loss.name)
    for share in (share for line in lines for share in line.shares):
        share.total.name = gradient_name(share.of.name)
    program = Program(tape.instructions, list(gradients.values())).needed()
    return Backward(lines, program, gradients, answers.inner)


# -- what is worth a name ------------------------------------------------------------------------------------


def weigh(instruction: Instruction, weights: dict[Var, int]) -> int:
    """Return the weight of the expression of an instruction's output, given the weights of the expressions of
    what it reads: arithmetic adds 1, a view 0, and what nobody would compute twice more than LIGHT; what has
    a name weighs nothing."""
    operation = instruction.operation
    free = operation.view or operation in (shape.clone, HOLD)
    own = 0 if free else 1 if operation.broadcasts or operation.light else LIGHT + 1
    return own + sum(weights.get(var, 0) for var in instruction.reads() if not var.name)


def _worth_a_name(lines: list[Line], answered: Backward) -> list[Var]:
    """Return the values of the forward pass that should have a name and lack it."""
    ends, lacking = {line.var for line in lines}, _lacking(lines, answered)
    chosen: list[Var] = []
    waiting: set[Var] = set()
    for instruction in [instruction for line in lines for instruction in line.instructions]:
        var = instruction.output
        # What is heavy only because of a value inside it may be light once that value has a name.
        above = not waiting.isdisjoint(instruction.reads())
        if var in lacking and (var in ends or not above):
            chosen.append(var)
        if not var.name and (above or var in lacking):
            waiting.add(var)
    return chosen


def _lacking(lines: list[Line], answered: Backward) -> set[Var]:
    """Return the values without a name that are lines of their own, or that are, or whose gradient is, too
    much to be written again; of several values with one and the same gradient, the last."""
    forward, back = [step for line in lines for step in line.instructions], answered.program.instructions
    heavy: dict[Var, int] = {}
    for step in (*forward, *back):
        heavy[step.output] = weigh(step, heavy)
    read = Counter(var for step in back for var in step.reads())
    read.update(share.contribution for line in lines for share in line.shares)
    makers = {step.output: step.operation for step in back}
    lacking = {line.var: line.var for line in lines if not line.var.name}
    for var in [step.output for step in forward if not step.output.name]:
        gradient = answered.inner.get(var, var)  # where it has none, no backward instruction computes it
        again = gradient in makers and not gradient.name and read[gradient] > 1 and heavy[gradient] > 1
        if again or (read[var] and heavy[var] > LIGHT) or makers.get(gradient) in STEPWISE:
            lacking[gradient] = var
    return {*lacking.values()}
