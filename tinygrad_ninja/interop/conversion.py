"""Converts the parts of a model: numbers, layers by their settings, generators, devices."""

from __future__ import annotations

import copy
import inspect
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from typing import Any

from ..arrays import dtypes
from ..arrays.dispatch import device_of, move, namespace_of
from ..arrays.torch_library import require_torch
from ..engine.tensor import device, wrap
from ..nn.module import Module
from ..rng.draws import get_rng_state, set_rng_state
from ..rng.generator import Generator
from .code import Code, Engine

_STATE = ("_parameters", "_buffers", "_modules")
_SHOWN_BY = {"add_bias_kv": "bias_k"}
"""The parameter that shows whether an argument of that name was given."""


class Conversion(Code):
    """A model's way from one engine to the other. Both engines have Modules of the same structure; the
    methods that a subclass has are where they differ."""

    not_saved: str  # the attribute of the source's Modules that names buffers outside of the state_dict
    target_not_saved: str

    def __call__(self, value: Any) -> Any:
        """Return the counterpart of a Module, a Tensor, or a dict, list or tuple of them; TypeError for
        others."""
        source = self.engine.source
        if not isinstance(value, source.nn.Module | source.Tensor | dict | list | tuple):
            raise TypeError(
                f"{self.engine.verb} takes a Module or a Tensor of {source.__name__}, or a dict, list or "
                f"tuple of them, not {type(value).__name__}"
            )
        with (
            self.preserve_random_state()
        ):  # building a layer draws random numbers, which must not change the caller's
            return self.value(value, type(value).__name__)

    def preserve_random_state(self) -> AbstractContextManager[Any]:
        """Return a context that restores the state of the target's default generator at its end."""
        raise NotImplementedError

    def tensor(self, x: Any, where: str) -> Any:
        """Return a copy of the numbers, as a Tensor of the target engine."""
        raise NotImplementedError

    def generator(self, x: Any, where: str) -> Any:
        """Return a generator of the target engine in the state of `x`."""
        raise NotImplementedError

    def device(self, x: Any) -> Any:
        """Return the same device, as the target engine names it."""
        raise NotImplementedError

    def cross(self, x: Any, where: str) -> Any:
        """Return the counterpart of `x`, which is converted for the first time."""
        source, target = self.engine.source, self.engine.target
        if isinstance(x, source.nn.Module):
            return self.module(x, where)
        if isinstance(x, source.nn.Parameter):
            return target.nn.Parameter(self.tensor(x, where), requires_grad=x.requires_grad)
        if isinstance(x, source.Tensor):
            tensor = self.tensor(x, where)
            return tensor.requires_grad_() if x.requires_grad and x.is_leaf else tensor
        if isinstance(x, source.Generator):
            return self.generator(x, where)
        if isinstance(x, source.device):
            return self.device(x)
        if isinstance(x, source.Size):
            return target.Size(x)
        if isinstance(x, dict):
            converted = copy.copy(x)
            converted.update({name: self.value(value, f"{where}.{name}") for name, value in x.items()})
            return converted
        if isinstance(x, list | tuple | set):
            members = [self.value(member, where) for member in x]
            return type(x)(*members) if hasattr(x, "_fields") else type(x)(members)
        return super().cross(x, where)

    def module(self, module: Any, where: str) -> Any:
        """Return the counterpart of a Module: a layer that both engines have, from its settings; another
        Module as its own code over such a layer."""
        cls: Any = type(module)
        layers: dict[Any, Any] = self.engine.layers
        for name, value in vars(module).items():
            if name.endswith("_hooks") and value:
                raise self.error(where, f"has hooks ({name}), which can't come along: remove() them first")
        base = next(ancestor for ancestor in cls.__mro__ if ancestor in layers)
        counterpart = layers[base](**self._settings(module, base, layers[base], where))
        self.done[id(module)] = module, counterpart  # its parts may refer to it
        if base is not cls and not (self.engine.owns(cls) and cls.forward is base.forward):
            counterpart.__class__ = self.cross_class(cls, where)
            known = {*vars(counterpart), *vars(self.engine.source.nn.Module()), *Module._made_when_asked_for}
            for name in vars(module).keys() - known:
                object.__setattr__(counterpart, name, self.value(vars(module)[name], f"{where}.{name}"))
        for attribute in _STATE:
            state = vars(module)[attribute]
            parts = {name: self.value(part, f"{where}.{name}") for name, part in state.items()}
            target = getattr(counterpart, attribute)
            target.clear()
            target.update(parts)
        if not_saved := vars(module).get(self.not_saved):
            getattr(counterpart, self.target_not_saved).update(not_saved)
        object.__setattr__(counterpart, "training", module.training)
        return counterpart

    def _settings(self, module: Any, base: type, target: type, where: str) -> dict[str, Any]:
        """Return the arguments with which the target's class builds such a layer."""
        if base.__name__ == "ParameterList":
            return {"values": [self.value(parameter, where) for parameter in module]}
        if base.__name__ == "ParameterDict":
            return {"parameters": OrderedDict((name, self.value(x, where)) for name, x in module.items())}
        arguments = {}
        parameters = inspect.signature(target).parameters
        if "kwargs" in parameters:  # PyTorch's recurrent networks do not say what they take
            parameters = inspect.signature(base).parameters
        for name in parameters:
            if name in vars(module):
                arguments[name] = self.value(vars(module)[name], f"{where}.{name}")
            elif name in module._buffers:
                arguments[name] = self.value(module._buffers[name], f"{where}.{name}")
            else:  # whether it has a bias
                parameter_names = {name, f"in_proj_{name}", _SHOWN_BY.get(name, "")}
                for parameter in parameter_names & module._parameters.keys():
                    arguments[name] = module._parameters[parameter] is not None
        return arguments


class ToTorch(Conversion):
    """Conversion from this engine to PyTorch."""

    not_saved, target_not_saved = "_not_saved", "_non_persistent_buffers_set"

    def __init__(self) -> None:
        super().__init__()
        self.torch = require_torch("to_torch")
        self.engine = _to_torch()

    def preserve_random_state(self) -> AbstractContextManager[Any]:
        """Return PyTorch's context that restores the state of its default generator."""
        context: AbstractContextManager[Any] = self.torch.random.fork_rng(devices=[])
        return context

    def tensor(self, x: Any, where: str) -> Any:
        """Return a copy of the numbers: on the CPU, or on the GPU where they are there."""
        device = device_of(x.array)
        converted = move(x.array, device if device.startswith("cuda") else "torch")
        return converted.clone() if converted is x.array else converted

    def generator(self, x: Any, where: str) -> Any:
        """Return a generator of PyTorch's in the state of `x`."""
        generator = self.torch.Generator(self.device(x.device))
        generator.set_state(self.torch.from_numpy(x.get_state().numpy()))
        return generator

    def device(self, x: Any) -> Any:
        """Return the same device of PyTorch's; NumPy's and PyTorch's CPU are one."""
        return self.torch.device(str(x) if x.type == "cuda" else "cpu")


class FromTorch(Conversion):
    """Conversion from PyTorch to this engine."""

    not_saved, target_not_saved = "_non_persistent_buffers_set", "_not_saved"

    def __init__(self) -> None:
        super().__init__()
        require_torch("from_torch")
        self.engine = _from_torch()

    @contextmanager
    def preserve_random_state(self) -> Iterator[None]:
        """Restore the state of this engine's default generator at the end of the block."""
        state = get_rng_state()
        try:
            yield
        finally:
            set_rng_state(state)

    def tensor(self, x: Any, where: str) -> Any:
        """Return a copy of the numbers, on the CPU as a NumPy array.

        Raises TypeError for a dtype or a layout that this engine lacks.
        """
        name = str(x.dtype).removeprefix("torch.")
        if name not in dtypes.BY_NAME or x.layout is not self.engine.source.strided:
            raise self.error(
                where, f"is {name} and {x.layout}: there are only {', '.join(dtypes.BY_NAME)} here"
            )
        array = namespace_of(x).copy(x.detach())
        source_device = device(device_of(array))
        return wrap(move(array, "cpu") if source_device.type == "torch" else array)

    def generator(self, x: Any, where: str) -> Any:
        """Return a generator of this engine in the state of `x`."""
        return Generator(str(x.device)).set_state(x.get_state().numpy())

    def device(self, x: Any) -> Any:
        """Return the same device of this engine."""
        return device(str(x))

    def cross_class(self, cls: type, where: str) -> type:
        """Return a class over this engine's bases; TypeError for a layer of PyTorch's that this engine
        lacks."""
        if self.engine.owns(cls):
            raise self.error(where, f"is a {cls.__name__}, which this engine lacks")
        return super().cross_class(cls, where)


@cache
def _to_torch() -> Engine:
    return Engine.of("to_torch", __package__.partition(".")[0], "torch")


@cache
def _from_torch() -> Engine:
    return Engine.of("from_torch", "torch", __package__.partition(".")[0])
