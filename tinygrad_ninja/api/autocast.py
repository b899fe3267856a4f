"""`autocast`: where the products are computed in half precision."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from ..arrays import dtypes
from ..engine.tensor import device
from .casting import halves, set_halves

_F = TypeVar("_F", bound=Callable[..., Any])
_DEFAULTS = {"cpu": dtypes.bfloat16, "torch": dtypes.bfloat16, "cuda": dtypes.float16}


class autocast:  # noqa: N801 - PyTorch's name
    """In `with autocast(device_type, dtype):`, or in a function under `@autocast(…)`, this thread computes
    products of float32 Tensors on that device in `dtype`, and losses (on "cuda" also exp, log, pow, sums,
    norms and softmax) in float32. Parameters stay as they are, and so do their gradients. Backward belongs
    outside.

    device_type: "torch", PyTorch's tensors on the CPU, with the lists that PyTorch has for its CPU; "cuda";
    "cpu", NumPy's arrays, where there is float16 alone. dtype: bfloat16 or float16; by default bfloat16, on
    "cuda" float16. Another one turns it off, with a warning. cache_enabled is taken and changes nothing.
    RuntimeError for another device; TypeError for bfloat16 on NumPy's arrays.
    """

    def __init__(
        self, device_type: str, dtype: Any = None, enabled: bool = True, cache_enabled: bool | None = None
    ) -> None:
        self.device = _checked(device_type)
        self.dtype = _DEFAULTS[self.device] if dtype is None else dtypes.as_dtype(dtype)
        self.enabled = enabled
        if enabled and self.dtype not in (dtypes.bfloat16, dtypes.float16):
            warnings.warn(
                f"autocast computes in bfloat16 or float16 and not in {self.dtype}: it is off", stacklevel=2
            )
            self.enabled = False
        if self.enabled and self.device == "cpu":
            _ = self.dtype.numpy  # says what to do where there is none
        self._before: list[dict[str, dtypes.dtype]] = []

    def __enter__(self) -> autocast:
        before = halves()
        self._before.append(before)
        others = {device: half for device, half in before.items() if device != self.device}
        set_halves({**others, self.device: self.dtype} if self.enabled else others)
        return self

    def __exit__(self, *error: object) -> None:
        set_halves(self._before.pop())

    def __call__(self, function: _F) -> _F:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with autocast(self.device, self.dtype, self.enabled):
                return function(*args, **kwargs)

        return wrapper  # type: ignore[return-value]


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Return whether this thread is within an `autocast` of that device."""
    return _checked(device_type) in halves()


def get_autocast_dtype(device_type: str) -> dtypes.dtype:
    """Return the dtype in which this thread's `autocast` of that device computes products, or would by
    default."""
    kind = _checked(device_type)
    return halves().get(kind, _DEFAULTS[kind])


def _checked(device_type: str) -> str:
    kind = device(device_type).type if isinstance(device_type, str) else None
    if kind not in _DEFAULTS:
        raise RuntimeError(f"autocast: device_type must be 'cpu', 'torch' or 'cuda', not {device_type!r}")
    return kind
