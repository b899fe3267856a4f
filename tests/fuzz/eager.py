"""Random eager programs, each run a line at a time under PyTorch and under the engine.

A program is a list of lines of Python in which `torch` is either. After each line everything that can be seen
is compared: what it raised, and of every variable the dtype, shape, flags, layout, numbers and gradient.
"""

import random
import re
import warnings
from collections.abc import Iterable, Iterator
from types import CodeType, ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch

import tinygrad_ninja

from .eager_lines import Lines

try:
    from both import builtin_class, name
except ModuleNotFoundError:  # run from the root of the repository, and not by pytest
    from tests.both import builtin_class, name

ROUNDINGS = 16
"""How many roundings may separate the two answers, each of the size that the greatest number of the program
has. A line composes few, and both go on from the same numbers; a gradient composes those of a program."""

GREATEST = 1e4
"""A program ends above it, so that a wrong small number does not hide behind the roundings of a great one."""

UNSIGNED = (
    "%", "@", "amax", "amin", "clamp", "cumsum", "index_add", "matmul", "max(", "maximum", "mean", "min(",
    "minimum", "relu", "remainder", "sum(",
)  # fmt: skip
"""Of these the sign of a zero is not compared: PyTorch adds to 0 and not to the first number, and decides by
where in memory two zeros are which is the greater. Of a gradient it tells which part was added first."""

COMPARISONS = ("<", ">", "==", "!=")
"""Of these it is not compared how they lie in memory: Python turns that of a tensor with a view around."""

HEAD = """\
import tinygrad_ninja as torch  # or: import torch
from math import inf, nan
seen = []
"""


class Difference(NamedTuple):
    """What PyTorch and the engine disagree about: at which line, in what, and how."""

    line: int
    aspect: str
    text: str


class Side:
    """One of the two modules, the variables of a program under it, and what the last line raised."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        self.variables: dict[str, Any] = {"torch": module, "inf": np.inf, "nan": np.nan, "seen": []}
        self.raised: Exception | None = None

    def run(self, line: CodeType) -> None:
        """Run a line; what it raises is kept."""
        self.raised = None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                exec(line, self.variables)
            except Exception as error:
                self.raised = error

    def facts(self) -> Iterator[tuple[str, str, Any]]:
        """All that can be seen: the aspect and the thing, what it is in words, and its numbers if any."""
        yield "raised", "" if self.raised is None else builtin_class(self.raised), None
        for label, value in self.variables.items():
            if label == "seen" or (label[0] in "vgi" and label[1:].isdigit()):
                yield from self._facts_of(label, value)

    def _facts_of(self, label: str, value: Any) -> Iterator[tuple[str, str, Any]]:
        if isinstance(value, (list, tuple)):
            yield f"length of {label}", str(len(value)), None
            for i, item in enumerate(value):
                yield from self._facts_of(f"{label}[{i}]", item)
        elif isinstance(value, self.module.Tensor):
            yield f"dtype of {label}", name(value.dtype), None
            yield f"shape of {label}", str(tuple(value.shape)), None
            try:
                flags = {"requires_grad": value.requires_grad, "is_leaf": value.is_leaf}
            except (
                RuntimeError
            ):  # of a view that one call made with others, where the memory was changed since
                yield f"history of {label}", "none any more", None
                return
            yield from ((f"{flag} of {label}", str(flags[flag]), None) for flag in flags)
            yield f"is_contiguous of {label}", str(value.is_contiguous()), None
            yield f"retains_grad of {label}", str(value.retains_grad), None
            yield f"value of {label}", "", value.numpy(force=True)
            if (value.is_leaf and value.requires_grad) or value.retains_grad:
                yield f"whether {label} has a gradient", str(value.grad is not None), None
                if value.grad is not None:
                    yield f"dtype of {label}.grad", name(value.grad.dtype), None
                    yield f"shape of {label}.grad", str(tuple(value.grad.shape)), None
                    yield f"requires_grad of {label}.grad", str(value.grad.requires_grad), None
                    yield f"gradient of {label}", "", value.grad.numpy(force=True)
        elif isinstance(value, (bool, int, float)):
            yield f"type of {label}", type(value).__name__, None
            yield f"value of {label}", "", np.asarray(value)
        else:
            yield f"type of {label}", "None" if value is None else "other", None


class Pair:
    """A program that grows by lines, run under both."""

    def __init__(self) -> None:
        self.theirs, self.ours = Side(torch), Side(tinygrad_ninja)
        self.lines: list[str] = []
        self.raising: set[int] = set()
        self.ended = False

    def run(self, line: str) -> Difference | None:
        """Run one more line under both, and compare."""
        code = compile(line, "<program>", "exec")
        self.theirs.run(code)
        self.ours.run(code)
        self.lines.append(line)
        if self.theirs.raised is not None or self.ours.raised is not None:
            self.raising.add(len(self.lines) - 1)
        return self._compare()

    def _compare(self) -> Difference | None:
        line, here = self.lines[-1], len(self.lines) - 1
        expected, actual = list(self.theirs.facts()), list(self.ours.facts())
        raised = expected[0][1]
        if raised != actual[0][1]:
            text = f"torch: {self.theirs.raised!r}\n# engine: {self.ours.raised!r}"
            return Difference(here, "raised", text)
        scale = greatest(numbers for _, _, numbers in expected)
        # A backward pass that raises has been to some leaves and hooks, an index has written to some places;
        # and where nothing leads to the inputs of a gradient, PyTorch has still been to the first hooks.
        halfway = raised and (walks_back(line) or raised == "IndexError")
        if " = torch.autograd.grad(" in line:
            results = re.findall(r"g\d+", line.partition(" = ")[0])
            halfway = halfway or all(self.theirs.variables[result] is None for result in results)
        if scale > GREATEST or halfway:
            self.ended = True
            return None
        signed = not any(word in line for word in UNSIGNED)
        ordered = self._ordered(line)
        coarsest = max(
            [np.finfo(x.dtype).eps for _, _, x in expected if x is not None and x.dtype.kind == "f"],
            default=0,
        )
        for (aspect, theirs, numbers), (_, ours, our_numbers) in zip(expected, actual, strict=False):
            if aspect.startswith("is_contiguous") and not (ordered and "of v" in aspect):
                continue
            if theirs != ours:
                if self._constant(aspect, theirs):
                    self.ended = True
                    return None
                return Difference(here, aspect, f"torch: {theirs}\n# engine: {ours}")
            if numbers is None:
                continue
            # A gradient passes through all dtypes of the program.
            eps = coarsest if "gradient" in aspect or " g" in aspect else None
            if not _agree(numbers, our_numbers, scale, eps, signed and "value of v" in aspect):
                text = f"torch: {numbers.tolist()}\n# engine: {our_numbers.tolist()}"
                return Difference(here, aspect, text)
        return None

    def _ordered(self, line: str) -> bool:
        """Whether PyTorch's layout is compared: not where sizes of 1 leave open which dimension is the inner
        one, nor where there are gradients, some of which PyTorch spreads by `expand`."""
        variables = {label: x for label, x in self.theirs.variables.items() if isinstance(x, torch.Tensor)}
        operands = [x for label, x in variables.items() if label in re.findall(r"\w+", line)]
        return not (
            any(sign in earlier for earlier in self.lines for sign in COMPARISONS)
            or any(label[0] == "g" for label in variables)
            or any(x.ndim > 1 and 1 in x.shape for x in operands)
        )

    def _constant(self, aspect: str, required: str) -> bool:
        """Whether what differs is that only one of the two sees that a gradient has no gradient but 0."""
        what, _, label = aspect.partition(" of ")
        if what != "requires_grad" or not (label[0] == "g" or label.endswith(".grad")):
            return False
        if required == "False":
            return True
        name, _, attribute = label.partition(".")
        value = self.theirs.variables[name]
        value = value.grad if attribute else value
        variables = self.theirs.variables.values()
        leaves = [x for x in variables if isinstance(x, torch.Tensor) and x.requires_grad and x.is_leaf]
        weights = torch.arange(1, value.numel() + 1).reshape(value.shape)
        second = torch.autograd.grad((value * weights).sum(), leaves, retain_graph=True, allow_unused=True)
        return all(gradient is None or not gradient.nan_to_num().any() for gradient in second)

    def synchronise(self) -> None:
        """Give the engine's variables PyTorch's numbers, which were found to be the same up to rounding, so
        that no later line (a floor, a comparison, an argmax) makes much of that difference."""
        for label, value in self.theirs.variables.items():
            if isinstance(value, torch.Tensor) and value.is_floating_point():
                array = self.ours.variables[label].array
                if array.flags.writeable:
                    array[...] = value.numpy(force=True)


def _agree(theirs: Any, ours: Any, scale: float, eps: Any, signed: bool) -> bool:
    if theirs.dtype.kind != "f":
        return bool(np.array_equal(theirs, ours))
    tolerance = ROUNDINGS * scale * (eps or np.finfo(theirs.dtype).eps)
    near = np.isclose(ours, theirs, rtol=0, atol=tolerance, equal_nan=True)
    if signed:
        zeros = (theirs == 0) & (ours == 0)
        near &= ~zeros | (np.signbit(theirs) == np.signbit(ours))
    return bool(near.all())


def greatest(arrays: Iterable[Any]) -> float:
    """The greatest finite float, or 1."""
    finite = [np.abs(x[np.isfinite(x)]) for x in arrays if x is not None and x.dtype.kind == "f"]
    return max([1.0, *(float(x.max(initial=0)) for x in finite)])


def walks_back(line: str) -> bool:
    """Whether a line is a backward pass."""
    return "backward(" in line or "autograd.grad(" in line


def replay(lines: list[str]) -> tuple[Pair, Difference | None]:
    """Run a program; up to its first difference."""
    pair = Pair()
    for line in lines:
        difference = pair.run(line)
        if difference is not None:
            return pair, difference
        if pair.ended:
            break
        pair.synchronise()
    return pair, None


def shortened(lines: list[str], difference: Difference) -> tuple[Pair, Difference]:
    """The program without the lines that the difference does not need."""
    shorter = True
    while shorter:
        shorter = False
        for i in reversed(range(len(lines) - 1)):
            fewer = lines[:i] + lines[i + 1 :]
            _, still = replay(fewer)
            if still is not None and still.line == len(fewer) - 1 and still.aspect == difference.aspect:
                lines, shorter = fewer, True
    pair, last = replay(lines)
    assert last is not None
    return pair, last


def written(pair: Pair, difference: Difference) -> str:
    """The program as Python to paste, and below it what differs."""
    text = HEAD
    for i, line in enumerate(pair.lines):
        if i in pair.raising and i < len(pair.lines) - 1:
            line = f"try:\n    {line}\nexcept Exception as error:\n    print(type(error).__name__, error)"
        text += line + "\n"
    return f"{text}# {difference.aspect}\n# {difference.text}"


def try_seed(seed: int) -> str | None:
    """None where PyTorch and the engine agree about the program of this seed; else the program, and what
    differs."""
    pair = Pair()
    writer = Lines(random.Random(seed), pair.theirs.variables)
    for line in writer:
        difference = pair.run(line)
        if difference is not None:
            return written(*shortened(pair.lines, difference))
        if pair.ended:
            break
        pair.synchronise()
    return None
