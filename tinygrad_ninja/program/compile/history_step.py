"""A step whose results have a history: `backward()`, called on them later, runs compiled code too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from ...engine.grad_mode import enable_grad, is_grad_enabled
from ...engine.gradients import grad as gradients_of
from ...engine.node import clock
from ...engine.own_function import Function
from ...engine.tensor import Tensor, wrap
from ...engine.thread_state import new_lock
from ...engine.versions import changed_since
from ..instructions import Var, substitute
from .c.build import NoCompilerError
from .lowering.lower import forget_values
from .memory import Arena
from .recording.capture import unobserved
from .recording.captured import ARENA, Captured
from .recording.histories import History, Way, WayBack
from .recording.outputs import Returned
from .recording.recorded import Memory
from .recording.shapes import stand_in
from .refusals import UnsupportedError, warn_once
from .step import Step


class HistoryStep(Step):
    """A step, and the ways back from its results. What these read of the step it leaves in an arena."""

    def __init__(
        self, captured: Captured, arguments: dict[int, Tensor], bare: set[int], backend: str
    ) -> None:
        kept = [*dict.fromkeys(var for history in captured.histories for var in history.kept)]
        result = captured.result, [tuple(history.results) for history in captured.histories], ARENA
        super().__init__(replace(captured, result=result, kept=kept), arguments, bare, backend, Arena(kept))
        self.backs = [Back(history, self, backend) for history in captured.histories]

    @cached_property
    def call(self) -> Callable[[tuple[Any, ...]], Any]:
        """Return the function of the arguments that runs the step once, and gives its results their
        history."""
        run, given = super().call, self.memory.given

        def call(args: tuple[Any, ...]) -> Any:
            result, parts, memory = run(args)
            for back, results in zip(self.backs, parts, strict=True):
                back.connect(results, memory, lambda x: args[given[x]] if x in given else x)
            return result

        return call


class CompiledFunction(Function):
    """What stands in the graph for a call of a compiled function."""

    @staticmethod
    def forward(
        ctx: Any, back: Back, results: Any, memory: Any, inputs: list[Tensor], *leaves: Tensor
    ) -> Any:
        """Return the results, which are computed already. memory: what the step has left for the way back;
        inputs: the Tensors that this reads."""
        ctx.set_materialize_grads(False)
        ctx.back, ctx.memory, ctx.leaves, ctx.time = back, memory, leaves, next(clock)
        # Not the results themselves, which lead here.
        ctx.read = [(None, x._array) for x in results] + [(x, x._array) for x in inputs]
        if back.saves:  # so that a second backward is refused
            ctx.save_for_backward(wrap(np.zeros(0)))
        return results

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        """Return the gradients of the leaves."""
        upstream = {place: grad for place, grad in enumerate(grads) if grad is not None}
        known = tuple(upstream) in ctx.back.history.back and not is_grad_enabled()
        go = ctx.back.go_back if known else ctx.back.go_back_eagerly
        return None, None, None, None, *go(ctx, upstream)


class Back:
    """The ways back from results that depend on one another, each compiled when a backward first takes it."""

    def __init__(self, history: History, step: HistoryStep, backend: str) -> None:
        self.history, self._step, self._arena, self._backend = history, step, step.arena, backend
        ways = history.ways
        for way in ways:
            forget_values(way.instructions)
        for returned in history.results:
            returned.tensor = wrap(returned.tensor._array)  # without the graph of the first call
        self._inputs = [*dict.fromkeys(memory for way in ways for memory in way.inputs)]
        self.saves = any(way.saved or way.inputs for way in history.back.values())
        # The place of what is not in the arena, among the results and the inputs.
        variables = [*(x.var for x in history.results), *(x.before for x in self._inputs)]
        self._places = {var: i for i, var in enumerate(variables)}
        self.steps: dict[tuple[int, ...], Step] = {}
        self._lock = new_lock()

    def connect(self, results: tuple[Tensor, ...], memory: Any, now: Callable[[Tensor | None], Any]) -> None:
        """Give results of the step their history. now: gives the argument in the place of another."""
        inputs = [now(cell.owner) for cell in self._inputs]
        inputs = [x if isinstance(x, Tensor) else wrap(x) for x in inputs]
        leaves = map(now, self.history.leaves)
        outputs = CompiledFunction.apply(self, results, memory, inputs, *leaves)
        for tensor, output in zip(results, outputs, strict=True):
            tensor.edge = output.edge

    def go_back(self, ctx: Any, upstream: dict[int, Tensor]) -> list[Tensor | None]:
        """Return the gradients of the leaves. upstream: those of the results, by their places."""
        starts = tuple(upstream)
        way = self.history.back[starts]
        arrays = [*self._unchanged(ctx, way), *map(_in_order, upstream.values())]
        with self._lock:
            if starts not in self.steps:
                self.steps[starts] = self._compiled(way, arrays)
            results = self.steps[starts].call((ctx.memory, *map(wrap, arrays)))
        gradients = dict(zip(way.wanted, results, strict=True))
        return [None if var is None else gradients[var] for var in way.gradients]

    def _unchanged(self, ctx: Any, way: Way) -> list[Any]:
        """Return the arrays of what a way reads but in the arena. Raise RuntimeError where they were changed
        since the call."""
        arrays = []
        for tensor, array in (ctx.read[self._places[var]] for var in way.reads if var in self._places):
            if changed_since(array, ctx.time):
                raise RuntimeError(
                    "one of the variables needed for gradient computation has been modified by an inplace "
                    f"operation: a Tensor of shape {tuple(array.shape)} that a compiled function has read or "
                    "returned; change a clone() of it instead"
                )
            if tensor is not None and tensor.edge is not None and tensor._array is not array:
                raise RuntimeError(
                    f"other data, of shape {tuple(tensor.shape)}, was assigned to a Tensor that a compiled "
                    "function has read, before backward(); call backward() first"
                )
            arrays.append(array)
        return arrays

    def _compiled(self, way: WayBack, arrays: list[Any]) -> Step:
        """Return a way back as a step, whose arguments are the memory of the arena and what else it is given.
        arrays: those that it is given first."""
        read = [*(var for var in way.reads if var in self._places), *way.upstream]
        tensors = [wrap(_like(array)) for array in arrays]
        cells = [Memory(x, t._array, before=x, owner=t) for x, t in zip(read, tensors, strict=True)]
        captured = Captured(
            instructions=way.instructions,
            cells=cells,
            draws=[],
            numbers=[],
            checks=[],
            gradients=[],
            needs=[],
            rebound=[],
            noted=[],
            result=tuple(Returned(wrap(var.value), var, None) for var in way.wanted),
            layouts=way.layouts,
            names={var: name for var, name in self._step.captured.names.items() if var in {*way.reads}},
            found=[var for var in way.saved if var not in self._places],
        )
        for backend in (self._backend, "numpy"):
            try:
                step = Step(captured, dict(enumerate(tensors, 1)), set(), backend, self._arena)
                step.call  # noqa: B018 - compiles it
            except (UnsupportedError, NoCompilerError) as error:
                if backend != "auto":
                    raise
                warn_once(f"{error}; backward() runs as straight-line NumPy instead")
            else:
                break
        self._step.source += f"\n{step.source}" if step.source else ""
        self._step.fused += step.fused
        return step

    def go_back_eagerly(self, ctx: Any, upstream: dict[int, Tensor]) -> list[Tensor | None]:
        """Return the gradients of the leaves, with a history where one is recorded: what led to the results
        is computed once more, as eager code."""
        forward = self.history.forward
        if forward.changed:
            raise NotImplementedError(
                "gradients of this compiled function can't be differentiated (create_graph=True), for it "
                "changes what it reads: call the function itself"
            )
        self._unchanged(ctx, forward)
        values = {var: ctx.read[self._places[var]][0] for var in forward.reads if var in self._places}

        def tensor(x: Any) -> Any:
            if not isinstance(x, Var):
                return x
            if x not in values:
                saved = x in self._arena.offsets
                values[x] = wrap(self._arena.array(ctx.memory, x).copy() if saved else x.value)
            return values[x]

        recorded = is_grad_enabled()
        with unobserved(), enable_grad():
            for step in forward.instructions:
                operands = [tensor(x) for x in step.inputs]
                parameters = substitute(
                    step.parameters, lambda x: tensor(x)._array if isinstance(x, Var) else x
                )
                operands = [operands] if step.operation.variadic else operands
                values[step.output] = step.operation.call(*operands, *parameters)
            results = [values[forward.wanted[place]] for place in upstream]
            grads = [*upstream.values()]
            return [*gradients_of(results, ctx.leaves, grads, create_graph=recorded, allow_unused=True)]


def _in_order(grad: Tensor) -> Any:
    """Return the array of a gradient in the order in memory that compiled code reads."""
    array = grad._array
    usual = array.flags.aligned and array.strides == np.empty(array.shape, array.dtype).strides
    return array if usual else np.array(array, order="C")


def _like(array: Any) -> Any:
    """Return an array of the same shape, dtype and strides, that is only read."""
    steps = tuple(step // array.itemsize for step in array.strides)
    as_it_is = not array.size or min(steps, default=0) < 0
    like = array.view() if as_it_is else stand_in(array.shape, array.dtype, steps)
    like.flags.writeable = False
    return like
