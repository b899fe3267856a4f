"""PyTorch's switches for the libraries that compute on a GPU, which it keeps in its `backends`."""

from __future__ import annotations

import warnings
from functools import reduce
from typing import Any

from ..arrays.torch_library import loaded_torch, tell_torch
from .missing import explain
from .unreplayed import unreplayed


class Switches:
    """The switches of one library, as attributes. They are PyTorch's own once it is imported: what they
    change is how the devices "torch" and "cuda" compute. NumPy's arrays they do not concern."""

    def __init__(self, path: str, **values: bool) -> None:
        self.__dict__.update(_path=path, _values=values)

    def __getattr__(self, name: str) -> Any:
        self._check(name)
        torch = loaded_torch()
        return self._values[name] if torch is None else getattr(self._of(torch), name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._check(name)
        if not isinstance(value, bool):
            raise RuntimeError(f"{self._path}.{name} expects a bool, but got {type(value).__name__}")
        self._values[name] = value
        tell_torch(f"{self._path}.{name}", lambda torch: setattr(self._of(torch), name, value))

    def _of(self, torch: Any) -> Any:
        """Return PyTorch's object with these switches."""
        return reduce(getattr, self._path.split("."), torch)

    def _check(self, name: str) -> None:
        if name not in self._values:
            raise AttributeError(name if name.startswith("__") else explain(self._path, name, self._values))


class Matmul(Switches):
    """The switch of matrix products, which chooses between two of their precisions."""

    def __setattr__(self, name: str, value: Any) -> None:
        global _precision
        super().__setattr__(name, value)
        _precision = "high" if value else "highest"


_PRECISIONS = ("highest", "high", "medium")
_precision = "highest"


@unreplayed
def set_float32_matmul_precision(precision: str) -> None:
    """Let a GPU round the factors of float32 products: "highest" not at all, "high" and "medium" to fewer
    bits, which is faster.

    It calls `torch.set_float32_matmul_precision`, for the whole process, once PyTorch is imported; NumPy's
    products are exact in any case. Another word changes nothing, and warns. Raise RuntimeError for what is no
    string.
    """
    global _precision
    if not isinstance(precision, str):
        kind = type(precision).__name__
        raise RuntimeError(f"set_float32_matmul_precision expects a str, but got {kind}")
    if precision not in _PRECISIONS:
        warnings.warn(
            f"{precision} is not one of {', '.join(_PRECISIONS)}: this call has no effect", stacklevel=2
        )
        return
    _precision = precision
    cuda.matmul._values["allow_tf32"] = precision != "highest"
    tell_torch("matmul precision", lambda torch: torch.set_float32_matmul_precision(precision))


@unreplayed
def get_float32_matmul_precision() -> str:
    """Return the precision that was set last, here or in PyTorch."""
    torch = loaded_torch()
    return _precision if torch is None else str(torch.get_float32_matmul_precision())


class Backend:
    """A library of PyTorch's: what belongs to it, as attributes."""

    def __init__(self, name: str, **parts: Any) -> None:
        vars(self).update(parts, _name=name)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name if name.startswith("__") else explain(self._name, name, vars(self)))


def is_never_available() -> bool:
    """Return False: there is no such device here."""
    return False


cuda = Backend("backends.cuda", matmul=Matmul("backends.cuda.matmul", allow_tf32=False))
cudnn = Switches("backends.cudnn", allow_tf32=True, benchmark=False, deterministic=False, enabled=True)
mps = Backend("backends.mps", is_available=is_never_available, is_built=is_never_available)
