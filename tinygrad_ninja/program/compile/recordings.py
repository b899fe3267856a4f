"""The recordings of a function: which of them holds for a call, when there is a new one, and why the function
runs as eager code."""

from __future__ import annotations

import gc
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ...engine.anomaly import Anomaly
from ...engine.hook import find, observers
from ...engine.thread_state import new_lock
from .c.build import NoCompilerError
from .changes import ChangedError
from .first_call import FirstCall, beginning
from .guards.held import Entry
from .kept import Kept
from .recording.capture import Recording
from .recording.checks import CheckError
from .recording.signature import as_tensor, difference, flat, is_container, signature
from .recording.sources import Source
from .refusals import UnsupportedError, warn, warn_once
from .step import no_c
from .steps import step_of

_SETTLING = 3
"""How many calls may change Python's state before the function is given up."""
_RAISING = 8
"""How many calls in a row may raise while they are recorded before the function is given up."""
_NUMBER = "another number"
_APART = "other containers among the arguments, whose elements are arguments from now on"
_PLACED = re.compile(r"\S+:\d+: ")
_EAGERLY = object()  # in place of a result: eager code has to compute it


class Recordings:
    """The recordings of a function, which is called through them.

    eager: why it runs as eager code, "" where it does not. count: how often it was recorded; reasons: why, of
    the recordings that are kept. last: the last one. watched: whether a call was eager code, for its
    operations had to be seen.
    """

    # Slots are read faster than the attributes of `Compiled`, whose class looks for those of the function.
    __slots__ = (
        "_apart", "_by_value", "_every", "_fullgraph", "_kept", "_limit", "_lock", "_loose", "_of_values",
        "_raised", "_running", "_told", "_unkept", "_unsettled", "backend", "count", "eager", "fn", "last",
        "reasons", "watched",
    )  # fmt: skip

    def __init__(self, fn: Callable[..., Any], fullgraph: bool, backend: str, limit: int) -> None:
        self.fn, self._fullgraph, self.backend, self._limit = fn, fullgraph, backend, limit
        # A step has one memory. A function that calls itself has the lock already, and so has what interrupts
        # a call in its own thread, such as a signal's handler: it must not find a step running.
        self._lock = new_lock()
        self._running = False
        self.forget()

    def forget(self) -> None:
        """Forget what was recorded, and that the function runs as eager code."""
        with self._lock:
            self._begin()

    def _begin(self) -> None:
        self._kept: dict[Any, list[Kept]] = {}  # by their signatures, the newest first
        self._every: list[Kept] = []  # in order
        # The numbers of which more is used than arithmetic, each with the line that does.
        self._by_value: dict[Source, str] = {}
        self._loose: set[Entry] = set()  # the places whose numbers have been seen to change
        self.count = self._unsettled = self._raised = 0
        self._apart = False  # whether containers among the arguments are seen as their elements
        self._unkept: Any = None  # the signature of the last call that has changed Python's state
        self._told = False  # that it is recorded again
        self.reasons: list[str] = []
        self.eager = ""
        self.watched = False
        self._of_values = False  # to which arrays are given as they are
        self.last: Kept | None = None

    @property
    def settings(self) -> tuple[bool, str, int]:
        """Return what `compile` was given beside the function: fullgraph, backend and recompile_limit."""
        return self._fullgraph, self.backend, self._limit

    @property
    def name(self) -> str:
        """Return what the function is called."""
        return getattr(self.fn, "__name__", type(self.fn).__name__)

    def call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run the recorded step that fits the arguments; where there is none, run the function itself, and
        record it meanwhile."""
        if self.eager:
            return self._run_eagerly(args, kwargs)
        if observers and _is_watched():
            self.watched = True
            return self._run_eagerly(args, kwargs)
        self._lock.acquire()  # `with` takes twice as long
        try:
            if self._running:
                return self._run_eagerly(args, kwargs)
            key, values, changed = None, args, ""
            if args or kwargs:
                key = signature(args, kwargs, self._apart)
                values = (*args, *kwargs.values()) if kwargs else args
                if self._apart:
                    values = flat(values)
            for kept in self._kept.get(key, ()):
                found = kept.found(values) if kept.entries else values
                if (
                    found is not None
                    and kept.holds()
                    and not ((kept.numbered and kept.others(found)) or (kept.met and kept.swapped(found)))
                ):
                    self._running = True
                    try:
                        return kept.call(found)
                    except ChangedError as error:
                        changed = str(error)
                    except CheckError:  # which eager code raises in its words, or catches
                        return self._run_eagerly(args, kwargs)
                    except NoCompilerError as error:
                        self._do_without_compiler(error)
                        return self._run_eagerly(args, kwargs)
                    finally:
                        self._running = False
            if self._takes_apart(key, values):
                key = signature(args, kwargs, True)
                result = self._record(key, args, kwargs, _APART, set())
            else:
                result = self._record(key, args, kwargs, *self._why(key, values, changed))
        finally:
            self._lock.release()
        return self._run_eagerly(args, kwargs) if result is _EAGERLY else result

    def _why(self, key: Any, values: tuple[Any, ...], changed: str) -> tuple[str, set[Source]]:
        """Return, in words, why no recording fits, and the numbers that are others than in one. changed: what
        a step found changed."""
        others: set[Source] = set()
        reason = changed or difference(key, next(reversed(self._kept), None))
        for kept in reversed(self._kept.get(key, ())):  # the last says most
            if (found := kept.found(values)) is None:
                reason = "another Tensor that it sets anew, of another shape, dtype or type"
            elif kept.holds() and kept.met and kept.swapped(found):
                reason = "a Tensor that is an argument and found elsewhere too, or no longer"
                reason = reason if kept.given else "a Tensor of another class among the arguments"
            elif kept.holds():
                numbers = dict.fromkeys(kept.others(found))
                others.update(numbers)
                names = map(self._used, sorted(numbers, key=self._by_value.__contains__))
                reason = changed or f"{_NUMBER}: {' and '.join(names)}"
            else:
                reason = kept.world.difference()
                if kept.world.numbers:
                    reason = f"{_NUMBER}: {' and '.join(sorted(kept.world.numbers))}"
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
        others = self.count or (self._unkept is not None and key != self._unkept)
        self._apart = any(is_container(x) and (others or isinstance(x, tuple)) for x in values)
        return self._apart

    # -- recording -------------------------------------------------------------------------------------------

    def _record(
        self, key: Any, args: tuple[Any, ...], kwargs: dict[str, Any], reason: str, symbolic: set[Source]
    ) -> Any:
        """Run the function, record it meanwhile, and return its result; _EAGERLY where it is not to be
        recorded. symbolic: the numbers that have changed."""
        if self.eager:  # another thread has tried meanwhile
            return _EAGERLY
        if len(self._every) >= self._limit and not self._makes_room(key):
            instead = "" if symbolic.isdisjoint(self._by_value) else "; give what it computes as an argument"
            self._give_up(f"it was recorded {self.count} times, the last time for {reason}{instead}")
            return _EAGERLY
        if self.last is not None:
            self._loose.update(self.last.world.numbers_changed())
        call = FirstCall(self.fn, args, kwargs, self._apart, self._loose)
        # What sets a learning rate in the step makes it another at the next call.
        left = [source for source, _ in call.numbers if source.entry is not None]
        symbolic = symbolic.union(x for x in left if self.count or x.entry in self._loose)
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
            self._unkept = key
            self._settle(call)
        else:
            self._by_value |= call.by_value
            self._keep(key, call, reason)
        return result

    def _makes_room(self, key: Any) -> bool:
        """Let go of the oldest recording of other objects, such as the model of the fold before, and return
        whether there was one. Where none of those has run, every call may bring objects of its own."""
        others = [kept for kept in self._every if kept.is_of_others(key)]
        if not any(kept.run for kept in others):
            return False
        oldest = others[0]
        del self.reasons[self._every.index(oldest)]
        self._every.remove(oldest)
        self._kept[oldest.key].remove(oldest)
        if not self._kept[oldest.key]:
            del self._kept[oldest.key]  # which holds the objects
        left = {entry for kept in self._every for entry in (*kept.world.left, *kept.entries)}
        self._loose &= left
        self._by_value = {x: line for x, line in self._by_value.items() if x.entry is None or x.entry in left}
        return True

    def _settle(self, call: FirstCall) -> None:
        """Take notice that the function has changed Python's state: the first call may create what later ones
        find ready, as an optimizer's state, but not every call. Numbers are set by the next recording."""
        numbers = call.world.numbers_changed(by_call=True)
        if self._of_values or self._loose.issuperset(numbers):
            self._unsettled += 1
        self._loose.update(numbers)
        if self._unsettled >= _SETTLING:
            self._give_up(f"{call.line or beginning(self.fn) + ': '}it changes what it reads: {call.changed}")

    def _keep(self, key: Any, call: FirstCall, reason: str) -> None:
        """Write the code of what was recorded, and keep it."""
        try:
            with _uncollected():
                step, self.backend = step_of(call, self.backend)
        except (UnsupportedError, NoCompilerError) as error:
            self._give_up(str(error), error)
            return
        except RecursionError as error:
            self._give_up("it computes in chains that are too deep to be compiled", error)
            return
        usual = reason == _APART or reason.startswith(_NUMBER)
        if self.count and not usual and not self._told:
            self._told = True
            warn(f"{self.name} is recorded again, for {reason}; at most {self._limit} recordings are kept")
        self.count += 1
        self._unsettled = self._raised = 0
        self.reasons.append(reason if self.count > 1 else "the first call")
        self.last = Kept(key, step, call)
        self._kept.setdefault(key, []).insert(0, self.last)
        self._every.append(self.last)

    def _do_without_compiler(self, error: NoCompilerError) -> None:
        """Let NumPy run what is recorded from now on, since the compiler fails; give up where C was asked
        for."""
        if self.backend == "c":
            self._give_up(str(error), error)
            return
        warn_once(no_c(error))
        self.backend, self.last, self.count = "numpy", None, 0
        self.reasons.clear()
        self._kept.clear()
        self._every.clear()

    def _run_eagerly(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return the result of the function itself, with Tensors in the place of arrays."""
        if self._of_values:
            return self.fn(*args, **kwargs)
        return self.fn(*map(as_tensor, args), **{name: as_tensor(value) for name, value in kwargs.items()})

    def _give_up(self, why: str, error: Exception | None = None) -> None:
        """Run eager code from now on, and warn why. Raise the error instead where fullgraph was asked for."""
        begins = f"{beginning(self.fn)}: "
        if not _PLACED.match(why):
            why = begins + why.removeprefix(begins)
        if self._fullgraph:
            raise UnsupportedError(why) from error
        self.eager = why
        warn(f"{self.name} runs as eager code, because it can't be compiled: {why}")


@contextmanager
def _uncollected() -> Iterator[None]:
    """Let the collector of garbage rest. It would look through all objects of the program, those of its
    libraries included, for a step's hundred thousands of new ones, of which nearly all are needed to the
    end."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _is_watched() -> bool:
    """Return whether this thread records, or detects anomalies: then the function's own operations must be
    seen."""
    return any(map(find, (Recording, Anomaly)))
