"""`tinygrad_ninja.compile`: a function that records itself, and runs compiled."""

from __future__ import annotations

import functools
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np

from ...arrays.dtypes import dtype
from ...engine.anomaly import Anomaly
from ...engine.callers import PACKAGE
from ...engine.hook import find, observers
from ...engine.tensor import Tensor, wrap
from ...nn.module import Module
from ...rng.generator import Generator
from ...rng.torch_generator import TorchGenerator
from ..instructions import Program, Var
from ..trace import ReadOutError
from .build import NoCompilerError, compiler
from .caller import ChangedError
from .capture import Captured, Recording
from .collector import resting_collector
from .foreign import ForeignStreams
from .guard import PLAIN, Guard
from .reachable import reachable
from .shapes import is_torch
from .step import Step
from .tape import Recorded, UnsettledError, UnsupportedError, refuse
from .value_step import ValueStep
from .values import ValueRecording, ValuesMetError

_FOR_NUMPY, _FOR_TORCH = ("c", "numpy"), ("inductor", "torch")
_NUMBERS = (float, int)
_ARGUMENTS = {*PLAIN, dtype, Generator, TorchGenerator}
_COMPARED_BY_VALUE = _ARGUMENTS.difference(_NUMBERS)
_EAGERLY = object()  # in place of a result: eager code has to compute it


class CompileWarning(UserWarning):
    """A function runs slower than it could: it is recorded again, or not compiled at all; the message says
    why."""


def compile(
    fn: Callable[..., Any] | None = None,
    *,
    fullgraph: bool = False,
    backend: str = "auto",
    recompile_limit: int = 8,
) -> Any:
    """Return `fn`, a function over Tensors, compiled: forward, backward and update, run as C; on
    torch's tensors as torch code.

    The first call records it; results, parameters, gradients and the states of generators are those of eager
    code. Arguments may be Tensors, NumPy arrays (which the function sees as Tensors) and Python numbers,
    which are read anew at each call; Tensors that it finds elsewhere are changed in place. Another shape or
    dtype, another number among the function's globals or closure, another setting of an optimizer records
    it again, up to `recompile_limit` recordings, with one warning.

    What can't be compiled runs as eager code, with one warning that says why; with fullgraph=True it raises
    that sentence, which names the line: a value read out with item(), another argument (a list, a NumPy
    scalar, a model), a Module itself, random numbers of Python's or NumPy's, a result that is an argument or
    a view of one, a gradient that goes to an argument.

    backend: "c", "numpy" (the same program as straight-line NumPy), or "auto": C where there is a compiler,
    else NumPy, with a warning. For Tensors on "torch" or "cuda": "torch", straight-line torch code,
    "inductor", which torch.compile fuses, or "auto": fused where torch.compile finds its tools, else not,
    with a warning. On a GPU either is replayed as one CUDA graph.

    Threads may call it at the same time; they take turns. Within another function that is recorded it is a
    part of that one.

    A Tensor that the function returns has no history. What is neither a Tensor, an argument, a Generator
    nor a number that the function names (an array, a list of numbers) is read once, when it is recorded.
    Raise ValueError for another backend.
    """
    if fn is None:
        return functools.partial(
            compile, fullgraph=fullgraph, backend=backend, recompile_limit=recompile_limit
        )
    if backend not in ("auto", *_FOR_NUMPY, *_FOR_TORCH):
        raise ValueError(f'backend must be "auto", "c", "numpy", "inductor" or "torch", not {backend!r}')
    return Compiled(fn._fn if isinstance(fn, Compiled) else fn, fullgraph, backend, recompile_limit)


class Compiled:
    """A compiled function, as `compile` returns it: it is called like the function itself."""

    def __init__(self, fn: Callable[..., Any], fullgraph: bool, backend: str, limit: int) -> None:
        functools.update_wrapper(self, fn)
        self._fn, self._fullgraph, self._limit = fn, fullgraph, limit
        self._backend = backend
        self._steps: dict[Any, list[tuple[Step, Callable[[], bool]]]] = {}
        self._count = self._retries = 0
        self._eager = ""
        self._of_values = False
        self._last: Step | None = None
        # A step has one memory, and a recording changes what it finds and restores it. Reentrant, for eager
        # code that calls the function itself.
        self._lock = RLock()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the recorded step that fits the arguments; where there is none, record one or run eager
        code."""
        if self._eager or (observers and _is_watched()):
            return self._run_eagerly(args, kwargs)
        self._lock.acquire()  # `with` takes twice as long
        try:
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
            result = self._record(key, args, kwargs, reason)
        finally:
            self._lock.release()
        return self._run_eagerly(args, kwargs) if result is _EAGERLY else result

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """Return a method, as a function that stands in a class does."""
        return self if instance is None else types.MethodType(self, instance)

    def __reduce__(self) -> str:
        """Return the name of the function, by which it is copied and pickled."""
        return getattr(self, "__qualname__", self._name)

    def source(self) -> str:
        """Return the C of the last recording, or its torch code. RuntimeError where nothing was recorded, or
        NumPy runs it."""
        step = self._recorded()
        if not step.source:
            raise RuntimeError("this step runs as straight-line NumPy: there is no C of it")
        return step.source

    @property
    def program(self) -> Program:
        """Return the instructions of the last recording."""
        return self._recorded().program

    @property
    def fused(self) -> list[str]:
        """Return the loops of the C, each with what is computed in it."""
        return self._recorded().fused

    def _recorded(self) -> Step:
        """Return the last recorded step. Raise RuntimeError where there is none."""
        if self._last is None:
            raise RuntimeError(f"nothing is compiled: {self._eager or 'call the function once'}")
        return self._last

    # -- recording -------------------------------------------------------------------------------------------

    def _record(self, key: Any, args: tuple[Any, ...], kwargs: dict[str, Any], reason: str) -> Any:
        """Record a call and return its result, or _EAGERLY where eager code has to compute it."""
        if self._eager:  # another thread has tried meanwhile
            return _EAGERLY
        if self._count >= self._limit:
            return self._give_up(f"it was recorded {self._limit} times, the last time for {reason}")
        step = None
        try:
            step, holds = self._capture(args, kwargs)
        except UnsettledError:
            pass
        except (UnsupportedError, ReadOutError, NoCompilerError) as error:
            return self._give_up(str(error), error)
        except Exception:
            # Either the caller's mistake, which eager code will name, or what only eager code can do.
            result = self._run_eagerly(args, kwargs)
            self._give_up_after(sys.exc_info()[1])
            return result
        if step is None:  # a first call that creates what later ones use, such as an optimizer's state
            if self._retries >= 2:
                return self._give_up("it keeps a Tensor that it computed, for instance in a list; return it")
            self._retries += 1
            return self._run_eagerly(args, kwargs)  # within the lock: a recording would undo its changes
        if self._count == 1:
            _warn(f"{self._name} is recorded again, for {reason}; at most {self._limit} recordings are kept")
        self._count += 1
        self._last = step
        self._steps.setdefault(key, []).insert(0, (step, holds))
        return step.call((*args, *kwargs.values()))

    def _capture(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        """Return a step, or None where something that it computed is still held; and its guard."""
        self._refuse_what_may_change(args, kwargs)
        build: Callable[[], Any] | None
        within_reach = list(reachable(self._fn))
        with resting_collector(), ForeignStreams(within_reach) as streams:
            try:
                build, guard = self._capture_tensors(args, kwargs, within_reach)
            except ValuesMetError:
                self._of_values = True
                build, guard = self._capture_values(args, kwargs)
        if streams.moved:
            raise UnsupportedError(
                f"{self._line}: {self._name} draws random numbers from {streams.moved[0]}, which would be "
                f"the same at every call; draw them with this package, or give them as an argument"
            )
        return None if build is None else build(), guard.holds

    def _refuse_what_may_change(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """UnsupportedError where no later call could tell whether the function, or one of its arguments, is
        what it was when it was recorded."""
        for module in (self._fn, getattr(self._fn, "__self__", None)):
            if isinstance(module, Module):
                refuse(f"a {type(module).__name__} itself is not compiled, only a function that calls it")
        if not isinstance(getattr(self._fn, "__func__", self._fn), types.FunctionType):
            refuse(f"a {type(self._fn).__name__} is not compiled, only a function that calls it")
        for name, value in (*enumerate(args), *kwargs.items()):
            if type(value) not in _ARGUMENTS and not isinstance(value, (Tensor, np.ndarray)):
                refuse(
                    f"argument {name!r} of {self._name} is a {type(value).__name__}, which may be another at "
                    f"every call; Tensors, arrays, numbers and strings can be compiled"
                )
            if isinstance(value, Tensor) and not value.is_leaf:
                refuse(f"argument {name!r} of {self._name} has a history of its own; detach() it")

    def _capture_values(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Callable[[], ValueStep] | None, Guard]:
        """Record a call on Values; return a function that builds the step, None where a Value that it made is
        still held, and the guard."""
        if self._backend == "auto":
            self._backend = _available("cpu")
        if self._backend != "c":
            raise UnsupportedError(f'Values are compiled to C only, not by the backend "{self._backend}"')
        recording = ValueRecording()
        guard = Guard(self._fn)
        with recording:
            values = [recording.argument(i, value) for i, value in enumerate((*args, *kwargs.values()))]
            result = self._fn(*values[: len(args)], **dict(zip(kwargs, values[len(args) :], strict=True)))
            result, changed = recording.outputs(result), recording.changed()
        if not guard.holds():
            raise UnsupportedError(f"{self._name} changes a global or a closure's variable that it reads")
        del values
        if recording.escaped():
            return None, guard
        return lambda: ValueStep(recording, changed, result), guard

    def _capture_tensors(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], within_reach: list[Any]
    ) -> tuple[Callable[[], Step] | None, Guard]:
        """Record a call on Tensors; return a function that builds the step, None where a Tensor that it
        computed is still held, and the guard."""
        arguments: dict[int, Tensor] = {}
        recording = Recording()
        elsewhere = {x for x in within_reach if isinstance(x, Tensor)}
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
            recording.tape.code = getattr(getattr(self._fn, "__func__", self._fn), "__code__", None)
            result = self._fn(*given, **named)
            captured = recording.captured(result, arguments.values())
            captured.names = _names(recording.tape.frame)
            captured.elsewhere = elsewhere.intersection(arguments.values())
            recording.tape.frame = None
        if not guard.holds():
            raise UnsupportedError(f"{self._name} changes a global or a closure's variable that it reads")
        del result, given, named, values
        if recording.escaped():
            return None, guard
        bare = {i for i, value in enumerate((*args, *kwargs.values())) if isinstance(value, np.ndarray)}
        return lambda: self._step(captured, arguments, bare), guard

    def _step(self, captured: Captured, arguments: dict[int, Tensor], bare: set[int]) -> Step:
        """Return the recording as a step of the backend that is asked for and can be had."""
        here, kinds = captured.place, _FOR_NUMPY if captured.place == "cpu" else _FOR_TORCH
        if self._backend == "auto":
            self._backend = _available(here)
        if self._backend not in kinds:
            raise UnsupportedError(f'the backend "{self._backend}" is not for Tensors on {here}')
        if here == "cpu":
            return Step(captured, arguments, bare, self._backend)
        from .torch_step import TorchStep  # which imports torch

        return TorchStep(captured, arguments, bare, self._backend)

    def _run_eagerly(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return the result of the function itself, with Tensors in the place of arrays."""
        if self._of_values:
            return self._fn(*args, **kwargs)
        return self._fn(*map(_as_tensor, args), **{name: _as_tensor(value) for name, value in kwargs.items()})

    def _give_up(self, why: str, error: Exception | None = None) -> Any:
        """Run eager code from now on, and warn why. Raise the error instead where fullgraph was asked for."""
        if self._fullgraph:
            raise error or UnsupportedError(f"{self._name} can't be compiled: {why}")
        self._eager = why
        _warn(f"{self._name} runs as eager code, because it can't be compiled: {why}")
        return _EAGERLY

    def _give_up_after(self, error: BaseException | None) -> None:
        """Run eager code from now on, because recording failed with an error. Raise it instead where
        fullgraph was asked for."""
        if self._fullgraph:
            raise UnsupportedError(f"{self._name} can't be compiled: {error}") from error
        self._eager = str(error)
        _warn(f"{self._name} runs as eager code, because recording it failed: {error}")

    @property
    def _name(self) -> str:
        return getattr(self._fn, "__name__", type(self._fn).__name__)

    @property
    def _line(self) -> str:
        """Return where the function begins."""
        code = self._fn.__code__
        return f"{Path(code.co_filename).name}:{code.co_firstlineno}"


def _is_watched() -> bool:
    """Return whether this thread records, or detects anomalies: then the function's own operations must be
    seen."""
    return any(map(find, (Recording, ValueRecording, Anomaly)))


def _available(place: str) -> str:
    """Return the best backend that can be had for Tensors on a device; warn where a better one can't."""
    if place == "cpu":
        try:
            compiler()
        except NoCompilerError as error:
            _warn(f"{error}; until then compiled functions run as straight-line NumPy")
            return "numpy"
        return "c"
    from .replay import missing_tools  # which imports torch

    missing = missing_tools(place)
    if missing:
        _warn(f"{missing}; until then compiled functions run as straight-line torch code")
    return "torch" if missing else "inductor"


def _warn(message: str) -> None:
    """Warn at the line that called the engine."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, CompileWarning, stacklevel=level)


def _signature(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return what a recording depends on: the kinds of the arguments, and the values of those that have no
    kind."""
    kinds = tuple(map(_kind, args))
    return kinds if not kwargs else (kinds, tuple((name, _kind(value)) for name, value in kwargs.items()))


def _as_tensor(value: Any) -> Any:
    """Return a NumPy array as a Tensor; anything else unchanged."""
    return wrap(value) if isinstance(value, np.ndarray) else value


def _kind(value: Any) -> Any:
    """Return what a recording depends on in an argument."""
    if isinstance(value, Tensor):
        array = value.array
        if is_torch(array):
            layout = array.stride(), array.device
        else:
            layout = getattr(array, "strides", None), None
        kind = getattr(array, "shape", ()), getattr(array, "dtype", None)
        edge = value.edge
        return ("tensor", *kind, *layout, edge and ("a leaf" if edge.op is None else "a result"))
    if isinstance(value, np.ndarray):
        return "array", value.shape, value.dtype, value.strides
    return (type(value), value) if type(value) in _COMPARED_BY_VALUE else (type(value),)


def _names(frame: types.FrameType | None) -> dict[Var, str]:
    """Return the names of the local variables of a function that has returned."""
    names: dict[Var, str] = {}
    for name, value in frame.f_locals.items() if frame is not None else ():
        if isinstance(value, Tensor) and name.isidentifier() and name.isascii():
            array = value.array
            if isinstance(array, Recorded) and array.var is not None and not array.var.constant:
                names.setdefault(array.cell.before if array.cell is not None else array.var, name)
    return names
