"""Whether operations are recorded in this thread: `no_grad`, `enable_grad`, `set_grad_enabled`,
`inference_mode`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from threading import get_ident
from typing import Any, TypeVar

from .hook import find, observe_alone
from .inference import Inference
from .thread_state import ByThread

_F = TypeVar("_F", bound=Callable[..., Any])

paused: ByThread[int] = ByThread()
"""The threads that record nothing now."""


def is_grad_enabled() -> bool:
    """Return whether operations are recorded in this thread now."""
    return not paused or get_ident() not in paused


def _set_mode(mode: bool) -> None:
    if mode and find(Inference) is None:  # under inference_mode nothing is recorded, whoever enables it
        paused.pop(get_ident(), None)
    else:
        paused[get_ident()] = 1


class _GradMode:
    """Context manager and decorator that sets whether this thread records; what was set before comes back."""

    def __init__(self, mode: bool) -> None:
        self._mode = mode
        self._before = True

    def _again(self) -> _GradMode:
        """Return another of the same mode: a decorated function may be entered more than once at a time."""
        return type(self)(self._mode)

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
            with self._again():
                return function(*args, **kwargs)

        return wrapper  # type: ignore[return-value]

    def _generating(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a generator function that runs in this mode, and yields in its caller's."""

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            generator = function(*args, **kwargs)
            resume: Callable[[], Any] = functools.partial(next, generator)
            while True:
                try:
                    with self._again():
                        value = resume()
                except StopIteration as end:
                    return end.value
                try:
                    resume = functools.partial(generator.send, (yield value))
                except GeneratorExit:
                    with self._again():
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


class inference_mode(_GradMode):  # noqa: N801 - PyTorch's name
    """Inside `with inference_mode():`, or in a function under `@inference_mode()`, this thread records
    nothing, as in `no_grad`; with mode=False it records.

    The memory that is made there is an inference tensor's: outside, backward may not rely on it, and it may
    not be changed in place; both raise RuntimeError, until it is copied by `clone()`.
    """

    def __new__(cls, mode: Any = True) -> Any:
        return inference_mode()(mode) if callable(mode) else object.__new__(cls)

    def __init__(self, mode: bool = True) -> None:
        super().__init__(not mode)
        self._outer: Inference | None = None

    def _again(self) -> _GradMode:
        return inference_mode(not self._mode)

    def __enter__(self) -> None:
        self._outer = find(Inference)
        if self._mode != (self._outer is None):  # it is not as it shall be
            observe_alone(Inference, None if self._mode else Inference())
        super().__enter__()

    def __exit__(self, *exc: object) -> None:
        if self._mode != (self._outer is None):
            observe_alone(Inference, self._outer)
        super().__exit__(*exc)
