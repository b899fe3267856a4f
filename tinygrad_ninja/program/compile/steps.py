"""The step that a recording becomes, by the backend that is asked for and can be had."""

from __future__ import annotations

from typing import Any

from .first_call import FirstCall
from .history_step import HistoryStep
from .recording.captured import Captured
from .recording.outputs import Returned
from .refusals import UnsupportedError, warn
from .results import leaves
from .step import Step

_FOR_NUMPY, _FOR_TORCH = ("c", "numpy"), ("inductor", "torch")
BACKENDS = ("auto", *_FOR_NUMPY, *_FOR_TORCH)


def step_of(call: FirstCall, backend: str) -> tuple[Any, str]:
    """Return the recording of a call as a step, and the backend: that which "auto" stands for on a device.
    Raise UnsupportedError where the backend can't serve it, and NoCompilerError where there is none for C."""
    captured = call.captured
    place = captured.place if isinstance(captured, Captured) else "cpu"
    if backend == "auto" and place != "cpu":
        backend = _available(place)
    if backend in _FOR_TORCH and isinstance(captured, Captured) and _is_empty(captured):
        return Step(captured, call.arguments, call.bare, "numpy"), backend
    if backend not in ("auto", *(_FOR_NUMPY if place == "cpu" else _FOR_TORCH)):
        raise UnsupportedError(f'the backend "{backend}" is not for Tensors on {place}')
    if not isinstance(captured, Captured):
        if backend not in ("c", "auto"):
            raise UnsupportedError(f'Values are compiled to C only, not by the backend "{backend}"')
        assert captured is not None
        return captured(), backend
    if captured.histories:
        return HistoryStep(call, backend), backend
    kind = Step
    if place != "cpu":
        from .torch_step import TorchStep  # which imports torch

        kind = TorchStep
    return kind(captured, call.arguments, call.bare, backend), backend


def _is_empty(captured: Captured) -> bool:
    """Return whether a step neither reads nor makes a Tensor, on whatever device, such as an optimizer's
    while there are no gradients."""
    kept = any(var is not None for _, var in (*captured.gradients, *captured.rebound))
    returned = any(isinstance(x, Returned) for x in leaves(captured.result))
    return not (captured.cells or captured.draws or kept or returned)


def _available(place: str) -> str:
    """Return the best backend that can be had for Tensors on a device of torch's; warn where a better one
    can't."""
    from .replay import missing_tools  # which imports torch

    missing = missing_tools(place)
    if missing:
        warn(f"{missing}; until then compiled functions run as straight-line torch code")
    return "torch" if missing else "inductor"
