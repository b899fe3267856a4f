"""Random functions whose results are derived outside, run eagerly, as C and as NumPy: what they return, and
the gradients of what they find."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import tinygrad_ninja as torch

from . import compiled, steps
from .compiled import REFUSALS, Jitter, Outcome
from .numbers import Draw
from .program import Program
from .writer import Writer

REFUSED = [
    *REFUSALS,
    "share their memory; clone() one of them",
    "is in the memory of a Tensor that was there before",
    "has hooks, or retains its gradient",
    "still need a history of their own; at most",
    "its history can't be gone back: one of the variables needed for gradient computation",
]
"""What compile refuses by name, and these programs do."""


@dataclass(frozen=True)
class Function(Program):
    """A program whose results are returned with their history."""

    def source(self, jitter: bool = False) -> str:
        """Return the function `made`, which makes the function and what it works on."""
        before, after = super().source(jitter).rsplit("        return [", 1)
        rest = after.partition("\n")[2]
        return f"{before}        return [{', '.join(self.results)}]\n{rest}"


def drawn(seed: int) -> Function:
    """Return the function of a seed."""
    w = Writer(Draw(seed))
    results: list[str] = []
    for _ in range(w.draw.integer(1, 3)):
        if not w.over:
            results += steps.part(w, end=total)
    return Function(tuple(w.leaves), tuple(w.body), tuple(results[-4:])).without()  # type: ignore[return-value]


def total(w: Writer, made: list[str]) -> list[str]:
    """Add a number made of some of these values, and return its name."""
    name = steps.loss(w, made)
    return [] if name is None else [name]


def go_back(results: list[Any], call: int) -> None:
    """Call backward on a weighted sum of some results, or on one after the other; some have hooks."""
    rng, terms = np.random.default_rng(call), []
    for value in results:
        weights = torch.from_numpy(np.asarray(rng.normal(size=tuple(value.shape)).astype(np.float64)))
        if value.requires_grad and rng.random() < 0.2:
            value.register_hook(lambda grad: grad * 1.5)
        if value.requires_grad and rng.random() < 0.7:
            terms.append((value * weights.to(value.dtype)).sum())
    if rng.random() < 0.5:
        for term in terms:
            term.backward(retain_graph=True)
    elif terms:
        sum(terms).backward()


def outcome(program: Program, backend: str | None, jitter: Jitter | None = None) -> Outcome:
    """Call the function some times, eagerly where there is no backend; go back from some results of each."""
    return compiled.outcome(program, backend, jitter, go_back)


def acceptable(sentence: str) -> bool:
    """Return whether it is a warning that compile may give of these functions."""
    return "is recorded again" in sentence or any(each in sentence for each in REFUSED)


def try_seed(seed: int) -> str | None:
    """Return None where eager code, C and NumPy agree on the function of a seed; else the function, made
    small, and what differs."""

    def difference(program: Program) -> str:
        return compiled.disagreement(program, outcome, acceptable)

    program = drawn(seed)
    found = difference(program)
    if not found:
        return None
    wanted = compiled.kind(found)
    small = program.smaller(lambda each: compiled.kind(difference(each)) == wanted)
    return f"{small.pasteable()}# {difference(small)}\n"


def program_text(seed: int) -> str:
    """Return the function of a seed, which ends its process, as a script."""
    return drawn(seed).pasteable()
