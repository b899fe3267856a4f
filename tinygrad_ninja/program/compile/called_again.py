"""A compiled function called once more, as eager code, for gradients that its ways back do not give."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...engine.grad_mode import enable_grad, is_grad_enabled
from ...engine.gradients import grad as gradients_of
from ...engine.node import clock
from ...engine.tensor import Tensor
from ...engine.versions import changed_since
from .first_call import FirstCall
from .recording.captured import Captured
from .recording.histories import History, at, cut, levels_of, value_of, younger
from .recording.outputs import Returned
from .results import leaves as leaves_of

if TYPE_CHECKING:
    from .history_step import Left


class CalledAgain:
    """The function, to be called for what a call was given: for gradients that are to be differentiated in
    their turn, or that begin at some among many results.

    call: the recorded one; captured: what it did. generators: those that it draws from.
    """

    def __init__(self, call: FirstCall, captured: Captured) -> None:
        self._first = call if call.may_repeat else None
        self._result, self._histories = captured.result, captured.histories
        self.generators = [*dict.fromkeys(draw.generator for draw in captured.draws)]

    @property
    def is_possible(self) -> bool:
        """Return whether the function may be called once more at all."""
        return self._first is not None

    def gradients(self, history: History, ctx: Any, upstream: dict[int, Tensor]) -> list[Tensor | None]:
        """Return the gradients of a history's leaves, with a history of their own where one is recorded. ctx:
        that of the call's node in the graph; upstream: the gradients of the results, by their places.
        NotImplementedError where the function would not compute the same once more."""
        if any(x is not None and (x._array is not a or changed_since(a, ctx.time)) for x, a in ctx.left.read):
            raise _not_again("what it reads has changed")
        start, recorded = next(clock), is_grad_enabled()
        results = self._results(ctx.left)
        made = [results[x].edge for other in self._histories for x in other.results if x in results]
        # Its graph is cut as the recorded one was: what is below a result belongs to that one's way back.
        levels, passed = levels_of(made, start)
        places = {x: at(results[x]._array, results[x].edge) for x in history.results if x in results}
        places |= {x: at(value_of(node), node) for x, node in zip(history.passed, passed, strict=True)}
        ends = cut(levels)
        now = [
            places[x].edge if isinstance(x, Returned) else edge
            for x, edge in zip(history.leaves, ctx.edges, strict=True)
        ]
        goals = {i: at(ctx.leaves[i]._array, ends[node]) for i, node in enumerate(now) if node in ends}
        gradients = gradients_of(
            [places[history.results[place]] for place in upstream],
            [*goals.values()],
            [*upstream.values()],
            create_graph=recorded,
            allow_unused=True,
        )
        # What was recorded leads on to the graph of the call that was made before, not to this one.
        edges = {goal.edge: ctx.edges[i] for i, goal in goals.items()}
        edges |= {places[x].edge: ctx.left.nodes[x]() for x in history.results if x.var is not None}
        for node in younger([grad.edge for grad in gradients if grad is not None], start):
            node.edges = tuple(edges.get(edge) or edge for edge in node.edges)
        found = dict(zip(goals, gradients, strict=True))
        return [found.get(i) for i in range(len(now))]

    def _results(self, left: Left) -> dict[Returned, Tensor]:
        """Call the function once more for what a call was given, as eager code, and return its results with
        their own history. Raise NotImplementedError where it would not do the same."""
        now = [generator.mark() for generator in self.generators]
        with enable_grad():
            if self._first is None:
                raise _not_again("it changes what it reads")
            if not self._first.world.holds():
                raise _not_again("what it reads has changed")
            try:
                for generator, mark in zip(self.generators, left.marks, strict=True):
                    generator.return_to(mark)
                result = self._first.repeat(left.args)
            finally:
                for generator, mark in zip(self.generators, now, strict=True):
                    generator.return_to(mark)
        pairs = zip(leaves_of(self._result), leaves_of(result), strict=True)
        return {returned: x for returned, x in pairs if isinstance(returned, Returned)}


def _not_again(why: str) -> NotImplementedError:
    """Return the error that says why a function can't be called once more for a backward."""
    return NotImplementedError(
        "such gradients of a compiled function's results (create_graph=True, or of some among many) can't be "
        f"computed, for {why}: call the function itself, not compiled"
    )
