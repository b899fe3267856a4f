"""The record of what was computed: the nodes, whether to make them, and what was written to since.

Every operation on a Tensor that requires a gradient leaves a `Node`: which operation it was, the nodes of its
inputs, and the values that its backward rules ask for.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from itertools import count
from threading import get_ident
from traceback import FrameSummary
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import ref

from .hook import observers, observing
from .kinds import kind_of

if TYPE_CHECKING:
    from .ops.table import Operation
    from .tensors import Tensor

_F = TypeVar("_F", bound=Callable[..., Any])

# Counts down: the youngest node has the smallest number, and a heap hands out the smallest first.
clock = count(0, -1)


class Hooks(dict[int, Callable[["Tensor"], "Tensor | None"]]):
    """What a gradient is handed to, by number and in order, and whether it is to be kept afterwards."""

    keep = False


class Node:
    """One recorded operation; or, where `op` is None, a leaf, in which gradients come to rest.

    edges: the nodes of the operation's inputs, None where an input requires no gradient.
    values: (output, *inputs, *parameters) as arrays; None once backward has freed them.
    order: falls with every node made, so that a smaller one is younger.
    hooks: what is done with the gradient on its way; None for most.
    lines: the lines of the program that led to it; there only where `detect_anomaly` watched.
    """

    __slots__ = ("__weakref__", "_grad", "edges", "hooks", "lines", "op", "order", "values")
    lines: list[FrameSummary]

    def __init__(
        self, op: Operation | None, edges: tuple[Node | None, ...], values: tuple[Any, ...] | None
    ) -> None:
        self.op = op
        self.edges = edges
        self.values = values
        self.order = next(clock)
        self._grad: Tensor | None = None
        self.hooks: Hooks | None = None
        if observers and (observer := observing()):
            observer.recorded(self)

    @property
    def grad(self) -> Tensor | None:
        """The gradient kept, for a leaf or where `retain_grad` asked for it."""
        if observers and (observer := observing()):
            return observer.read_grad(self)
        return self._grad

    @grad.setter
    def grad(self, grad: Tensor | None) -> None:
        if observers and (observer := observing()):
            observer.write_grad(self, grad)
        else:
            self._grad = grad

    @property
    def metadata(self) -> dict[str, Any]:
        """Under "traceback_", the lines that led to this operation, where `detect_anomaly` watched."""
        return {"traceback_": self.lines} if hasattr(self, "lines") else {}

    @property
    def name(self) -> str:
        """The name PyTorch gives to such a node, as `grad_fn` prints it."""
        return "AccumulateGrad" if self.op is None else self.op.torch_name

    @property
    def next_functions(self) -> tuple[tuple[Node | None, int], ...]:
        return tuple((edge, 0) for edge in self.edges)

    def __repr__(self) -> str:
        return f"<{self.name}>"


def succeed(old: Node | None, new: Node) -> Node:
    """`new`, the history of a Tensor that was changed in place: a gradient that was to be kept is kept there
    from now on. The hooks stay with `old`."""
    if old is not None and old.hooks is not None and old.hooks.keep:
        old.hooks.keep = False
        new.hooks = new.hooks or Hooks()
        new.hooks.keep = True
        new.grad, old.grad = old.grad, None
    return new


# -- whether to record ---------------------------------------------------------------------------------------

paused: dict[int, int] = {}  # the threads that record nothing now; a dict, since its lookups need no lock


def is_grad_enabled() -> bool:
    """Whether operations are recorded in this thread now."""
    return not paused or get_ident() not in paused


def _set_mode(mode: bool) -> None:
    if mode:
        paused.pop(get_ident(), None)
    else:
        paused[get_ident()] = 1


class _GradMode:
    """Context manager and decorator that sets whether this thread records; what was set before comes back."""

    def __init__(self, mode: bool) -> None:
        self._mode = mode
        self._before = True

    def __enter__(self) -> None:
        self._before = is_grad_enabled()
        _set_mode(self._mode)

    def __exit__(self, *exc: object) -> None:
        _set_mode(self._before)

    def __call__(self, function: _F) -> _F:
        if inspect.isgeneratorfunction(function):
            return self._generating(function)  # type: ignore[return-value]

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with type(self)(self._mode):
                return function(*args, **kwargs)

        return wrapper  # type: ignore[return-value]

    def _generating(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A generator function that runs in this mode, and is left in its caller's whenever it yields."""

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            generator = function(*args, **kwargs)
            resume: Callable[[], Any] = functools.partial(next, generator)
            while True:
                try:
                    with type(self)(self._mode):
                        value = resume()
                except StopIteration as end:
                    return end.value
                try:
                    resume = functools.partial(generator.send, (yield value))
                except GeneratorExit:
                    with type(self)(self._mode):
                        generator.close()
                    raise
                except BaseException as error:
                    resume = functools.partial(generator.throw, error)

        return wrapper


class set_grad_enabled(_GradMode):  # noqa: N801 - PyTorch's name
    """Record from here on where `mode` is true, and do not where it is false: for good, or inside
    `with set_grad_enabled(mode):` only."""

    def __init__(self, mode: bool) -> None:
        super().__init__(mode)
        super().__enter__()

    def __enter__(self) -> None:
        """It was set when this was made."""

    def __call__(self, function: _F) -> _F:
        self.__exit__()
        return super().__call__(function)


class no_grad(_GradMode):  # noqa: N801 - PyTorch's name
    """Inside `with no_grad():`, or in a function under `@no_grad()`, this thread records nothing."""

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        return object.__new__(cls) if function is None or not callable(function) else no_grad()(function)

    def __init__(self, mode: bool = False) -> None:
        super().__init__(False)


class enable_grad(_GradMode):  # noqa: N801 - PyTorch's name
    """Inside `with enable_grad():` this thread records, also within `no_grad`."""

    def __init__(self, mode: bool = True) -> None:
        super().__init__(True)


# -- what was changed in place -------------------------------------------------------------------------------


class _Changes:
    """What is known of one storage: how often it was written to, and when last, as a node's `order` tells."""

    __slots__ = ("count", "last", "storage")

    def __init__(self, storage: Any) -> None:
        self.count, self.last = 0, 1
        key, forget = id(storage), _changes.pop
        self.storage = ref(storage, lambda _: forget(key, None))


_changes: dict[int, _Changes] = {}  # by the id of the storage, and no longer than it lives
last_change = 1


def note_change(array: Any) -> None:
    """Remember that the memory of `array` has been written to, for the check that backward makes."""
    global last_change
    storage = kind_of(array).storage(array)
    changes = _changes.get(id(storage))
    if changes is None:
        changes = _changes[id(storage)] = _Changes(storage)
    changes.count += 1
    changes.last = last_change = next(clock)


def changes_of(array: Any) -> _Changes | None:
    return _changes.get(id(kind_of(array).storage(array)))


def version_of(array: Any) -> int:
    """How often the memory of `array` has been written to."""
    changes = changes_of(array)
    return 0 if changes is None else changes.count
