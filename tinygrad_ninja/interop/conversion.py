"""What a model is made of, on the other side: numbers, layers by their settings, generators, devices."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from typing import Any

from .. import dtypes
from ..cuda import require_torch
from ..generator import Generator
from ..kinds import device_of, kind_of, move
from ..random import get_rng_state, set_rng_state
from ..tensors import device, wrap
from .code import Code, Engine

_STATE = ("_parameters", "_buffers", "_modules")


class Conversion(Code):
    """A model that leaves one engine for the other. Both have Modules of the same make: what differs is in
    the methods that a subclass has."""

    not_saved: str  # the attribute of the source's Modules that names buffers outside of the state_dict
    not_saved_there: str

    def __call__(self, given: Any) -> Any:
        source = self.engine.source
        if not isinstance(given, source.nn.Module | source.Tensor | dict | list | tuple):
            raise TypeError(
                f"{self.engine.verb} takes a Module or a Tensor of {source.__name__}, or a dict, list or "
                f"tuple of them, not {type(given).__name__}"
            )
        with self.undrawn():  # layers are made with random numbers, which nobody asked for
            return self.value(given, type(given).__name__)

    def undrawn(self) -> AbstractContextManager[Any]:
        """Where the target's default generator comes back to where it was."""
        raise NotImplementedError

    def tensor(self, x: Any, where: str) -> Any:
        """A copy of the numbers."""
        raise NotImplementedError

    def generator(self, x: Any, where: str) -> Any:
        """A generator that goes on where `x` is."""
        raise NotImplementedError

    def device(self, x: Any) -> Any:
        """The name of the same place."""
        raise NotImplementedError

    def cross(self, x: Any, where: str) -> Any:
        source, target = self.engine.source, self.engine.target
        if isinstance(x, source.nn.Module):
            return self.module(x, where)
        if isinstance(x, source.nn.Parameter):
            return target.nn.Parameter(self.tensor(x, where), requires_grad=x.requires_grad)
        if isinstance(x, source.Tensor):
            made = self.tensor(x, where)
            return made.requires_grad_() if x.requires_grad and x.is_leaf else made
        if isinstance(x, source.Generator):
            return self.generator(x, where)
        if isinstance(x, source.device):
            return self.device(x)
        if isinstance(x, source.Size):
            return target.Size(x)
        if isinstance(x, dict):
            made = copy.copy(x)
            made.update({name: self.value(each, f"{where}.{name}") for name, each in x.items()})
            return made
        if isinstance(x, list | tuple | set):
            members = [self.value(each, where) for each in x]
            return type(x)(*members) if hasattr(x, "_fields") else type(x)(members)
        return super().cross(x, where)

    def module(self, module: Any, where: str) -> Any:
        """A layer that both have, from its settings; another Module as its own code over such a layer."""
        cls: Any = type(module)
        layers: dict[Any, Any] = self.engine.layers
        for name, value in vars(module).items():
            if name.endswith("_hooks") and value:
                raise self.error(where, f"has hooks ({name}), which can't come along: remove() them first")
        base = next(each for each in cls.__mro__ if each in layers)
        made = layers[base](**self._settings(module, base, layers[base], where))
        self.done[id(module)] = module, made  # its parts may refer to it
        if base is not cls and not (self.engine.owns(cls) and cls.forward is base.forward):
            made.__class__ = self.cross_class(cls, where)
            known = {*vars(made), *vars(self.engine.source.nn.Module())}
            for name in vars(module).keys() - known:
                object.__setattr__(made, name, self.value(vars(module)[name], f"{where}.{name}"))
        for kind in _STATE:
            there = getattr(made, kind)
            parts = {name: self.value(each, f"{where}.{name}") for name, each in vars(module)[kind].items()}
            there.clear()
            there.update(parts)
        getattr(made, self.not_saved_there).update(getattr(module, self.not_saved))
        object.__setattr__(made, "training", module.training)
        return made

    def _settings(self, module: Any, base: type, target: type, where: str) -> dict[str, Any]:
        """The arguments with which the target's class makes such a layer."""
        if base.__name__ == "ParameterList":
            return {"values": [self.value(each, where) for each in module]}
        given = {}
        for name in inspect.signature(target).parameters:
            if name in vars(module):
                given[name] = self.value(vars(module)[name], f"{where}.{name}")
            elif name in module._buffers:
                given[name] = self.value(module._buffers[name], f"{where}.{name}")
            else:  # whether it has a bias
                for parameter in {name, f"in_proj_{name}"} & module._parameters.keys():
                    given[name] = module._parameters[parameter] is not None
        return given


class ToTorch(Conversion):
    """From this engine to PyTorch."""

    not_saved, not_saved_there = "_not_saved", "_non_persistent_buffers_set"

    def __init__(self) -> None:
        super().__init__()
        self.torch = require_torch("to_torch")
        self.engine = _to_torch()

    def undrawn(self) -> AbstractContextManager[Any]:
        found: AbstractContextManager[Any] = self.torch.random.fork_rng(devices=[])
        return found

    def tensor(self, x: Any, where: str) -> Any:
        place = device_of(x.array)
        moved = move(x.array, place if place.startswith("cuda") else "torch")
        return moved.clone() if moved is x.array else moved

    def generator(self, x: Any, where: str) -> Any:
        made = self.torch.Generator(self.device(x.device))
        made.set_state(self.torch.from_numpy(x.get_state().numpy()))
        return made

    def device(self, x: Any) -> Any:
        return self.torch.device(str(x) if x.type == "cuda" else "cpu")


class FromTorch(Conversion):
    """From PyTorch to this engine."""

    not_saved, not_saved_there = "_non_persistent_buffers_set", "_not_saved"

    def __init__(self) -> None:
        super().__init__()
        require_torch("from_torch")
        self.engine = _from_torch()

    @contextmanager
    def undrawn(self) -> Iterator[None]:
        before = get_rng_state()
        try:
            yield
        finally:
            set_rng_state(before)

    def tensor(self, x: Any, where: str) -> Any:
        name = str(x.dtype).removeprefix("torch.")
        if name not in dtypes.BY_NAME or x.layout is not self.engine.source.strided:
            raise self.error(
                where, f"is {name} and {x.layout}: there are only {', '.join(dtypes.BY_NAME)} here"
            )
        array = kind_of(x).copy(x.detach())
        place = device(device_of(array))
        return wrap(move(array, "cpu") if place.type == "torch" else array)

    def generator(self, x: Any, where: str) -> Any:
        return Generator(str(x.device)).set_state(x.get_state().numpy())

    def device(self, x: Any) -> Any:
        return device(str(x))

    def cross_class(self, cls: type, where: str) -> type:
        if self.engine.owns(cls):
            raise self.error(where, f"is a {cls.__name__}, which there is none of here")
        return super().cross_class(cls, where)


@cache
def _to_torch() -> Engine:
    return Engine.of("to_torch", __package__.partition(".")[0], "torch")


@cache
def _from_torch() -> Engine:
    return Engine.of("from_torch", "torch", __package__.partition(".")[0])
