"""The base of the optimizers: parameters in groups, and what is remembered of each from step to step."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..functions.creation import tensor
from ..grad_mode import enable_grad
from ..hook import observers, observing
from ..nn.module import clear_gradients
from ..tensors import Tensor
from ..versions import note_change


class Optimizer:
    """The base: parameters in groups, each group a dict of its own settings.

    params: Tensors, or dicts with "params" and settings that override the defaults. TypeError for anything
    else; ValueError for none, for a Tensor that an operation made, and for one that is in two groups.
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
        self.state: dict[Tensor, dict[str, Any]] = {}
        self._param_groups: list[dict[str, Any]] = []
        for group in groups:
            self._add(group)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups: dicts of "params" and settings."""
        if observers and (observer := observing()):
            return observer.param_groups(self)
        return self._param_groups

    @param_groups.setter
    def param_groups(self, groups: list[dict[str, Any]]) -> None:
        _tell_of_change()
        self._param_groups = groups

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """One more group: "params", and settings where they are not the defaults. Errors as above."""
        _tell_of_change()
        self._add(param_group)

    def _add(self, param_group: dict[str, Any]) -> None:
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, set):
            raise TypeError("optimizer parameters need to be ordered: give a list in the place of the set")
        members = [params] if isinstance(params, Tensor) else list(params)
        for each in members:
            if not isinstance(each, Tensor):
                raise TypeError(
                    f"optimizer can only optimize Tensors, but one of the params is {type(each).__name__}"
                )
            if not each.is_leaf:
                raise ValueError(
                    "can't optimize a non-leaf Tensor: one of the params is an operation's result"
                )
        if len({*members}) < len(members):
            warnings.warn("optimizer contains a parameter group with duplicate parameters", stacklevel=3)
        if not {*members}.isdisjoint(each for group in self._param_groups for each in group["params"]):
            raise ValueError("some parameters appear in more than one parameter group")
        group = {"params": members, **self.defaults, **param_group}
        self._check(group)
        self._param_groups.append({**group, "params": members})

    def _check(self, group: dict[str, Any]) -> None:
        """ValueError for a setting that is out of its range; TypeError for one that is no number."""
        for name, what in (("lr", "learning rate"), ("weight_decay", "weight_decay value")):
            value = group[name]
            if type(value) not in (int, float):  # NumPy's numbers would decide the parameters' dtype
                raise TypeError(f"{what} must be a Python number, not a {type(value).__name__}")
            if not value >= 0:
                raise ValueError(f"Invalid {what}: {value}")

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or with set_to_none=False fill them with zeros."""
        for group in self.param_groups:
            clear_gradients(group["params"], set_to_none)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change every parameter that has a gradient; `closure`, if given, computes the loss again first."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                gradient = p.grad
                if gradient is not None:
                    self._update(p, gradient.array, group)
                    note_change(p.array)
        return loss

    def _update(self, p: Tensor, gradient: Any, group: dict[str, Any]) -> None:
        """Change the parameter's array in place. It is the arrays that are computed with, which costs less
        than Tensors would."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it updates a parameter")

    def state_dict(self) -> dict[str, Any]:
        """{"state": what is remembered of each parameter, by its number; "param_groups": the settings of each
        group, with the numbers of its parameters}: Tensors, which are the optimizer's own, and numbers, in
        PyTorch's layout."""
        numbers = {p: i for i, p in enumerate(self._parameters())}
        groups = [{**group, "params": [numbers[p] for p in group["params"]]} for group in self.param_groups]
        return {"state": {numbers[p]: {**kept} for p, kept in self.state.items()}, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over copies of what `state_dict` gave, here or in PyTorch.

        ValueError, before anything is changed, where the groups are not as many or not as large, and where
        what is remembered has not its parameter's shape.
        """
        _tell_of_change()
        given = state_dict["param_groups"]
        if len(given) != len(self.param_groups):
            raise ValueError("loaded state dict has a different number of parameter groups")
        if [len(each["params"]) for each in given] != [len(each["params"]) for each in self.param_groups]:
            raise ValueError(
                "loaded state dict contains a parameter group that doesn't match the size of the optimizer's"
            )
        numbers = [i for each in given for i in each["params"]]
        state = {
            p: {name: _taken_over(name, kept, p) for name, kept in state_dict["state"][i].items()}
            for i, p in zip(numbers, self._parameters(), strict=True)
            if i in state_dict["state"]
        }
        self.state = state
        self.param_groups = [
            {**mine, **each, "params": mine["params"]}
            for mine, each in zip(self.param_groups, given, strict=True)
        ]

    def _parameters(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def __repr__(self) -> str:
        lines = []
        for i, group in enumerate(self.param_groups):
            lines += [f"Parameter Group {i}"]
            lines += [f"    {name}: {group[name]}" for name in sorted(group) if name != "params"]
        return f"{type(self).__name__} (\n" + "\n".join(lines) + "\n)"


def _tell_of_change() -> None:
    if observers and (observer := observing()):
        observer.unrecorded("a change of an optimizer's groups")


def _taken_over(name: str, kept: Any, p: Tensor) -> Any:
    """A copy of what is remembered of a parameter, in its dtype and on its device; a number is of neither."""
    if name == "step":
        return tensor(float(kept))
    if not isinstance(kept, Tensor):
        return kept
    if kept.shape != p.shape:
        raise ValueError(
            f"loaded state dict holds a {name!r} of shape {tuple(kept.shape)} for a parameter of shape "
            f"{tuple(p.shape)}"
        )
    return kept.detach().to(device=p.device, dtype=p.dtype, copy=True)
