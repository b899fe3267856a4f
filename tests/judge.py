"""How PyTorch's own samples, those on which it tests itself, are judged: arguments for both modules, how far
numbers may be off, and lists of what is unlike by intention."""

import copy
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import torch
from both import Case, builtin_class, leaves, outcome

import tinygrad_ninja

RELATIVE = {np.dtype(np.float64): 1e-11, np.dtype(np.float32): 4e-6}
"""How far a float may be off, relative to the greatest of the numbers beside it, at least to 1: the samples
have sums in which all cancels. PyTorch's own tolerances are 1e-7 (+ 1e-7) and 1.3e-6 (+ 1e-5)."""


@dataclass(frozen=True)
class Unlike:
    """What is unlike by intention: under which names, a part of the sentence that says so, and the reason."""

    names: tuple[str, ...]
    says: str
    reason: str


@dataclass(frozen=True)
class Known:
    """All that is unlike: the samples that the engine refuses by an exception; those that it answers where
    PyTorch refuses; those that it answers in another way; the exceptions of another class."""

    refused: tuple[Unlike, ...] = ()
    answered: tuple[Unlike, ...] = ()
    otherwise: tuple[Unlike, ...] = ()
    errors: tuple[Unlike, ...] = ()

    def of(self, name: str) -> set[Unlike]:
        """What is unlike under a name."""
        entries = (*self.refused, *self.answered, *self.otherwise, *self.errors)
        return {entry for entry in entries if name in entry.names}

    def judge(self, name: str, case: Case, what: object) -> Unlike | None:
        """Run the case under both modules: None where they agree, else the entry for what is unlike.

        AssertionError where there is none.
        """
        expected, actual = outcome(torch, case), outcome(tinygrad_ninja, case)
        if isinstance(expected, Exception) and isinstance(actual, Exception):
            if builtin_class(expected) == builtin_class(actual):
                return None
            table, unlike = self.errors, f"PyTorch raises {expected!r}, the engine {actual!r}"
        elif isinstance(actual, Exception):
            table, unlike = self.refused, f"the engine raises {actual!r}"
        elif isinstance(expected, Exception):
            table, unlike = self.answered, f"PyTorch alone raises {expected!r}"
        else:
            table, unlike = self.otherwise, difference(expected, actual)
            if not unlike:
                return None
        for entry in table:
            if name in entry.names and entry.says in unlike:
                return entry
        raise AssertionError(f"{what}: {unlike}")


class Arguments:
    """Copies of a sample's arguments for one of the modules; `tensors` holds those met, by what they copy.
    numbers: what a number of a type becomes."""

    def __init__(self, t: ModuleType, numbers: Mapping[type, Callable[[Any], Any]] = {}) -> None:
        self.t, self.numbers = t, numbers
        self.tensors: dict[int, Any] = {}

    def of(self, value: Any) -> Any:
        """The counterpart of `value`, which may nest tensors in tuples, lists, dictionaries and slices."""
        if isinstance(value, torch.Tensor):
            if id(value) not in self.tensors:
                self.tensors[id(value)] = self.tensor(value)
            return self.tensors[id(value)]
        if isinstance(value, dict):
            return {key: self.of(item) for key, item in value.items()}
        if isinstance(value, torch.Size):
            return self.t.Size(value)
        if isinstance(value, (tuple, list)):
            return type(value)(self.of(item) for item in value)
        if isinstance(value, slice):
            return slice(self.of(value.start), self.of(value.stop), self.of(value.step))
        if isinstance(value, torch.device):
            return self.t.device(str(value))
        if self.t is not torch and type(value).__module__ == "torch":  # a dtype, a layout, …
            return getattr(self.t, str(value).removeprefix("torch."))
        return self.numbers.get(type(value), lambda x: x)(value)

    def tensor(self, value: torch.Tensor) -> Any:
        mine = copy.deepcopy(value.detach())  # which keeps the strides
        if self.t is not torch:
            mine = self.t.from_numpy(mine.numpy())
        if isinstance(value, torch.nn.Parameter):
            return self.t.nn.Parameter(mine, value.requires_grad)
        return mine.requires_grad_(value.requires_grad)


def gradients(t: ModuleType, out: Any, given: list[Any], twice: bool = False) -> tuple[list[Any], list[Any]]:
    """The gradients of those given that require one and, on request, the gradients of these gradients, where
    None is 0."""
    inputs = [tensor for tensor in given if tensor.requires_grad]
    first = derivatives(t, flat(t, out), inputs, twice)
    if not twice:
        return first, []
    second = derivatives(t, [gradient for gradient in first if gradient is not None], inputs)
    zeros = second or [None] * len(inputs)
    return [gradient if gradient is None else gradient.detach() + 0 for gradient in first], [
        t.zeros_like(x) if gradient is None else gradient + 0
        for x, gradient in zip(inputs, zeros, strict=True)
    ]


def derivatives(t: ModuleType, outs: Iterable[Any], inputs: list[Any], again: bool = False) -> list[Any]:
    """The gradients of the inputs, where those of the results are 1, 2, 3, ..., over how many there are, so
    that none looks like another; nothing where no result requires one."""
    results = [tensor for tensor in outs if tensor.requires_grad]
    if not (inputs and results):
        return []
    weights = [(t.arange(x.numel(), dtype=x.dtype) + 1).reshape(x.shape) / max(x.numel(), 1) for x in results]
    return list(t.autograd.grad(results, inputs, weights, allow_unused=True, create_graph=again))


def flat(t: ModuleType, value: Any) -> Iterator[Any]:
    """The tensors of a result."""
    if isinstance(value, t.Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from flat(t, item)


def difference(expected: Any, actual: Any) -> str:
    """How what the engine gives is not what PyTorch gives, neither of them an exception; empty if it is."""
    theirs, ours = list(leaves(torch, expected)), list(leaves(tinygrad_ninja, actual))
    kinds = [kind for kind, _ in theirs], [kind for kind, _ in ours]
    if kinds[0] != kinds[1]:
        unlike = [pair for pair in itertools.zip_longest(*kinds) if pair[0] != pair[1]]
        return f"torch gives {unlike[0][0]}, ours is {unlike[0][1]}"
    for (kind, wanted), (_, found) in zip(theirs, ours, strict=True):
        off = RELATIVE.get(wanted.dtype, 0)
        greatest = np.abs(wanted).max(initial=1, where=np.isfinite(wanted)) if off else 1
        if not np.allclose(found, wanted, rtol=0, atol=off * greatest, equal_nan=True):
            return f"{kind}: torch gives {wanted.reshape(-1)[:9]}, ours is {found.reshape(-1)[:9]}"
    return ""


def find(root: Any, path: str) -> Any:
    """What stands at a dotted path, None if nothing does."""
    for name in path.split("."):
        if name not in names(root):  # the error that says so takes long: it names the nearest
            return None
        root = getattr(root, name)
    return root


@functools.cache
def names(root: Any) -> frozenset[str]:
    return frozenset(dir(root))
