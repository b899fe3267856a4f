"""Module: a tree of parameters, buffers and other modules, and the function they compute together."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from typing import Any, NamedTuple, Self

from .. import dtypes
from ..autograd import no_grad
from ..missing import refuse
from ..node import clock
from ..tensors import RemovableHandle, Tensor
from .tree import KINDS, Parameter, Tree, path_of

__all__ = ["Module", "Parameter"]

_CALLS_KEPT = 256
_hook_numbers = count()


class Module(Tree):
    """The base of layers and models: a Tensor, Parameter or Module set as an attribute is found by
    `parameters`, `state_dict` and the rest. A subclass calls `super().__init__()` first and defines
    `forward`."""

    training: bool
    _forward_pre_hooks: dict[int, Callable[..., Any]]
    _forward_hooks: dict[int, Callable[..., Any]]
    _calls: deque[tuple[int, int]]  # of the latest: the clock of the record before and after, so that a
    # picture can tell which nodes are whose

    def __init__(self) -> None:
        object.__setattr__(self, "training", True)
        object.__setattr__(self, "_calls", deque(maxlen=_CALLS_KEPT))
        object.__setattr__(self, "_not_saved", set())
        for name in (*KINDS, "_forward_pre_hooks", "_forward_hooks"):
            object.__setattr__(self, name, {})

    def register_forward_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call hook(module, args) before every `forward`; what it returns, if not None, takes the place of
        the arguments (one, or a tuple of them). The handle's `remove()` takes the hook off again."""
        return _hook(self._forward_pre_hooks, hook)

    def register_forward_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call hook(module, args, output) after every `forward`; what it returns, if not None, takes the
        place of the output. The handle's `remove()` takes the hook off again."""
        return _hook(self._forward_hooks, hook)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; NotImplementedError until a subclass says."""
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
        if after - before > 1:  # by one for every node that is made
            self._calls.append((before, after))
        return result

    def _call_with_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        for hook in list(self._forward_pre_hooks.values()):
            changed = hook(self, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
        result = self.forward(*args, **kwargs)
        for hook in list(self._forward_hooks.values()):
            changed = hook(self, args, result)
            result = result if changed is None else changed
        return result

    # -- its state -------------------------------------------------------------------------------------------

    def state_dict(self, *, prefix: str = "", keep_vars: bool = False) -> dict[str, Tensor]:
        """Parameters and persistent buffers by their dotted paths after `prefix`, sharing memory with the
        module's own: detached, or with keep_vars themselves."""
        state: dict[str, Tensor] = {}
        for path, module in self.named_modules(remove_duplicate=False):
            for name, value in {**module._parameters, **module._buffers}.items():
                if value is not None and name not in module._not_saved:
                    state[prefix + path_of(path, name)] = value if keep_vars else value.detach()
        return state

    def load_state_dict(
        self, state_dict: Mapping[str, Tensor], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Copy the values in, and say which names were missing and unexpected.

        RuntimeError, before anything is written, where a shape differs, or where (unless strict is false) a
        name is missing or too many. TypeError for what is no mapping of names to Tensors.
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
            given = state_dict.get(name, own[name])
            if not isinstance(given, Tensor):
                raise TypeError(
                    f'While copying the parameter named "{name}", expected a Tensor, got {type(given)}'
                )
            if given.shape != own[name].shape:
                problems.append(
                    f"size mismatch for {name}: copying a param with shape {given.shape} from checkpoint, "
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
        ValueError unless `mode` is a bool."""
        if not isinstance(mode, bool):
            raise ValueError(f"training mode is expected to be boolean, not {type(mode).__name__}")
        for module in self.modules():
            object.__setattr__(module, "training", mode)
        return self

    def eval(self) -> Self:
        """Set this module and all below it to evaluation (running statistics)."""
        return self.train(False)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients, or with set_to_none=False fill them with zeros."""
        clear_gradients(self.parameters(), set_to_none)

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

    def to(self, *args: Any, dtype: Any = None, device: Any = None) -> Self:
        """Move parameters and buffers, in place of the old ones, to a device, and those in floating point to
        a floating point dtype; either may also be given by position. TypeError for another dtype."""
        for each in args:
            if isinstance(each, dtypes.dtype):
                dtype = each
            elif isinstance(each, Tensor):
                device, dtype = each.device, each.dtype
            elif each is not None:
                device = each
        if dtype is not None and not dtypes.as_dtype(dtype).is_floating_point:
            raise TypeError(f"nn.Module.to only accepts floating point dtypes, but got desired dtype={dtype}")

        def moved(x: Tensor) -> Tensor:
            return x.detach().to(device=device, dtype=dtype if x.is_floating_point() else None)

        for module in self.modules():
            for parameter in module._parameters.values():
                if parameter is not None:
                    gradient = parameter.grad
                    parameter.array = moved(parameter).array
                    parameter.grad = None if gradient is None else moved(gradient)
            for name, buffer in module._buffers.items():
                if buffer is not None:
                    module._buffers[name] = moved(buffer)
        return self

    def float(self) -> Self:
        """In float32, as `to` does it."""
        return self.to(dtypes.float32)

    def double(self) -> Self:
        """In float64, as `to` does it."""
        return self.to(dtypes.float64)

    def cpu(self) -> Self:
        """On the CPU, with NumPy arrays, as `to` does it."""
        return self.to("cpu")

    def cuda(self) -> Self:
        """On the GPU, as `to` does it."""
        return self.to("cuda")

    def extra_repr(self) -> str:
        """What `repr` shows between the parentheses."""
        return ""

    def __repr__(self) -> str:
        own = self.extra_repr()
        children = [indented(f"({name}): {child!r}") for name, child in self._modules.items()]
        lines = [*own.split("\n"), *children] if own else children
        if not children and len(lines) < 2:
            return f"{type(self).__name__}({own})"
        return f"{type(self).__name__}(\n  " + "\n  ".join(lines) + "\n)"


class IncompatibleKeys(NamedTuple):
    """What `load_state_dict` returns: the names that it missed, and those that it did not expect."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not any(self):
            return "<All keys matched successfully>"
        return f"IncompatibleKeys(missing_keys={self[0]}, unexpected_keys={self[1]})"


def clear_gradients(parameters: Iterable[Tensor], set_to_none: bool) -> None:
    """Forget the gradients of these, or fill them with zeros."""
    for each in parameters:
        if set_to_none or each.grad is None:
            each.grad = None
        else:
            each.grad.detach_().zero_()


def indented(text: str) -> str:
    """The text with every line but the first moved to the right, as a part of a module's `repr`."""
    return text.replace("\n", "\n  ")


def _quoted(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _hook(hooks: dict[int, Callable[..., Any]], hook: Callable[..., Any]) -> RemovableHandle:
    number = next(_hook_numbers)
    hooks[number] = hook
    return RemovableHandle(hooks, number)
