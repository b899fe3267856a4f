"""Running a function so that all it does with its Tensors is recorded, with the names it gives them."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from ..anomaly import detect_anomaly
from ..hook import Observer
from ..kinds import move
from ..nn import Module
from ..tensors import Tensor
from .instructions import Program, Var
from .record import Forward, record
from .trace import Tape, Traced, plain, refuse


def record_function(function: Callable[..., Any], args: tuple[Any, ...], names: Any) -> Forward:
    """The forward pass of the loss that `function(*args)` returns.

    Its own local variables give the names, those of `names` come first. The floating point Tensors that it is
    given, or finds outside itself, and the parameters of Modules among them, are traced.
    Raises ReadOutError where a value is read out or branched on, ValueError where one of its names is given
    to two tensors; both name the line.
    """
    outside = dict(_outside(function))
    given = [*names.items(), *outside.items()] if hasattr(names, "items") else [*names, *outside.items()]
    tape = _FunctionTape()
    watching = _watching(_code_of(function), _files(function, args, outside))
    try:
        with _Tracing(tape, _tensors([args, outside])):
            with detect_anomaly(check_nan=False), watching as found:
                loss = function(*args)
            if not isinstance(loss, Tensor):
                raise TypeError(f"the function must return the loss, a Tensor, not {type(loss).__name__}")
            if loss.edge is None:
                _require_rules(tape, loss)
            known = {name for name, _ in given}
            named = ((name, value) for name, value in found.items() if name not in known)
            return record(loss, [*given, *named])
    finally:
        tape.closed = True  # what the function has left elsewhere is an array like any other from now on
        for tensor in _tensors([args, outside]):  # the function may have made new ones
            tensor.array = plain(tensor.array)


class _Tracing(Observer):
    """Shows to this thread traced arrays in the place of those that the Tensors hold."""

    def __init__(self, tape: Tape, tensors: Iterable[Tensor]) -> None:
        self._arrays: dict[Tensor, Any] = {
            tensor: tape.array(Var(move(tensor.array, "cpu"))) for tensor in tensors
        }

    def read(self, holder: Any, slot: str) -> Any:
        traced = slot == "_array" and holder in self._arrays
        return self._arrays[holder] if traced else super().read(holder, slot)

    def write(self, holder: Any, slot: str, value: Any) -> None:
        if slot == "_array" and holder in self._arrays:
            self._arrays[holder] = value
        else:
            super().write(holder, slot, value)


class _FunctionTape(Tape):
    """A tape on which no value leaves a Tensor, not even as an array."""

    def to_numpy(self, x: Traced) -> Any:
        return plain(x) if self.closed else refuse("numpy()")


def _require_rules(tape: Tape, loss: Tensor) -> None:
    """RuntimeError where the loss has no history because the last operations before it have no rule."""
    end = tape.variable(loss.array)
    for each in reversed(Program(tape.instructions, [end]).needed().instructions):
        if not each.operation.sources:
            raise RuntimeError(
                f"{each.source}: {each.operation.name} has no rule: no gradient goes through it"
            )


def _outside(function: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    """What the function uses and was not given: from the functions around it, and from its module."""
    if inspect.isfunction(function):
        variables = inspect.getclosurevars(function)
        yield from {**variables.globals, **variables.nonlocals}.items()
    elif isinstance(function, Module) or isinstance(getattr(function, "__self__", None), Module):
        yield "model", getattr(function, "__self__", function)


def _tensors(found: Any) -> Iterator[Tensor]:
    """Every floating point Tensor in nested lists, tuples, dicts and Modules, once."""
    seen: set[int] = set()
    stack = [found]
    while stack:
        each = stack.pop()
        if isinstance(each, Tensor):
            if id(each) not in seen and each.dtype.is_floating_point:
                seen.add(id(each))
                yield each
        elif isinstance(each, Module):
            stack += [*each.parameters(), *each.buffers()]
        elif isinstance(each, dict):
            stack += each.values()
        elif isinstance(each, (list, tuple)):
            stack += each


def _code_of(function: Callable[..., Any]) -> CodeType | None:
    """The code whose names count; of a Module or its method there is none, for its layers may share names."""
    return inspect.unwrap(function).__code__ if inspect.isfunction(function) else None


def _files(function: Callable[..., Any], args: tuple[Any, ...], outside: dict[str, Any]) -> set[str]:
    """Where the function is written, and the Modules that it is given or uses; not those inside them."""
    modules = [type(each) for each in (*args, *outside.values()) if isinstance(each, Module)]
    written = {inspect.getfile(cls) for each in modules for cls in each.__mro__ if issubclass(cls, Module)}
    code = _code_of(function)
    return written - {inspect.getfile(Module)} | ({code.co_filename} if code else set())


@contextmanager
def _watching(own: CodeType | None, files: set[str]) -> Iterator[dict[str, Any]]:
    """The Tensors that the functions in these files give names to, by the names. In the lines of the code
    `own` a name may be given to one Tensor only; elsewhere the first keeps it."""
    found: dict[str, Any] = {}
    last: dict[FrameType, int] = {}

    def look(frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename not in files:
            return None
        for name, value in frame.f_locals.items():
            if not isinstance(value, Tensor) or found.setdefault(name, value) is value:
                continue
            if frame.f_code is own:
                where = f"{Path(frame.f_code.co_filename).name}:{last[frame]}"
                raise ValueError(
                    f"{where}: the name {name} is given to two tensors, of shape {tuple(found[name].shape)} "
                    f"and {tuple(value.shape)}: give each value a name of its own"
                )
        last[frame] = frame.f_lineno
        return look

    before = sys.gettrace()
    sys.settrace(look)
    try:
        yield found
    finally:
        sys.settrace(before)
