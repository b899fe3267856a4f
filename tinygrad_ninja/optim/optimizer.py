"""The base of the optimizers: parameters in groups, and the state of each from step to step."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from weakref import WeakSet

import numpy as np

from ..api.creation import tensor
from ..arrays.dtypes import plain_number
from ..engine.grad_mode import enable_grad
from ..engine.hook import note_unrecorded
from ..engine.tensor import Tensor
from ..engine.versions import note_change
from ..nn.module import clear_gradients

_stepped: WeakSet[Optimizer] = WeakSet()


class Optimizer:
    """The base: parameters in groups, each group a dict of its own settings.

    params: Tensors, pairs of a name and a Tensor, or dicts with "params" and settings that override the
    defaults. Names are kept in the group, under "param_names". Raises TypeError for anything else; ValueError
    for none, for the result of an operation, for one that is in two groups, and for names of some only.
    """

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        if isinstance(params, Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, "
                "and not a single Tensor"
            )
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        self.defaults = defaults
        self.state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        self._param_groups: list[dict[str, Any]] = []
        for group in groups:
            self._add(group)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Return the groups: dicts of "params" and settings."""
        return self._param_groups

    @param_groups.setter
    def param_groups(self, groups: list[dict[str, Any]]) -> None:
        _tell_of_change()
        self._param_groups = groups

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group: "params", and settings where they are not the defaults; errors as for the class."""
        _tell_of_change()
        self._add(param_group)

    def _add(self, param_group: dict[str, Any]) -> None:
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, set):
            raise TypeError("optimizer parameters need to be ordered: pass a list instead of a set")
        given = [params] if isinstance(params, Tensor) else list(params)
        names = [member[0] for member in given if isinstance(member, tuple)]
        members = [member[1] if isinstance(member, tuple) else member for member in given]
        for member in members:
            if not isinstance(member, Tensor):
                raise TypeError(
                    f"optimizer can only optimize Tensors, but one of the params is {type(member).__name__}"
                )
            if not member.is_leaf:
                raise ValueError(
                    "can't optimize a non-leaf Tensor: one of the params is an operation's result"
                )
        if len({*members}) < len(members):
            warnings.warn("optimizer contains a parameter group with duplicate parameters", stacklevel=3)
        if not {*members}.isdisjoint(p for group in self._param_groups for p in group["params"]):
            raise ValueError("some parameters appear in more than one parameter group")
        if names and len(names) < len(members):
            raise ValueError(
                "all optimizer params should be with/without names. Some param names are missing"
            )
        if self._param_groups and bool(names) != ("param_names" in self._param_groups[0]):
            raise ValueError("all optimizer param groups should be with/without names")
        group = _plain({"params": members, **self.defaults, **param_group})
        self._check(group)
        named = {"param_names": names} if names else {}
        self._param_groups.append({**group, "params": members, **named})

    def _check(self, group: dict[str, Any]) -> None:
        """Raise ValueError for a setting that is out of its range, TypeError for one that is no number."""
        for name, label in (("lr", "learning rate"), ("weight_decay", "weight_decay value")):
            value = group.get(name, 0.0)  # which an optimizer of the user's may be without
            if value.__class__ not in (int, float):
                raise TypeError(f"{label} must be a Python number, not a {type(value).__name__}")
            if not value >= 0:
                raise ValueError(f"Invalid {label}: {value}")

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients, or with set_to_none=False fill them with zeros."""
        for group in self.param_groups:
            clear_gradients(group["params"], set_to_none)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change every parameter that has a gradient; `closure`, if given, first computes the loss again.

        Returns the closure's loss, or None.
        """
        for group in self.param_groups:
            if isinstance(group.get("lr"), Tensor):  # it was set since the group was added
                self._check(group)
        _stepped.add(self)
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for group in self.param_groups:
            settings = _plain(group) if any(isinstance(x, np.generic) for x in group.values()) else group
            for p in group["params"]:
                gradient = p.grad
                if gradient is not None:
                    self._update(p, gradient.array, settings)
                    note_change(p.array)
        return loss

    def _update(self, p: Tensor, gradient: Any, group: dict[str, Any]) -> None:
        """Change the parameter's array in place; it computes with arrays, which costs less than with
        Tensors."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it updates a parameter")

    def _descending(self, p: Tensor, gradient: Any, group: dict[str, Any]) -> Any:
        """Return the gradient to descend along: its negative to climb, with the weight decay added. Where
        that is decoupled, the parameter shrinks instead."""
        if group["maximize"]:
            gradient = -gradient
        decay = group["weight_decay"]
        if decay and group.get("decoupled_weight_decay"):
            p.array *= 1 - group["lr"] * decay
        elif decay:
            gradient = gradient + decay * p.array
        return gradient

    def _keeps_state(self, group: dict[str, Any]) -> bool:
        """Return whether the first step creates a state of the group's parameters."""
        return False

    def state_dict(self) -> dict[str, Any]:
        """Return the state in PyTorch's layout: the optimizer's own Tensors, and numbers.

        It is {"state": the state of each parameter, by its number; "param_groups": the settings of each
        group, with the numbers of its parameters}.
        """
        numbers = {p: i for i, p in enumerate(self._parameters())}
        groups = [{**group, "params": [numbers[p] for p in group["params"]]} for group in self.param_groups]
        return {"state": {numbers[p]: {**state} for p, state in self.state.items()}, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Copy the state from `state_dict`'s result, here or in PyTorch.

        Raises ValueError, before anything is changed, where the number or the sizes of the groups differ, and
        where a Tensor of the state does not have its parameter's shape, unless the optimizer steps in a way
        of its own.
        """
        _tell_of_change()
        loaded_groups = state_dict["param_groups"]
        if len(loaded_groups) != len(self.param_groups):
            raise ValueError("loaded state dict has a different number of parameter groups")
        sizes = [len(group["params"]) for group in self.param_groups]
        if [len(loaded["params"]) for loaded in loaded_groups] != sizes:
            raise ValueError(
                "loaded state dict contains a parameter group that doesn't match the size of the optimizer's"
            )
        copied = _copy_own_state if _steps_its_own_way(self) else _copy_state
        numbers = [i for loaded in loaded_groups for i in loaded["params"]]
        state = {
            p: {name: copied(name, value, p) for name, value in state_dict["state"][i].items()}
            for i, p in zip(numbers, self._parameters(), strict=True)
            if i in state_dict["state"]
        }
        self.state = defaultdict(dict, state)
        self.param_groups = [
            {**group, **loaded, "params": group["params"]}
            for group, loaded in zip(self.param_groups, loaded_groups, strict=True)
        ]

    def _parameters(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def __repr__(self) -> str:
        lines = []
        for i, group in enumerate(self.param_groups):
            lines += [f"Parameter Group {i}"]
            lines += [f"    {name}: {group[name]}" for name in sorted(group) if name != "params"]
        return f"{type(self).__name__} (\n" + "\n".join(lines) + "\n)"


def has_stepped(optimizer: Optimizer) -> bool:
    """Return whether it has taken a step; of one that steps in a way of its own that is not known, and taken
    for true."""
    return optimizer in _stepped or _steps_its_own_way(optimizer)


def _steps_its_own_way(optimizer: Optimizer) -> bool:
    return type(optimizer).step is not Optimizer.step


def awaits_state(optimizer: Optimizer) -> bool:
    """Return whether a step that is still to come creates the state of its parameters."""
    return not optimizer.state and any(map(optimizer._keeps_state, optimizer.param_groups))


def check_at_least_0(group: dict[str, Any], **labels: str) -> None:
    """Raise ValueError for a setting that is negative; each is given with its name in the message."""
    for name, label in labels.items():
        if not group[name] >= 0:
            raise ValueError(f"Invalid {label} value: {group[name]}")


def _plain(group: dict[str, Any]) -> dict[str, Any]:
    """Return a group in which NumPy's numbers are Python's: they would decide the dtype of what is computed
    with them."""
    return {
        name: tuple(map(plain_number, value)) if isinstance(value, tuple) else plain_number(value)
        for name, value in group.items()
    }


def _tell_of_change() -> None:
    note_unrecorded("a change of an optimizer's groups")


_NUMBERS = ("step", "mu_product")
"""The parts of a state that are one number, whatever the parameter's shape."""


def _copy_state(name: str, value: Any, p: Tensor) -> Any:
    """Return a copy of a part of a parameter's state, in its dtype and on its device; numbers have
    neither."""
    if name in _NUMBERS:
        return tensor(float(value))
    if not isinstance(value, Tensor):
        return value
    if value.shape != p.shape:
        raise ValueError(
            f"loaded state dict holds a {name!r} of shape {tuple(value.shape)} for a parameter of shape "
            f"{tuple(p.shape)}"
        )
    return value.detach().to(device=p.device, dtype=p.dtype, copy=True)


def _copy_own_state(name: str, value: Any, p: Tensor) -> Any:
    """Return a copy of a part of the state of an optimizer that steps in a way of its own: of any shape, and
    numbers as they are."""
    if not isinstance(value, Tensor):
        return value
    dtype = p.dtype if name != "step" and p.is_floating_point() else value.dtype
    return value.detach().to(device=p.device, dtype=dtype, copy=True)
