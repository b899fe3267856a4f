"""What code reads by its names: globals, modules that it imports, and their attributes."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterable
from typing import Any

from .code_names import Chain, Way
from .contents import refuse
from .owners import is_a
from .watched import Form, Watched


class Reading:
    """Watches what code reads. reach: goes on to an object, with the way to it and the name that it is read
    by."""

    def __init__(self, watched: Watched, reach: Callable[..., None]) -> None:
        self._watched, self._reach = watched, reach

    def global_of(self, x: types.FunctionType, name: str, chains: set[Chain], way: Way) -> None:
        """Watch a global that a function reads."""
        space = x.__globals__
        builtins: dict[str, Any] = getattr(x, "__builtins__")  # noqa: B009 - which mypy does not know
        if name in space:
            if self._watched.item(space, name, way):
                self.value(space[name], chains, way)
            return
        self._watched.absent(space, name, way)
        if name in builtins:
            self._watched.item(builtins, name, way)
            self._reach(builtins[name], way._replace(label="{}"), name)

    def imported(self, name: str, chains: set[Chain], way: Way) -> None:
        """Watch a module that a function imports while it runs."""
        whole = {name, name.partition(".")[0]} if () in chains else {name}
        for module in whole:
            if module not in sys.modules:
                refuse(way, "runs the module", "import it at the top of the file")
            self._watched.item(sys.modules, module, way)
            self.value(sys.modules[module], chains, way)

    def value(self, value: Any, chains: Iterable[Chain], way: Way) -> None:
        """Reach for what code reads: of a module, only what these chains of attributes lead to."""
        if not is_a(value, types.ModuleType):
            self._reach(value, way, way.name)
            return
        for chain in sorted(chains):
            x, here = value, way
            for name in chain:
                held = vars(x)
                if name == "__dict__":
                    self._reach(x, here)
                    break
                if name not in held:
                    self._watched.absent(held, name, here.to(f".{name}"))
                    if "__getattr__" in held:
                        self._reach(held["__getattr__"], here)
                    break
                here = here.to(f".{name}")
                # The attribute, which is found faster than the element of its __dict__.
                self._watched.add(Form.IS, x, f"{{}}.{name}", held[name], here)
                x = held[name]
                if not is_a(x, types.ModuleType):
                    self._reach(x, here, name)
                    break
            else:
                self._reach(x, here)
