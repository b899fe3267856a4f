"""Write `docs/pytorch_names.txt`: PyTorch's public names and their arguments, for the manual's tables.

    python scripts/pytorch_names.py

Each line is a name and the arguments that any of its forms takes by name. The manual is built from the list,
without PyTorch; a test compares it with the PyTorch that is installed. Needs `pip install -e ".[test]"`.
"""

import ast
import inspect
import sys
from pathlib import Path
from pkgutil import resolve_name
from types import ModuleType
from typing import Any

LIST = Path(__file__).parents[1] / "docs" / "pytorch_names.txt"

NAMESPACES = (
    "torch", "torch.Tensor", "torch.nn", "torch.nn.Module", "torch.nn.functional", "torch.nn.init",
    "torch.nn.utils", "torch.optim", "torch.optim.lr_scheduler", "torch.autograd",
    "torch.autograd.functional", "torch.func", "torch.amp", "torch.random", "torch.cuda", "torch.utils",
    "torch.utils.data", "torch.linalg", "torch.special",
)  # fmt: skip

STUBS = {
    "torch": ("_C/_VariableFunctions.pyi", None),
    "torch.Tensor": ("_C/__init__.pyi", "TensorBase"),
    "torch.nn.functional": ("nn/functional.pyi", None),
}
"""Where PyTorch writes the arguments of functions that Python can't inspect, and in which class."""

HELPERS = ("torch._jit_internal", "torch.overrides")
"""Modules whose names others import for their own use."""


def stubbed(namespace: str, root: Path) -> dict[str, list[str]]:
    """Return the arguments of a namespace's functions by name, as the stubs of the PyTorch in `root` say."""
    if namespace not in STUBS:
        return {}
    file, owner = STUBS[namespace]
    body = ast.parse((root / file).read_text(encoding="utf-8")).body
    if owner:
        body = next(node for node in body if isinstance(node, ast.ClassDef) and node.name == owner).body
    arguments: dict[str, list[str]] = {}
    for node in body:
        if isinstance(node, ast.FunctionDef):
            taken = [*node.args.args, *node.args.kwonlyargs]
            arguments.setdefault(node.name, []).extend(argument.arg for argument in taken)
    return arguments


def inspected(value: Any) -> list[str]:
    """Return the arguments of a function or a class that Python can inspect; none for anything else."""
    if not callable(value):
        return []
    try:
        parameters = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return []
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [parameter.name for parameter in parameters if parameter.kind in named]


def is_public(owner: Any, name: str) -> bool:
    """Return whether a name is one that PyTorch offers there, and not one that it only imports."""
    if name.startswith("_"):
        return False
    if isinstance(owner, type) or name in getattr(owner, "__all__", ()):
        return True
    value = getattr(owner, name)
    if isinstance(value, ModuleType):
        return value.__name__ == f"{owner.__name__}.{name}"
    if hasattr(owner, "__all__") and owner.__name__ != "torch":
        return False
    module = getattr(value, "__module__", None) or "torch"  # a builtin function has none
    helper = module in HELPERS or any(name in vars(sys.modules[helper]) for helper in HELPERS)
    if helper or (isinstance(value, type) and not module.startswith(owner.__name__)):
        return False
    return module.split(".")[0] == "torch" and not isinstance(value, (bool, int, str, dict))


def public_names(namespace: str) -> dict[str, list[str]]:
    """Return the public names of one of PyTorch's namespaces, each with the arguments that it takes."""
    owner = resolve_name(namespace)
    stubs = stubbed(namespace, Path(resolve_name("torch").__file__).parent)
    names = sorted(name for name in dir(owner) if is_public(owner, name))
    arguments = {name: stubs.get(name) or inspected(getattr(owner, name, None)) for name in names}
    return {
        name: [argument for argument in dict.fromkeys(taken) if argument != "self" and argument[0] != "_"]
        for name, taken in arguments.items()
    }


def listed() -> str:
    """Return the list as a text: a line for each name."""
    return "".join(
        " ".join([f"{namespace}.{name}", *arguments]) + "\n"
        for namespace in NAMESPACES
        for name, arguments in public_names(namespace).items()
    )


if __name__ == "__main__":
    LIST.write_text(listed(), encoding="utf-8")
    print(f"{LIST}: {len(LIST.read_text(encoding='utf-8').splitlines())} names")
