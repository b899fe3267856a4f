"""A step whose results have a history: `backward()`, called on them later, runs compiled code too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from ...engine.grad_mode import enable_grad, is_grad_enabled
from ...engine.gradients import grad as gradients_of
from ...engine.node import clock
from ...engine.own_function import Function
from ...engine.tensor import Tensor, wrap
from ...engine.thread_state import new_lock
from ...engine.versions import changed_since
from .c.build import NoCompilerError
from .first_call import FirstCall
from .lowering.lower import forget_values
from .memory import Arena
from .recording.captured import ARENA, Captured
from .recording.histories import MOST, History, WayBack, younger
from .recording.outputs import Returned
from .recording.recorded import Memory
from .recording.shapes import stand_in
from .refusals import UnsupportedError, warn_once
from .results import leaves as leaves_of
from .step import Step


class HistoryStep(Step):
    """A step, and the ways back from its results. What these read of the step it leaves in an arena.

    first: the call that was recorded; None where the function can't be called once more for what a later
    call was given."""

    def __init__(self, call: FirstCall, backend: str) -> None:
        assert isinstance(call.captured, Captured)
        captured, histories = call.captured, call.captured.histories
        self.first = call if call.may_repeat else None
        most = max(len(history.results) for history in histories)
        if most > MOST and self.first is None:
            raise UnsupportedError(
                f"{most} results that depend on one another still need their history; at most {MOST} may, "
                "where the function changes what it reads"
            )
        kept = [*dict.fromkeys(var for history in histories for var in history.kept)]
        result = captured.result, [tuple(history.results) for history in histories], ARENA
        captured = replace(captured, result=result, kept=kept)
        super().__init__(captured, call.arguments, call.bare, backend, Arena(kept))
        self.generators = [*dict.fromkeys(draw.generator for draw in captured.draws)]
        self.backs = [Back(history, self, backend) for history in histories]

    @cached_property
    def call(self) -> Callable[[tuple[Any, ...]], Any]:
        """Return the function of the arguments that runs the step once, and gives its results their
        history."""
        run, given = super().call, self.memory.given

        def call(args: tuple[Any, ...]) -> Any:
            marks = [generator.mark() for generator in self.generators]
            result, parts, memory = run(args)
            for back, results in zip(self.backs, parts, strict=True):
                back.connect(
                    results, Left(memory, args, marks), lambda x: args[given[x]] if x in given else x
                )
            return result

        return call

    def repeated(self, left: Left, args: list[Any]) -> dict[Returned, Tensor]:
        """Call the function once more for what a call was given, as eager code, and return its results with
        their own history. args: its arguments. Raise NotImplementedError where it would not do the same."""
        now = [generator.mark() for generator in self.generators]
        with enable_grad():
            if self.first is None:
                raise _not_again("it changes what it reads")
            if not self.first.world.holds():
                raise _not_again("what it reads has changed")
            try:
                for generator, mark in zip(self.generators, left.marks, strict=True):
                    generator.return_to(mark)
                result = self.first.repeat((*args,))
            finally:
                for generator, mark in zip(self.generators, now, strict=True):
                    generator.return_to(mark)
        pairs = zip(leaves_of(self.captured.result[0]), leaves_of(result), strict=True)
        return {returned: x for returned, x in pairs if isinstance(returned, Returned)}


class Left(NamedTuple):
    """What a call leaves for the way back: the memory of the arena, its arguments, and where the generators
    were before."""

    memory: Any
    args: tuple[Any, ...]
    marks: list[Any]


class CompiledFunction(Function):
    """What stands in the graph for a call of a compiled function."""

    @staticmethod
    def forward(ctx: Any, back: Back, results: Any, left: Left, inputs: list[Tensor], *leaves: Tensor) -> Any:
        """Return the results, which are computed already. inputs: the Tensors that the step has read."""
        ctx.set_materialize_grads(False)
        ctx.back, ctx.left, ctx.leaves, ctx.time = back, left, leaves, next(clock)
        # Not the results themselves, which lead here.
        ctx.read = [(None, x._array) for x in results] + [(x, x._array) for x in inputs]
        if back.saves:  # so that a second backward is refused
            ctx.save_for_backward(wrap(np.zeros(0)))
        return results

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        """Return the gradients of the leaves."""
        upstream = {place: grad for place, grad in enumerate(grads) if grad is not None}
        known = tuple(upstream) in ctx.back.history.ways and not is_grad_enabled()
        go = ctx.back.go_back if known else ctx.back.go_back_eagerly
        return None, None, None, None, *go(ctx, upstream)


class Back:
    """The ways back from results that depend on one another, each compiled when a backward first takes it."""

    def __init__(self, history: History, step: HistoryStep, backend: str) -> None:
        self.history, self._step, self._arena, self._backend = history, step, step.arena, backend
        ways = history.ways.values()
        for way in ways:
            forget_values(way.instructions)
        for returned in history.results:
            returned.tensor = wrap(returned.tensor._array)  # without the graph of the first call
        self._inputs = step.captured.cells
        self.saves = any(way.saved or way.inputs for way in ways)
        # The place of what is not in the arena, among the results and the inputs.
        variables = [*(x.var for x in history.results), *(x.before for x in self._inputs)]
        self._places = {var: i for i, var in enumerate(variables)}
        self.steps: dict[tuple[int, ...], Step] = {}
        self._lock = new_lock()

    def connect(self, results: tuple[Tensor, ...], left: Left, now: Callable[[Tensor | None], Any]) -> None:
        """Give results of the step their history. now: gives the argument in the place of another."""
        inputs = [now(cell.owner) for cell in self._inputs]
        inputs = [x if isinstance(x, Tensor) else wrap(x) for x in inputs]
        leaves = map(now, self.history.leaves)
        with enable_grad():  # as the function may have done, under the caller's no_grad()
            outputs = CompiledFunction.apply(self, results, left, inputs, *leaves)
        for tensor, output in zip(results, outputs, strict=True):
            tensor.edge = output.edge

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
        for way in self.history.ways.values():
            self._unchanged(ctx, way)
        if any(x is not None and (x._array is not a or changed_since(a, ctx.time)) for x, a in ctx.read):
            raise _not_again("what it reads has changed")
        start, recorded = next(clock), is_grad_enabled()
        # Arguments with a history are leaves meanwhile: what is below them is not asked for.
        given = {id(x): x for x in ctx.left.args if isinstance(x, Tensor) and not x.is_leaf}
        instead = {key: x.detach().requires_grad_() for key, x in given.items()}
        results = self._step.repeated(ctx.left, [instead.get(id(x), x) for x in ctx.left.args])
        gradients = gradients_of(
            [results[self.history.results[place]] for place in upstream],
            [instead.get(id(leaf), leaf) for leaf in ctx.leaves],
            [*upstream.values()],
            create_graph=recorded,
            allow_unused=True,
        )
        edges = {instead[key].edge: x.edge for key, x in given.items()}
        for node in {node for grad in gradients if grad is not None for node in younger(grad.edge, start)}:
            node.edges = tuple(edges.get(edge, edge) for edge in node.edges)
        return [*gradients]


def _not_again(why: str) -> NotImplementedError:
    """Return the error that says why a function can't be called once more for a backward."""
    return NotImplementedError(
        "such gradients of a compiled function's results (create_graph=True, or of some among many) can't be "
        f"computed, for {why}: call the function itself, not compiled"
    )


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
