"""What the manual's reference reads from the running package: names that its source does not spell out.

Functions are put into the package when it is imported, and so are the methods of Tensor: this extension of
griffe, which reads the source for mkdocstrings, adds them.
"""

import inspect
import re
from typing import Any

import griffe
from manual_examples import examples_of, shown
from public_names import PublicName, public_names

import tinygrad_ninja
from tinygrad_ninja import Tensor
from tinygrad_ninja.api import OFFERED

PROSE = re.compile(r"(`+[^`]*`+|^ {4,}.*$)", re.MULTILINE)
"""What stands between prose: code in backticks, and indented."""


def as_markdown(text: str) -> str:
    """Return a docstring as Markdown, in which what is no code is text: `out[i][j]` is no link."""
    parts = PROSE.split(text)
    parts[::2] = [re.sub(r"[*_\[<]", r"\\\g<0>", part) for part in parts[::2]]
    return "".join(parts)


def parameters(function: Any) -> griffe.Parameters:
    """Return the parameters of a function as they are when the package runs."""
    try:
        signature = inspect.signature(function)
    except ValueError:
        return griffe.Parameters()
    return griffe.Parameters(
        *(
            griffe.Parameter(
                parameter.name,
                kind=griffe.ParameterKind(parameter.kind.description),
                default=None if parameter.default is parameter.empty else repr(parameter.default),
            )
            for parameter in signature.parameters.values()
        )
    )


def described(name: str, value: Any) -> griffe.Object:
    """Return a function, or an attribute of a class, as griffe describes one."""
    docstring = griffe.Docstring(inspect.getdoc(value) or "")
    if callable(value):
        base = name.removesuffix("_")  # `x.add_` takes what `add` does
        takes = OFFERED.get(base, getattr(Tensor, base, value))
        return griffe.Function(name, parameters=parameters(takes), docstring=docstring)
    return griffe.Attribute(name, docstring=docstring)


class PublicNames(griffe.Extension):
    """Adds to the package, and to Tensor, the public names that are put there when they are imported."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Add the names to a package that was read."""
        self.package = pkg
        if pkg.name == tinygrad_ninja.__name__:
            self._add(pkg, tinygrad_ninja)
            tensor = pkg["engine.tensor.Tensor"]
            self._add(tensor, Tensor)
        for name in public_names():
            if name.definition.startswith(f"{pkg.name}."):
                self._exemplify(name)

    def _exemplify(self, name: PublicName) -> None:
        """Show the examples of a name below what its docstring says."""
        described = self.package[name.definition.partition(".")[2]]
        if described.is_alias:
            described = described.final_target
        for example in examples_of(name.path):
            text = f"```pycon\n{shown(example)}```"
            if described.docstring and text not in described.docstring.value:
                described.docstring.value += f"\n\n{text}"

    def _add(self, owner: Any, running: Any) -> None:
        for name in dir(running):
            value = inspect.getattr_static(running, name, None) or getattr(running, name)
            if name.startswith("_") or inspect.ismodule(value):
                continue
            if name in owner.members and not owner.members[name].is_alias:
                continue
            if path := self._definition(value):
                owner.set_member(name, griffe.Alias(name, path))
            elif callable(value) or owner.is_class:
                owner.set_member(name, described(name, value))

    def _definition(self, value: Any) -> str | None:
        """Return the path where the source defines a function or class; None where it does not."""
        module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", "<")
        if not module or not module.startswith(tinygrad_ninja.__name__) or "<" in name:
            return None
        path = f"{module}.{name}"
        try:
            definition = self.package[path.partition(".")[2]]
        except KeyError:
            return None
        return None if definition.is_alias else path

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Show a docstring as it is meant."""
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)
