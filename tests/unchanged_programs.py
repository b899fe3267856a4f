"""Programs that were written for PyTorch, run unchanged under it and under the engine: what they print."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from textwrap import dedent

import pytest
from command import ENVIRONMENT, ROOT, Result, run

NUMBER = re.compile(r"(?<!\w)[-+]?(?:\d+\.\d*(?:e[-+]?\d+)?|\d+e[-+]?\d+)\b")
UNLIKE = re.compile(
    r"<[\w.]+ object at 0x\w+>|0x[0-9a-f]+|grad_fn=<\w+>|(?:exact: (?:True|False))|\d+\.\d+ ?ms|exact: \w+ "
)
"""Addresses, names of nodes; whether two sums are equal to the last bit; how long a step took."""

NOTEBOOK = """
    import ast, json, sys

    cells = json.load(open(sys.argv.pop(1), encoding="utf-8"))["cells"]
    for cell in cells:
        lines = "".join(cell["source"] if cell["cell_type"] == "code" else []).splitlines()
        text = "\\n".join(line for line in lines if not line.lstrip().startswith(("%", "!")))
        tree = ast.parse(text)
        shown = tree.body[-1:] if text and not text.rstrip().endswith(";") else []
        last = tree.body.pop() if shown and isinstance(shown[0], ast.Expr) else None
        exec(compile(tree, "cell", "exec"))
        if last is not None:
            exec(compile(ast.Interactive([last]), "cell", "single"))
"""
"""A notebook's cells as PyTorch runs them: with what their last lines display."""


def under(
    engine: str, program: Path, *arguments: str, modules: Path | None = None, options: Sequence[str] = ()
) -> Result:
    """Run the program in its folder, under "torch" or under the engine, with options of `ninja run`'s; its
    modules may stand in another folder."""
    python: tuple[str, ...] = ("-m", "tinygrad_ninja", "run", *options)
    if engine == "torch":
        python = ("-c", dedent(NOTEBOOK)) if program.suffix == ".ipynb" else ()
    paths = os.pathsep.join((str(ROOT), str(modules or program.parent)))
    # The order of a set of strings, and so that of the words, changes from process to process otherwise.
    settings = {"PYTHONHASHSEED": "0", "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    return run(program.parent, program.name, *arguments, python=python, environment=ENVIRONMENT | settings)


def lines(result: Result) -> list[str]:
    """What a program that ended well has printed, without what may differ."""
    assert result.returncode == 0, result.stderr
    return UNLIKE.sub("", result.stdout).splitlines()


def assert_same_prints(expected: Sequence[str], actual: Sequence[str], numbers: int) -> None:
    """Compare lines: the words are the same, and the numbers, at least so many, to 1e-4."""
    assert len(expected) == len(actual)
    count = 0
    for a, b in zip(expected, actual, strict=True):
        assert NUMBER.sub("#", b).split() == NUMBER.sub("#", a).split()
        wanted = [float(x) for x in NUMBER.findall(a)]
        assert [float(x) for x in NUMBER.findall(b)] == pytest.approx(wanted, rel=1e-4, abs=1e-6), b
        count += len(wanted)
    assert count >= numbers
