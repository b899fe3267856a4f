"""What a recorded step hands out: results, gradients, and the memory of Tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ....engine.inference import is_marked
from ....engine.node import Node
from ....engine.tensor import Tensor
from ....nn.module import Parameter
from ...instructions import Var
from ..guards.owners import a, is_a, is_ours
from ..guards.trusted import is_constant
from .shapes import is_torch

if TYPE_CHECKING:
    from .capture import Recording


@dataclass(eq=False, slots=True)  # without __dict__ it is no container
class Returned:
    """A Tensor that the function returned. var: what it computed; None for a Tensor that was there before,
    which is returned itself. node: whose gradient it is, where it is one."""

    tensor: Tensor
    var: Var | None
    node: Node | None


class Outputs:
    """What a step hands out that it has computed: no two may have elements in common, as they do not later.

    layouts: strides, in elements, by variable, where they are not the usual ones. inference: the variables
    that are inference tensors. with_history: the results from which backward() is still to be called.
    """

    def __init__(self, recording: Recording) -> None:
        self._recording, self._tape = recording, recording.tape
        # What is handed out of a memory, by the memory's id.
        self._known: dict[int, list[tuple[str, Tensor]]] = {}
        self._returned: dict[Tensor, Returned] = {}
        self._gradients: dict[Tensor, Node] = {}
        self.layouts: dict[Var, tuple[int, ...]] = {}
        self.inference: set[Var] = set()
        self.with_history: list[Returned] = []

    @property
    def tensors(self) -> list[Tensor]:
        """Return the Tensors that the function returned."""
        return [*self._returned]

    def add(self, tensor: Tensor, what: str) -> Var | None:
        """Return the variable of a Tensor that eager code would hand out. Close the tape where its memory is
        not its own."""
        handle = self._recording.read(tensor, "_array").handle if not self._tape.closed else None
        if handle is None:
            return None
        if handle.memory.before is not None:
            self._tape.stop(f"{what} is in the memory of a Tensor that was there before; clone() it")
        others = self._known.setdefault(id(handle.memory), [])
        for known, other in others:
            if other is not tensor and overlap(other._array, tensor._array):
                self._tape.stop(f"{known} and {what} share their memory; clone() one of them")
        others.append((what, tensor))
        var: Var = handle.var(self._tape)
        if layout := layout_of(tensor._array):
            self.layouts[var] = layout
        if is_marked(tensor._array):
            self.inference.add(var)
        return var

    def gradient(self, node: Node, tensor: Tensor) -> Var | None:
        """Return the variable of a node's gradient."""
        if tensor in self._gradients:
            self._tape.stop("one Tensor is the gradient of two others; clone() it")
        if is_marked(tensor._array):
            self._tape.stop("a gradient is an inference tensor; compute it outside of inference_mode")
        self._gradients[tensor] = node
        return self.add(tensor, "a gradient")

    def returned(self, result: Any) -> Any:
        """Return what stands for a part of the function's result."""
        if not is_a(result, Tensor):
            if not is_constant(result) or is_a(result, np.generic):
                kind = "a NumPy array" if is_a(result, np.ndarray) else a(type(result))
                kind = f"the class {result.__name__}" if is_a(result, type) else kind
                self._tape.stop(
                    f"the function returns {kind}; Tensors, numbers, tuples, lists, dicts and dataclasses of "
                    "them can be compiled"
                )
            return result
        if result not in self._returned:
            made = self._recording.made(result) and not self._recording.rebound(result)
            if made and (isinstance(result, Parameter) or not is_ours(type(result))):
                self._tape.stop(f"the function returns {a(type(result))}; return a Tensor")
            if made and result.edge is not None and result.edge.op is None:
                self._tape.stop("the function returns a Tensor that requires a gradient and is made inside")
            if made and result.edge is not None and result.edge._grad is not None:
                self._tape.stop("a result keeps a gradient of its own (retain_grad); return that gradient")
            var = self.add(result, "a result") if made else None
            returned = self._returned[result] = Returned(result, var, self._gradients.get(result))
            if made and result.edge is not None and not self._recording.went_back(result.edge):
                self.with_history.append(returned)
        return self._returned[result]


def overlap(a: Any, b: Any) -> bool:
    """Return whether two arrays have an element in common, or may have."""
    if is_torch(a) or is_torch(b):
        return True
    try:
        return np.shares_memory(a, b, max_work=10_000)  # type: ignore[arg-type]  # any number may be
    except np.exceptions.TooHardError:
        return True


def layout_of(array: Any) -> tuple[int, ...] | None:
    """Return the strides of an array, in elements; None where they are the usual ones."""
    if is_torch(array):
        return None if array.is_contiguous() else tuple(array.stride())
    usual = not isinstance(array, np.ndarray) or array.flags.c_contiguous
    return None if usual else tuple(step // array.itemsize for step in array.strides)
