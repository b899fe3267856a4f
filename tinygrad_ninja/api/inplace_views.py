"""Views in place: `x.t_()`, `x.unsqueeze_(0)` and so on, by which a Tensor becomes a view of itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..engine.tensor import Tensor
from ..engine.view import become_view
from .register import method_only
from .reshaping import squeeze, swapaxes, t, transpose, unsqueeze
from .unreplayed import unreplayed


def _in_place(view: Callable[..., Tensor], name: str = "") -> None:
    """Offer a view as a method in place. name: another one of its names."""
    name = name or view.__name__

    def call(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return become_view(self, lambda x: view(x, *args, **kwargs))

    call.__name__ = call.__qualname__ = f"{name}_"
    call.__doc__ = f"""Let this Tensor become `{name}` of itself, with the same memory, and return it.

    RuntimeError for a leaf that requires a gradient; errors as of `{name}`.
    """
    method_only(unreplayed(call))


for _view in (t, transpose, swapaxes, squeeze, unsqueeze):
    _in_place(_view)
_in_place(swapaxes, "swapdims")
