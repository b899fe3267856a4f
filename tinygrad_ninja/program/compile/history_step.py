"""A step whose results have a history: `backward()`, called on them later, runs compiled code too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple
from weakref import ref

import numpy as np

from ...engine.grad_mode import enable_grad, is_grad_enabled
from ...engine.node import Node, clock
from ...engine.own_function import Function
from ...engine.tensor import Tensor, wrap
from ...engine.thread_state import new_lock
from ...engine.versions import changed_since
from .c.build import NoCompilerError
from .called_again import CalledAgain
from .first_call import FirstCall
from .lowering.lower import forget_values
from .memory import Arena
from .recording.captured import ARENA, Captured
from .recording.histories import MOST, History, WayBack
from .recording.outputs import Returned
from .recording.recorded import Memory
from .recording.shapes import stand_in
from .refusals import UnsupportedError, warn_once
from .results import leaves as leaves_of
from .step import Step


class HistoryStep(Step):
    """A step, and the ways back from its results. What these read of the step it leaves in an arena."""

    def __init__(self, call: FirstCall, backend: str) -> None:
        assert isinstance(call.captured, Captured)
        captured, histories = call.captured, call.captured.histories
        self.again = CalledAgain(call, captured)
        most = max(len(history.results) for history in histories)
        if most > MOST and not self.again.is_possible:
            raise UnsupportedError(
                f"{most} results, or what they have in common, still need a history of their own; at most "
                f"{MOST} may, where the function changes what it reads"
            )
        returned = (x for x in leaves_of(captured.result) if isinstance(x, Returned))
        # What the step computes and returns, each once.
        self.returned = [*dict.fromkeys(x for x in returned if x.var is not None and x.node is None)]
        handed_out = {x.var for x in self.returned}
        saved = dict.fromkeys(var for history in histories for var in history.saved)
        kept = [var for var in saved if var not in handed_out]
        captured = replace(captured, result=(captured.result, tuple(self.returned), ARENA), kept=kept)
        super().__init__(captured, call.arguments, call.bare, backend, Arena(kept))
        self._backs = [Back(history, self, backend) for history in histories]

    @cached_property
    def call(self) -> Callable[[tuple[Any, ...]], Any]:
        """Return the function of the arguments that runs the step once, and gives its results their
        history."""
        run, given = super().call, self.memory.given
        holders: list[Any] = [cell.owner for cell in self.captured.cells]
        owners = [(x, given.get(x)) for x in holders]

        def call(args: tuple[Any, ...]) -> Any:
            marks = [generator.mark() for generator in self.again.generators]
            result, computed, memory = run(args)
            made = dict(zip(self.returned, computed, strict=True))

            def now(x: Any) -> Any:
                return made[x] if isinstance(x, Returned) else args[given[x]] if x in given else x

            inputs = [x if place is None else args[place] for x, place in owners]
            inputs = [x if isinstance(x, Tensor) else wrap(x) for x in inputs]
            # Not the results themselves, which lead here.
            read = [*((None, x._array) for x in computed), *((x, x._array) for x in inputs)]
            left = Left(memory, args, marks, read, {})
            with enable_grad():  # as the function may have done, under the caller's no_grad()
                for back in self._backs:
                    back.connect(made, left, now)
            return result

        return call


class Left(NamedTuple):
    """What a call leaves for the ways back: the memory of the arena, its arguments, where the generators were
    before, what else they may read, the inputs as Tensors, each with its array, and the nodes of its results,
    as long as they live."""

    memory: Any
    args: tuple[Any, ...]
    marks: list[Any]
    read: list[tuple[Tensor | None, Any]]
    nodes: dict[Returned, ref[Node]]


class CompiledFunction(Function):
    """What stands in the graph for a call of a compiled function."""

    @staticmethod
    def forward(ctx: Any, back: Back, results: Any, left: Left, *leaves: Tensor) -> Any:
        """Return the results, which are computed already."""
        ctx.set_materialize_grads(False)
        ctx.back, ctx.left, ctx.time = back, left, next(clock)
        ctx.leaves, ctx.edges = leaves, [x.edge for x in leaves]
        if back.saves:  # so that a second backward is refused
            ctx.save_for_backward(wrap(np.zeros(0)))
        return results

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        """Return the gradients of the leaves."""
        upstream = {place: grad for place, grad in enumerate(grads) if grad is not None}
        known = tuple(upstream) in ctx.back.history.ways and not is_grad_enabled()
        go = ctx.back.go_back if known else ctx.back.go_back_eagerly
        return None, None, None, *go(ctx, upstream)


class Back:
    """The ways back from results that depend on one another, each compiled when a backward first takes it;
    where none serves, the function is called once more."""

    def __init__(self, history: History, step: HistoryStep, backend: str) -> None:
        self.history, self._step, self._backend = history, step, backend
        ways = history.ways.values()
        for way in ways:
            forget_values(way.instructions)
        for result in history.results:  # without the graph of the first call
            array = result.tensor._array
            result.tensor = wrap(
                array if result.var is not None else np.broadcast_to(array.dtype.type(), array.shape)
            )
        self.saves = any(way.saved or way.inputs for way in ways)
        # The place of what is not in the arena, among what the step returns and the inputs.
        variables = [*(x.var for x in step.returned), *(x.before for x in step.captured.cells)]
        self._places = {var: i for i, var in enumerate(variables)}
        self.steps: dict[tuple[int, ...], Step] = {}
        self._lock = new_lock()

    def connect(self, made: dict[Returned, Tensor], left: Left, now: Callable[[Any], Any]) -> None:
        """Give results of the step their history. made: what the step has returned, to which the parts are
        added; now: gives the Tensor of this call in the place of another, or of a result."""
        for part in self.history.results:
            if part.var is None:
                made[part] = wrap(part.tensor._array)
        results = tuple([made[x] for x in self.history.results])
        leaves = map(now, self.history.leaves)
        outputs = CompiledFunction.apply(self, results, left, *leaves)
        for returned, output in zip(self.history.results, outputs, strict=True):
            made[returned].edge = output.edge
            left.nodes[returned] = ref(output.edge)

    def go_back(self, ctx: Any, upstream: dict[int, Tensor]) -> list[Tensor | None]:
        """Return the gradients of the leaves. upstream: those of the results, by their places."""
        starts = tuple(upstream)
        way = self.history.ways[starts]
        arrays = [*self._unchanged(ctx, way), *map(_in_order, upstream.values())]
        with self._lock:
            if starts not in self.steps:
                self.steps[starts] = self._compiled(way, arrays)
            results = self.steps[starts].call((ctx.left.memory, *map(wrap, arrays)))
        gradients = dict(zip(way.wanted, results, strict=True))
        return [None if var is None else gradients[var] for var in way.gradients]

    def _unchanged(self, ctx: Any, way: WayBack) -> list[Any]:
        """Return the arrays of what a way reads but in the arena. Raise RuntimeError where they were changed
        since the call."""
        arrays = []
        for tensor, array in (ctx.left.read[self._places[var]] for var in way.reads if var in self._places):
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
            result=tuple(Returned(wrap(var.value), var, None) for var in way.wanted),
            layouts=way.layouts,
            names={var: name for var, name in self._step.captured.names.items() if var in {*way.reads}},
            found=[var for var in way.saved if var not in self._places],
        )
        for backend in (self._backend, "numpy"):
            try:
                step = Step(captured, dict(enumerate(tensors, 1)), set(), backend, self._step.arena)
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
        """Return the gradients of the leaves, with a history where one is recorded, by a call of the function
        once more."""
        for way in self.history.ways.values():
            self._unchanged(ctx, way)
        return self._step.again.gradients(self.history, ctx, upstream)


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
