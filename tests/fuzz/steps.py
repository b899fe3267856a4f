"""Random whole training steps: some parts of values, each with its loss, its backward pass and its update."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from . import places, values
from .numbers import Draw
from .program import Program
from .writer import Writer

LINES = [
    *[(values.unary, 5), (values.binary, 9), (values.power, 1), (values.choose, 3), (values.integers, 4)],
    *[(values.cast, 2), (values.reduction, 7), (values.along, 2), (values.layer, 3), (values.loss, 2)],
    *[
        (values.creation, 1),
        (values.long, 0.1),
        (values.in_place, 0.3),
        (places.view, 9),
        (places.join, 4),
        (places.index, 6),
    ],
    *[(places.product, 5), (places.entry, 6)],
]
KINDS = [kind for kind, weight in LINES for _ in range(int(weight * 10))]
OPTIMIZERS = ["SGD([{}], lr=0.1, momentum=0.9)", "AdamW([{}], lr=0.01)", "Adam([{}], lr=0.01, amsgrad=True)"]


def drawn(seed: int) -> Program:
    """Return the step of a seed."""
    w = Writer(Draw(seed))
    results: list[str] = []
    for _ in range(w.draw.integer(1, 4)):
        if not w.over:
            results += part(w)
    return Program(tuple(w.leaves), tuple(w.body), tuple(results)).without()


def part(
    w: Writer,
    kinds: Sequence[Callable[[Writer], object]] = KINDS,
    end: Callable[..., list[str]] | None = None,
) -> list[str]:
    """Add a part of a step, and return which of its values the step returns. end: what adds the loss and the
    update, in the place of `descend`."""
    w.begin()
    draw, first = w.draw, len(w.body)
    for _ in range(draw.integer(1, 3)):
        w.leaf(w.shape(draw.choice([2, 2, 2, 1, 3, 0, 4])))
    wanted, tries = draw.integer(1, 10), 0
    while len(w.body) - first < wanted and tries < 40 and not w.over:
        draw.choice(kinds)(w)
        tries += 1
    made = [line.name for line in w.body[first:] if line.name[0:1] == "v"]
    results = [name for name in made[-2:] + draw.some(made, 0) if name in w.values and own(w, name)]
    if draw.chance(0.85) and not w.over:
        results += (end or descend)(w, made)
    return list(dict.fromkeys(results))


def own(w: Writer, name: str) -> bool:
    """Return whether no leaf shares the value's memory: what is returned is the step's own."""
    array = w.value(name).array
    leaves = [w.value(line.name) for line in w.leaves if line.name[0] in "pbxn"]
    return not any(np.may_share_memory(array, leaf.array) for leaf in leaves)


def descend(w: Writer, made: list[str]) -> list[str]:
    """Add a loss of some of these values, its backward pass and an update; return further results."""
    draw, total = w.draw, loss(w, made)
    if total is None:
        return []
    parameters = sorted({name for name in w.values if name[0] == "p"})
    if draw.chance(0.15):
        return [total, *gradients(w, total, parameters)]
    way = draw.choice(["zeroed", "zeroed", "zeroed", "accumulated", "optimizer"])
    if way == "zeroed":
        w.do("for p in [{}]: p.grad = None", parameters)
    if way == "optimizer":
        optimizer = new_optimizer(w, parameters)
        w.do(f"{optimizer}.zero_grad()")
    w.do(f"{total}.backward()")
    if w.over:
        return []
    used = [name for name in parameters if w.value(name).grad is not None]
    if way == "optimizer":
        w.do(f"{optimizer}.step()")
    elif used and draw.chance(0.7):
        if draw.chance(0.5):
            w.do("for p in [{}]: p.data += -0.1 * p.grad", used)
        else:
            w.do("with torch.no_grad():\n            for p in [{}]: p -= 0.1 * p.grad", used)
    return [total]


def new_optimizer(w: Writer, parameters: list[str]) -> str:
    """Add an optimizer of these parameters and return its name."""
    return w.other("o", f"torch.optim.{w.draw.choice(OPTIMIZERS)}", tuple(parameters))


def loss(w: Writer, made: list[str]) -> str | None:
    """Add a number made of some of these values that requires a gradient, where there is one; return its
    name."""
    draw = w.draw
    ends = [n for n in made if n in w.values and w.value(n).requires_grad and w.value(n).is_floating_point()]
    terms = []
    for name in draw.some(ends[-6:]) if ends else []:
        shape = tuple(w.value(name).shape)
        forms = [f"({name} * {w.leaf(shape, w.value(name).array.dtype.name, roles='b')}).sum()"] * 2
        forms += [f"{name}.mean()", f"({name} * {name}).mean()", f"{name}.sum()", f"{name}.tanh().sum()"]
        term = w.say(draw.choice(forms))
        terms += [term] if term and w.value(term).requires_grad else []
    if not terms:
        return None
    total = w.name("v")
    w.do(f"{total} = sum([{{}}])", terms, total)
    return total


def gradients(w: Writer, total: str, parameters: list[str]) -> list[str]:
    """Add the gradients of a total, each as a value of its own."""
    found = []
    for name in w.draw.some(parameters)[:2]:
        made = w.say(f"torch.autograd.grad({total}, {name}, retain_graph=True)[0]")
        found += [made] if made else []
    return found
