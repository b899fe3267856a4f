"""Module: a tree of parameters, buffers and other modules, and the function they compute together."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from typing import Any, NamedTuple, Self

from ..api.missing import refuse
from ..arrays import dtypes
from ..engine.grad_mode import no_grad
from ..engine.node import clock
from ..engine.tensor import Tensor
from ..engine.tensor_hooks import RemovableHandle
from .tree import KINDS, Parameter, Tree, path_of

__all__ = ["Module", "Parameter"]

_CALLS_KEPT = 256
_hook_numbers = count()


class Module(Tree):
    """The base of layers and models: `parameters`, `state_dict` and others find every Tensor, Parameter or
    Module that is set as an attribute.

    A subclass calls `super().__init__()` first and defines `forward`.
    """

    training: bool
    _forward_pre_hooks: dict[int, Callable[..., Any]]
    _forward_hooks: dict[int, Callable[..., Any]]
    # The clock of the record before and after each of the latest calls, by which a picture assigns the nodes.
    _calls: deque[tuple[int, int]]

    def __init__(self) -> None:
        object.__setattr__(self, "training", True)
        object.__setattr__(self, "_calls", deque(maxlen=_CALLS_KEPT))
        object.__setattr__(self, "_not_saved", set())
        for name in (*KINDS, "_forward_pre_hooks", "_forward_hooks"):
            object.__setattr__(self, name, {})

    def register_forward_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call hook(module, args) before every `forward`; a result other than None replaces the arguments.

        The result is one argument, or a tuple of them. The handle's `remove()` removes the hook.
        """
        return _hook(self._forward_pre_hooks, hook)

    def register_forward_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call hook(module, args, output) after every `forward`; a result other than None replaces the
        output.

        The handle's `remove()` removes the hook.
        """
        return _hook(self._forward_hooks, hook)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return the output of the module; NotImplementedError unless a subclass defines it."""
        raise NotImplementedError(
            f'Module [{type(self).__name__}] is missing the required "forward" function'
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        before = next(clock)
        if self._forward_pre_hooks or self._forward_hooks:
            result = self._call_with_hooks(args, kwargs)
        else:
            result = self.forward(*args, **kwargs)
        after = next(clock)
        if after - before > 1:  # by one for every node that is created
            self._calls.append((before, after))
        return result

    def _call_with_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        for hook in list(self._forward_pre_hooks.values()):
            replacement = hook(self, args)
            if replacement is not None:
                args = replacement if isinstance(replacement, tuple) else (replacement,)
        result = self.forward(*args, **kwargs)
        for hook in list(self._forward_hooks.values()):
            replacement = hook(self, args, result)
            result = result if replacement is None else replacement
        return result

    # -- its state -------------------------------------------------------------------------------------------

    def state_dict(self, *, prefix: str = "", keep_vars: bool = False) -> dict[str, Tensor]:
        """Return parameters and persistent buffers by their dotted paths after `prefix`.

        They share memory with the module's own: detached, or with keep_vars the module's own Tensors.
        """
        state: dict[str, Tensor] = {}
        for path, module in self.named_modules(remove_duplicate=False):
            for name, value in {**module._parameters, **module._buffers}.items():
                if value is not None and name not in module._not_saved:
                    state[prefix + path_of(path, name)] = value if keep_vars else value.detach()
        return state

    def load_state_dict(
        self, state_dict: Mapping[str, Tensor], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Copy the values into the module, and return the names that were missing and unexpected.

        Raises RuntimeError, before anything is written, where a shape differs, or where (unless strict is
        false) a name is missing or too many. TypeError for anything but a mapping of names to Tensors.
        """
        refuse(f"{type(self).__name__}.load_state_dict", "copying (the default)", assign=assign)
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        own = self.state_dict()
        missing = [name for name in own if name not in state_dict]
        unexpected = [name for name in state_dict if name not in own]
        problems = []
        if strict and missing:
            problems.append(f"Missing key(s) in state_dict: {_quoted(missing)}.")
        if strict and unexpected:
            problems.append(f"Unexpected key(s) in state_dict: {_quoted(unexpected)}.")
        for name in own:
            value = state_dict.get(name, own[name])
            if not isinstance(value, Tensor):
                raise TypeError(
                    f'While copying the parameter named "{name}", expected a Tensor, got {type(value)}'
                )
            if value.shape != own[name].shape:
                problems.append(
                    f"size mismatch for {name}: copying a param with shape {value.shape} from checkpoint, "
                    f"the shape in current model is {own[name].shape}."
                )
        if problems:
            raise RuntimeError(
                f"Error(s) in loading state_dict for {type(self).__name__}: {' '.join(problems)}"
            )
        with no_grad():
            for name in own:
                if name in state_dict:
                    own[name].copy_(state_dict[name])
        return IncompatibleKeys(missing, unexpected)

    def train(self, mode: bool = True) -> Self:
        """Set this module and all below it to training (batch statistics), or with False to evaluation.

        Returns self. Raises ValueError unless `mode` is a bool.
        """
        if not isinstance(mode, bool):
            raise ValueError(f"training mode is expected to be boolean, not {type(mode).__name__}")
        for module in self.modules():
            object.__setattr__(module, "training", mode)
        return self

    def eval(self) -> Self:
        """Set this module and all below it to evaluation (running statistics), and return self."""
        return self.train(False)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop all gradients, or with set_to_none=False fill them with zeros."""
        clear_gradients(self.parameters(), set_to_none)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Set whether all parameters require a gradient, and return self."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def apply(self, fn: Callable[[Module], None]) -> Self:
        """Call `fn` with every module below this one, children first, and then with this one; return self."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def to(self, *args: Any, dtype: Any = None, device: Any = None) -> Self:
        """Move parameters and buffers, in place of the old ones, to a device, and those in floating point to
        a floating point dtype.

        Either may also be given by position. Returns self. Raises TypeError for another dtype.
        """
        for argument in args:
            if isinstance(argument, dtypes.dtype):
                dtype = argument
            elif isinstance(argument, Tensor):
                device, dtype = argument.device, argument.dtype
            elif argument is not None:
                device = argument
        if dtype is not None and not dtypes.as_dtype(dtype).is_floating_point:
            raise TypeError(f"nn.Module.to only accepts floating point dtypes, but got desired dtype={dtype}")

        def converted(x: Tensor) -> Tensor:
            return x.detach().to(device=device, dtype=dtype if x.is_floating_point() else None)

        for module in self.modules():
            for parameter in module._parameters.values():
                if parameter is not None:
                    gradient = parameter.grad
                    parameter.array = converted(parameter).array
                    parameter.grad = None if gradient is None else converted(gradient)
            for name, buffer in module._buffers.items():
                if buffer is not None:
                    module._buffers[name] = converted(buffer)
        return self

    def float(self) -> Self:
        """Convert to float32, as `to` does, and return self."""
        return self.to(dtypes.float32)

    def double(self) -> Self:
        """Convert to float64, as `to` does, and return self."""
        return self.to(dtypes.float64)

    def cpu(self) -> Self:
        """Move to the CPU, with NumPy arrays, as `to` does, and return self."""
        return self.to("cpu")

    def cuda(self) -> Self:
        """Move to the GPU, as `to` does, and return self."""
        return self.to("cuda")

    def extra_repr(self) -> str:
        """Return the text that `repr` shows between the parentheses."""
        return ""

    def __repr__(self) -> str:
        own = self.extra_repr()
        children = [indented(f"({name}): {child!r}") for name, child in self._modules.items()]
        lines = [*own.split("\n"), *children] if own else children
        if not children and len(lines) < 2:
            return f"{type(self).__name__}({own})"
        return f"{type(self).__name__}(\n  " + "\n  ".join(lines) + "\n)"


class IncompatibleKeys(NamedTuple):
    """The result of `load_state_dict`: the names that were missing, and those that were unexpected."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not any(self):
            return "<All keys matched successfully>"
        return f"IncompatibleKeys(missing_keys={self[0]}, unexpected_keys={self[1]})"


def clear_gradients(parameters: Iterable[Tensor], set_to_none: bool) -> None:
    """Drop the gradients of these parameters, or fill them with zeros."""
    for parameter in parameters:
        if set_to_none or parameter.grad is None:
            parameter.grad = None
        else:
            parameter.grad.detach_().zero_()


def indented(text: str) -> str:
    """Return the text with every line but the first indented, as a part of a module's `repr`."""
    return text.replace("\n", "\n  ")


def _quoted(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _hook(hooks: dict[int, Callable[..., Any]], hook: Callable[..., Any]) -> RemovableHandle:
    number = next(_hook_numbers)
    hooks[number] = hook
    return RemovableHandle(hooks, number)
