"""Modules that hold other modules, and run or list them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any, Self, overload

from ..engine.tensor import Tensor
from .module import Module, Parameter, indented


class _Numbered(Module):
    """Modules in an order, under the names "0", "1", … or, in a Sequential built from a dict, under its
    keys."""

    def append(self, module: Module) -> Self:
        """Add a module at the end, and return self."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add modules at the end, and return self."""
        for module in list(modules):
            self.append(module)
        return self

    def pop(self, key: int) -> Module:
        """Remove the module at index `key`, renumber the rest, and return it. IndexError where there is
        none."""
        module: Module = self[key]
        del self[key]
        return module

    def _renumber(self, modules: list[Module]) -> Self:
        for module in modules:
            self._check_module(module)
        self._modules.clear()
        return self.extend(modules)

    def _names(self, index: int | slice) -> Any:
        try:
            return list(self._modules)[index]
        except IndexError:
            raise IndexError(f"index {index} is out of range: there are {len(self)} modules") from None

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules.values())

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Any:
        names = self._names(index)
        if not isinstance(index, slice):
            return self._modules[names]
        part = type(self)()
        for name in names:
            part.add_module(name, self._modules[name])
        return part

    def __setitem__(self, index: int, module: Module) -> None:
        self.add_module(self._names(index), module)

    def __delitem__(self, index: int | slice) -> None:
        names = self._names(index)
        removed = names if isinstance(index, slice) else [names]
        self._renumber([module for name, module in self._modules.items() if name not in removed])


class Sequential(_Numbered):
    """Modules one after the other: each one's output is the next one's input. It also takes a single dict of
    names."""

    def __init__(self, *modules: Any) -> None:
        super().__init__()
        named = modules[0] if len(modules) == 1 and isinstance(modules[0], dict) else dict(enumerate(modules))
        for name, module in named.items():
            self.add_module(str(name), module)

    def insert(self, index: int, module: Module) -> Self:
        """Insert a module before the one at index, renumber all, and return self. IndexError where there is
        no such place."""
        if not -len(self) <= index <= len(self):
            raise IndexError(f"Index out of range: {index}")
        modules = list(self)
        modules.insert(index, module)
        return self._renumber(modules)

    def __add__(self, other: Sequential) -> Sequential:
        return Sequential(*self, *other)

    def __iadd__(self, other: Sequential) -> Self:
        return self.extend(other)

    def forward(self, input: Any) -> Any:
        """Return the output of the last module, with the input passed through each in turn."""
        for module in self:
            input = module(input)
        return input


class ModuleList(_Numbered):
    """Modules in a list, for the `forward` of the module that holds it to call."""

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self.extend(modules or ())

    def insert(self, index: int, module: Module) -> None:
        """Insert a module before the one at index, as `list.insert` does, and renumber all."""
        modules = list(self)
        modules.insert(index, module)
        self._renumber(modules)

    def __getitem__(self, index: int | slice) -> Any:
        selected = super().__getitem__(index)
        return selected._renumber(list(selected)) if isinstance(index, slice) else selected

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def __iadd__(self, other: Iterable[Module]) -> Self:
        return self.extend(other)

    def __repr__(self) -> str:
        """Return the text in which equal neighbours are shown once, with their number."""
        lines, start = [], 0
        for text, equals in groupby(map(repr, self)):
            n = len(list(equals))
            numbers = f"({start})" if n == 1 else f"({start}-{start + n - 1})"
            lines.append(indented(f"{numbers}: {'' if n == 1 else f'{n} x '}{text}"))
            start += n
        return "ModuleList(\n  " + "\n  ".join(lines) + "\n)" if lines else "ModuleList()"


class _Named(Module):
    """Parts by names, as a dict has them. A subclass says which of its dicts they are."""

    @property
    def _parts(self) -> dict[str, Any]:
        raise NotImplementedError

    def keys(self) -> Iterable[str]:
        """Return the names."""
        return self._parts.keys()

    def values(self) -> Iterable[Any]:
        """Return the parts."""
        return self._parts.values()

    def items(self) -> Iterable[tuple[str, Any]]:
        """Return the names and their parts."""
        return self._parts.items()

    def clear(self) -> None:
        """Remove all parts."""
        self._parts.clear()

    def __contains__(self, key: str) -> bool:
        return key in self._parts

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)


class ModuleDict(_Named):
    """Modules by names, for the `forward` of the module that holds it to call."""

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        super().__init__()
        self.update(modules or {})

    @property
    def _parts(self) -> dict[str, Any]:
        return self._modules

    def update(self, modules: Mapping[str, Module]) -> None:
        """Add these modules, replacing those of the same names."""
        for name, module in modules.items():
            self[name] = module

    def pop(self, key: str) -> Any:
        """Remove the module of that name, and return it. KeyError where there is none."""
        return self._modules.pop(key)

    def __getitem__(self, key: str) -> Any:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]


class ParameterList(Module):
    """Parameters in a list; a Tensor that is none becomes one."""

    def __init__(self, values: Iterable[Tensor] | None = None) -> None:
        super().__init__()
        self.extend(values or ())

    def append(self, value: Tensor) -> Self:
        """Add a parameter at the end, and return self."""
        self[len(self)] = value
        return self

    def extend(self, values: Iterable[Tensor]) -> Self:
        """Add parameters at the end, and return self."""
        for value in values:
            self.append(value)
        return self

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._parameters.values())

    def __iadd__(self, values: Iterable[Tensor]) -> Self:
        return self.extend(values)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(list(self)[index])
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} is out of range: there are {len(self)} parameters")
        return list(self)[index]

    def __setitem__(self, index: int, value: Tensor) -> None:
        at = index % len(self) if index < 0 else index
        self._parameters[str(at)] = value if isinstance(value, Parameter) else Parameter(value)

    def extra_repr(self) -> str:
        """Return a line for each parameter, for `repr`."""
        return _described(self, lambda p: p.dtype)


def _described(parameters: Module, kind: Callable[[Any], Any]) -> str:
    """Return a line for each parameter. kind: gives what to call its dtype."""
    return "\n".join(
        f"  ({name}): Parameter containing: [{kind(p)} of size {'x'.join(map(str, p.shape))}]"
        for name, p in parameters._parameters.items()
        if p is not None
    )


class ParameterDict(_Named):
    """Parameters by names; a Tensor that is none becomes one. A plain dict is taken in the order of its
    names."""

    def __init__(self, parameters: Mapping[str, Tensor] | None = None) -> None:
        super().__init__()
        self.update(parameters or {})

    @property
    def _parts(self) -> dict[str, Any]:
        return self._parameters

    def update(self, parameters: Mapping[str, Tensor]) -> None:
        """Add these parameters, replacing those of the same names."""
        ordered = isinstance(parameters, (OrderedDict, ParameterDict))
        for name, value in parameters.items() if ordered else sorted(parameters.items()):
            self[name] = value

    def get(self, key: str, default: Any = None) -> Any:
        """Return the parameter of that name, or the default where there is none."""
        return self._parameters.get(key, default)

    def pop(self, key: str) -> Any:
        """Remove the parameter of that name, and return it. AttributeError where there is none."""
        value = self[key]
        del self[key]
        return value

    def __getitem__(self, key: str) -> Any:
        return getattr(self, key)

    def __setitem__(self, key: str, value: Tensor) -> None:
        self.register_parameter(key, value if isinstance(value, Parameter) else Parameter(value))

    def __delitem__(self, key: str) -> None:
        delattr(self, key)

    def extra_repr(self) -> str:
        """Return a line for each parameter, for `repr`."""
        return _described(self, lambda p: p.type())
