"""Module: a tree of parameters, buffers and other modules, and the function they compute together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

from ..autograd import no_grad
from ..tensors import Tensor, wrap


class Parameter(Tensor):
    """A Tensor that a Module lists among its parameters; it requires a gradient unless told otherwise."""

    __slots__ = ()

    def __init__(self, data: Tensor, requires_grad: bool = True) -> None:
        if not isinstance(data, Tensor):
            raise TypeError(f"a Parameter is made of a Tensor, not of a {type(data).__name__}")
        self.array = data.array
        self.edge = None
        self.requires_grad_(requires_grad)

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"


class Module:
    """The base of layers and models: a Tensor, Parameter or Module set as an attribute is found by
    `parameters`, `state_dict` and the rest. A subclass calls `super().__init__()` first and defines
    `forward`."""

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module]

    def __init__(self) -> None:
        object.__setattr__(self, "training", True)
        for name in ("_parameters", "_buffers", "_modules"):
            object.__setattr__(self, name, {})

    def __setattr__(self, name: str, value: Any) -> None:
        if "_parameters" not in self.__dict__:
            raise AttributeError(
                f"cannot set {name!r} before Module.__init__() was called: call super().__init__()"
            )
        if isinstance(value, Parameter):
            self._parameters[name] = value
        elif isinstance(value, Module):
            self._modules[name] = value
        elif name in self._buffers:
            if value is not None and not isinstance(value, Tensor):
                raise TypeError(
                    f"cannot assign a {type(value).__name__} as buffer {name!r}: a Tensor or None is needed"
                )
            self._buffers[name] = value
        elif name in self._parameters and value is not None:
            raise TypeError(
                f"cannot assign a {type(value).__name__} as parameter {name!r}: a Parameter is needed"
            )
        elif name in self._parameters:
            self._parameters[name] = None
        else:
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        for kind in ("_parameters", "_buffers", "_modules"):
            if name in self.__dict__.get(kind, ()):
                return self.__dict__[kind][name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __delattr__(self, name: str) -> None:
        for kind in (self._parameters, self._buffers, self._modules):
            if name in kind:
                del kind[name]
                return
        object.__delattr__(self, name)

    def register_buffer(self, name: str, tensor: Tensor | None) -> None:
        """Make `tensor` a part of the state that is not trained, such as a running mean."""
        self._buffers[name] = tensor

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Make `param` (None: there is none) the parameter of that name."""
        self._parameters[name] = param

    def add_module(self, name: str, module: Module) -> None:
        """Make `module` the child of that name."""
        self._modules[name] = module

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; NotImplementedError until a subclass says."""
        raise NotImplementedError(
            f'Module [{type(self).__name__}] is missing the required "forward" function'
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.forward(*args, **kwargs)

    # -- what is in it ---------------------------------------------------------------------------------------

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module and all below it, with their dotted paths."""
        yield prefix, self
        for name, child in self._modules.items():
            yield from child.named_modules(f"{prefix}.{name}" if prefix else name)

    def modules(self) -> Iterator[Module]:
        """This module and all below it."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules directly below this one, by name."""
        return iter(self._modules.items())

    def children(self) -> Iterator[Module]:
        """The modules directly below this one."""
        return iter(self._modules.values())

    def _named(self, kind: str) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        for path, module in self.named_modules():
            for name, value in getattr(module, kind).items():
                if value is not None and id(value) not in seen:
                    seen.add(id(value))
                    yield f"{path}.{name}" if path else name, value

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Every parameter once, with its dotted path."""
        return self._named("_parameters")

    def parameters(self) -> Iterator[Parameter]:
        """Every parameter once."""
        return (value for _, value in self.named_parameters())

    def named_buffers(self) -> Iterator[tuple[str, Tensor]]:
        """Every buffer once, with its dotted path."""
        return self._named("_buffers")

    def buffers(self) -> Iterator[Tensor]:
        """Every buffer once."""
        return (value for _, value in self.named_buffers())

    # -- its state -------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Tensor]:
        """Parameters and buffers by their dotted paths, detached, sharing memory with the module's own."""
        state: dict[str, Tensor] = {}
        for path, module in self.named_modules():
            for name, value in {**module._parameters, **module._buffers}.items():
                if value is not None:
                    state[f"{path}.{name}" if path else name] = value.detach()
        return state

    def load_state_dict(self, state_dict: Mapping[str, Tensor], strict: bool = True) -> None:
        """Copy the values in. RuntimeError, before anything is written, where a shape differs, or where
        (unless strict is false) a name is missing or too many."""
        own = self.state_dict()
        missing = [name for name in own if name not in state_dict]
        unexpected = [name for name in state_dict if name not in own]
        problems = []
        if strict and missing:
            problems.append(f"missing {', '.join(missing)}")
        if strict and unexpected:
            problems.append(f"unexpected {', '.join(unexpected)}")
        problems += [
            f"{name} has shape {tuple(state_dict[name].shape)}, in the module {tuple(own[name].shape)}"
            for name in own
            if name in state_dict and state_dict[name].shape != own[name].shape
        ]
        if problems:
            raise RuntimeError(
                f"Error(s) in loading state_dict for {type(self).__name__}: {'; '.join(problems)}"
            )
        with no_grad():
            for name in own:
                if name in state_dict:
                    own[name].copy_(state_dict[name])

    def train(self, mode: bool = True) -> Self:
        """Set this module and all below it to training (batch statistics), or with False to evaluation."""
        for module in self.modules():
            object.__setattr__(module, "training", mode)
        return self

    def eval(self) -> Self:
        """Set this module and all below it to evaluation (running statistics)."""
        return self.train(False)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients, or with set_to_none=False fill them with zeros."""
        for parameter in self.parameters():
            if set_to_none or parameter.grad is None:
                parameter.grad = None
            else:
                parameter.grad = wrap(parameter.grad.array * 0)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Say of all parameters whether they require a gradient."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def apply(self, fn: Callable[[Module], None]) -> Self:
        """Call `fn` with every module below this one, children first, and with this one."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Move parameters and buffers, in place of the old ones, to a device or a floating point dtype."""
        for module in self.modules():
            for parameter in module._parameters.values():
                if parameter is not None:
                    parameter.array = parameter.detach().to(*args, **kwargs).array
                    if parameter.grad is not None:
                        parameter.grad = parameter.grad.to(*args, **kwargs)
            for name, buffer in module._buffers.items():
                if buffer is not None:
                    keep = buffer if buffer.is_floating_point() else buffer.detach()
                    moved = keep.to(*args, **kwargs)
                    module._buffers[name] = moved if buffer.is_floating_point() else moved.to(buffer.dtype)
        return self

    def extra_repr(self) -> str:
        """What `repr` shows between the parentheses."""
        return ""

    def __repr__(self) -> str:
        lines = [f"({name}): " + repr(child).replace("\n", "\n  ") for name, child in self._modules.items()]
        if not lines:
            return f"{type(self).__name__}({self.extra_repr()})"
        return f"{type(self).__name__}(\n  " + "\n  ".join(lines) + "\n)"


class Sequential(Module):
    """Modules one after the other: each is given what the one before it made. Also takes one dict of
    names."""

    def __init__(self, *modules: Any) -> None:
        super().__init__()
        named = modules[0] if len(modules) == 1 and isinstance(modules[0], dict) else dict(enumerate(modules))
        for name, module in named.items():
            if not isinstance(module, Module):
                raise TypeError(f"{type(module).__name__} is not a Module subclass")
            self.add_module(str(name), module)

    def forward(self, input: Any) -> Any:
        """The input through every module in turn."""
        for module in self._modules.values():
            input = module(input)
        return input

    def append(self, module: Module) -> Sequential:
        """Put one more module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())

    def __getitem__(self, index: Any) -> Any:
        several = list(self._modules.items())[index]
        return Sequential(dict(several)) if isinstance(index, slice) else several[1]
