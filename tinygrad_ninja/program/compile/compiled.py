"""`tinygrad_ninja.compile`: a function that records itself, and runs compiled."""

from __future__ import annotations

import functools
import re
import sys
import types
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from operator import attrgetter
from typing import Any

from ...engine.anomaly import Anomaly
from ...engine.hook import find, observers
from ...engine.thread_state import new_lock
from ...nn.module import Module
from ..instructions import Program
from .c.build import NoCompilerError
from .caller import ChangedError
from .compiled_module import as_module
from .first_call import FirstCall, beginning
from .kept import Kept
from .recording.capture import Recording
from .recording.checks import CheckError
from .recording.signature import as_tensor, difference, flat, is_container, signature
from .recording.symbols import Source
from .refusals import UnsupportedError, warn
from .step import Step
from .steps import BACKENDS, step_of

_SETTLING = 3
"""How many calls may change Python's state before the function is given up."""
_RAISING = 8
"""How many calls in a row may raise while they are recorded before the function is given up."""
_NUMBER = "another number"
_APART = "other containers among the arguments, whose elements are arguments from now on"
_PLACED = re.compile(r"\S+:\d+: ")
_EAGERLY = object()  # in place of a result: eager code has to compute it


def compile(
    fn: Callable[..., Any] | None = None,
    *,
    fullgraph: bool = False,
    backend: str = "auto",
    recompile_limit: int = 8,
) -> Any:
    """Return `fn`, a function over Tensors or a Module, compiled: forward, backward and update, run as C; on
    torch's tensors as torch code.

    The contract: for every sequence of calls, and of changes made between them, results, exceptions, Tensors,
    gradients, optimizers, generators and Python's own objects are those of eager code; or the function runs
    as eager code, and says so once, with the cause and its line. The first call is eager code, recorded while
    it runs; where it is to create the state of an optimizer, the second one is. A later call runs compiled if
    nothing has changed that the recording depends on; otherwise it is recorded again, up to `recompile_limit`
    times.

    What it depends on (`guards` lists it): shapes, dtypes and layouts, and who shares memory with whom; all
    that the function can reach, through arguments, closures, globals, attributes and elements: numbers,
    strings, containers, Modules, optimizers, hooks, functions; and the modes, such as no_grad(). Numbers
    among the arguments, and learning rates, are read anew once a second value is seen, as far as they meet
    arithmetic; comparisons with them are remembered. What is replayed: the memory of Tensors, gradients, an
    optimizer's state, random numbers of this package, the counts of changes in place.

    What makes it run as eager code: a value that is read out (item(), a branch, numpy()), random numbers of
    Python's or NumPy's, files, time, iterators, printing, a list that grows, an attribute that is set anew, a
    result in memory that was there before, or on which backward() is still to be called. With fullgraph=True
    it raises the cause as UnsupportedError. `explain()` says how it runs, how often it was recorded, and why.

    Functions and methods of this package are taken as they are when a step is recorded: who replaces one of
    them afterwards is not noticed. Warnings are given at the recorded call only. The arguments and the result
    of a recorded call live as long as the compiled function.

    Arguments may be Tensors, NumPy arrays (which the function sees as Tensors), numbers, tuples, lists, dicts
    and dataclasses of Tensors and numbers, which may be others at each call, and other objects. A Tensor that
    it has computed is returned without its history.

    backend: "c", "numpy" (the same program as straight-line NumPy), or "auto": C where there is a compiler,
    else NumPy, with a warning. For Tensors on "torch" or "cuda": "torch", straight-line torch code,
    "inductor", which torch.compile fuses, or "auto": fused where torch.compile finds its tools, else not,
    with a warning. On a GPU either is replayed as one CUDA graph.

    Threads may call it at the same time; they take turns. Within another function that is recorded it is a
    part of that one. Raise ValueError for another backend.
    """
    if fn is None:
        return functools.partial(
            compile, fullgraph=fullgraph, backend=backend, recompile_limit=recompile_limit
        )
    if backend not in BACKENDS:
        raise ValueError(f'backend must be "auto", "c", "numpy", "inductor" or "torch", not {backend!r}')
    compiled = Compiled(fn._fn if isinstance(fn, Compiled) else fn, fullgraph, backend, recompile_limit)
    if not isinstance(fn, Module):
        return compiled
    again = functools.partial(compile, fullgraph=fullgraph, backend=backend, recompile_limit=recompile_limit)
    return as_module(fn, compiled, again)


_OWN = {
    *functools.WRAPPER_ASSIGNMENTS, "__wrapped__", "_fn", "_fullgraph", "_limit", "_backend", "_kept",
    "_by_value", "_count", "_unsettled", "_raised", "_apart", "_told", "_reasons", "_eager", "_of_values",
    "_last", "_guarded", "_lock", "_running",
}  # fmt: skip
"""The attributes of a compiled function that are not those of the function."""


class Compiled:
    """A compiled function, as `compile` returns it: it is called like the function itself, whose attributes
    are its own."""

    def __init__(self, fn: Callable[..., Any], fullgraph: bool, backend: str, limit: int) -> None:
        functools.update_wrapper(self, fn, updated=())
        self._fn, self._fullgraph, self._limit = fn, fullgraph, limit
        self._backend = backend
        self._kept: dict[Any, list[Kept]] = {}
        # The numbers of which more is used than arithmetic, each with the line that does.
        self._by_value: dict[Source, str] = {}
        self._count = self._unsettled = self._raised = 0
        self._apart = False  # whether containers among the arguments are seen as their elements
        self._told = False  # that it is recorded again
        self._reasons: list[str] = []  # why it was recorded
        self._eager = ""
        self._of_values = False  # to which arrays are given as they are
        self._last: Step | None = None
        self._guarded: Kept | None = None  # the last recording
        # A step has one memory. A function that calls itself has the lock already, and so has what interrupts
        # a call in its own thread, such as a signal's handler: it must not find a step running.
        self._lock = new_lock()
        self._running: list[Step] = []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the recorded step that fits the arguments; where there is none, run the function itself, and
        record it meanwhile."""
        if self._eager or (observers and _is_watched()):
            return self._run_eagerly(args, kwargs)
        self._lock.acquire()  # `with` takes twice as long
        try:
            running = self._running
            if running:
                return self._run_eagerly(args, kwargs)
            key, values, changed = None, args, ""
            if args or kwargs:
                key = signature(args, kwargs, self._apart)
                values = (*args, *kwargs.values()) if kwargs else args
                if self._apart:
                    values = flat(values)
            for kept in self._kept.get(key, ()):
                if kept.holds() and not (
                    (kept.numbered and kept.others(values)) or (kept.given and kept.swapped(values))
                ):
                    running.append(kept.step)
                    try:
                        return kept.call(values)
                    except ChangedError as error:
                        changed = str(error)
                    except CheckError:  # which eager code raises in its words, or catches
                        return self._run_eagerly(args, kwargs)
                    finally:
                        running.pop()
            if self._takes_apart(key, values):
                key = signature(args, kwargs, True)
                result = self._record(key, args, kwargs, _APART, set())
            else:
                result = self._record(key, args, kwargs, *self._why(key, values, changed))
        finally:
            self._lock.release()
        return self._run_eagerly(args, kwargs) if result is _EAGERLY else result

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """Return a method, as a function that stands in a class does."""
        return self if instance is None else types.MethodType(self, instance)

    def __getattr__(self, name: str) -> Any:
        if name == "_fn":  # before __init__
            raise AttributeError(name)
        return getattr(self._fn, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _OWN:
            object.__setattr__(self, name, value)
        else:
            setattr(self._fn, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._fn, name)

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        fn = deepcopy(self._fn, memo)  # of a method, that of a copied object
        return self if fn is self._fn else Compiled(fn, self._fullgraph, self._backend, self._limit)

    def __reduce__(self) -> Any:
        """Return the name by which it is found, as a decorated function is; or what makes it of the function
        anew."""
        name = getattr(self._fn, "__qualname__", "")
        with suppress(AttributeError, KeyError):
            if attrgetter(name)(sys.modules[self._fn.__module__]) is self:
                return name
        return Compiled, (self._fn, self._fullgraph, self._backend, self._limit)

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

    @property
    def guards(self) -> list[str]:
        """Return what the last recording depends on, in words: where one of these is another at a later call,
        the function is recorded again."""
        self._recorded()
        assert self._guarded is not None
        numbers = [f"{source.name}: {number!r}" for source, number in self._guarded.numbers]
        return [*numbers, *self._guarded.world.describe()]

    @property
    def unguarded(self) -> Callable[[tuple[Any, ...]], Any]:
        """Return the last recording as a function of the tuple of arguments that looks at nothing outside the
        Tensors, to be measured."""
        return self._recorded().call

    def explain(self) -> str:
        """Return, in words, how calls run: compiled or as eager code and why, how often the function was
        recorded and for what, and what the last recording depends on."""
        if self._eager:
            return f"{self._name} runs as eager code: {self._eager}"
        if not self._count:
            return f"{self._name} is not recorded yet: call it"
        times = "once" if self._count == 1 else f"{self._count} times"
        lines = [f"{self._name} runs compiled ({self.runs_by}), recorded {times}:"]
        lines += [f"  {i}. for {reason}" for i, reason in enumerate(self._reasons, 1)]
        guards = [f"  {guard}" for guard in self.guards]
        return "\n".join([*lines, "it depends on", *(guards or ["  its arguments alone"])])

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Show in a notebook what `explain` says."""
        printer.text(self.explain())

    @property
    def runs_by(self) -> str:
        """Return what runs calls: a backend, or "eager". RuntimeError where nothing was recorded yet."""
        if self._eager:
            return "eager"
        if self._backend != "auto":
            return self._backend
        return "c" if self._recorded().source else "numpy"

    def _recorded(self) -> Step:
        """Return the last recorded step. Raise RuntimeError where there is none."""
        if self._last is None:
            raise RuntimeError(f"nothing is compiled: {self._eager or 'call the function once'}")
        return self._last

    def _why(self, key: Any, values: tuple[Any, ...], changed: str) -> tuple[str, set[Source]]:
        """Return, in words, why no recording fits, and the numbers that are others than in one. changed: what
        a step found changed."""
        others: set[Source] = set()
        reason = changed or difference(key, next(reversed(self._kept), None))
        for kept in self._kept.get(key, ()):
            if kept.holds() and kept.given and kept.swapped(values):
                reason = "a Tensor that is an argument and found elsewhere too, or no longer"
            elif kept.holds():
                others.update(kept.others(values))
                reason = changed or f"{_NUMBER}: {' and '.join(map(self._used, kept.others(values)))}"
            else:
                reason = kept.world.difference()
        return reason, others

    def _used(self, number: Source) -> str:
        """Return what to call a number, and which line uses more of it than arithmetic, if one does."""
        line = self._by_value.get(number)
        return f"{number.name}, of which {line} uses more than arithmetic" if line else number.name

    def _takes_apart(self, key: Any, values: tuple[Any, ...]) -> bool:
        """Return whether the containers among the arguments are seen as their elements from now on: those
        that are others at each call. A tuple is so from the start."""
        if self._apart or self._of_values or key in self._kept:
            return False
        self._apart = any(is_container(x) and (self._count or isinstance(x, tuple)) for x in values)
        return self._apart

    # -- recording -------------------------------------------------------------------------------------------

    def _record(
        self, key: Any, args: tuple[Any, ...], kwargs: dict[str, Any], reason: str, symbolic: set[Source]
    ) -> Any:
        """Run the function, record it meanwhile, and return its result; _EAGERLY where it is not to be
        recorded. symbolic: the numbers that have changed."""
        if self._eager:  # another thread has tried meanwhile
            return _EAGERLY
        if self._count >= self._limit:
            self._give_up(f"it was recorded {self._limit} times, the last time for {reason}")
            return _EAGERLY
        call = FirstCall(self._fn, args, kwargs, self._apart)
        self._of_values |= bool(call.world.values)
        if call.reason:
            self._give_up(call.reason)
            return _EAGERLY
        try:
            if not self._unsettled and call.comes_first:
                result = call.run_ahead()
            else:
                result = call.run(symbolic.difference(self._by_value), self._fullgraph)
        except Exception as error:
            self._raised += 1
            if self._raised == _RAISING and not self._fullgraph:
                self._give_up(f"each of the last {_RAISING} calls that were recorded raised, {error!r} last")
            raise
        if call.reason:
            self._give_up(call.reason)
        elif call.changed:
            self._settle(call.changed, call.line)
        else:
            self._by_value |= call.by_value
            self._keep(key, call, reason)
        return result

    def _settle(self, changed: str, line: str) -> None:
        """Take notice that the function has changed Python's state: the first call may create what later ones
        find ready, as an optimizer's state, but not every call."""
        self._unsettled += 1
        if self._unsettled >= _SETTLING:
            self._give_up(f"{line or beginning(self._fn) + ': '}it changes what it reads: {changed}")

    def _keep(self, key: Any, call: FirstCall, reason: str) -> None:
        """Compile what was recorded, and keep it."""
        try:
            step, self._backend = step_of(call, self._backend)
        except (UnsupportedError, NoCompilerError) as error:
            self._give_up(str(error), error)
            return
        except RecursionError as error:
            self._give_up("it computes in chains that are too deep to be compiled", error)
            return
        usual = reason == _APART or reason.startswith(_NUMBER)
        if self._count and not usual and not self._told:
            self._told = True
            warn(f"{self._name} is recorded again, for {reason}; at most {self._limit} recordings are kept")
        self._count += 1
        self._unsettled = self._raised = 0
        self._reasons.append(reason if self._count > 1 else "the first call")
        self._last = step
        self._guarded = kept = Kept(step, call)
        self._kept.setdefault(key, []).insert(0, kept)

    def _run_eagerly(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return the result of the function itself, with Tensors in the place of arrays."""
        if self._of_values:
            return self._fn(*args, **kwargs)
        return self._fn(*map(as_tensor, args), **{name: as_tensor(value) for name, value in kwargs.items()})

    def _give_up(self, why: str, error: Exception | None = None) -> None:
        """Run eager code from now on, and warn why. Raise the error instead where fullgraph was asked for."""
        begins = f"{beginning(self._fn)}: "
        if not _PLACED.match(why):
            why = begins + why.removeprefix(begins)
        if self._fullgraph:
            raise UnsupportedError(why) from error
        self._eager = why
        warn(f"{self._name} runs as eager code, because it can't be compiled: {why}")

    @property
    def _name(self) -> str:
        return getattr(self._fn, "__name__", type(self._fn).__name__)


def _is_watched() -> bool:
    """Return whether this thread records, or detects anomalies: then the function's own operations must be
    seen."""
    return any(map(find, (Recording, Anomaly)))
