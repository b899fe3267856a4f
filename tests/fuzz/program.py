"""A random step as lines of Python: written, run, and made smaller while it still fails."""

from __future__ import annotations

import contextlib
import copy
import inspect
import re
import types
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import tinygrad_ninja as torch
from tinygrad_ninja import nn
from tinygrad_ninja.nn import functional as F
from tinygrad_ninja.ops import TABLE

from .numbers import numbers

NAME = re.compile(r"\b[pbxnkovsgmh]\d+\b")
"""Names: parameters, Tensors of the closure, arguments (Tensors, arrays, numbers), optimizers, values;
Python's state, generators, modules, schedules."""
UNORDERED = re.compile(
    r" @ |matmul|linear|attention|dot|max|min|_norm|entropy|index|gather|embedding|\bm\d+\(|\d\[[^]]*[xnbv]\d"
)
ADDS_UP = re.compile(r"sum|mean|var|std|norm|loss|entropy|attention|matmul|linear|dot| @ |\bm\d+\(")
HEAD = """import contextlib
import copy
import types
from typing import Any

import numpy as np
import tinygrad_ninja as torch
from tinygrad_ninja import nn
from tinygrad_ninja.nn import functional as F
from tinygrad_ninja.ops import TABLE
"""
FILE = "random_step.py"
CALLS = 3


@dataclass(frozen=True)
class Line:
    """A line of the step, and the name that it makes, if any.

    members: names that stand in its `{}`, and of which some may go.
    exact: it computes without rounding, so that every order of computing gives the same.
    """

    text: str
    name: str = ""
    members: tuple[str, ...] = ()
    exact: bool = True

    @property
    def uses(self) -> set[str]:
        """The names without which the line cannot stand."""
        return set(NAME.findall(self.text.partition(" = ")[2] if self.name else self.text)) - {self.name}

    def less(self, name: str) -> Line:
        """Return the line with one member less, if it has others."""
        return replace(self, members=tuple(each for each in self.members if each != name) or self.members)

    def jittered(self) -> str:
        """Return the line; where it adds up, what may cancel, with what it is given moved a little."""
        if self.exact or not ADDS_UP.search(self.text):
            return str(self)
        name, equals, rest = str(self).partition(" = ")
        return name + equals + NAME.sub(lambda found: f"jitter({found[0]})", rest)

    def __str__(self) -> str:
        return self.text.format(", ".join(self.members)) if self.members else self.text


@dataclass(frozen=True)
class Program:
    """leaves: what the step finds, arguments among them. body: its lines. results: names that it returns."""

    leaves: tuple[Line, ...]
    body: tuple[Line, ...]
    results: tuple[str, ...]

    @property
    def arguments(self) -> list[str]:
        return [line.name for line in self.leaves if line.name[0] in "xnk"]

    @property
    def kept(self) -> list[str]:
        return [line.name for line in self.leaves if line.name[0] in "pb"]

    @property
    def unsigned(self) -> set[str]:
        """The names of which a zero may have either sign, for numbers are added or compared in any order.

        That is what is made of a product of matrices, an extreme, a layer, values at an index, and what leads
        there.
        """
        names: set[str] = {line.name for line in self.body if UNORDERED.search(line.text)}
        if names:
            for line in self.body:
                names |= {line.name} if line.uses & names or names & {*line.members} else set()
            for line in reversed(self.body):
                names |= {*line.uses, *line.members} if line.name in names else set()
        return names

    def source(self, jitter: bool = False) -> str:
        """Return the function `made`, which makes a step and what it works on.

        jitter: what a line that rounds makes is moved a little, and so are gradients.
        """
        text = ["def made():"]
        text += [f"    {line}" for line in self.leaves if line.name[0] not in "xnk"]
        text.append("    def arguments(call):")
        text += [f"        {line}" for line in self.leaves if line.name[0] in "xnk"]
        text.append(f"        return [{', '.join(self.arguments)}]")
        text.append(f"    def step({', '.join(self.arguments)}):")
        for line in self.body:
            text.append(f"        {line.jittered() if jitter else line}")
            if jitter and line.text.endswith(".backward()"):
                leaves = ", ".join(name for name in self.kept if name[0] == "p")
                text.append(f"        jitter.gradients([{leaves}])")
            if jitter and line.name and not line.exact:
                text.append(f"        {line.name} = jitter({line.name})")
        text.append(f"        return [{', '.join(f'{name}.detach().clone()' for name in self.results)}]")
        kept = ", ".join(f'"{name}": {name}' for name in self.kept)
        text.append(f"    return step, arguments, {{{kept}}}")
        return "\n".join(text) + "\n"

    def made(self, jitter: Any = None) -> tuple[Any, Any, dict[str, Any]]:
        """Return the step, its arguments at each call, and the Tensors that it finds."""
        scope = surroundings()
        scope["jitter"] = jitter
        exec(compile(self.source(jitter is not None), FILE, "exec"), scope)
        made: tuple[Any, Any, dict[str, Any]] = scope["made"]()
        return made

    def without(self, names: Iterable[str] = (), lines: Iterable[int] = ()) -> Program:
        """Return the program without these names and lines, and without what needs them."""
        gone, dropped = set(names), set(lines)
        body = []
        for i, line in enumerate(self.body):
            members = tuple(name for name in line.members if name not in gone)
            if i in dropped or line.uses & gone or (line.members and not members):
                gone |= {line.name} - {""}
                continue
            body.append(replace(line, members=members))
        results = tuple(name for name in self.results if name not in gone)
        needed = set(results).union(*(line.uses | {*line.members} for line in body))
        for line in reversed(self.leaves):  # a leaf may use what stands above it
            needed |= {*line.uses, *line.members} if line.name in needed else set()
        leaves = tuple(leaf for leaf in self.leaves if leaf.name in needed)
        return replace(self, leaves=leaves, body=tuple(body), results=results)

    def smaller(self, fails: Callable[[Program], bool], tries: int = 80) -> Program:
        """Return a program with fewer lines, results and leaves that still fails."""
        program, size = self, max(1, len(self.body) // 2)
        while size and tries > 0:
            start = 0
            while start < len(program.body) and tries > 0:
                end = len(program.body) - start
                fewer, tries = program.without(lines=range(end - size, end)), tries - 1
                if fewer.body != program.body and fails(fewer):
                    program = fewer
                else:
                    start += size
            size //= 2
        for name in [*program.results, *(each for line in program.body for each in line.members)]:
            lines = tuple(line.less(name) for line in program.body)
            results = tuple(each for each in program.results if each != name)
            fewer = replace(program, body=lines, results=results).without()
            if fewer != program and fails(fewer):
                program = fewer
        return program

    def pasteable(self) -> str:
        """Return a script that runs the step eagerly and compiled, and prints both."""
        parts = [HEAD] + ([inspect.getsource(numbers)] if "numbers(" in self.source() else [])
        parts += [self.source(), f"CALLS = {CALLS}", inspect.getsource(show), "show()\n"]
        return "\n".join(parts)


def show(calls: int = CALLS) -> None:
    """Print what eager code and both backends return, and what they leave."""
    for backend in (None, "c", "numpy"):
        step, arguments, kept = made()  # noqa: F821 - the step's own
        run = step if backend is None else torch.compile(step, backend=backend)
        for call in range(calls):
            print(backend or "eager", call, run(*arguments(call)))
        print(*(f"{name} = {x}\n{name}.grad = {x.grad}" for name, x in kept.items()), sep="\n")


def surroundings() -> dict[str, Any]:
    """Return the globals of a step."""
    named = {"np": np, "torch": torch, "nn": nn, "F": F, "TABLE": TABLE, "numbers": numbers}
    return {**named, "contextlib": contextlib, "copy": copy, "types": types}
