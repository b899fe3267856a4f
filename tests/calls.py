"""`table_calls` with hypothesis for the source of the choices: it finds the smallest example that fails."""

from typing import Any

from hypothesis import strategies as st
from table_calls import SPELLING, Array, Call, answer, counterpart, draw_call, inside

from tinygrad_ninja.ops import Operation

__all__ = ["SPELLING", "Array", "Call", "answer", "calls", "counterpart", "inside"]


class Hypothesis:
    """The choices that hypothesis makes."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw

    def integer(self, low: int, high: int) -> int:
        number: int = self.draw(st.integers(low, high))
        return number

    def choice(self, options: Any) -> Any:
        return self.draw(st.sampled_from(options))

    def permutation(self, items: Any) -> list[Any]:
        order: list[Any] = self.draw(st.permutations(items))
        return order


@st.composite
def calls(
    draw: Any, entry: Operation, special: bool = False, scalars: bool = False
) -> tuple[Call, list[Array]]:
    """What `draw_call` draws."""
    return draw_call(Hypothesis(draw), entry, special, scalars)
