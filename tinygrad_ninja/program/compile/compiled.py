"""`tinygrad_ninja.compile`: a function that records itself, and runs compiled."""

from __future__ import annotations

import functools
import sys
import types
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from ...nn.module import Module
from ...tensors import Tensor, wrap
from ..instructions import Program, Var
from ..trace import ReadOutError
from .build import NoCompilerError, compiler
from .caller import ChangedError
from .capture import Captured, Recording
from .step import Step
from .tape import Recorded, UnsettledError, UnsupportedError

_NUMBERS = (float, int)
_PLAIN = (bool, int, float, str, bytes, type(None))


class CompileWarning(UserWarning):
    """A function runs slower than it might: it is recorded again, or not compiled at all; the message says
    why."""


def compile(
    fn: Callable[..., Any] | None = None,
    *,
    fullgraph: bool = False,
    backend: str = "auto",
    recompile_limit: int = 8,
) -> Any:
    """`fn`, a function over Tensors, compiled: forward, backward and update in eager code, run as C.

    The first call records it; results, parameters, gradients and the states of generators are what eager
    leaves. Arguments may be Tensors, NumPy arrays (which the function sees as Tensors) and Python numbers,
    which are read anew at each call; Tensors that it finds elsewhere are changed in place. Another shape or
    dtype, another number among the function's globals or closure, another setting of an optimizer records
    it again, up to `recompile_limit` recordings, with one warning.

    What can't be compiled, such as a value read out with item(), runs as eager code, with one warning that
    says why; with fullgraph=True it raises that sentence, which names the line. backend: "c", "numpy" (the
    same program as straight-line NumPy), or "auto": C where there is a compiler, else NumPy, with a warning.

    A Tensor that the function returns has no history. What is neither a Tensor, an argument, a Generator
    nor a number that the function names (an array, a list of numbers) is read once, when it is recorded.
    ValueError for another backend.
    """
    if fn is None:
        return functools.partial(
            compile, fullgraph=fullgraph, backend=backend, recompile_limit=recompile_limit
        )
    if backend not in ("auto", "c", "numpy"):
        raise ValueError(f'backend must be "auto", "c" or "numpy", not {backend!r}')
    return Compiled(fn, fullgraph, backend, recompile_limit)


class Compiled:
    """What `compile` returns. Called as the function; see there."""

    def __init__(self, fn: Callable[..., Any], fullgraph: bool, backend: str, limit: int) -> None:
        functools.update_wrapper(self, fn)
        self._fn, self._fullgraph, self._limit = fn, fullgraph, limit
        self._backend = _available(backend)
        self._steps: dict[Any, list[tuple[Step, Callable[[], bool]]]] = {}
        self._count = self._retries = 0
        self._eager = ""
        self._last: Step | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._eager:
            return self._run_eagerly(args, kwargs)
        key = None if not args and not kwargs else _signature(args, kwargs)
        values = (*args, *kwargs.values()) if kwargs else args
        known = self._steps.get(key)
        if known is not None:
            for step, holds in known:
                if holds():
                    try:
                        return step.call(values)
                    except ChangedError as error:
                        reason = str(error)
                        continue
                reason = "a value that the function reads was changed"
        else:
            reason = "arguments of other shapes or dtypes"
        return self._record(key, args, kwargs, reason)

    def source(self) -> str:
        """The C of the last recording; RuntimeError where nothing was recorded, or NumPy runs it."""
        step = self._recorded()
        if not step.source:
            raise RuntimeError("this step runs as straight-line NumPy: there is no C of it")
        return step.source

    @property
    def program(self) -> Program:
        """The instructions of the last recording."""
        return self._recorded().program

    @property
    def fused(self) -> list[str]:
        """The loops of the C, each with what is computed in it."""
        return self._recorded().fused

    def _recorded(self) -> Step:
        if self._last is None:
            raise RuntimeError(f"nothing is compiled: {self._eager or 'call the function once'}")
        return self._last

    # -- recording -------------------------------------------------------------------------------------------

    def _record(self, key: Any, args: tuple[Any, ...], kwargs: dict[str, Any], reason: str) -> Any:
        if self._count == 1:
            self._warn(
                f"{self._name} is recorded again, for {reason}; at most {self._limit} recordings are kept"
            )
        if self._count >= self._limit:
            return self._give_up(
                f"it was recorded {self._limit} times, the last time for {reason}", args, kwargs
            )
        step = None
        try:
            step, holds = self._capture(args, kwargs)
        except UnsettledError:
            pass
        except (UnsupportedError, ReadOutError, NoCompilerError) as error:
            return self._give_up(str(error), args, kwargs, error)
        except Exception:
            # Either the caller's mistake, which eager code will name, or what only eager code can do.
            result = self._run_eagerly(args, kwargs)
            self._give_up_after(sys.exc_info()[1])
            return result
        if step is None:  # a first call that makes what later ones use, such as an optimizer's state
            if self._retries >= 2:
                return self._give_up(
                    "it keeps a Tensor that it computed, for instance in a list; return it", args, kwargs
                )
            self._retries += 1
            return self._run_eagerly(args, kwargs)
        self._count += 1
        self._last = step
        self._steps.setdefault(key, []).insert(0, (step, holds))
        return step.call((*args, *kwargs.values()))

    def _capture(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        arguments: dict[int, Tensor] = {}
        recording = Recording()
        guard = Guard(self._fn)
        values = [*args, *kwargs.values()]
        for i, value in enumerate(values):
            if isinstance(value, (Tensor, np.ndarray)):
                values[i] = arguments[i] = _as_tensor(value)
        with recording:
            for i, value in enumerate(values):
                if type(value) in _NUMBERS:
                    values[i] = recording.argument(i, value)
            given, named = values[: len(args)], dict(zip(kwargs, values[len(args) :], strict=True))
            names: dict[Var, str] = {}
            result = _watched(self._fn, given, named, recording, names)
            captured: Captured | None = recording.captured(result)
            if not guard.holds():
                raise UnsupportedError(f"{self._name} changes a global or a closure's variable that it reads")
        del result, given, named, values
        if recording.escaped():
            return None, None
        assert captured is not None
        captured.names = names
        bare = {i for i, value in enumerate((*args, *kwargs.values())) if isinstance(value, np.ndarray)}
        return Step(captured, arguments, bare, self._backend), guard.holds

    def _run_eagerly(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The function itself, with Tensors in the place of arrays as when it is recorded."""
        return self._fn(*map(_as_tensor, args), **{name: _as_tensor(each) for name, each in kwargs.items()})

    def _give_up(self, why: str, args: Any, kwargs: Any, error: Exception | None = None) -> Any:
        if self._fullgraph:
            raise error or UnsupportedError(f"{self._name} can't be compiled: {why}")
        self._eager = why
        self._warn(f"{self._name} runs as eager code, because it can't be compiled: {why}")
        return self._run_eagerly(args, kwargs)

    def _give_up_after(self, error: BaseException | None) -> None:
        if self._fullgraph:
            raise UnsupportedError(f"{self._name} can't be compiled: {error}") from error
        self._eager = str(error)
        self._warn(f"{self._name} runs as eager code, because recording it failed: {error}")

    @property
    def _name(self) -> str:
        return getattr(self._fn, "__name__", "the function")

    def _warn(self, message: str) -> None:
        warnings.warn(message, CompileWarning, stacklevel=5)


def _available(backend: str) -> str:
    if backend == "numpy":
        return backend
    try:
        compiler()
    except NoCompilerError as error:
        if backend == "c":
            raise
        warnings.warn(
            f"{error}; until then compiled functions run as straight-line NumPy", CompileWarning, stacklevel=4
        )
        return "numpy"
    return "c"


def _signature(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What a recording depends on: the kinds of the arguments, not their values, but for bools and what is
    no number."""
    kinds = tuple(map(_kind, args))
    return kinds if not kwargs else (kinds, tuple((name, _kind(each)) for name, each in kwargs.items()))


def _as_tensor(value: Any) -> Any:
    return wrap(value) if isinstance(value, np.ndarray) else value


def _kind(value: Any) -> Any:
    if isinstance(value, Tensor):
        array = value.array
        return (
            "tensor",
            getattr(array, "shape", ()),
            getattr(array, "dtype", None),
            getattr(array, "strides", None),
            value.edge is not None,
        )
    if isinstance(value, np.ndarray):
        return "array", value.shape, value.dtype, value.strides
    return (
        (type(value),)
        if type(value) in _NUMBERS
        else (type(value), value if isinstance(value, _PLAIN) else id(value))
    )


class Guard:
    """What a function reads beside its arguments and that decides what it does: numbers, strings and
    Tensors among its globals and its closure, and whether a Module is in training; and what all that was."""

    def __init__(self, fn: Any) -> None:
        self.tests: list[str] = []
        self.names: dict[str, Any] = {}
        owner = getattr(fn, "__self__", None)
        fn = getattr(fn, "__func__", fn)
        code = getattr(fn, "__code__", None)
        if code is not None:
            for name in sorted({*code.co_names} & set(getattr(owner, "__dict__", ()))):
                self._note(f"{self._bind(owner)}.{name}", owner)
            for cell in fn.__closure__ or ():
                self._note(f"{self._bind(cell)}.cell_contents", cell)
            names = {
                *code.co_names,
                *(n for each in code.co_consts if isinstance(each, types.CodeType) for n in each.co_names),
            }
            for name in sorted(names & set(fn.__globals__)):
                self._note(f"{self._bind(fn.__globals__)}[{name!r}]", fn.__globals__)
        text = " and ".join(self.tests) or "True"
        self.holds: Callable[[], bool] = eval(f"lambda: {text}", self.names)  # noqa: S307 - made of the lines here

    def _bind(self, value: Any) -> str:
        name = f"o{len(self.names)}"
        self.names[name] = value
        return name

    def _note(self, text: str, owner: Any) -> None:
        try:
            value = eval(text, self.names)  # noqa: S307 - one of the expressions above
        except ValueError:  # an empty cell
            return
        if isinstance(value, Tensor):
            self.tests.append(f"{text} is {self._bind(value)}")
        elif isinstance(value, _PLAIN):
            now = self._bind(value)
            self.tests.append(f"({text} is {now} or {text} == {now})")
        elif isinstance(value, Module):
            self.tests.append(f"{text} is {self._bind(value)} and {text}.training is {value.training}")
        elif isinstance(value, (list, tuple)) and value and all(isinstance(each, Tensor) for each in value):
            self.tests.append(f"tuple(map(id, {text})) == {self._bind(tuple(map(id, value)))}")


def _watched(
    fn: Callable[..., Any], args: Any, kwargs: Any, recording: Recording, names: dict[Var, str]
) -> Any:
    """Call the function, and note what its local variables are called when it returns."""
    code = getattr(getattr(fn, "__func__", fn), "__code__", None)

    def note(frame: types.FrameType, event: str, arg: Any) -> None:
        if event == "return" and frame.f_code is code:
            for name, value in frame.f_locals.items():
                if isinstance(value, Tensor) and name.isidentifier() and name.isascii():
                    array = value.array
                    if isinstance(array, Recorded) and array.var is not None and not array.var.constant:
                        before = array.cell.before if array.cell is not None else array.var
                        names.setdefault(before, name)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        return fn(*args, **kwargs)
    finally:
        sys.setprofile(before)
