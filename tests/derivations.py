"""Scripts that a derivation prints, run and taken apart; and the lecture's model, derived."""

import ast
import contextlib
import functools
import io
from typing import Any

import numpy as np
import torch

import tinygrad_ninja
from tinygrad_ninja.makemore import lecture
from tinygrad_ninja.program import Derivation, derive

TARGETS = ["torch", "numpy"]
PARAMETERS = ["C", "W1", "b1", "W2", "b2", "bngain", "bnbias"]


def run(source: str) -> dict[str, Any]:
    """The variables that a script leaves, as arrays; its own check must hold."""
    found: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()), np.errstate(all="ignore"):
        exec(compile(source, "derivation.py", "exec"), found)
    return {name: each.numpy() if isinstance(each, torch.Tensor) else each for name, each in found.items()}


def parts(source: str) -> tuple[str, str]:
    """The forward and the backward pass out of a script."""
    _, _, rest = source.partition("# The forward pass.")
    forward, _, rest = rest.partition("# The backward pass")
    return forward.rpartition("print")[0], rest.partition("\n\n\n#")[0].partition("\n")[2]


def assigned(code: str) -> set[str]:
    """The names that a piece of code gives."""
    return {
        target.id
        for statement in ast.parse(code).body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name)
    }


@functools.cache
def lecture_derivation() -> Derivation:
    *parameters, X, Y = (tinygrad_ninja.tensor(np.asarray(each)) for each in lecture.numbers())
    named = lecture.forward(tinygrad_ninja, *(each.requires_grad_() for each in parameters), X, Y)
    return derive(named["loss"], names={**named, "n": X.shape[0]})


@functools.cache
def lecture_gradients() -> dict[str, Any]:
    """The 26 gradients by real torch's autograd."""
    *parameters, X, Y = (torch.tensor(np.asarray(each)) for each in lecture.numbers())
    named = lecture.forward(torch, *(each.requires_grad_() for each in parameters), X, Y)
    kept = {name: x for name, x in named.items() if isinstance(x, torch.Tensor) and x.requires_grad}
    for each in kept.values():
        each.retain_grad()
    named["loss"].backward()
    return {f"d{name}": each.grad.numpy() for name, each in kept.items() if name != "loss"}
