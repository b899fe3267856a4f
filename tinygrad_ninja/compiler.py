"""Whether code is being compiled, and what is not to be: what PyTorch keeps in its `compiler`."""

from typing import Any

from .api.missing import explain
from .program.compile.control import disable, is_compiling, reset

__all__ = ["disable", "is_compiling", "reset"]


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise AttributeError(explain("compiler", name, __all__))
