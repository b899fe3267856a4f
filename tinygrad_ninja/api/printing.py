"""The text of a Tensor: as in PyTorch, with four digits after the point and long Tensors summarised by
default."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import dtypes
from ..engine.tensor import Tensor
from .register import function
from .unreplayed import unreplayed

_PROFILES: dict[str, dict[str, float]] = {
    "default": {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80},
    "short": {"precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 80},
    "full": {"precision": 4, "threshold": math.inf, "edgeitems": 3, "linewidth": 80},
}


@dataclass
class _Options:
    """How Tensors are printed; the fields are the arguments of `set_printoptions`."""

    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


_OPTIONS = _Options()


@function
@unreplayed
def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Print Tensors from here on with so many digits after the point (4), those of more elements than
    `threshold` (1000) with `edgeitems` (3) at each end of a dimension, in lines of `linewidth` (80).

    profile: "default", "short" or "full" values of these, before the others are set. sci_mode: whether floats
    are scientific; None, as at every call that does not say, where their sizes ask for it.
    """
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    for name, value in [*_PROFILES.get(profile or "", {}).items(), *given.items()]:
        if value is not None:
            setattr(_OPTIONS, name, value)
    _OPTIONS.sci_mode = sci_mode


class _Formatter:
    """One format for all the elements that are shown: integers, fixed point or scientific, with one width."""

    def __init__(self, shown: np.ndarray[Any, Any]) -> None:
        self.floating = shown.dtype.kind == "f"
        values = shown.reshape(-1).astype(np.float64) if self.floating else shown.reshape(-1)
        decisive = values[np.isfinite(values) & (values != 0)] if self.floating else values
        finite = np.abs(decisive) if self.floating else values[:0]
        self.integral = bool((finite == np.ceil(finite)).all())
        self.scientific = False
        if finite.size:
            low, high = finite.min().item(), finite.max().item()
            self.scientific = high / low > 1000.0 or high > 1.0e8 or (not self.integral and low < 1.0e-4)
        if self.floating and _OPTIONS.sci_mode is not None:
            self.scientific = _OPTIONS.sci_mode
        self.width = max((len(self._digits(v)) for v in decisive.tolist()), default=1)

    def _digits(self, value: Any) -> str:
        if not self.floating:
            return str(value)
        if not math.isfinite(value):
            return str(value)
        if self.scientific:
            return f"{value:.{_OPTIONS.precision}e}"
        return f"{value:.0f}." if self.integral else f"{value:.{_OPTIONS.precision}f}"

    def __call__(self, value: Any) -> str:
        return self._digits(value).rjust(self.width)


def _summarised(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return only the elements of a long array that will be shown, to choose the format from."""
    edge = _OPTIONS.edgeitems
    for axis, n in enumerate(array.shape):
        if n > 2 * edge:
            keep = [*range(edge), *range(n - edge, n)]
            array = array.take(keep, axis)
    return array


def _text(array: np.ndarray[Any, Any], indent: int, summarise: bool, form: _Formatter) -> str:
    if array.ndim == 0:
        return form(array.item())
    n = array.shape[0]
    cut = summarise and n > 2 * _OPTIONS.edgeitems
    if array.ndim == 1:
        per_line = max(1, (_OPTIONS.linewidth - indent) // (form.width + 2))
        parts = [form(v) for v in (array.tolist() if not cut else array[: _OPTIONS.edgeitems].tolist())]
        if cut:
            parts += [" ...", *(form(v) for v in array[-_OPTIONS.edgeitems :].tolist())]
        lines = [", ".join(parts[i : i + per_line]) for i in range(0, len(parts), per_line)]
        return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"
    indices = [*range(_OPTIONS.edgeitems), None, *range(n - _OPTIONS.edgeitems, n)] if cut else list(range(n))
    rows = ["..." if i is None else _text(array[i], indent + 1, summarise, form) for i in indices]
    return "[" + ("," + "\n" * (array.ndim - 1) + " " * (indent + 1)).join(rows) + "]"


def tensor_text(tensor: Tensor) -> str:
    """Return the text of `repr(tensor)`."""
    array = np.asarray(tensor.detach().numpy())
    summarise = array.size > _OPTIONS.threshold
    form = _Formatter(_summarised(array) if summarise else array)
    prefix = "tensor("
    body = "[]" if array.size == 0 else _text(array, len(prefix), summarise, form)
    suffixes = []
    if tensor.device.type not in ("cpu", "float"):
        suffixes.append(f"device='{tensor.device}'")
    if array.size == 0 and array.ndim != 1:
        suffixes.append(f"size={tuple(array.shape)}")
    implied = [dtypes.get_default_dtype(), *([dtypes.int64, dtypes.bool] if array.size else [])]
    if tensor.dtype not in implied:  # where the look of the elements does not tell it
        suffixes.append(f"dtype={tensor.dtype}")
    if tensor.grad_fn is not None:
        suffixes.append(f"grad_fn={tensor.grad_fn}")
    elif tensor.requires_grad:
        suffixes.append("requires_grad=True")
    text = prefix + body
    last = len(text.rpartition("\n")[2]) + 2  # with the comma or bracket, and the space, that follow
    for suffix in suffixes:
        if last + len(suffix) + 2 > _OPTIONS.linewidth:
            text += ",\n" + " " * len(prefix) + suffix
            last = len(prefix) + len(suffix)
        else:
            text += ", " + suffix
            last += len(suffix) + 2
    return text + ")"


Tensor.__repr__ = tensor_text  # type: ignore[assignment, method-assign]
