"""The examples of the manual's reference: a line of `docs/examples.txt` shows one or several names.

The same code runs on this package and on PyTorch; the tests compare what the two print.
"""

import ast
import contextlib
import io
import re
import tempfile
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_ninja.api.forms import ALIASES

FILE = Path(__file__).parents[1] / "docs" / "examples.txt"

LETTERS = {
    "x": "x = torch.tensor([[1.0, -2.0], [3.0, 0.5]])",
    "y": "y = torch.tensor([[2.0, 1.0], [0.5, -1.0]])",
    "v": "v = torch.tensor([3.0, 1.0, 2.0])",
    "p": "p = torch.tensor([0.25, 0.5, 0.75])",
    "n": "n = torch.tensor([5, 3, 6])",
    "q": "q = torch.ones(1, 4, 8)",
    "w": "w = torch.tensor([1.0, -2.0], requires_grad=True)",
    "mask": "mask = x > 0",
    "o": "o = torch.optim.SGD([w], lr=0.1)",
    "rates": "rates = lambda o, s: [(o.step(), s.step(), s.get_last_lr()[0])[2] for _ in range(4)]",
    "model": "model = nn.Sequential(nn.Linear(2, 3), nn.Tanh())",
    "data": "data = torch.utils.data.TensorDataset(v)",
}
"""What the examples are of: shown above each that uses it. Later ones may use earlier ones."""


@cache
def examples() -> dict[str, list[list[str]]]:
    """Return the examples of each name, such as "torch.sum": each a list of statements."""
    listed: dict[str, list[list[str]]] = {}
    namespace = ""
    for line in FILE.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            namespace = line.strip("[]")
        elif line and line[0] != "#":
            names, _, code = line.partition(": ")
            for name in names.split():
                statements = code.replace("{}", name).split("; ")
                listed.setdefault(f"{namespace}.{name}", []).append([*defined(code), *statements])
    return listed


def examples_of(path: str) -> list[list[str]]:
    """Return the examples of a name of the package, such as "tinygrad_ninja.Tensor.sum", or of another name
    that is the same: an alias, or the function of a method."""
    owner, _, name = path.replace("tinygrad_ninja", "torch", 1).rpartition(".")
    original = ALIASES.get(name, name)
    changing = f"{ALIASES.get(name.removesuffix('_'), name.removesuffix('_'))}_"
    shared = [f"torch.{original}", f"torch.nn.functional.{name}", f"torch.Tensor.{changing}"]
    of_tensors = owner in ("torch", "torch.Tensor", "torch.nn.functional")
    candidates = [path, f"{owner}.{name}", *(shared if of_tensors else ())]
    return next((examples()[key] for key in candidates if key in examples()), [])


def defined(code: str) -> list[str]:
    """Return the definitions of the letters that the code uses."""
    words = set(re.findall(r"\w+", code))
    for letter in reversed(LETTERS):
        if letter in words:
            words |= {node.id for node in ast.walk(ast.parse(LETTERS[letter])) if isinstance(node, ast.Name)}
    bound = {match[1] for match in re.finditer(r"(?:^|; |, |\()(\w+)(?:, \w+)? = ", code)}
    return [text for letter, text in LETTERS.items() if letter in words and letter not in bound]


def outputs(statements: list[str], package: str) -> list[str]:
    """Run statements as at Python's prompt, in an empty folder, with `torch` as the package of that name;
    return what each prints."""
    torch = import_module(package)
    import_module(f"{package}.nn.functional")
    scope: dict[str, Any] = {"torch": torch, "nn": torch.nn, "F": torch.nn.functional, "np": np, "io": io}
    texts = []
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for statement in statements:
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                exec(compile(f"{statement}\n", statement, "single"), scope)
            texts.append(printed.getvalue())
    return texts


def shown(statements: list[str]) -> str:
    """Return statements and what they print as at Python's prompt; without what they print where that needs
    a package that is not installed."""
    try:
        texts = outputs(statements, "tinygrad_ninja")
    except ImportError:
        texts = ["" for _ in statements]
    return "".join(f">>> {statement}\n{text}" for statement, text in zip(statements, texts, strict=True))
