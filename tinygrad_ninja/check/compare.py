"""One function, the same numbers, two engines: the differences of the values and the gradients.

PyTorch is imported when a comparison is asked for, not before.
"""

from __future__ import annotations

import html
import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

import tinygrad_ninja

from ..arrays import dtypes
from ..arrays.torch_library import import_torch

Array = NDArray[Any]

RTOL = {"float16": 1e-2, "float32": 1e-5, "float64": 1e-12}
"""The error that the order of a sum may cause, relative to the greatest number in the tensor."""


@dataclass(frozen=True)
class Difference:
    """Two arrays that should be the same: PyTorch's and ours, either of which may be missing."""

    theirs: Array | None
    ours: Array | None

    @cached_property
    def alike(self) -> bool:
        """Return whether both arrays exist and have the same shape and dtype."""
        a, b = self.theirs, self.ours
        return a is not None and b is not None and a.shape == b.shape and a.dtype == b.dtype

    @cached_property
    def distances(self) -> Array:
        """Return |ours - theirs| of each element, in float64.

        The distance of NaN to NaN is 0, to a number infinity. Where the shapes differ, or one array is
        missing, the result is a single infinity of shape ().
        """
        a, b = self.theirs, self.ours
        if a is None or b is None or a.shape != b.shape:
            return np.array(math.inf)
        with np.errstate(invalid="ignore", over="ignore"):
            distances = np.abs(b.astype(np.float64) - a.astype(np.float64))
        equal = (a == b) | ((a != a) & (b != b))
        return np.where(equal, 0.0, np.where(np.isnan(distances), math.inf, distances))

    @cached_property
    def exact(self) -> bool:
        """Return whether shape, dtype and every element are equal; NaN equals NaN here."""
        return self.alike and not self.distances.any()

    @cached_property
    def approximate(self) -> bool:
        """Return whether shape and dtype agree, and the elements by `torch.allclose` with its default
        tolerances."""
        return self.alike and np.allclose(self.ours, self.theirs, rtol=1e-5, atol=1e-8, equal_nan=True)  # type: ignore[arg-type]

    @cached_property
    def maxdiff(self) -> float:
        """Return the largest distance; 0 where there are no elements."""
        return float(self.distances.max(initial=0.0))

    @cached_property
    def ulps(self) -> float:
        """Return the largest distance in units in the last place (ulps) of PyTorch's element."""
        theirs = self.theirs
        if not self.maxdiff:
            return 0.0
        if theirs is None or self.distances.shape != theirs.shape or theirs.dtype.kind != "f":
            return math.inf
        with np.errstate(invalid="ignore", over="ignore"):
            distances = self.distances / np.spacing(np.abs(theirs)).astype(np.float64)
        return float(
            np.where(self.distances == 0, 0.0, np.where(np.isnan(distances), math.inf, distances)).max()
        )

    @cached_property
    def scale(self) -> float:
        """Return the greatest finite |element| of PyTorch's array; 0 where there is none."""
        theirs = self.theirs
        return 0.0 if theirs is None else float(np.abs(theirs).max(initial=0, where=np.isfinite(theirs)))

    def relative(self, scale: float | None = None) -> float:
        """Return the largest distance as a share of the scale, the array's own where None: what `complaint`
        goes by."""
        scale = self.scale if scale is None else scale
        return self.maxdiff / scale if scale else math.inf if self.maxdiff else 0.0

    @property
    def dtype(self) -> str:
        """Return the name of PyTorch's dtype; empty where its array is missing."""
        return "" if self.theirs is None else self.theirs.dtype.name

    def complaint(self, rtol: float | None, atol: float, scale: float | None = None) -> str:
        """Return a sentence about what differs; empty where shape and dtype agree and maxdiff ≤ atol + rtol ·
        scale.

        rtol: by the dtype, from RTOL, where None. scale: the array's own where None.
        """
        a, b = self.theirs, self.ours
        if a is None or b is None:
            return "missing here" if b is None else "there is one here, and none in PyTorch"
        if a.shape != b.shape:
            return f"shape {b.shape} where PyTorch has {a.shape}"
        if a.dtype != b.dtype:
            return f"dtype {b.dtype} where PyTorch has {a.dtype}"
        relative = RTOL.get(self.dtype, 0.0) if rtol is None else rtol
        if self.maxdiff <= atol + relative * (self.scale if scale is None else scale):
            return ""
        index = np.unravel_index(int(self.distances.argmax()), a.shape)
        at = f"at {tuple(int(i) for i in index)} " if a.ndim else ""
        return f"{at}{b[index]!s} where PyTorch has {a[index]!s}"


@dataclass(frozen=True)
class Row:
    """One input or intermediate: its value and its gradient, which is None where neither engine has one."""

    name: str
    value: Difference
    gradient: Difference | None


@dataclass(frozen=True)
class Comparison:
    """The rows of one comparison, in the order of the computation; `str()` is the table of all of them."""

    rows: tuple[Row, ...]

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, name: str) -> Row:
        """Return the row of that name; KeyError where there is none."""
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(name)

    def complaints(
        self, rtol: float | None = None, atol: float = 0.0, terms: Mapping[str, str] | None = None
    ) -> list[str]:
        """Return a sentence for every value and gradient that differs; the arguments are those of `ok`."""
        complaints = []
        for row in self.rows:
            complaint = row.value.complaint(rtol, atol)
            if complaint:
                complaints.append(f"{row.name}: {complaint}")
            if row.gradient is not None:
                term = (terms or {}).get(row.name)
                scale = None if term is None else self._gradient_scale(term)
                complaint = row.gradient.complaint(rtol, atol, scale)
                if complaint:
                    complaints.append(f"gradient of {row.name}: {complaint}")
        return complaints

    def _gradient_scale(self, name: str) -> float:
        gradient = self[name].gradient
        if gradient is None:
            raise ValueError(f"{name} has no gradient to measure another by")
        return gradient.scale

    def ok(
        self, rtol: float | None = None, atol: float = 0.0, terms: Mapping[str, str] | None = None
    ) -> bool:
        """Return whether all shapes and dtypes agree, and every maxdiff ≤ atol + rtol · scale.

        The scale is the greatest |element| of PyTorch's array.

        rtol: by the array's dtype, from RTOL, where None.
        terms: {name: other} where the gradient of `name` is a sum of terms that cancel; its scale is then
            that of the gradient of `other`, which holds the terms.
        """
        return not self.complaints(rtol, atol, terms)

    def __str__(self) -> str:
        return self.table()

    def table(self, terms: Mapping[str, str] | None = None) -> str:
        """Return a line for each row: whether value and gradient are exact, the largest difference, and that
        as a share of the scale; terms as in `ok`."""
        head, *body = self._cells(terms)
        side = "{:6}{:>8}{:>10}"
        form = "{:16}{:13}{:8}" + f"{side}  {side}"
        return "\n".join(
            [f"{'':37}{'value':26}gradient", *(form.format(*row).rstrip() for row in (head, *body))]
        )

    def _repr_html_(self) -> str:
        """Return the table for a notebook."""
        head, *body = self._cells(None)
        above = "<tr><td colspan='3'></td><th colspan='3'>value</th><th colspan='3'>gradient</th></tr>"
        rows = [above, "".join(f"<th>{cell}</th>" for cell in head)]
        rows += ["".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in body]
        return "<table>" + "".join(f"<tr>{row}</tr>" for row in rows) + "</table>"

    def _cells(self, terms: Mapping[str, str] | None) -> Iterator[list[str]]:
        """Yield the cells of the table: the head, and a line for each row."""
        yield ["name", "shape", "dtype", *["exact", "maxdiff", "of scale"] * 2]
        for row in self.rows:
            term = (terms or {}).get(row.name)
            scale = None if term is None else self._gradient_scale(term)
            shape, dtype = (_both(row.value, attribute) for attribute in ("shape", "dtype"))
            sides = [_side(row.value), ["", "", ""] if row.gradient is None else _side(row.gradient, scale)]
            yield [row.name, shape, dtype, *sides[0], *sides[1]]


def _side(difference: Difference, scale: float | None = None) -> list[str]:
    """Return the cells of the table for a value or a gradient."""
    return [str(difference.exact), f"{difference.maxdiff:.1g}", f"{difference.relative(scale):.1g}"]


def _both(difference: Difference, attribute: str) -> str:
    """Return PyTorch's shape or dtype, with ours beside it where it differs."""
    theirs, ours = (str(getattr(array, attribute, "none")) for array in (difference.theirs, difference.ours))
    return theirs if theirs == ours else f"{theirs} / {ours} "


def compare(fn: Callable[..., Any], *inputs: Any, device: str = "cpu", dtype: Any = None) -> Comparison:
    """Run `fn(torch, *inputs)` under PyTorch and under this engine, and compare all values and gradients.

    fn: takes the module, PyTorch or `tinygrad_ninja`, and the inputs as Tensors of it. It returns the loss, a
        scalar Tensor, or a dict of names, such as `locals()`, whose Tensors are compared and of which "loss",
        or else the last scalar, is differentiated. Where no result requires a gradient, values are compared.
    inputs: numbers, nested lists, NumPy arrays, Tensors of either engine. Those of floating point numbers
        require a gradient.
    device: where this engine computes: "cpu" (NumPy), "torch" or "cuda"; PyTorch computes on the CPU, for
        "cuda" on the GPU.
    dtype: of the floating point inputs; their own where None.

    Raises ImportError without PyTorch; ValueError where there is no loss to differentiate; RuntimeError where
    this machine lacks the device.
    """
    torch = import_torch()
    names = _input_names(fn, inputs)
    arrays = [_numbers(value, dtype) for value in inputs]
    torch_device = device if device.startswith("cuda") else "cpu"
    ours = _run(fn, tinygrad_ninja, names, [tinygrad_ninja.tensor(array, device=device) for array in arrays])
    theirs = _run(fn, torch, names, [torch.tensor(array, device=torch_device) for array in arrays])
    missing = (None, None)
    rows = []
    for name in dict.fromkeys([*theirs, *ours]):
        (value, gradient), (our_value, our_gradient) = theirs.get(name, missing), ours.get(name, missing)
        both_without = gradient is None and our_gradient is None
        rows.append(
            Row(
                name,
                Difference(value, our_value),
                None if both_without else Difference(gradient, our_gradient),
            )
        )
    return Comparison(tuple(rows))


def _input_names(fn: Callable[..., Any], inputs: tuple[Any, ...]) -> list[str]:
    """Return the names of fn's parameters after the first; those of `*args` are numbered."""
    names = []
    for parameter, argument in list(inspect.signature(fn).bind(None, *inputs).arguments.items())[1:]:
        is_variadic = inspect.signature(fn).parameters[parameter].kind is inspect.Parameter.VAR_POSITIONAL
        names += [f"{parameter}[{i}]" for i in range(len(argument))] if is_variadic else [parameter]
    return names


def _numbers(value: Any, dtype: Any) -> Array:
    """Return an input as a NumPy array, floating point ones in `dtype`."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    array: Array = tinygrad_ninja.tensor(value).numpy()
    if dtype is None or array.dtype.kind != "f":
        return array
    target = dtypes.BY_NAME.get(str(dtype).removeprefix("torch.")) or dtypes.as_dtype(dtype)
    return array.astype(target.numpy)


def _run(
    fn: Callable[..., Any], module: Any, names: list[str], inputs: list[Any]
) -> dict[str, tuple[Array, Array | None]]:
    """Return the value and the gradient of each input and each result, by name."""
    for tensor in inputs:
        tensor.requires_grad_(tensor.dtype.is_floating_point)
    returned = fn(module, *inputs)
    outputs = returned if isinstance(returned, Mapping) else {"loss": returned}
    named_inputs = dict(zip(names, inputs, strict=True))
    results = {
        f"{name} (inside)" if name in named_inputs else name: value
        for name, value in outputs.items()
        if isinstance(value, module.Tensor) and value is not named_inputs.get(name)
    }
    _backward(results, module.__name__)
    tensors = named_inputs | results
    return {name: (_array(tensor), _gradient(tensor)) for name, tensor in tensors.items()}


def _backward(results: dict[str, Any], engine: str) -> None:
    differentiable = [tensor for tensor in results.values() if tensor.requires_grad]
    if not differentiable:
        return
    loss = results.get("loss", next((tensor for tensor in reversed(differentiable) if not tensor.ndim), None))
    if loss is None or loss.ndim:
        raise ValueError(
            f'{engine}: nothing to differentiate: return a scalar Tensor, or a dict with a scalar "loss"'
        )
    for tensor in differentiable:
        tensor.retain_grad()
    loss.backward()


def _gradient(tensor: Any) -> Array | None:
    return _array(tensor.grad) if tensor.requires_grad and tensor.grad is not None else None


def _array(tensor: Any) -> Array:
    array: Array = tensor.detach().cpu().numpy()
    return array
