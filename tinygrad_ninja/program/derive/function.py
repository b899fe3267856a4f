"""Running a function so that everything it does with its Tensors is recorded, under the names it uses."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from types import CodeType
from typing import Any

from ...arrays.dispatch import move
from ...engine.anomaly import detect_anomaly
from ...engine.hook import Observer
from ...engine.tensor import Tensor
from ...nn import Module
from ..instructions import Program, Var
from ..trace import Tape, Traced, plain, refuse
from .naming_code import Watched
from .reader_names import given_names, reader_paths
from .record import Forward, record


def record_function(function: Callable[..., Any], args: tuple[Any, ...], names: Any) -> Forward:
    """Return the forward pass of the loss that `function(*args)` returns.

    Its own local variables give the names, those of `names` come first. The floating point Tensors among its
    arguments and the variables outside it that it uses, and the parameters of Modules among them, are traced.
    Raise ReadOutError where a value is read out or branched on, ValueError where one of its names is given
    to two tensors; both name the line.
    """
    outside = dict(_outside(function))
    given = [*given_names(names), *outside.items()]
    tape = _FunctionTape()
    paths = reader_paths([*given, *zip(map(str, range(len(args))), args, strict=True)])
    watched = Watched(_code_of(function), _files(function, args, outside), paths)
    try:
        with _Tracing(tape, _tensors([args, outside])):
            with detect_anomaly(check_nan=False), watched.watching():
                loss = function(*args)
            if not isinstance(loss, Tensor):
                raise TypeError(f"the function must return the loss, a Tensor, not {type(loss).__name__}")
            if loss.edge is None:
                _require_rules(tape, loss)
            known = {name for name, _ in given}
            named = ((name, value) for name, value in watched.named.items() if name not in known)
            return record(loss, [*given, *named], watched.inner, watched.stems())
    finally:
        tape.closed = True  # arrays that the function has kept elsewhere are like any other from now on
        for tensor in _tensors([args, outside]):  # the function may have made new ones
            tensor.array = plain(tensor.array)


class _Tracing(Observer):
    """Shows this thread traced arrays in place of those that the Tensors hold."""

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
    """Raise RuntimeError where the loss has no history because the last operations before it have no rule."""
    end = tape.variable(loss.array)
    for instruction in reversed(Program(tape.instructions, [end]).needed().instructions):
        if not instruction.operation.sources:
            raise RuntimeError(
                f"{instruction.source}: {instruction.operation.name} has no rule: no gradient goes through it"
            )


def _outside(function: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    """Yield the variables that the function uses and was not given: from the functions around it, and from
    its module."""
    if inspect.isfunction(function):
        variables = inspect.getclosurevars(function)
        yield from {**variables.globals, **variables.nonlocals}.items()
    elif isinstance(function, Module) or isinstance(getattr(function, "__self__", None), Module):
        yield "model", getattr(function, "__self__", function)


def _tensors(values: Any) -> Iterator[Tensor]:
    """Yield every floating point Tensor in nested lists, tuples, dicts and Modules, once."""
    seen: set[int] = set()
    stack = [values]
    while stack:
        value = stack.pop()
        if isinstance(value, Tensor):
            if id(value) not in seen and value.dtype.is_floating_point:
                seen.add(id(value))
                yield value
        elif isinstance(value, Module):
            stack += [*value.parameters(), *value.buffers()]
        elif isinstance(value, dict):
            stack += value.values()
        elif isinstance(value, (list, tuple)):
            stack += value


def _code_of(function: Callable[..., Any]) -> CodeType | None:
    """Return the code whose names count; None for a Module or its method, for its layers may share names."""
    return inspect.unwrap(function).__code__ if inspect.isfunction(function) else None


def _files(function: Callable[..., Any], args: tuple[Any, ...], outside: dict[str, Any]) -> set[str]:
    """Return the files in which the function is written, and the Modules that it is given or uses; not those
    inside them."""
    modules = [type(value) for value in (*args, *outside.values()) if isinstance(value, Module)]
    written = {
        inspect.getfile(cls) for module in modules for cls in module.__mro__ if issubclass(cls, Module)
    }
    code = _code_of(function)
    return written - {inspect.getfile(Module)} | ({code.co_filename} if code else set())
