"""A random step, and what is changed between its calls: parameters, modules, optimizers, numbers, modes."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np

import tinygrad_ninja as torch
from tinygrad_ninja import nn
from tinygrad_ninja.program.compile import CompileWarning

from .compiled import RAISED, Jitter, Outcome
from .numbers import numbers
from .program import FILE, HEAD, Line, Program, surroundings

CALLS = 6
BOUND = re.compile(r"^([a-z]\d+) = ")
RETURNED = *[".detach().clone()", ".detach()"] * 3, ""
"""How values are returned: by their numbers. One with a history of its own is often refused."""


@dataclass(frozen=True)
class Change:
    """A line that is run before a call."""

    call: int
    line: Line


@dataclass(frozen=True)
class ChangingProgram(Program):
    """A program with changes between its calls."""

    changes: tuple[Change, ...] = ()

    def source(self, jitter: bool = False) -> str:
        """Return the function `made`, which makes a step, its arguments, what is changed before a call (which
        gives a context for it), and the state, by name."""
        text = super().source(jitter).splitlines()[:-2]  # without what it returns, which is other here
        text.insert(text.index("    def arguments(call):"), "    override, held = {}, []")
        text[next(i for i, line in enumerate(text) if line.startswith("        return ["))] = self._taken()
        results = ", ".join(f"{name}{RETURNED[int(name[1:]) % len(RETURNED)]}" for name in self.results)
        text += [f"        return [{results}]", "    def change(call):"]
        bound = {found[1] for each in self.changes if (found := BOUND.match(each.line.text))}
        text += [f"        nonlocal {', '.join(sorted(bound))}"] if bound else []
        text.append("        mode = contextlib.nullcontext()")
        for each in self.changes:
            text += [f"        if call == {each.call}:", f"            {each.line}"]
        text += ["        return mode", "    def state():"]
        names = ", ".join(f'"{name}": {name}' for name in self.found)
        text += [f"        return {{{names}}}", "    return step, arguments, change, state"]
        return "\n".join(text) + "\n"

    def _taken(self) -> str:
        """Return the line that returns the arguments, or what a change gives in their place."""
        return f"        return [{', '.join(f'override.get({name!r}, {name})' for name in self.arguments)}]"

    @property
    def found(self) -> list[str]:
        """The names of what the step finds."""
        return [line.name for line in self.leaves if line.name[0] not in "xnk"]

    def without(self, names: Any = (), lines: Any = ()) -> ChangingProgram:
        """Return the program without these names and lines, and without what needs them."""
        fewer = super().without(names, lines)
        there = {line.name for line in fewer.leaves}
        kept = tuple(each for each in self.changes if each.line.uses <= there)
        return replace(fewer, changes=kept)  # type: ignore[return-value]

    def smaller(self, fails: Callable[[Any], bool], tries: int = 80) -> ChangingProgram:
        """Return a program with fewer lines, results, leaves and changes that still fails."""
        program: Any = self
        for each in self.changes:
            fewer = replace(program, changes=tuple(other for other in program.changes if other != each))
            if fails(fewer):
                program = fewer
        return Program.smaller(program, fails, tries)  # type: ignore[return-value]

    def made(self, jitter: Any = None) -> Any:
        """Return the step, its arguments at each call, the changes before a call, and the state."""
        scope = surroundings()
        scope["jitter"] = jitter
        exec(compile(self.source(jitter is not None), FILE, "exec"), scope)
        return scope["made"]()

    def pasteable(self) -> str:
        """Return a script that runs the step eagerly and compiled, and prints both."""
        parts = [HEAD] + ([inspect.getsource(numbers)] if "numbers(" in self.source() else [])
        parts += [self.source(), f"CALLS = {CALLS}", inspect.getsource(show_changes), "show_changes()\n"]
        return "\n".join(parts)


def show_changes() -> None:
    """Print what eager code and both backends return, and what they leave."""
    for backend in (None, "c", "numpy"):
        torch.manual_seed(0)
        step, arguments, change, state = made()  # noqa: F821 - the step's own
        run = step if backend is None else torch.compile(step, backend=backend)
        for call in range(CALLS):
            with change(call):
                given = [torch.from_numpy(x) if isinstance(x, np.ndarray) else x for x in arguments(call)]
                try:
                    print(backend or "eager", call, run(*given))
                except Exception as error:
                    print(backend or "eager", call, type(error).__name__, error)
            for name, x in state().items():
                print(f"    {name} = {x}", getattr(x, "grad", ""), getattr(x, "state_dict", str)())
        torch.set_default_dtype(torch.float32)


def outcome(program: ChangingProgram, backend: str | None, jitter: Jitter | None = None) -> Outcome:
    """Run the program's calls, eagerly where there is no backend, and look at all that they return, raise and
    leave."""
    result, held = Outcome(), []
    torch.manual_seed(0)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        step, arguments, change, state = program.made(jitter)
        run = step if backend is None else torch.compile(step, backend=backend)
        try:
            for call in range(CALLS):
                try:
                    mode, given = change(call), arguments(call)
                except Exception as error:
                    result.seen[call, "what the change raises"] = f"{type(error).__name__}: {error}"
                    continue
                if backend is None:
                    given = [torch.from_numpy(x) if isinstance(x, np.ndarray) else x for x in given]
                try:
                    with mode:
                        returned = run(*given)
                except Exception as error:
                    result.seen[call, RAISED] = f"{type(error).__name__}: {error}"
                    returned = []
                for name, value in zip(program.results, returned, strict=False):
                    result.seen[call, name] = np.array(value.detach().numpy())
                    held.append((call, name, value))
                for name, value in state().items():
                    for path, array in flat(name, value):
                        result.seen[call, path] = array
                result.seen[call, "the default generator"] = np.array(torch.get_rng_state().numpy())
        finally:
            torch.set_default_dtype(torch.float32)
        for call, name, value in held:
            result.seen[call, f"{name}, held until the end"] = np.array(value.detach().numpy())
    result.said = [str(each.message) for each in told if issubclass(each.category, CompileWarning)]
    return result


def flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield what can be seen of an object, each part by its path."""
    if isinstance(value, torch.Tensor):
        if type(value.array) is not np.ndarray:
            yield name, f"a Tensor that stands for another: {type(value.array).__name__}"
            return
        yield name, np.array(value.detach().numpy())
        if value.is_leaf:
            yield f"{name}.requires_grad", value.requires_grad
            yield f"{name}.grad", None if value.grad is None else np.array(value.grad.numpy())
    elif isinstance(value, torch.Generator):
        yield name, np.array(value.get_state().numpy())
    elif isinstance(value, nn.Module):
        for path, part in (*value.named_parameters(), *value.named_buffers()):
            yield from flat(f"{name}.{path}", part)
    elif hasattr(value, "state_dict"):
        yield from flat(name, value.state_dict())
    elif isinstance(value, dict):
        yield f"len({name})", len(value)
        for key, part in value.items():
            yield from flat(f"{name}[{key!r}]", part)
    elif isinstance(value, (list, tuple)):
        yield f"len({name})", len(value)
        for i, part in enumerate(value):
            yield from flat(f"{name}[{i}]", part)
    elif isinstance(value, SimpleNamespace):
        yield from flat(f"{name}.__dict__", vars(value))
    elif isinstance(value, (bool, int, float)):
        yield name, np.array(value)
    elif value is None or isinstance(value, str):
        yield name, value
