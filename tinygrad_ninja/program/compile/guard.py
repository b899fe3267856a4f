"""A check, before every call of a recording, of what the function reads beside its arguments."""

from __future__ import annotations

import dis
import types
from collections.abc import Callable
from typing import Any

from ...api.casting import halves
from ...arrays.dtypes import get_default_dtype
from ...engine.grad_mode import is_grad_enabled
from ...engine.tensor import Tensor
from ...nn.module import Module
from ...nn.tree import KINDS

PLAIN = (bool, int, float, str, bytes, type(None))
"""The types that are compared by value."""


def modes() -> tuple[Any, ...]:
    """Return the modes that decide how all operations compute: the default dtype, whether this thread
    records, and the half precision that its autocast has for each device."""
    return get_default_dtype(), is_grad_enabled(), halves()


class Guard:
    """A check that what a function reads beside its arguments is as it was: numbers, strings and Tensors
    among its globals and its closure, which parts of a Module are in training, and the engine's modes."""

    def __init__(self, fn: Any) -> None:
        self.tests: list[str] = []
        self.names: dict[str, Any] = {}
        owner = getattr(fn, "__self__", None)
        fn = getattr(fn, "__func__", fn)
        code = getattr(fn, "__code__", None)
        if code is not None:
            attributes, globals_read = names_read(code)
            for name in sorted(attributes & set(getattr(owner, "__dict__", ()))):
                self._note(f"{self._bind(owner)}.{name}", owner)
            for cell in fn.__closure__ or ():
                self._note(f"{self._bind(cell)}.cell_contents", cell)
            for name in sorted(globals_read & set(fn.__globals__)):
                self._note(f"{self._bind(fn.__globals__)}[{name!r}]", fn.__globals__)
        self.tests.append(f"{self._bind(modes)}() == {self._bind(modes())}")
        text = " and ".join(self.tests)
        self.holds: Callable[[], bool] = eval(f"lambda: {text}", self.names)  # noqa: S307 - made of the lines here

    def _bind(self, value: Any) -> str:
        """Return a new name under which the tests find the value."""
        name = f"o{len(self.names)}"
        self.names[name] = value
        return name

    def _note(self, text: str, owner: Any) -> None:
        """Add the tests for what an expression gives; owner: the object that it is read from."""
        try:
            value = eval(text, self.names)  # noqa: S307 - one of the expressions above
        except ValueError:  # an empty cell
            return
        if isinstance(value, Tensor):
            self.tests.append(f"{text} is {self._bind(value)}")
        elif isinstance(value, PLAIN):
            now = self._bind(value)
            same = f"type({text}) is type({now}) and {text} == {now}"  # 1 is not 1.0
            if value == 0 and isinstance(value, float):
                same += f" and str({text}) == {str(value)!r}"  # and 0.0 is not -0.0
            self.tests.append(f"({text} is {now} or {same})")
        elif isinstance(value, Module):
            self.tests.append(f"{text} is {self._bind(value)}")
            for part in value.modules():
                self._note_module(part)
        elif (
            isinstance(value, (list, tuple))
            and value
            and all(isinstance(element, Tensor) for element in value)
        ):
            self.tests.append(f"tuple(map(id, {text})) == {self._bind(tuple(map(id, value)))}")

    def _note_module(self, module: Module) -> None:
        """Add the tests for a module: its numbers and strings, `training` among them, and which parameters,
        buffers, parts and hooks it has."""
        attributes = vars(module)
        plain = {name: value for name, value in attributes.items() if isinstance(value, PLAIN)}
        held = self._bind(attributes)
        now = ", ".join(f"{held}[{name!r}]" for name in plain)
        self.tests.append(f"({now},) == {self._bind(tuple(plain.values()))}")
        for name in (*KINDS, "_forward_pre_hooks", "_forward_hooks"):
            held = self._bind(attributes[name])
            # The values are kept, so that no other object gets one of their ids.
            self._bind(tuple(attributes[name].values()))
            numbers = tuple(map(id, attributes[name].values()))
            self.tests.append(f"(*map(id, {held}.values()),) == {numbers}" if numbers else f"not {held}")


def names_read(code: types.CodeType) -> tuple[set[str], set[str]]:
    """Return the attributes of its first argument that a function reads, and the globals; the functions
    within it are included."""
    first, attributes, globals_read = code.co_varnames[:1], set(), set()
    waiting = [code]
    while waiting:
        current = waiting.pop()
        waiting += [const for const in current.co_consts if isinstance(const, types.CodeType)]
        names: Any = ()  # the locals that the instruction before has loaded
        for step in dis.get_instructions(current):
            if step.opname in ("LOAD_ATTR", "LOAD_METHOD") and names[-1:] == first:
                attributes.add(step.argval)
            elif step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                globals_read.add(step.argval)
            local = step.opname.startswith("LOAD_FAST") or step.opname == "LOAD_DEREF"
            names = () if not local else step.argval if isinstance(step.argval, tuple) else (step.argval,)
    return attributes, globals_read
