"""PyTorch's switches for the libraries that compute on a GPU, which it keeps in its `backends`."""

from __future__ import annotations

from functools import reduce
from typing import Any

from ..arrays.torch_library import import_torch, loaded_torch
from .missing import explain


class Switches:
    """The switches of one library, as attributes. They are PyTorch's own where it is installed: what they
    change is how the devices "torch" and "cuda" compute. NumPy's arrays they do not concern."""

    def __init__(self, path: str, **values: bool) -> None:
        self.__dict__.update(_path=path, _values=values)

    def __getattr__(self, name: str) -> Any:
        self._check(name)
        torch = loaded_torch()
        return (
            self._values[name]
            if torch is None
            else getattr(reduce(getattr, self._path.split("."), torch), name)
        )

    def __setattr__(self, name: str, value: Any) -> None:
        self._check(name)
        self._values[name] = value
        try:
            torch = import_torch()
        except ImportError:
            return
        setattr(reduce(getattr, self._path.split("."), torch), name, value)

    def _check(self, name: str) -> None:
        if name not in self._values:
            raise AttributeError(name if name.startswith("__") else explain(self._path, name, self._values))


class Backend:
    """A library of PyTorch's: what belongs to it, as attributes."""

    def __init__(self, name: str, **parts: Any) -> None:
        vars(self).update(parts, _name=name)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name if name.startswith("__") else explain(self._name, name, vars(self)))


def is_never_available() -> bool:
    """Return False: there is no such device here."""
    return False


cuda = Backend("backends.cuda", matmul=Switches("backends.cuda.matmul", allow_tf32=False))
cudnn = Switches("backends.cudnn", allow_tf32=True, benchmark=False, deterministic=False, enabled=True)
mps = Backend("backends.mps", is_available=is_never_available, is_built=is_never_available)
