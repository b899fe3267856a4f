"""What a recording has found that a step does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from ....engine.node import Node
from ....engine.tensor import Tensor
from ....rng.generator import Generator
from ...instructions import Instruction, Var
from ..results import leaves
from .checks import Check
from .histories import History
from .outputs import Returned
from .rates import Setting
from .recorded import Memory
from .sources import Number


@dataclass(eq=False)
class Draw:
    """Random numbers that the step takes: generator.method(*arguments, **options), as the variable `var`."""

    generator: Generator
    method: str
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    var: Var


ARENA = object()
"""What stands in the result for the memory of the variables that are kept."""


@dataclass
class Captured:
    """What a step does.

    instructions: in order. cells: the memory of Tensors that it found, with its value afterwards. checks:
    those to be made before. gradients: nodes, and their gradients afterwards (None: no gradient). needs: the
    gradient that a node must have (or None) for this recording to hold. rebound: Tensors that hold other
    memory afterwards, with its value. noted: the memory whose changes were counted. result: what the function
    returned, with a `Returned` for each Tensor.

    layouts: the strides of gradients and of data, by their variable, where they are not the usual ones.
    inference: the variables that are inference tensors. names: those of the reader's. reached: the Tensors
    that the function reaches otherwise than as an argument or as a gradient. place: the device of its torch
    tensors, "cpu" where there are none; places: those of the variables that are torch tensors.
    histories: those of the results from which backward() is still to be called. kept: what the step leaves
    in an arena for that; found: what it finds in one, which is its first argument. leaves: the nodes of
    arguments that had one, by their position; begun: arguments that become leaves, with their nodes.
    settings: the numbers that it sets in Python's objects; repeats: the steps of schedulers, which follow.
    """

    instructions: list[Instruction]
    cells: list[Memory]
    draws: list[Draw] = field(default_factory=list)
    numbers: list[Number] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    gradients: list[tuple[Node, Var | None]] = field(default_factory=list)
    needs: list[tuple[Node, Tensor | None]] = field(default_factory=list)
    rebound: list[tuple[Tensor, Var | None]] = field(default_factory=list)
    noted: list[Memory] = field(default_factory=list)
    result: Any = None
    layouts: dict[Var, tuple[int, ...]] = field(default_factory=dict)
    inference: set[Var] = field(default_factory=set)
    names: dict[Var, str] = field(default_factory=dict)
    reached: set[Tensor] = field(default_factory=set)
    place: str = "cpu"
    places: dict[Var, str] = field(default_factory=dict)
    histories: list[History] = field(default_factory=list)
    kept: list[Var] = field(default_factory=list)
    found: list[Var] = field(default_factory=list)
    leaves: dict[int, Node] = field(default_factory=dict)
    begun: dict[Tensor, Node] = field(default_factory=dict)
    settings: list[Setting] = field(default_factory=list)
    repeats: list[Callable[[], None]] = field(default_factory=list)

    def uses(self, tensor: Tensor) -> bool:
        """Return whether the step reads the elements of a Tensor that was there before, or hands it out."""
        held = chain.from_iterable((cell.owner, *cell.others) for cell in self.cells)
        returned = [x.tensor for x in leaves(self.result) if isinstance(x, Returned)]
        return any(tensor is x for x in (*held, *returned, *self.begun))
