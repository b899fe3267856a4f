"""A Module's own code under the other import.

A function of Python's finds what it names in the dictionary of its module. Here it is made anew over another
such dictionary, in which `tinygrad_ninja` is `torch`, `F` is `torch.nn.functional`, `Linear` is
`torch.nn.Linear`, and so on: what the user would get by changing the imports. The code itself is not read,
and not changed.
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

from .. import node

_APPLICATION = f"{node.__package__}.makemore"
_PARTS = (
    "", ".nn", ".nn.functional", ".nn.init", ".nn.utils", ".optim", ".optim.lr_scheduler", ".autograd",
    ".func", ".random", ".cuda",
)  # fmt: skip
_METHODS = (types.FunctionType, staticmethod, classmethod, property)


@dataclass(frozen=True)
class Engine:
    """The engine that a model leaves, and the one that it goes to.

    verb: the function that was called; source, target: the packages; objects: what both have, from the id of
    the source's; layers: the same for the classes of Modules.
    """

    verb: str
    source: Any
    target: Any
    objects: dict[int, Any]
    layers: dict[type, type]

    @classmethod
    def of(cls, verb: str, source: str, target: str) -> Engine:
        objects: dict[int, Any] = {}
        layers: dict[type, type] = {}
        for part in _PARTS:
            a, b = import_module(source + part), import_module(target + part)
            objects[id(a)] = b
            for name in vars(a).keys() & vars(b).keys():
                mine, theirs = vars(a)[name], vars(b)[name]
                if name.startswith("_") or not _is_public(mine, theirs):
                    continue
                objects.setdefault(id(mine), theirs)
                if isinstance(mine, type) and part == ".nn":
                    layers[mine] = theirs
        a, b = import_module(source), import_module(target)
        return cls(verb, a, b, objects, {k: v for k, v in layers.items() if issubclass(k, a.nn.Module)})

    def owns(self, x: Any) -> bool:
        """Whether `x` is a module, class or function of the source engine's own."""
        name = x.__name__ if isinstance(x, types.ModuleType) else getattr(x, "__module__", None) or ""
        return self.owns_name(name)

    def owns_name(self, module: str) -> bool:
        """Whether a module of that name is the source engine's own."""
        return _within(module, self.source.__name__) and not _within(module, _APPLICATION)


def _within(module: str, package: str) -> bool:
    return f"{module}.".startswith(f"{package}.")


def _is_public(mine: Any, theirs: Any) -> bool:
    """Whether these are an engine's functions, classes and dtypes, and not what it imports or numbers."""
    return (
        (callable(mine) and callable(theirs)) or "dtype" in (type(mine).__name__, type(theirs).__name__)
    ) and mine is not theirs


class Code:
    """One conversion: what crosses from the source engine to the target. Each object crosses once, so that
    what was shared stays shared. Here: modules, functions, classes; a subclass knows Tensors and layers."""

    engine: Engine

    def __init__(self) -> None:
        self.done: dict[int, tuple[Any, Any]] = {}  # (what crossed, its counterpart) by the id of the first

    def value(self, x: Any, where: str) -> Any:
        """The counterpart of an attribute or a global: `x` itself where it has nothing to do with the source
        engine. TypeError, naming `where` it stands, where there is none."""
        if id(x) not in self.done:
            try:
                self.done[id(x)] = x, self.cross(x, where)
            except TypeError:
                self.done.pop(id(x), None)  # it was entered half made, where it may refer to itself
                raise
        return self.done[id(x)][1]

    def cross(self, x: Any, where: str) -> Any:
        """The counterpart of `x`, met for the first time."""
        engine = self.engine
        if id(x) in engine.objects:
            return engine.objects[id(x)]
        if isinstance(x, types.MethodType):
            return types.MethodType(self.value(x.__func__, where), self.value(x.__self__, where))
        if isinstance(x, functools.partial):
            arguments = [self.value(each, where) for each in x.args]
            return functools.partial(self.value(x.func, where), *arguments, **self.value(x.keywords, where))
        if not self.concerns(x):
            return x
        if isinstance(x, type) and (issubclass(x, engine.source.nn.Module) or not engine.owns(x)):
            return self.cross_class(x, where)
        if isinstance(x, types.FunctionType) and not engine.owns(x):
            return self.function(x, where)
        raise self.missing(where, _name(x))

    def missing(self, where: str, name: str) -> TypeError:
        return self.error(where, f"uses {name}, for which {self.engine.target.__name__} has nothing")

    def error(self, where: str, problem: str) -> TypeError:
        return TypeError(f"{self.engine.verb}: {where} {problem}")

    def concerns(self, x: Any) -> bool:
        """Whether `x` is the source engine's, or holds or names something that is, however far away."""
        engine, seen, waiting = self.engine, set(), [x]
        while waiting:
            each = waiting.pop()
            if id(each) in seen or _is_standard(each):
                continue
            seen.add(id(each))
            if id(each) in engine.objects or isinstance(each, engine.source.Tensor | engine.source.Generator):
                return True
            if isinstance(each, types.ModuleType | types.FunctionType | type) and engine.owns(each):
                return True
            waiting += _referred(each)
        return False

    def function(self, f: Any, where: str) -> Any:
        """`f` over the target engine."""
        engine = self.engine
        mode = self._grad_mode(f)
        if mode is not None:
            return getattr(engine.target, mode)()(self.value(f.__wrapped__, where))
        self._check_names(f, where)
        # Without a __name__, by which PyTorch's tracers would take it for the dictionary of the module.
        names: dict[str, Any] = {"__builtins__": f.__globals__["__builtins__"]}
        cells = tuple(types.CellType() for _ in f.__closure__ or ())
        made = types.FunctionType(f.__code__, names, f.__name__, None, cells)
        self.done[id(f)] = f, made
        made.__qualname__, made.__module__ = f.__qualname__, f.__module__
        made.__defaults__ = self.value(f.__defaults__, where)
        made.__kwdefaults__ = self.value(f.__kwdefaults__, where)
        for cell, theirs in zip(cells, f.__closure__ or (), strict=True):
            cell.cell_contents = self.value(theirs.cell_contents, where)
        for name in _globals(f):
            names[name] = self.value(f.__globals__[name], where)
        return made

    def _check_names(self, f: Any, where: str) -> None:
        """TypeError where the code says `engine.name`, and the other engine has no such name, or imports
        it."""
        engine, module = self.engine, None
        for each in _instructions(f.__code__):
            if each.opname == "LOAD_GLOBAL":
                module = f.__globals__.get(each.argval)
            elif each.opname in ("LOAD_ATTR", "LOAD_METHOD") and isinstance(module, types.ModuleType):
                there = engine.objects.get(id(module))
                if there is not None and not hasattr(there, each.argval):
                    raise self.missing(where, f"{module.__name__}.{each.argval}")
                module = getattr(module, each.argval, None)
            elif each.opname == "IMPORT_NAME" and _within(each.argval, engine.source.__name__):
                raise self.error(where, f"imports {each.argval}: import it outside of the function")
            else:
                module = None

    def _grad_mode(self, f: Any) -> str | None:
        """The name of the decorator, where `f` is a function under `@no_grad()` or `@enable_grad()`."""
        if not self.engine.owns_name(f.__globals__.get("__name__", "")) or not hasattr(f, "__wrapped__"):
            return None
        modes = (self.engine.source.no_grad, self.engine.source.enable_grad)
        held = [getattr(each.cell_contents, "__self__", each.cell_contents) for each in f.__closure__ or ()]
        return next((type(each).__name__ for each in held if isinstance(each, modes)), None)

    def cross_class(self, cls: type, where: str) -> type:
        """A class of the same name and methods, over the target engine's bases."""
        if id(cls) in self.done:
            return self.done[id(cls)][1]
        bases = tuple(self.value(base, where) for base in cls.__bases__)
        about = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
        made = types.new_class(cls.__name__, bases, exec_body=lambda names: names.update(about))
        self.done[id(cls)] = cls, made
        for name, member in vars(cls).items():
            if name not in about and name not in ("__dict__", "__weakref__", "__annotations__"):
                setattr(made, name, self._member(member, name, f"{cls.__name__}.{name}"))
        return made

    def _member(self, member: Any, name: str, where: str) -> Any:
        try:
            if isinstance(
                member, types.FunctionType
            ):  # a layer's own method crosses wherever the layer is from
                return self.function(member, where) if self.concerns(member) else member
            if isinstance(member, staticmethod | classmethod):
                return type(member)(self.value(member.__func__, where))
            if isinstance(member, property):
                get, set_, delete = (
                    self.value(each, where) for each in (member.fget, member.fset, member.fdel)
                )
                return property(get, set_, delete, member.__doc__)
            return self.value(member, where)
        except TypeError as error:
            self.done.pop(id(member), None)
            if name == "forward" or not isinstance(
                member, types.FunctionType | staticmethod | classmethod | property
            ):
                raise
            return _refusal(str(error))  # of what the network may do without


def _refusal(message: str) -> Callable[..., Any]:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise TypeError(message)

    return refuse


def _name(x: Any) -> str:
    if isinstance(x, types.ModuleType):
        return x.__name__
    if hasattr(x, "__qualname__"):
        return f"{x.__module__}.{x.__qualname__}"
    return f"a {type(x).__name__} with Tensors in it, and no Module"


def _is_standard(x: Any) -> bool:
    """Whether `x` is of Python's own library, which knows no engine."""
    module = x.__name__ if isinstance(x, types.ModuleType) else getattr(x, "__module__", None) or ""
    return module.partition(".")[0] in sys.stdlib_module_names


def _referred(x: Any) -> Iterator[Any]:
    """What a function names outside of itself, closes over, or takes by default; what anything else holds."""
    if isinstance(x, types.ModuleType):
        return
    if isinstance(x, types.FunctionType):
        yield from (x.__globals__[name] for name in _globals(x))
        yield from (
            sys.modules.get(each.argval) for each in _instructions(x.__code__) if each.opname == "IMPORT_NAME"
        )
        for cell in x.__closure__ or ():
            with suppress(ValueError):  # that was not filled yet
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
    """What the function finds in the dictionary of its module."""
    names = {each.argval for each in _instructions(f.__code__) if each.opname == "LOAD_GLOBAL"}
    return names & f.__globals__.keys()


def _instructions(code: types.CodeType) -> Iterator[dis.Instruction]:
    """Those of the code, and of the functions within it."""
    yield from dis.get_instructions(code)
    for each in code.co_consts:
        if isinstance(each, types.CodeType):
            yield from _instructions(each)
