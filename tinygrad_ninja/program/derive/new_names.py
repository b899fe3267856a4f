"""Names for gradients, and for values that have none: from the code, else from what they are and are for."""

from __future__ import annotations

import keyword
from collections import Counter
from collections.abc import Container, Mapping
from typing import NamedTuple

from ...ops import elementwise, reduction, shape
from ..instructions import Instruction, Program, Var

NOUNS = {
    elementwise.add: reduction.sum.name,
    elementwise.sub: "difference",
    elementwise.mul: "product",
    elementwise.div: "quotient",
    elementwise.neg: "negative",
    shape.cat: "joined",
    shape.stack: "stacked",
}
"""What the results of operations are called whose own names are verbs."""

ACTIVATIONS = (elementwise.tanh, elementwise.sigmoid, elementwise.relu)


RESERVED = {"np", "torch"}
"""The names of the libraries in the printed scripts."""


class Called(NamedTuple):
    """What a value may be called. owner: what it is a part of, "" for nothing; in_code: the code calls it
    so."""

    owner: str
    name: str
    in_code: bool = False


def gradient_name(name: str) -> str:
    """Return the name of a value's gradient: d and the value's name, unless that is a keyword of Python (for
    a value `el`, `del`)."""
    called = f"d{name}"
    return f"{called}_" if keyword.iskeyword(called) else called


def unused(name: str, taken: set[str]) -> str:
    """Return "name_1", or the first such name with a higher number that is not taken, and take it; the first
    is "name_2" where the name without a number is taken."""
    first = 2 if name in taken else 1
    number = next(n for n in range(first, len(taken) + 3) if f"{name}_{n}" not in taken)
    taken.add(f"{name}_{number}")
    return f"{name}_{number}"


def names_of(stems: Mapping[Var, Called], taken: set[str]) -> dict[Var, str]:
    """Return a name for each value, and take them: one from the code as it is where it is the only one, and
    else with its owner in front or a number behind."""
    owners: dict[str, set[str]] = {}
    for called in stems.values():
        owners.setdefault(called.name, set()).add(called.owner)
    alone = Counter(called.name for called in stems.values())
    often = Counter((called.owner, called.name) for called in stems.values())
    names: dict[Var, str] = {}
    for var, (owner, name, in_code) in stems.items():
        whole = f"{owner}_{name}" if owner else name
        if in_code and alone[name] == 1 and name not in taken:
            names[var] = name
        elif owner and often[owner, name] == 1 and whole not in taken:
            names[var] = whole
        else:
            names[var] = unused(name if in_code and len(owners[name]) == 1 else whole, taken)
        taken.add(names[var])
    return names


# -- the lines of the forward pass ---------------------------------------------------------------------------


def name_lines(program: Program, given: Container[Var], taken: set[str]) -> None:
    """Name the values in `given`, and take the names.

    The name is that of the variable in the code, with the Module in front, or a number behind, where several
    are called so. A value without one is called by what it is, `difference`, with the Module in front in
    whose code it is, or the value that it is a part of: `h_preact` is what h is the tanh of. Where that
    would number what has several roles, it is called by its operand: `tanh_c` is the tanh of c.
    """
    steps = [step for step in program.instructions if step.output in given]
    for step in steps:
        step.output.name = ""
    readers = {var: step for step in reversed(program.instructions) for var in step.reads()}  # the first
    stems = {step.output: _stem(step, readers) for step in steps}
    stems |= _by_roles(steps, stems)
    for var, name in names_of(stems, taken).items():
        var.name = name


def _stem(step: Instruction, readers: dict[Var, Instruction]) -> Called:
    """Return what a value may be called."""
    var = step.output
    if var.hint:
        return Called(var.module, var.hint, True)
    reader = readers.get(var)
    if reader is not None and reader.operation in ACTIVATIONS and reader.output.name:
        return Called(reader.output.name, "preact")
    name = NOUNS.get(step.operation, step.operation.name)
    if step.operation is elementwise.mul and step.inputs[0] is step.inputs[1]:
        name = "square"
    owner = var.module
    while not owner and reader is not None:
        owner, reader = reader.output.name, readers.get(reader.output)
    return Called(owner, name)


def _by_roles(steps: list[Instruction], stems: Mapping[Var, Called]) -> dict[Var, Called]:
    """Return what the results of functions may be called that would be called alike, and are applied to
    values that are called differently."""
    roles: dict[Called, dict[Var, str]] = {}
    for step in steps:
        called, (x, *others) = stems[step.output], step.inputs
        if not called.in_code and isinstance(x, Var) and not others:
            of = stems[x].name if x in stems else x.name
            roles.setdefault(called, {})[step.output] = of.removeprefix(f"{called.owner}_")
    return {
        var: Called(called.owner, f"{called.name}_{of}", True)
        for called, by_operand in roles.items()
        if len({*by_operand.values()}) > 1
        for var, of in by_operand.items()
    }
