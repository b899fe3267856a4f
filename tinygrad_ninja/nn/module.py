"""Module: a tree of parameters, buffers and other modules, and the function they compute together."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterable
from importlib import import_module
from itertools import count
from typing import Any, ClassVar, Self

from ..arrays import dtypes
from ..engine.node import clock
from ..engine.tensor import Tensor
from ..engine.tensor_hooks import RemovableHandle
from .backward_hooks import BackwardHooks
from .module_state import StatefulTree
from .shown import module_tree
from .tree import KINDS, Parameter

__all__ = ["Module", "Parameter"]

_CALLS_KEPT = 256
_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
_hook_numbers = count()


class Module(StatefulTree):
    """The base of layers and models: `parameters`, `state_dict` and others find every Tensor, Parameter or
    Module that is set as an attribute.

    A subclass calls `super().__init__()` first and defines `forward`.
    """

    training: bool
    _forward_pre_hooks: dict[int, Callable[..., Any]]
    _forward_hooks: dict[int, Callable[..., Any]]
    _backward_pre_hooks: dict[int, Callable[..., Any]]
    _backward_hooks: dict[int, Callable[..., Any]]
    _hooks_with_kwargs: set[int]  # the numbers of those that are called with the arguments by name, too
    _hooks_always_called: set[int]
    # The clock of the record before and after each of the latest calls, by which a picture assigns the nodes.
    _calls: deque[tuple[int, int]]
    _made_when_asked_for: ClassVar[dict[str, Callable[[], Any]]] = {
        **StatefulTree._made_when_asked_for,
        **dict.fromkeys(_HOOKS, dict),
        "_hooks_with_kwargs": set,
        "_hooks_always_called": set,
    }

    def __init__(self) -> None:
        object.__setattr__(self, "training", True)
        object.__setattr__(self, "_calls", deque(maxlen=_CALLS_KEPT))
        for name in KINDS:
            object.__setattr__(self, name, {})

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call hook(module, args) before every `forward`; a result other than None replaces the arguments.

        The result is one argument, or a tuple of them. with_kwargs: the hook is called with (module, args,
        kwargs), and its result is the pair of both. prepend: before the hooks that are there, instead of
        after them. The handle's `remove()` removes the hook.
        """
        return self._hook(self._forward_pre_hooks, hook, prepend, with_kwargs)

    def register_forward_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """Call hook(module, args, output) after every `forward`; a result other than None replaces the
        output.

        with_kwargs: the hook is called with (module, args, kwargs, output). prepend: before the hooks that
        are there, instead of after them. always_call: also where `forward` or a hook raises, with None for
        the output that there is not. The handle's `remove()` removes the hook.
        """
        return self._hook(self._forward_hooks, hook, prepend, with_kwargs, always_call)

    def register_full_backward_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call hook(module, grad_output) when backward reaches the module's outputs; a result other than None
        replaces their gradients.

        grad_output: a tuple, with None for an output that is no Tensor or has no gradient. prepend: before
        the hooks that are there. The handle's `remove()` removes the hook.
        """
        return self._hook(self._backward_pre_hooks, hook, prepend, with_kwargs=False)

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call hook(module, grad_input, grad_output) when backward has come to the module's arguments; a
        result other than None replaces their gradients, grad_input.

        Both are tuples: of the arguments by position and of the outputs, with None for what is no Tensor or
        has no gradient. Where no argument requires a gradient, the hook is called at the outputs, and warned
        of. prepend: before the hooks that are there. The handle's `remove()` removes the hook.
        """
        return self._hook(self._backward_hooks, hook, prepend, with_kwargs=False)

    def _hook(
        self,
        hooks: dict[int, Callable[..., Any]],
        hook: Callable[..., Any],
        prepend: bool,
        with_kwargs: bool,
        always_call: bool = False,
    ) -> RemovableHandle:
        for name in self._made_when_asked_for:  # which a call asks for from now on, and makes none
            getattr(self, name)
        number = next(_hook_numbers)
        before = {} if not prepend else {**hooks}
        if prepend:
            hooks.clear()
        hooks[number] = hook
        hooks.update(before)
        if with_kwargs:
            self._hooks_with_kwargs.add(number)
        if always_call:
            self._hooks_always_called.add(number)
        return RemovableHandle(hooks, number)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return the output of the module; NotImplementedError unless a subclass defines it."""
        raise NotImplementedError(
            f'Module [{type(self).__name__}] is missing the required "forward" function'
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        before = next(clock)
        if self.__dict__.keys().isdisjoint(_HOOKS):
            result = self.forward(*args, **kwargs)
        else:
            result = self._call_with_hooks(args, kwargs)
        after = next(clock)
        if after - before > 1:  # by one for every node that is created
            self._calls.append((before, after))
        return result

    def _call_with_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result = None
        called = set()
        try:
            for number, hook in list(self._forward_pre_hooks.items()):
                if number in self._hooks_with_kwargs:
                    replacement = hook(self, args, kwargs)
                    if replacement is not None:
                        args, kwargs = _pair(replacement)
                else:
                    replacement = hook(self, args)
                    if replacement is not None:
                        args = replacement if isinstance(replacement, tuple) else (replacement,)
            backward = BackwardHooks(
                self, [*self._backward_pre_hooks.values()], [*self._backward_hooks.values()]
            )
            args = backward.enter(args)
            result = self.forward(*args, **kwargs)
            for number in list(self._forward_hooks):
                called.add(number)
                result = self._after(number, args, kwargs, result)
            result = backward.leave(result)
        except Exception:
            for number in [n for n in self._forward_hooks if n in self._hooks_always_called - called]:
                try:
                    result = self._after(number, args, kwargs, result)
                except Exception as error:
                    warnings.warn(f"a forward hook that is always called raised {error!r}", stacklevel=3)
            raise
        return result

    def _after(self, number: int, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
        """Return the output after the forward hook of that number."""
        given = (args, kwargs) if number in self._hooks_with_kwargs else (args,)
        replacement = self._forward_hooks[number](self, *given, result)
        return result if replacement is None else replacement

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Let calls of this Module run compiled; it stays the object that it is. Arguments as for the
        package's `compile`."""
        package = import_module(__package__.partition(".")[0])  # what compiles is above `nn`
        bare = object.__new__(type(self))
        object.__setattr__(bare, "__dict__", self.__dict__)
        self.__class__ = type(package.compile(bare, *args, **kwargs))

    # -- its modes -------------------------------------------------------------------------------------------

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

    def _repr_html_(self) -> str:
        """Return for a notebook the tree of modules, with the shapes of the parameters and their counts."""
        return module_tree(self)

    def __repr__(self) -> str:
        own = self.extra_repr()
        children = [indented(f"({name}): {child!r}") for name, child in self._modules.items()]
        lines = [*own.split("\n"), *children] if own else children
        if not children and len(lines) < 2:
            return f"{type(self).__name__}({own})"
        return f"{type(self).__name__}(\n  " + "\n  ".join(lines) + "\n)"


def clear_gradients(parameters: Iterable[Tensor], set_to_none: bool) -> None:
    """Drop the gradients of these parameters, or fill them with zeros."""
    for parameter in parameters:
        if set_to_none or parameter.grad is None:
            parameter.grad = None
        elif parameter.grad.is_leaf:  # a view, such as of one memory for all gradients, can't be detached
            parameter.grad.requires_grad_(False).zero_()
        else:
            parameter.grad.detach_().zero_()


def indented(text: str) -> str:
    """Return the text with every line but the first indented, as a part of a module's `repr`."""
    return text.replace("\n", "\n  ")


def _pair(replacement: Any) -> Any:
    """Return what a hook before `forward` has for the arguments; RuntimeError unless these are two."""
    if not isinstance(replacement, tuple) or len(replacement) != 2:
        raise RuntimeError(
            "forward pre-hook must return None or a tuple of (new_args, new_kwargs), but got "
            f"{type(replacement).__name__}"
        )
    return replacement
