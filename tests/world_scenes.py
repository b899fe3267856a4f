"""Scenes for `World`: a function, a change of what it reads, and what is said of it."""

from __future__ import annotations

import textwrap
import types
from collections.abc import Callable
from typing import Any

from tinygrad_ninja.program.compile.guards.world import World

Change = Callable[[], Any]
Scene = Callable[[], tuple[Any, Change, str]]
"""It returns a function (or a tuple of one and its arguments), a change, and what `difference` says of it."""


class Scenes(dict[str, Scene]):
    """Scenes by their names."""

    def add(self, make: Scene) -> Scene:
        """Add a scene under its own name."""
        self[make.__name__] = make
        return make


def module_of(text: str, name: str = "written", **names: Any) -> Any:
    """Return a module with that source, and with what it is given by name."""
    module = types.ModuleType(name)
    vars(module).update(names)
    exec(compile(textwrap.dedent(text), f"{name}.py", "exec"), module.__dict__)
    return module


def check_that_the_change_is_seen(scene: Scene) -> None:
    """Raise AssertionError unless the change is seen, and nothing before it."""
    fn, change, words = scene()
    world = World(*fn) if isinstance(fn, tuple) else World(fn)
    assert all(world.holds() for _ in range(1000))
    assert world.difference() == ""
    assert world.holds()
    assert world.describe()
    change()
    assert not world.holds()
    assert words in world.difference()
    assert not world.holds()
