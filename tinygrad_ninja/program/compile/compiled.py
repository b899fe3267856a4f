"""`tinygrad_ninja.compile`: a function that records itself, and runs compiled."""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Callable, Mapping
from contextlib import suppress
from copy import deepcopy
from operator import attrgetter
from typing import Any
from weakref import WeakSet

from ...api.missing import refuse
from ...nn.module import Module
from ..instructions import Program
from .compiled_module import as_module
from .kept import Kept
from .recordings import Recordings
from .steps import BACKENDS


def compile(
    fn: Callable[..., Any] | None = None,
    *,
    fullgraph: bool = False,
    dynamic: bool | None = None,
    backend: str = "auto",
    mode: str | None = None,
    options: Mapping[str, Any] | None = None,
    disable: bool = False,
    recompile_limit: int = 8,
) -> Any:
    """Return `fn`, a function over Tensors or a Module, compiled: forward, backward and update, run as C; on
    torch's tensors as torch code.

    The contract: for every sequence of calls, and of changes made between them, results, exceptions, Tensors,
    gradients, optimizers, generators and Python's own objects are those of eager code; or the function runs
    as eager code, and says so once, with the cause and its line. The first call is eager code, recorded while
    it runs; where it is to create the state of an optimizer, the second one is. A later call runs compiled if
    nothing has changed that the recording depends on; otherwise it is recorded again. At most
    `recompile_limit` recordings are kept: the oldest of other objects, such as the model of the fold before,
    gives way to a new one, where those have run.

    What it depends on (`guards` lists it): shapes, dtypes and layouts, and who shares memory with whom; all
    that the function can reach, through arguments, closures, globals, attributes and elements: numbers,
    strings, containers, Modules, optimizers, hooks, functions; and the modes, such as no_grad(). Numbers
    among the arguments, and in Python's objects, of NumPy's those of float64, are read anew once a second
    value is seen, as far as they meet arithmetic or name a row of a Tensor; comparisons with them are
    remembered. What is replayed: the memory of Tensors, gradients, an optimizer's state, random numbers of
    this package, numbers, bools and Tensors that the function sets anew in attributes, dicts, lists and
    variables, such as a counter or a hidden state, the counts of changes in place of what was there before
    (gradients and results that a call makes begin at 0).

    What makes it run as eager code: a value that is read out (item(), a branch, numpy()), random numbers of
    Python's or NumPy's, files, time, iterators, printing, a list that grows, an attribute that is set to
    anything else, a result in memory that was there before. With fullgraph=True it raises the cause as
    UnsupportedError. Under detect_anomaly(), and while something else records, a call is eager code without a
    word. `explain()` says how it runs, how often it was recorded, and why.

    Functions and methods of this package are taken as they are when a step is recorded: who replaces one of
    them afterwards is not noticed. Warnings are given at the recorded call only. The arguments and the result
    of a recorded call live as long as its recording.

    Arguments may be Tensors, NumPy arrays of numbers (which the function sees as Tensors), numbers, tuples,
    lists, dicts and dataclasses of Tensors and numbers, which may be others at each call, and other objects.

    Where the function calls no backward(), its results have a history, and a backward() on them later runs
    compiled code too; on a device they are refused. Where it does, they are returned without. For gradients
    that are to be differentiated again (create_graph=True) it is computed once more, as eager code.

    backend: "c", "numpy" (the same program as straight-line NumPy), or "auto": C where there is a compiler,
    else NumPy, with a warning. For Tensors on "torch" or "cuda": "torch", straight-line torch code,
    "inductor", which torch.compile fuses, or "auto": fused where torch.compile finds its tools, else not,
    with a warning. On a GPU either is replayed as one CUDA graph. "eager": `fn` itself is returned.

    mode and dynamic choose among PyTorch's ways to compile, and change nothing here: there is one, and other
    shapes are another recording. disable: return `fn` itself.

    Threads may call it at the same time; they take turns. Within another function that is recorded it is a
    part of that one. Raise ValueError for another backend, RuntimeError for another mode, NotImplementedError
    for the options of PyTorch's compiler.
    """
    again = functools.partial(compile, fullgraph=fullgraph, backend=backend, recompile_limit=recompile_limit)
    if backend not in (*BACKENDS, "eager"):
        raise ValueError(
            f'backend must be "auto", "c", "numpy", "inductor", "torch" or "eager", not {backend!r}'
        )
    if mode is not None and mode not in _MODES:
        raise RuntimeError(f"Unrecognized mode={mode}, should be one of: {', '.join(_MODES)}")
    refuse("compile", "backend, which chooses what compiles", options=options)
    if fn is None:
        return functools.partial(again, disable=disable)
    if disable or backend == "eager":
        return fn
    if isinstance(fn, (staticmethod, classmethod)):
        return type(fn)(again(fn.__func__))
    bare = fn._recordings.fn if isinstance(fn, Compiled) else fn
    compiled = Compiled(bare, fullgraph, backend, recompile_limit)
    return as_module(fn, compiled, again) if isinstance(fn, Module) else compiled


_MODES = ("default", "lite", "reduce-overhead", "max-autotune-no-cudagraphs", "max-autotune")
"""PyTorch's."""


EVERY: WeakSet[Compiled] = WeakSet()
"""All compiled functions."""
_OWN = {*functools.WRAPPER_ASSIGNMENTS, "__wrapped__", "_recordings"}
"""The attributes of a compiled function that are not those of the function."""


class Compiled:
    """A compiled function, as `compile` returns it: it is called like the function itself, whose attributes
    are its own."""

    def __init__(self, fn: Callable[..., Any], fullgraph: bool, backend: str, limit: int) -> None:
        functools.update_wrapper(self, fn, updated=())
        self._recordings = Recordings(fn, fullgraph, backend, limit)
        EVERY.add(self)

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Return what the function returns, compiled or not."""
        return self._recordings.call(args, kwargs)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """Return what the function itself would give in a class: a method; where it is an object that is
        called, mostly itself."""
        fn = self._recordings.fn
        get = getattr(type(fn), "__get__", None)
        bound = fn if instance is None or get is None else get(fn, instance, owner)
        if bound is fn:
            return self
        return types.MethodType(self, instance) if getattr(bound, "__func__", None) is fn else bound

    def __getattr__(self, name: str) -> Any:
        if name == "_recordings":  # before __init__
            raise AttributeError(name)
        return getattr(self._recordings.fn, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _OWN:
            object.__setattr__(self, name, value)
        else:
            setattr(self._recordings.fn, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._recordings.fn, name)

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        fn = deepcopy(self._recordings.fn, memo)  # of a method, that of a copied object
        return self if fn is self._recordings.fn else Compiled(fn, *self._recordings.settings)

    def __reduce__(self) -> Any:
        """Return the name by which it is found, as a decorated function is; or what makes it of the function
        anew."""
        fn = self._recordings.fn
        name = getattr(fn, "__qualname__", "")
        with suppress(AttributeError, KeyError):
            if attrgetter(name)(sys.modules[fn.__module__]) is self:
                return name
        return Compiled, (fn, *self._recordings.settings)

    def source(self) -> str:
        """Return the C of the last recording, or its torch code. RuntimeError where nothing was recorded, or
        NumPy runs it."""
        source: str = self._recorded().step.source
        if not source:
            raise RuntimeError("this step runs as straight-line NumPy: there is no C of it")
        return source

    @property
    def program(self) -> Program:
        """Return the instructions of the last recording."""
        return self._recorded().step.program

    @property
    def fused(self) -> list[str]:
        """Return the loops of the C, each with what is computed in it."""
        return self._recorded().step.fused

    @property
    def guards(self) -> list[str]:
        """Return what the last recording depends on, in words: where one of these is another at a later call,
        the function is recorded again."""
        recording = self._recorded()
        numbers = [f"{source.name}: {number!r}" for source, number in recording.numbers]
        return [*numbers, *recording.world.describe()]

    @property
    def unguarded(self) -> Callable[[tuple[Any, ...]], Any]:
        """Return the last recording as a function of the tuple of arguments that looks at nothing outside the
        Tensors, to be measured."""
        return self._recorded().step.call

    def explain(self) -> str:
        """Return, in words, how calls run: compiled or as eager code and why, how often the function was
        recorded and for what, and what the last recording depends on."""
        recordings = self._recordings
        if recordings.eager:
            return f"{recordings.name} runs as eager code: {recordings.eager}"
        if not recordings.count:
            where = " outside of detect_anomaly() and of other recordings" if recordings.watched else ""
            return f"{recordings.name} is not recorded yet: call it{where}"
        times = "once" if recordings.count == 1 else f"{recordings.count} times"
        lines = [f"{recordings.name} runs compiled ({self.runs_by}), recorded {times}:"]
        gone = recordings.count - len(recordings.reasons)
        if gone:
            lines.append(f"  {gone} of other objects, such as another model, gave way; those that are kept:")
        lines += [f"  {i}. for {reason}" for i, reason in enumerate(recordings.reasons, gone + 1)]
        guards = [f"  {guard}" for guard in self.guards]
        return "\n".join([*lines, "it depends on", *(guards or ["  its arguments alone"])])

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Show in a notebook what `explain` says."""
        printer.text(self.explain())

    @property
    def runs_by(self) -> str:
        """Return what runs calls: a backend, or "eager". RuntimeError where nothing was recorded yet."""
        if self._recordings.eager:
            return "eager"
        backend = self._recordings.backend
        return backend if backend != "auto" else "c" if self._recorded().step.source else "numpy"

    def _recorded(self) -> Kept:
        """Return the last recording. Raise RuntimeError where there is none."""
        recordings = self._recordings
        if recordings.last is None:
            raise RuntimeError(f"nothing is compiled: {recordings.eager or 'call the function once'}")
        return recordings.last
