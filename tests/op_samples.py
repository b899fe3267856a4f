"""PyTorch's own samples of its operators (`op_db`, on which it tests itself), as cases for both modules.

A `Form` is one way of calling an operator: a function, a method, a change in place, a Python operator, or one
of these under another name. `Form.case` makes of a sample a case as `tests/both.py` has them.
"""

import inspect
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from types import FunctionType, ModuleType
from typing import Any

import torch
from both import Case
from judge import Arguments, find, gradients
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.testing._internal.common_methods_invocations import op_db
from torch.testing._internal.opinfo.core import OpInfo, SampleInput

import tinygrad_ninja

DTYPES = (torch.float64, torch.float32, torch.int64, torch.bool, torch.int32, torch.uint8)

UNINITIALIZED = {"empty", "empty_like", "new_empty"}
"""Their numbers mean nothing."""

ANY_OF_EQUALS = {"argsort", "kthvalue", "sort", "topk"}
"""They give the index of any of several equal elements."""


DERIVED_ONCE = {"linalg.norm subgradients_at_zero"}
"""PyTorch's own tests expect that its second derivative fails, which is NaN at a kink."""


@dataclass(frozen=True)
class Form:
    """A way of calling an operator: PyTorch's function, the engine's, whether they change their input."""

    name: str
    theirs: Callable[..., Any]
    ours: Callable[..., Any]
    in_place: bool = False

    def case(
        self, sample: SampleInput, differentiable: int, numbers: Mapping[type, Callable[[Any], Any]] = {}
    ) -> Case:
        """The case that calls it on a copy of the sample's arguments. numbers: what one of a type becomes.

        It returns the result, the gradients of the arguments that require one, so often `differentiable`, and
        the arguments as they are then. For second derivatives PyTorch computes attention by the one of its
        ways that has them.
        """

        def case(t: ModuleType) -> Any:
            t.manual_seed(0)
            arguments = Arguments(t, numbers)
            args, kwargs = arguments.of((sample.input, *sample.args)), arguments.of(sample.kwargs)
            given = list(arguments.tensors.values())
            if self.in_place:
                args = (args[0].clone(), *args[1:])
            with sdpa_kernel(SDPBackend.MATH) if differentiable > 1 else nullcontext():
                out = (self.theirs if t is torch else self.ours)(*args, **kwargs)
            operator = self.name.rpartition(".")[2]
            if operator in UNINITIALIZED:
                out = t.zeros_like(out)
            if operator in ANY_OF_EQUALS and not args[0].is_floating_point() and not kwargs.get("stable"):
                out = by_value(operator, args, kwargs, out)
            asked = given if differentiable else []
            return out, *gradients(t, out, asked, differentiable > 1), given

        return case


def by_value(operator: str, args: Any, kwargs: Any, out: Any) -> Any:
    """The result with what stands at each index in its place, and whether no index is there twice."""
    bound = inspect.signature(getattr(tinygrad_ninja, operator)).bind(*args, **kwargs)
    input, dim = args[0], bound.arguments.get("dim", -1)
    indices = out if operator == "argsort" else out[1]
    if indices.ndim < input.ndim:
        indices = indices.unsqueeze(dim)
    once = indices.sort(dim).values.diff(dim=dim) > 0 if input.ndim else True
    found = input.gather(dim, indices)
    return (found, once) if operator == "argsort" else (out[0], found, once)


def forms(op: OpInfo) -> Iterator[Form]:
    """The forms of the operator that the engine offers, its aliases' among them."""
    seen = set()
    for entry in (op, *op.aliases):
        kinds = {
            entry.name: (entry.op, entry.name),
            "Tensor.{}": (entry.method_variant, "Tensor.{}"),
            "in place Tensor.{}": (entry.inplace_variant, "Tensor.{}"),
        }
        if entry is op:
            kinds["operator {}"] = op.operator_variant, op.name
            kinds["in place operator {}"] = op.inplace_operator_variant, op.name
        for kind, (theirs, path) in kinds.items():
            own = getattr(theirs, "__name__", "")
            if own == "<lambda>":
                own = path = entry.name
            label = kind.format(own)
            ours = counterpart(theirs, path.format(own))
            if ours is not None and label not in seen:
                seen.add(label)
                yield Form(label, theirs, ours, in_place=kind.startswith("in place"))


def counterpart(theirs: Any, path: str) -> Any:
    """What the engine has for PyTorch's function of that name, None where that is nothing.

    op_db writes a lambda where PyTorch has no function: then it is that lambda, over the engine.
    """
    ours = find(tinygrad_ninja, path) or find(tinygrad_ninja.Tensor, path)
    if theirs is None or ours is None:
        return None
    if getattr(theirs, "__module__", "") == "_operator":  # one of Python's operators
        return theirs
    return rebound(theirs) if theirs.__name__ == "<lambda>" else ours


def rebound(function: FunctionType, **others: Any) -> FunctionType:
    """The same function, in which `torch` is the engine, and other names as given."""
    names = {**function.__globals__, "torch": tinygrad_ninja, "wrapper_set_seed": seeded, **others}
    code, defaults = function.__code__, function.__defaults__
    return FunctionType(code, names, function.__name__, defaults, function.__closure__)


def seeded(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call the function with random numbers from the seed that op_db's `wrapper_set_seed` takes."""
    tinygrad_ninja.manual_seed(42)
    return function(*args, **kwargs)


def dtypes(op: OpInfo) -> list[torch.dtype]:
    """The dtypes in which the operator is replayed."""
    return [dtype for dtype in DTYPES if dtype in op.supported_dtypes("cpu")]


def samples(op: OpInfo, dtype: torch.dtype) -> tuple[Iterator[SampleInput], int]:
    """The operator's samples of a dtype, always the same, and how often they are to be differentiated."""
    differentiable = dtype is torch.float64 and op.supports_autograd
    torch.manual_seed(0)
    random.seed(0)
    drawn = op.sample_inputs_func(op, "cpu", dtype, differentiable)
    twice = differentiable and op.supports_gradgrad and title(op) not in DERIVED_ONCE
    return drawn, differentiable + twice


def title(op: OpInfo) -> str:
    """The operator's name, with that of its variant."""
    return f"{op.name} {op.variant_test_name}".strip()


OPERATORS = {title(op): op for op in op_db if dtypes(op) and any(forms(op))}
"""What the engine offers of op_db's operators."""
