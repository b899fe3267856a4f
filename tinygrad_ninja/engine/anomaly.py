"""Where a NaN or an infinity comes from: the operation, and the line of the program that called it."""

from __future__ import annotations

from traceback import FrameSummary
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..arrays.dispatch import NAMESPACES
from .callers import callers
from .hook import Observer, find, observe_alone

if TYPE_CHECKING:
    from .node import Node
    from .value import Value


class Anomaly(Observer):
    """Notes at each node the lines that led to it; with `check_nan` also looks at what was computed."""

    def __init__(self, check_nan: bool) -> None:
        self.check_nan = check_nan

    def recorded(self, node: Node | Value) -> None:
        node.lines = [*callers()][::-1]
        if self.check_nan and node.op is not None and node.values is not None:
            check_result(node.op.name, node.values[0], node.values[1:], node.lines)
        super().recorded(node)


def is_anomaly_enabled() -> bool:
    """Return whether this thread is watched."""
    return find(Anomaly) is not None


def is_anomaly_check_nan_enabled() -> bool:
    """Return whether this thread's numbers are checked."""
    watching = find(Anomaly)
    return watching is not None and watching.check_nan


class set_detect_anomaly:  # noqa: N801 - PyTorch's name
    """Watch this thread where `mode` is true: for good, or inside `with set_detect_anomaly(True):` only.

    Every recorded operation then remembers the line that called it (`Node.metadata["traceback_"]`). With
    `check_nan`, an operation or a backward rule that makes a NaN, or an infinity of finite numbers, raises
    RuntimeError, which names the operation and that line; so does one to which a NaN is brought from outside
    of the record, as in the data. Infinities may be brought: a mask is made of them.
    """

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        self._before = _watch(check_nan if mode else None)

    def __enter__(self) -> None:
        """It was set when this was made."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        _watch(self._before)


class detect_anomaly(set_detect_anomaly):  # noqa: N801 - PyTorch's name
    """`with detect_anomaly():` watches this thread, as `set_detect_anomaly` says. It takes time."""

    def __init__(self, check_nan: bool = True) -> None:
        super().__init__(True, check_nan)


def _watch(check_nan: bool | None) -> bool | None:
    """Watch this thread from here on, or with None do not; return what was so far."""
    before = find(Anomaly)
    observe_alone(Anomaly, None if check_nan is None else Anomaly(check_nan))
    return None if before is None else before.check_nan


def described(lines: list[FrameSummary] | None) -> str:
    """Return the innermost of the lines, in words."""
    if not lines:
        return "at a line that was not watched"
    last = lines[-1]
    return f"at {last.filename}:{last.lineno}, in {last.name}: {last.line}"


def check_result(name: str, result: Any, inputs: tuple[Any, ...], lines: list[FrameSummary]) -> None:
    """Raise RuntimeError where the result has a NaN, or an infinity that was in none of the inputs."""
    wrong = _wrong(result, inputs)
    if wrong:
        raise RuntimeError(f"{name} {wrong} {described(lines)}")


def check_gradient(
    name: str, place: int, gradient: Any, given: tuple[Any, ...], lines: list[FrameSummary] | None
) -> None:
    """Raise RuntimeError where what a backward rule gives has a NaN, or an infinity that was in nothing it
    was given."""
    wrong = _wrong(gradient, given)
    if wrong:
        raise RuntimeError(
            f"the backward of {name} {wrong} in the gradient of its input {place + 1}; it was called "
            f"{described(lines)}"
        )


def _wrong(result: Any, inputs: tuple[Any, ...]) -> str:
    """Return what is wrong with the result, in words; nothing where all is well."""
    nan, infinite = _not_finite(result)
    if not nan and not infinite:
        return ""
    before = [_not_finite(x) for x in inputs]
    if nan:
        return "passed on a NaN that it was given" if any(nan for nan, _ in before) else "made NaN"
    return "" if any(map(any, before)) else "made an infinity"


def _not_finite(x: Any) -> tuple[bool, bool]:
    """Return whether there are NaNs in a number or an array, and whether there are infinities."""
    x = getattr(x, "array", x)
    if isinstance(x, (bool, int)) or not (isinstance(x, float) or hasattr(x, "dtype")):
        return False, False
    xp = NAMESPACES[type(x)]
    if xp.is_integral(x):
        return False, False
    if isinstance(x, float):
        return xp.isnan(x), xp.isinf(x)
    return bool(xp.isnan(x).any()), bool(xp.isinf(x).any())
