"""Tables of PyTorch's names for the manual: what is offered, what in part, what not.

They are computed from `docs/pytorch_names.txt` and from the package, whenever the manual is built. A name is
offered in part where a form of PyTorch's takes an argument that the function or class here does not take, or
takes and refuses.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tinygrad_ninja import Tensor
from tinygrad_ninja.api.missing import refuse
from tinygrad_ninja.interop.import_hook import find

LIST = Path(__file__).parents[1] / "docs" / "pytorch_names.txt"

NOWHERE = ("out", "layout", "pin_memory", "names")
"""Arguments that PyTorch's functions share and that none here offers, or, as `out`, all or none of a module:
said once, not in each row."""

OTHERS = ("torch.Value",)
"""Names that are something else here: micrograd's number, and not a value of PyTorch's JIT."""


@dataclass
class Names:
    """One namespace of PyTorch's, as it is offered here."""

    offered: list[str] = field(default_factory=list)
    in_part: dict[str, list[str]] = field(default_factory=dict)
    """The arguments that are not offered, by the name that lacks them."""
    absent: list[str] = field(default_factory=list)


@cache
def listed() -> dict[str, dict[str, list[str]]]:
    """Return PyTorch's names by namespace, each with the arguments that it takes."""
    namespaces: dict[str, dict[str, list[str]]] = defaultdict(dict)
    for line in LIST.read_text(encoding="utf-8").splitlines():
        path, *arguments = line.split(" ")
        namespace, _, name = path.rpartition(".")
        namespaces[namespace][name] = arguments
    return dict(namespaces)


def offered(path: str) -> Any:
    """Return what is offered under PyTorch's path; None where nothing is."""
    try:
        if not path.startswith("torch.Tensor."):
            return find(path)
        name = path.rpartition(".")[2]
        getattr(Tensor, name)
        return inspect.getattr_static(Tensor, name)
    except AttributeError:
        return None


def taken(value: Any) -> set[str] | None:
    """Return the names of the arguments that a function or a class takes; None where it takes any, or where
    that can't be seen."""
    value = getattr(value, "__func__", value)  # of a static or a class method
    try:
        parameters = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return {parameter.name for parameter in parameters}


def refused(value: Any) -> set[str]:
    """Return the names of the arguments that a function, or a class's constructor, gives to `refuse`."""
    if isinstance(value, type):
        own = [base.__dict__["__init__"] for base in value.__mro__ if "__init__" in base.__dict__]
        return set().union(*(refused(method) for method in own))
    function = inspect.unwrap(getattr(value, "__func__", value))
    if not inspect.isfunction(function) or not function.__module__.startswith("tinygrad_ninja"):
        return set()
    calls = [
        node
        for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function))))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == refuse.__name__
    ]
    return {keyword.arg for call in calls for keyword in call.keywords if keyword.arg}


def without(namespace: str, name: str, arguments: list[str]) -> list[str] | None:
    """Return the arguments of a name of PyTorch's that are not offered; None where the name is not.

    Of a module that has no table there is no telling how much of it is offered: it counts as not offered.
    """
    path = f"{namespace}.{name}"
    value = offered(path)
    if value is None or path in OTHERS or (inspect.ismodule(value) and path not in listed()):
        return None
    if not callable(value) and not isinstance(value, (staticmethod, classmethod)):
        return []
    accepts = taken(value)
    if accepts is None and name.endswith("_"):  # `x.add_` takes what `x.add` does
        accepts = taken(offered(f"{namespace}.{name.removesuffix('_')}"))
    if accepts is None:
        return []
    accepts -= refused(value)
    return [argument for argument in arguments if argument not in accepts and argument not in NOWHERE]


@cache
def names_of(namespace: str) -> Names:
    """Return the names of one of PyTorch's namespaces, as they are offered here."""
    names = Names()
    for name, arguments in listed()[namespace].items():
        lacking = without(namespace, name, arguments)
        if lacking is None:
            names.absent.append(name)
        elif lacking:
            names.in_part[name] = lacking
        else:
            names.offered.append(name)
    return names


def counted() -> str:
    """Return a table of how many names of each namespace are offered."""
    rows = ["| PyTorch's namespace | offered | offered in part | not offered |", "|---|---|---|---|"]
    for namespace in listed():
        names = names_of(namespace)
        numbers = len(names.offered), len(names.in_part), len(names.absent)
        link = f"pytorch-names.md#{namespace.lower().replace('.', '')}"
        rows.append(f"| [`{namespace}`]({link}) | {' | '.join(map(str, numbers))} |")
    return "\n".join(rows)


def tables() -> str:
    """Return the names of each of PyTorch's namespaces as sections of a page."""
    return "\n\n".join(_section(namespace, names_of(namespace)) for namespace in listed())


def _section(namespace: str, names: Names) -> str:
    parts = [f"## {namespace}"]
    if names.offered:
        parts += [f"**Offered** ({len(names.offered)}): {_code(names.offered)}"]
    if names.in_part:
        rows = [f"| `{name}` | {_code(arguments)} |" for name, arguments in names.in_part.items()]
        header = "| offered in part | arguments that are missing, refused, or have another name |\n|---|---|"
        parts += ["\n".join([header, *rows])]
    if names.absent:
        parts += [f'??? note "Not offered ({len(names.absent)})"\n    {_code(names.absent)}']
    return "\n\n".join(parts)


def _code(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
