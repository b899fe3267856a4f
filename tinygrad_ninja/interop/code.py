"""A Module's own code under the other import.

A function of Python's looks up names in the dictionary of its module. Here it is built again over another
such dictionary, in which `tinygrad_ninja` is `torch`, `F` is `torch.nn.functional`, `Linear` is
`torch.nn.Linear`, and so on: the same as if the user changed the imports. The code itself is neither read nor
changed.
"""

from __future__ import annotations

import dis
import functools
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any

_APPLICATION = f"{__package__.partition('.')[0]}.makemore"
_PARTS = (
    "", ".nn", ".nn.functional", ".nn.init", ".nn.utils", ".nn.utils.rnn", ".optim", ".optim.lr_scheduler",
    ".autograd", ".func", ".random", ".cuda",
)  # fmt: skip
_METHODS = (types.FunctionType, staticmethod, classmethod, property)


@dataclass(frozen=True)
class Engine:
    """The source engine of a conversion, and its target.

    verb: the function that was called; source, target: the packages; objects: what both engines have, from
    the id of the source's object to the target's object; layers: the same for the classes of Modules.
    """

    verb: str
    source: Any
    target: Any
    objects: dict[int, Any]
    layers: dict[type, type]

    @classmethod
    def of(cls, verb: str, source: str, target: str) -> Engine:
        """Return the engine that the function `verb` converts from the package `source` to `target`."""
        objects: dict[int, Any] = {}
        layers: dict[type, type] = {}
        for part in _PARTS:
            old, new = import_module(source + part), import_module(target + part)
            objects[id(old)] = new
            for name in vars(old).keys() & vars(new).keys():
                mine, theirs = vars(old)[name], vars(new)[name]
                if name.startswith("_") or not _is_public(mine, theirs):
                    continue
                objects.setdefault(id(mine), theirs)
                if isinstance(mine, type) and part == ".nn":
                    layers[mine] = theirs
        old, new = import_module(source), import_module(target)
        modules = {mine: theirs for mine, theirs in layers.items() if issubclass(mine, old.nn.Module)}
        return cls(verb, old, new, objects, modules)

    def owns(self, x: Any) -> bool:
        """Return whether `x` is a module, class or function of the source engine's own."""
        name = x.__name__ if isinstance(x, types.ModuleType) else getattr(x, "__module__", None) or ""
        return self.owns_name(name)

    def owns_name(self, module: str) -> bool:
        """Return whether a module of that name is the source engine's own."""
        return _within(module, self.source.__name__) and not _within(module, _APPLICATION)


def _within(module: str, package: str) -> bool:
    return f"{module}.".startswith(f"{package}.")


def _is_public(mine: Any, theirs: Any) -> bool:
    """Return whether these are functions, classes or dtypes of an engine, and neither imports of it nor
    numbers."""
    return (
        (callable(mine) and callable(theirs)) or "dtype" in (type(mine).__name__, type(theirs).__name__)
    ) and mine is not theirs


class Code:
    """One conversion of objects from the source engine to the target; each object is converted once, so that
    shared objects stay shared. Modules, functions and classes are converted here; a subclass converts Tensors
    and layers."""

    engine: Engine

    def __init__(self) -> None:
        self.done: dict[int, tuple[Any, Any]] = {}  # (object, its counterpart) by the id of the object

    def value(self, x: Any, where: str) -> Any:
        """Return the counterpart of an attribute or a global: `x` itself where the source engine is not
        involved.

        Raises TypeError, naming the place `where` it was used, where there is none.
        """
        if id(x) not in self.done:
            try:
                self.done[id(x)] = x, self.cross(x, where)
            except TypeError:
                self.done.pop(id(x), None)  # where it may refer to itself, it was entered unfinished
                raise
        return self.done[id(x)][1]

    def cross(self, x: Any, where: str) -> Any:
        """Return the counterpart of `x`, which is converted for the first time."""
        engine = self.engine
        if id(x) in engine.objects:
            return engine.objects[id(x)]
        if isinstance(x, types.MethodType):
            return types.MethodType(self.value(x.__func__, where), self.value(x.__self__, where))
        if isinstance(x, functools.partial):
            arguments = [self.value(argument, where) for argument in x.args]
            return functools.partial(self.value(x.func, where), *arguments, **self.value(x.keywords, where))
        if not self.concerns(x):
            return x
        if isinstance(x, type) and (issubclass(x, engine.source.nn.Module) or not engine.owns(x)):
            return self.cross_class(x, where)
        if isinstance(x, types.FunctionType) and not engine.owns(x):
            return self.function(x, where)
        raise self.missing(where, _name(x))

    def missing(self, where: str, name: str) -> TypeError:
        """Return the TypeError for a use of `name`, which the target engine lacks."""
        return self.error(where, f"uses {name}, for which {self.engine.target.__name__} has nothing")

    def error(self, where: str, problem: str) -> TypeError:
        """Return a TypeError whose message names the place and the problem."""
        return TypeError(f"{self.engine.verb}: {where} {problem}")

    def concerns(self, x: Any) -> bool:
        """Return whether `x` is the source engine's, or refers to something that is, directly or
        indirectly."""
        engine, seen, stack = self.engine, set(), [x]
        while stack:
            referred = stack.pop()
            if id(referred) in seen or _is_standard(referred):
                continue
            seen.add(id(referred))
            if id(referred) in engine.objects or isinstance(
                referred, engine.source.Tensor | engine.source.Generator
            ):
                return True
            if isinstance(referred, types.ModuleType | types.FunctionType | type) and engine.owns(referred):
                return True
            stack += _references(referred)
        return False

    def function(self, f: Any, where: str) -> Any:
        """Return `f` over the target engine."""
        engine = self.engine
        mode = self._grad_mode(f)
        if mode is not None:
            return getattr(engine.target, mode)()(self.value(f.__wrapped__, where))
        self._check_names(f, where)
        # It has no __name__, or PyTorch's tracers would take it for the dictionary of the module.
        names: dict[str, Any] = {"__builtins__": f.__globals__["__builtins__"]}
        cells = tuple(types.CellType() for _ in f.__closure__ or ())
        function = types.FunctionType(f.__code__, names, f.__name__, None, cells)
        self.done[id(f)] = f, function
        function.__qualname__, function.__module__ = f.__qualname__, f.__module__
        function.__defaults__ = self.value(f.__defaults__, where)
        function.__kwdefaults__ = self.value(f.__kwdefaults__, where)
        for cell, old_cell in zip(cells, f.__closure__ or (), strict=True):
            cell.cell_contents = self.value(old_cell.cell_contents, where)
        for name in _globals(f):
            names[name] = self.value(f.__globals__[name], where)
        return function

    def _check_names(self, f: Any, where: str) -> None:
        """Raise TypeError where the code uses `engine.name` that the target engine lacks, or imports the
        engine."""
        engine, module = self.engine, None
        for instruction in _instructions(f.__code__):
            if instruction.opname == "LOAD_GLOBAL":
                module = f.__globals__.get(instruction.argval)
            elif instruction.opname in ("LOAD_ATTR", "LOAD_METHOD") and isinstance(module, types.ModuleType):
                counterpart = engine.objects.get(id(module))
                if counterpart is not None and not hasattr(counterpart, instruction.argval):
                    raise self.missing(where, f"{module.__name__}.{instruction.argval}")
                module = getattr(module, instruction.argval, None)
            elif instruction.opname == "IMPORT_NAME" and _within(instruction.argval, engine.source.__name__):
                raise self.error(where, f"imports {instruction.argval}: import it outside of the function")
            else:
                module = None

    def _grad_mode(self, f: Any) -> str | None:
        """Return the name of the decorator, where `f` is a function under `@no_grad()` or
        `@enable_grad()`."""
        if not self.engine.owns_name(f.__globals__.get("__name__", "")) or not hasattr(f, "__wrapped__"):
            return None
        modes = (self.engine.source.no_grad, self.engine.source.enable_grad)
        contents = [cell.cell_contents for cell in f.__closure__ or ()]
        owners = [getattr(content, "__self__", content) for content in contents]
        return next((type(owner).__name__ for owner in owners if isinstance(owner, modes)), None)

    def cross_class(self, cls: type, where: str) -> type:
        """Return a class of the same name and methods, over the target engine's bases."""
        if id(cls) in self.done:
            return self.done[id(cls)][1]
        bases = tuple(self.value(base, where) for base in cls.__bases__)
        attributes = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
        counterpart = types.new_class(cls.__name__, bases, exec_body=lambda names: names.update(attributes))
        self.done[id(cls)] = cls, counterpart
        for name, member in vars(cls).items():
            if name not in attributes and name not in ("__dict__", "__weakref__", "__annotations__"):
                setattr(counterpart, name, self._member(member, name, f"{cls.__name__}.{name}"))
        return counterpart

    def _member(self, member: Any, name: str, where: str) -> Any:
        try:
            if isinstance(
                member, types.FunctionType
            ):  # a layer's own method, whichever module the layer is from
                return self.function(member, where) if self.concerns(member) else member
            if isinstance(member, staticmethod | classmethod):
                return type(member)(self.value(member.__func__, where))
            if isinstance(member, property):
                accessors = (member.fget, member.fset, member.fdel)
                get, set_, delete = (self.value(accessor, where) for accessor in accessors)
                return property(get, set_, delete, member.__doc__)
            return self.value(member, where)
        except TypeError as error:
            self.done.pop(id(member), None)
            if name == "forward" or not isinstance(
                member, types.FunctionType | staticmethod | classmethod | property
            ):
                raise
            return _refusal(str(error))  # raised only if the network uses the member


def _refusal(message: str) -> Callable[..., Any]:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        """Raise the error of the conversion."""
        raise TypeError(message)

    return refuse


def _name(x: Any) -> str:
    if isinstance(x, types.ModuleType):
        return x.__name__
    if hasattr(x, "__qualname__"):
        return f"{x.__module__}.{x.__qualname__}"
    return f"a {type(x).__name__} with Tensors in it, and no Module"


def _is_standard(x: Any) -> bool:
    """Return whether `x` is from Python's standard library, which refers to no engine."""
    module = x.__name__ if isinstance(x, types.ModuleType) else getattr(x, "__module__", None) or ""
    return module.partition(".")[0] in sys.stdlib_module_names


def _references(x: Any) -> Iterator[Any]:
    """Return the objects that `x` refers to: of a function its globals, imports, closure and defaults, of
    anything else what it holds."""
    if isinstance(x, types.ModuleType):
        return
    if isinstance(x, types.FunctionType):
        yield from (x.__globals__[name] for name in _globals(x))
        yield from (
            sys.modules.get(instruction.argval)
            for instruction in _instructions(x.__code__)
            if instruction.opname == "IMPORT_NAME"
        )
        for cell in x.__closure__ or ():
            with suppress(ValueError):  # the cell is still empty
                yield cell.cell_contents
        yield from (x.__defaults__, x.__kwdefaults__)
    elif isinstance(x, types.MethodType):
        yield from (x.__func__, x.__self__)
    elif isinstance(x, list | tuple | set | frozenset):
        yield from x
    elif isinstance(x, dict):
        yield from x.values()
    else:
        yield from getattr(x, "__dict__", {}).values()
        yield from x.__bases__ if isinstance(x, type) else ()


def _globals(f: Any) -> set[str]:
    """Return the names that the function looks up in the dictionary of its module."""
    instructions = _instructions(f.__code__)
    names = {instruction.argval for instruction in instructions if instruction.opname == "LOAD_GLOBAL"}
    return names & f.__globals__.keys()


def _instructions(code: types.CodeType) -> Iterator[dis.Instruction]:
    """Return the instructions of the code, and of the functions within it."""
    yield from dis.get_instructions(code)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _instructions(constant)
