"""Values that a compiled function reads out, and numbers at the edges."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from contract import attempt, refused, same

import tinygrad_ninja as torch

X = torch.tensor([[1.0, -2.0, 0.5], [3.0, 0.25, -1.0]])


# -- values that are read out --------------------------------------------------------------------------------

OUT: dict[str, Callable[[Any], Any]] = {
    "numpy": lambda x: torch.from_numpy(np.exp(x.numpy())),
    "numpy, tensor": lambda x: torch.tensor(np.exp(x.numpy())),
    "np.array": lambda x: torch.from_numpy(np.array(x)) * 2,
    "array": lambda x: x * float(np.asarray((x * 2).array, np.float64).max()),
    "array, argmax": lambda x: x * int(x.array.argmax()),
    "array, bytes": lambda x: x * sum((x + 1).array.tobytes()),
    "np.asarray": lambda x: torch.from_numpy(np.asarray(x) + 1),
    "copy": lambda x: torch.from_numpy(x.numpy().copy()) * 2,
    "astype": lambda x: torch.from_numpy(x.numpy().astype("float64")) * 2,
    "tolist": lambda x: torch.tensor(x.tolist()) * 2,
    "item": lambda x: x * x.sum().item(),
    "float": lambda x: x * float(x.sum()),
    "int": lambda x: x * int(x.sum()),
    "bool": lambda x: x * 2 if x.sum() > 0 else x * 3,
    "bool()": lambda x: x * bool((x > 0).all()),
    "len": lambda x: x * len(x),
    "iteration": lambda x: sum(row * i for i, row in enumerate(x)),
    "max of Python": lambda x: max(x.sum(), x.mean() * 2),
    "in": lambda x: x * (1.0 in x),
    "equal": lambda x: x * torch.equal(x, x * 1),
    "allclose": lambda x: x * torch.allclose(x, x * 1.5),
    "format": lambda x: x * len(f"{x.sum().item():.2f}"),
    "str": lambda x: x * len(str(x)),
    "repr of the function's": lambda x: (x * 2, repr(x.shape)),
    "nonzero": lambda x: (x > 0).nonzero(),
    "a mask as an index": lambda x: x[x > 0] * 2,
    "masked_select": lambda x: x.masked_select(x > 0),
    "where with one argument": lambda x: x[torch.where(x > 0)],
    "argmax as an index": lambda x: x[:, x.sum(0).argmax()],
    "item as an index": lambda x: x[:, x.sum(0).argmax().item()],
    "range of a value": lambda x: sum(x * i for i in range(int(x.abs().sum()) % 5 + 1)),
    "np.function of a Tensor": lambda x: torch.as_tensor(np.maximum(x.numpy(), 0.0)),
    "np.mean": lambda x: x * float(np.mean(x.numpy())),
    "data_ptr": lambda x: x * (x.data_ptr() == x.view(-1).data_ptr()),
    "a view of NumPy's that is changed": lambda x: (x.numpy().__setitem__(0, 7.0), x * 1)[1],
    "hash": lambda x: x * len({x, x}),
}


@dataclass
class Sample:
    x: Any
    y: Any


THROUGH_PYTHON: dict[str, Callable[[Any], Any]] = {
    "a dataclass's comparison": lambda x: x * (Sample(x.sum(), x) == Sample(x.mean(), x)),
    "a deep copy": lambda x: copy.deepcopy(x * 2) + x,
}


@pytest.mark.parametrize("how", THROUGH_PYTHON)
@refused("value out|deep copy")
def test_the_line_is_the_readers_where_pythons_code_reads_a_value(C: Any, how: str) -> Any:
    """What a dataclass generates, and Python's library, have lines of their own."""
    f = C(THROUGH_PYTHON[how])
    yield f(X)
    yield f(X * 2)


@pytest.mark.parametrize("how", OUT)
@same
def test_values_are_read_out(C: Any, how: str) -> Any:
    f = C(OUT[how])
    for k in (1.0, 2.0, -1.0, 0.5, 1.0):
        x = X * k
        yield attempt(f, x), x


@pytest.mark.parametrize("how", ["item", "float", "int", "tolist", "numpy, tensor"])
@refused("item|float|int|tolist|numpy|read|value")
def test_what_is_read_out_is_not_compiled(C: Any, how: str) -> Any:
    f = C(OUT[how])
    for k in (1.0, 2.0, -1.0, 0.5, 1.0):
        yield f(X * k)


@same
def test_a_value_that_is_read_out_of_a_parameter(C: Any) -> Any:
    w = torch.ones(3)
    f = C(lambda x: x * w.sum().item())
    for _ in range(5):
        yield f(X)
        w.mul_(2.0)


@same
def test_a_loop_until_a_value_is_small(C: Any) -> Any:
    def f(x: Any) -> Any:
        for i in range(20):
            x = x * 0.5
            if x.abs().max() < 0.3:
                return x, i
        return x, -1

    f = C(f)
    for k in (1.0, 10.0, 0.1, 1e6, 3.0):
        yield f(X * k)


# -- numbers at the edges ------------------------------------------------------------------------------------

EDGES = torch.tensor([float("nan"), float("inf"), -float("inf"), 0.0, -0.0, 1e-40, -1e-45, 3e38, -1.5, 1.0])


@pytest.mark.parametrize(
    "name",
    [
        "tanh", "exp", "log", "sqrt", "relu", "sigmoid", "abs", "sign", "floor", "reciprocal", "square",
        "neg",
        "sin",
        "isnan", "isfinite", "trunc", "cumsum", "softmax", "flip", "sort_", "erf", "rsqrt", "max", "sum",
    ],
)  # fmt: skip
@same
def test_strange_values(C: Any, name: str) -> Any:
    def f(x: Any) -> Any:
        if not hasattr(x, name):
            return x * 2
        return (
            getattr(x, name)(0) if name in ("cumsum", "softmax", "flip", "max", "sum") else getattr(x, name)()
        )

    f = C(f)
    for x in (EDGES, -EDGES, EDGES.double(), EDGES[5:], EDGES.flip(0)):
        result = f(x)
        yield result
        if isinstance(result, torch.Tensor):
            array = result.numpy()
            yield np.signbit(array) & (array == array) if array.dtype.kind == "f" else None


@same
def test_strange_values_in_a_training(C: Any) -> Any:
    w = torch.ones(10, requires_grad=True)

    def step(x: Any) -> Any:
        loss = (w * x).clamp(-1e30, 1e30).relu().sum()
        w.grad = None
        loss.backward()
        w.data -= 0.1 * w.grad
        return loss

    step = C(step)
    for x in (
        torch.cat([EDGES[3:8]] * 2),
        EDGES,
        -EDGES,
        EDGES,
        EDGES * 0,
    ):
        yield step(x), w
        w.data = torch.ones(10)
