"""Random calls of an entry of the table, and of the function of PyTorch that does the same.

The entries are not named here. What may be drawn for one follows from what it says of itself: its inputs,
whether they broadcast, the names of its parameters. What PyTorch calls it is its own name, or stands in
SPELLING. An entry for which there is neither fails, so that a new operation cannot go untested.
"""

import inspect
import math
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch

from tinygrad_ninja import Tensor
from tinygrad_ninja.arrays import dtypes, numpy_arrays
from tinygrad_ninja.arrays.dispatch import array_dtype, device_of, move
from tinygrad_ninja.ops import TABLE, Operation
from tinygrad_ninja.ops.facts import Category
from tinygrad_ninja.ops.indexing import read_chain

Array = np.ndarray[Any, Any]
Call = Callable[..., Any]
Shape = tuple[int, ...]

try:
    from hypothesis.errors import (
        UnsatisfiedAssumption as NoExampleError,
    )  # by which hypothesis tries another one
except ImportError:  # a machine that has a GPU and little else

    class NoExampleError(Exception):  # type: ignore[no-redef]
        """What was drawn is no example: PyTorch refuses it."""


class Draw(Protocol):
    """Where the random choices come from: hypothesis, or a generator of NumPy's."""

    def integer(self, low: int, high: int) -> int:
        """An integer from `low` to `high`, both included."""
        ...

    def choice(self, options: Any) -> Any:
        """One of a sequence."""
        ...

    def permutation(self, items: Any) -> list[Any]:
        """All of a sequence, in another order."""
        ...


class Seeded:
    """The choices that follow from a seed."""

    def __init__(self, seed: int) -> None:
        self.generator = np.random.default_rng(seed)

    def integer(self, low: int, high: int) -> int:
        return int(self.generator.integers(low, high, endpoint=True))

    def choice(self, options: Any) -> Any:
        return options[self.integer(0, len(options) - 1)]

    def permutation(self, items: Any) -> list[Any]:
        return [items[i] for i in self.generator.permutation(len(items))]


# -- what PyTorch calls an entry, where that is not its name with the same arguments -------------------------


def every(x: torch.Tensor, axis: Any) -> tuple[int, ...]:
    return tuple(range(x.ndim)) if axis is None else axis


def along(function: Call, x: torch.Tensor, axis: Any) -> torch.Tensor:
    """A function that takes one dimension, along several as if they were one."""
    if not x.is_floating_point():
        raise TypeError("PyTorch refuses these, but for tensors without elements")
    dims = every(x, axis)
    front = x.movedim(dims, tuple(range(len(dims))))
    flat = front.reshape(math.prod(front.shape[: len(dims)]), *front.shape[len(dims) :])
    return function(flat, 0).reshape(front.shape).movedim(tuple(range(len(dims))), dims)


def prod(x: torch.Tensor, axis: Any, keepdims: bool) -> torch.Tensor:
    if not every(x, axis):
        return x.prod()
    for each in sorted(every(x, axis), reverse=True):
        x = x.prod(each, keepdim=keepdims)
    return x


def batch_norm(x: Any, weight: Any, bias: Any, axis: Any, eps: float, correction: float) -> torch.Tensor:
    spread = x.var(axis, correction=correction, keepdim=True)
    return weight * (x - x.mean(axis, keepdim=True)) / torch.sqrt(spread + eps) + bias


def scatter(x: torch.Tensor, shape: Shape, key: Any) -> torch.Tensor:
    """Where the engine adds up what was read by a key, PyTorch differentiates the reading."""
    zeros = torch.zeros(shape, dtype=x.dtype, device=x.device, requires_grad=True)
    return torch.autograd.grad(zeros[key], zeros, x, create_graph=True)[0]


def put(x: torch.Tensor, value: torch.Tensor, key: Any) -> torch.Tensor:
    out = x.clone()
    out[key] = value
    return out


def put_view(x: torch.Tensor, value: torch.Tensor, chain: Any) -> torch.Tensor:
    out = x.clone()
    part = out
    for entry, parameters in chain:
        part = counterpart(entry)(part, *parameters)
    part[...] = value
    return out


def scatter_along(x: torch.Tensor, shape: Shape, axis: int, index: torch.Tensor) -> torch.Tensor:
    return torch.zeros(shape, dtype=x.dtype, device=x.device).scatter_add(axis, index, x)


def scatter_reduce(reduce: str) -> Call:
    return lambda x, src, axis, index, include_self: x.scatter_reduce(
        axis, index, src, reduce, include_self=include_self
    )


def binary_cross_entropy(p: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    if not isinstance(target, torch.Tensor):
        raise TypeError("PyTorch refuses numbers")
    return torch.nn.functional.binary_cross_entropy(p, target, reduction="none")


def binary_cross_entropy_slope(scale: torch.Tensor, p: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Of the arguments that PyTorch calls it with: those of the loss."""
    binary_cross_entropy(p, target)
    if scale.shape != p.shape:
        raise TypeError("PyTorch's gradients are wrong where the scale is broadcast")
    return torch.ops.aten.binary_cross_entropy_backward(scale, p, target, None, 0)


def atan2(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """PyTorch's slope squares integers in their own dtype, where they wrap."""
    common = (torch.zeros((), dtype=torch.result_type(a, b)) / 1).dtype
    return torch.atan2(torch.Tensor.to(a, common), torch.Tensor.to(b, common))


SPELLING: dict[str, Call] = {
    "atan2": atan2,
    "argsort": lambda x, axis: x.argsort(dim=axis, stable=True),
    "batch_norm": batch_norm,
    "binary_cross_entropy": binary_cross_entropy,
    "binary_cross_entropy_slope": binary_cross_entropy_slope,
    "cast": lambda x, dtype: x.to(dtype),
    "clamp_between": torch.clamp,
    "clone": lambda x, ordered: x.contiguous().clone() if ordered else x.clone(),
    "cross_entropy": lambda x, target, rows: torch.nn.functional.cross_entropy(x, target),
    "expand": lambda x, shape: x.expand(shape),
    "floor_divide": lambda a, b: torch.div(
        a, b, rounding_mode="floor"
    ),  # torch.floor_divide has no derivative
    "index": lambda x, key: x[key],
    "layer_norm": batch_norm,  # with a weight and a bias of any shape
    "log_softmax": lambda x, axis: along(torch.log_softmax, x, axis),
    "logsumexp": lambda x, axis, keepdims: torch.logsumexp(x, every(x, axis), keepdims),
    "norm": lambda x, axis, keepdims: torch.linalg.vector_norm(x, 2, axis, keepdims),
    "one_minus_square": lambda y: 1 - y * y,
    "prod": prod,
    "put": put,
    "put_view": put_view,
    "scatter": scatter,
    "scatter_along": scatter_along,
    "scatter_amax": scatter_reduce("amax"),
    "scatter_amin": scatter_reduce("amin"),
    "scatter_prod": scatter_reduce("prod"),
    "select": lambda x, key: x[key],
    "select_at": lambda x, axis, place: x.select(axis, int(place)),
    "slice": lambda x, key: x[key],
    "softmax": lambda x, axis: along(torch.softmax, x, axis),
    "squeeze": lambda x, shape: x.reshape(shape),
    "std": lambda x, axis, correction, keepdims: x.std(axis, correction=correction, keepdim=keepdims),
    "to_device": lambda x, device: x.clone(),
    "trunc_divide": lambda a, b: torch.div(a * 1.0, b * 1.0, rounding_mode="trunc"),
    "unsqueeze": lambda x, shape: x.reshape(shape),
    "var": lambda x, axis, correction, keepdims: x.var(axis, correction=correction, keepdim=keepdims),
    "where": lambda a, b, condition: torch.where(condition, a, b),
}


def counterpart(entry: Operation) -> Call:
    found = SPELLING.get(entry.name) or getattr(torch, entry.name, None)
    assert found is not None, f"what does PyTorch call {entry.name}? Put it into SPELLING"
    return found


# -- shapes, and what may be drawn for a parameter -----------------------------------------------------------

# How many dimensions the first input has, for certain parameters at least, for certain entries exactly.
LEAST = {"axes": 1, "axis": 1, "axis2": 2, "index": 1, "key": 1, "offset": 2, "place": 1}
EXACTLY = {"cross_entropy": 2, "diag_embed": 1}


def draw_shape(draw: Draw, entry: Operation, special: bool) -> Shape:
    least = max((LEAST.get(each, 0) for each in entry.parameters), default=0)
    if "axis" in entry.parameters and annotation(entry, "axis") in ("Any", "int | None"):
        least = 0  # the axis may be None
    ndim = EXACTLY.get(entry.name) or draw.choice([n for n in (2, 1, 3, 0) if n >= least])
    empty = special and not {"chain", "index", "key", "place", "target"} & {*entry.parameters}
    return tuple(draw.choice([2, 3, 1, 0] if empty else [2, 3, 1]) for _ in range(ndim))


def annotation(entry: Operation, parameter: str) -> str:
    return str(inspect.signature(entry.function).parameters[parameter].annotation)


def smaller(draw: Draw, shape: Shape) -> Shape:
    """A shape that broadcasts to this one."""
    cut = shape[draw.integer(0, len(shape)) :]
    return tuple(draw.choice([n, n, 1]) for n in cut)


def draw_axis(draw: Draw, entry: Operation, shape: Shape) -> Any:
    if not shape:
        return None
    kind = annotation(entry, "axis")
    if kind in ("Any", "int | None") and draw.integer(0, 2) == 2:
        return None
    if kind.startswith("int"):
        return draw.integer(0, len(shape) - 1)
    return some(draw, range(len(shape)))


def some(draw: Draw, items: Any) -> tuple[Any, ...]:
    """At least one of a sequence, in its order."""
    return tuple(sorted(draw.permutation(items)[: draw.integer(1, len(items))]))


def basic_key(draw: Draw, shape: Shape) -> tuple[Any, ...]:
    """Integers, slices and None; `...` at the end, as the engine has it."""
    key: list[Any] = []
    for n in shape[: draw.integer(0, len(shape))]:
        if draw.integer(0, 4) == 4:
            key.append(None)
        start, stop = (draw.choice([None, *range(-n, n)]) for _ in range(2))
        key.append(draw.choice([draw.integer(-n, n - 1), slice(start, stop, draw.choice([1, 2, None]))]))
    return (*key, Ellipsis)


def advanced_key(draw: Draw, shape: Shape, once: bool) -> tuple[Any, ...]:
    """Arrays of integers, negative and repeated ones too, and whole dimensions between them.

    once: no cell is named twice.
    """
    first = draw.integer(0, len(shape) - 1)
    n = shape[first]
    rows = some(draw, range(n)) if once else [draw.integer(-n, n - 1) for _ in range(draw.integer(1, 4))]
    key: list[Any] = [slice(None)] * first + [draw.choice([np.array(rows), numpy_arrays.arange(n)])]
    length = len(key[first])
    for n in shape[first + 1 : draw.integer(first + 1, len(shape))]:
        sizes = draw.choice([(length,)] if once else [(length,), (1,), (2, length), (2, 1)])
        key.append(draw.choice([draw_integers(draw, -n, n, sizes), slice(None)]))
    while isinstance(key[-1], slice):
        key.pop()
    return tuple(key)


def draw_generator(draw: Draw) -> np.random.Generator:
    return np.random.default_rng(draw.integer(0, 2**32 - 1))


def draw_integers(draw: Draw, low: int, high: int, shape: Shape) -> Array:
    return np.asarray(draw_generator(draw).integers(low, high, shape))


def draw_parameter(draw: Draw, entry: Operation, name: str, shape: Shape, before: dict[str, Any]) -> Any:
    """A value for the parameter `name`; `before` are those already drawn."""
    match name:
        case "axis":
            return draw_axis(draw, entry, shape)
        case "axis1":
            return draw.integer(0, len(shape) - 1)
        case "axis2":
            return (before["axis1"] + draw.integer(1, len(shape) - 1)) % len(shape)
        case "axes":  # of all dimensions, or of some
            return tuple(draw.permutation(range(len(shape))))[: draw.choice([None, None, 1, 2])]
        case "chain":
            key = basic_key(draw, shape)
            axes = draw.permutation(range(np.empty(shape)[key].ndim))
            return ((TABLE["slice"], (key,)), (TABLE["permute"], (tuple(axes),)))
        case "condition":
            return draw_integers(draw, 0, 2, smaller(draw, shape)).astype(bool)
        case "correction":
            return draw.choice([1, 0, 1.5])
        case "device":
            return draw.choice(["cpu", "torch"])
        case "dtype":
            return draw.choice([dtypes.float64, dtypes.float32])
        case "eps":
            return draw.choice([0.1, 0.5])
        case "high" | "low":
            return draw.choice({"low": [-1, 0, None], "high": [1, 0, None]}[name])
        case "index":
            axis = before["axis"]
            sizes = [draw.integer(1, 4 if i == axis else n) for i, n in enumerate(shape)]
            return draw_integers(draw, 0, shape[axis], tuple(sizes))
        case "include_self" | "keepdims" | "ordered":
            return draw.choice([False, True])
        case "key":
            # Which of two values put into one cell stays is not defined.
            return (
                basic_key(draw, shape) if entry.view else advanced_key(draw, shape, "value" in entry.inputs)
            )
        case "offset":
            return draw.integer(-2, 2)
        case "place":
            n = shape[before["axis"]]
            return np.array(draw.integer(-n, n - 1))
        case "rows":
            return numpy_arrays.arange(shape[0])
        case "shape":
            return shape if {"index", "key"} & {*entry.parameters} else reshaped(draw, shape)
        case "target":
            return draw_integers(draw, 0, shape[1], shape[:1])
    raise AssertionError(
        f"what may be drawn for {name}, a parameter of {entry.name}? Say it in draw_parameter"
    )


def reshaped(draw: Draw, shape: Shape) -> Shape:
    """What a tensor may be reshaped or expanded to. PyTorch tells which of them it takes."""
    n = math.prod(shape)
    same_size = [(n,), (1, n), (n, 1), shape[::-1], *((d, n // d) for d in range(2, n) if n % d == 0)]
    grown = tuple(draw.integer(1, 3) if each == 1 else each for each in shape)
    return draw.choice([*same_size, (2, *shape), (1, *grown), grown])


def input_shapes(draw: Draw, entry: Operation, shape: Shape, parameters: dict[str, Any]) -> list[Shape]:
    """The shapes of the inputs. `shape` is that of the first, or of the output where that is a parameter."""
    if entry.variadic:
        axis = parameters["axis"]
        several = [draw.integer(0, 3) for _ in range(draw.integer(1, 3))]
        lengths = draw.choice([[shape[axis]] * 3, several])
        return [(*shape[:axis], n, *shape[axis + 1 :]) for n in lengths]
    if "shape" in parameters and "key" in parameters:
        return [np.empty(shape)[parameters["key"]].shape]
    if "shape" in parameters and "index" in parameters:
        return [parameters["index"].shape]
    if "src" in entry.inputs:
        return [shape, parameters["index"].shape]
    if "value" in entry.inputs:
        chain = parameters.get("chain") or [(TABLE["index"], (parameters["key"],))]
        return [shape, smaller(draw, read_chain(numpy_arrays, np.empty(shape), chain).shape)]
    if "weight" in entry.inputs:
        kept = tuple(1 if i in parameters["axis"] else n for i, n in enumerate(shape))
        return [shape, kept, kept]
    if entry.broadcasts:
        return draw.permutation([shape, *(smaller(draw, shape) for _ in entry.inputs[1:])])
    if entry.category is Category.PRODUCT:
        return draw_product(draw, shape)
    if entry.category is Category.ELEMENTWISE:
        return [shape for _ in entry.inputs]
    assert len(entry.inputs) == 1, (
        f"what are the shapes of the inputs of {entry.name}? Say it in input_shapes"
    )
    return [shape]


def draw_product(draw: Draw, shape: Shape) -> list[Shape]:
    """Of vectors, matrices, and batches of them."""
    n, m, k = (draw.choice([2, 3, 1]) for _ in range(3))
    left, right = (smaller(draw, shape[:2]) for _ in range(2))
    matrices, vector = ((*left, n, m), (*right, m, k)), (m,)
    return list(draw.choice([matrices, (vector, matrices[1]), (matrices[0], vector), (vector, vector)]))


# -- calls ---------------------------------------------------------------------------------------------------

SPECIAL = [-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0]
"""Numbers with which there are ties and zeros, and slopes that jump."""


def draw_call(
    draw: Draw, entry: Operation, special: bool = False, scalars: bool = False
) -> tuple[Call, list[Array]]:
    """A function that applies the entry, or PyTorch's counterpart, and arrays of float64 to call it with.

    The function takes the module and Tensors of it; its attribute `apply` takes the engine's alone, and can
    reach nothing of PyTorch's, which a recording would look through. special: the numbers are among SPECIAL,
    and there may be none; otherwise they are ordinary ones, no two alike. scalars: they are 0-dimensional.
    """
    shape = () if scalars else draw_shape(draw, entry, special)
    parameters: dict[str, Any] = {}
    for name in entry.parameters:
        parameters[name] = draw_parameter(draw, entry, name, shape, parameters)
    generator = draw_generator(draw)

    def numbers(shape: Shape) -> Array:
        if special:
            return np.asarray(generator.choice(SPECIAL, shape))
        return np.asarray(generator.uniform(0.3, 2.3, shape) * generator.choice([-1.0, 1.0], shape))

    def operands(tensors: tuple[Any, ...], kind: type) -> tuple[Any, ...]:
        if not entry.sources:  # there is nothing to differentiate
            tensors = tuple(each.detach() if isinstance(each, kind) else each for each in tensors)
        return (tensors,) if entry.variadic else tensors

    def apply(*tensors: Any) -> Any:
        like = next(each.array for each in tensors if isinstance(each, Tensor))
        return entry(*operands(tensors, Tensor), *(ours(each, like) for each in parameters.values()))

    def call(module: Any, *tensors: Any) -> Any:
        if module is not torch:
            return apply(*tensors)
        device = next(each.device for each in tensors if isinstance(each, torch.Tensor))
        given = (theirs(each, device) for each in parameters.values())
        return counterpart(entry)(*operands(tensors, torch.Tensor), *given)

    call.apply = apply  # type: ignore[attr-defined]
    return call, [numbers(each) for each in input_shapes(draw, entry, shape, parameters)]


def theirs(value: Any, device: torch.device) -> Any:
    """A parameter as PyTorch takes it beside tensors on the device."""
    if isinstance(value, np.ndarray):
        return torch.tensor(value, device=device)
    if isinstance(value, tuple):
        return tuple(theirs(each, device) for each in value)
    return getattr(torch, value.name) if isinstance(value, dtypes.dtype) else value


def ours(value: Any, like: Any) -> Any:
    """A parameter as an entry takes it beside the array `like`."""
    if isinstance(value, np.ndarray):
        return move(value, device_of(like))
    if isinstance(value, tuple):
        return tuple(ours(each, like) for each in value)
    return array_dtype(like, value) if isinstance(value, dtypes.dtype) else value


def answer(call: Call, inputs: list[Array], device: str = "cpu") -> Array:
    """PyTorch's on its device; an example that it refuses, or has no derivative of, is no example."""
    try:
        leaves = [torch.tensor(each, requires_grad=each.dtype.kind == "f", device=device) for each in inputs]
        out = call(torch, *leaves)
        if out.requires_grad:
            out.sum().backward()
    except (RuntimeError, TypeError, IndexError, ValueError):
        raise NoExampleError from None
    return out.detach().cpu().numpy()


def inside(call: Call, inputs: list[Array]) -> list[Array]:
    """The inputs, or else their absolute values, or else numbers between 0 and 1, where PyTorch has a value
    and two derivatives."""
    magnitudes = [np.abs(one) for one in inputs]
    for each in (inputs, magnitudes, [np.exp(-one) for one in magnitudes]):
        try:
            answer(call, each)
        except NoExampleError:
            continue
        leaves = [torch.tensor(one, requires_grad=True) for one in each]
        found = [call(torch, *leaves)]
        for _ in range(2):
            total = sum(one.sum() for one in found) + sum((leaf * 0).sum() for leaf in leaves)
            found = [total, *torch.autograd.grad(total, leaves, create_graph=True)]
        if not any(one.isnan().any() for one in found):
            return each
    raise NoExampleError
