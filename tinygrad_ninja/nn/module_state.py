"""The state of a module: its parameters, buffers and what else it keeps, read and written by their paths."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..api.missing import refuse
from ..engine.grad_mode import no_grad
from ..engine.tensor import Tensor
from .tree import Tree, path_of

_EXTRA = "_extra_state"


class StatefulTree(Tree):
    """The part of Module that reads and writes its state.

    A class that keeps more than Tensors defines `get_extra_state` and `set_extra_state`; one that keeps them
    in another form, `_save_to_state_dict` and `_load_from_state_dict`.
    """

    _version = 1
    """The version of the class's form of state."""

    def get_extra_state(self) -> Any:
        """Return what to save beside parameters and buffers; RuntimeError unless a subclass says so."""
        raise RuntimeError(f"{type(self).__name__} has no extra state: define get_extra_state")

    def set_extra_state(self, state: Any) -> None:
        """Take what `get_extra_state` returned; RuntimeError unless a subclass says how."""
        raise RuntimeError(f"{type(self).__name__} takes no extra state: define set_extra_state")

    def state_dict(
        self, *, destination: Any = None, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Any]:
        """Return parameters, persistent buffers and extra state by their dotted paths after `prefix`.

        The Tensors share memory with the module's own: detached, or with keep_vars the module's own.
        destination: a dict to enter them into, and to return.
        """
        if destination is None:
            destination = OrderedDict()
            destination._metadata = {}  # the version of each module that wrote its state, as in PyTorch
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = {"version": self._version}
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, child in self._modules.items():
            if child is not None:
                child.state_dict(destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        state: dict[str, Any] = destination
        return state

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        """Enter the state of this module itself, without those below it, into `destination`."""
        for name, value in self._own_state().items():
            destination[prefix + name] = value if keep_vars else value.detach()
        if type(self).get_extra_state is not StatefulTree.get_extra_state:
            destination[prefix + _EXTRA] = self.get_extra_state()

    def _own_state(self) -> dict[str, Tensor]:
        """Return parameters and persistent buffers of this module itself, by name."""
        tensors = {**self._parameters, **self._buffers}
        not_saved = self.__dict__.get("_not_saved", ())
        return {n: value for n, value in tensors.items() if value is not None and n not in not_saved}

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Copy the values into the module, and return the names that were missing and unexpected.

        Raises RuntimeError where a shape differs or a value is no Tensor, or where (unless strict is false) a
        name is missing or too many; no Tensor is changed then. TypeError for anything but a mapping.
        """
        refuse(f"{type(self).__name__}.load_state_dict", "copying (the default)", assign=assign)
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        missing: list[str] = []
        unexpected: list[str] = []
        problems: list[str] = []
        modules = [*self.named_modules(remove_duplicate=False)]
        before = [
            (x.detach(), x.detach().clone()) for _, module in modules for x in module._own_state().values()
        ]
        versions = getattr(state_dict, "_metadata", {})
        state = OrderedDict(state_dict)  # from which a module may take what it renames
        for path, module in modules:
            prefix = path_of(path, "")
            part = OrderedDict((name, value) for name, value in state.items() if name.startswith(prefix))
            module._load_from_state_dict(
                part, prefix, versions.get(path, {}), True, missing, unexpected, problems
            )
        if strict:
            found = {"Missing": missing, "Unexpected": unexpected}
            problems = [
                f"{how} key(s) in state_dict: {_quoted(n)}." for how, n in found.items() if n
            ] + problems
        if problems:
            with no_grad():
                for own, value in before:
                    own.copy_(value)
            raise RuntimeError(
                f"Error(s) in loading state_dict for {type(self).__name__}: {' '.join(problems)}"
            )
        return IncompatibleKeys(missing, unexpected)

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Copy the values of this module itself from those whose paths begin with `prefix`.

        Names that are missing or too many, and sentences of what else is wrong, are added to the three lists.
        """
        own = self._own_state()
        for name, mine in own.items():
            path = prefix + name
            if path not in state_dict:
                missing_keys.append(path)
                continue
            value = state_dict[path]
            if not isinstance(value, Tensor):
                error_msgs.append(
                    f'While copying the parameter named "{path}", expected a Tensor, got {type(value)}.'
                )
            elif value.shape != mine.shape:
                error_msgs.append(
                    f"size mismatch for {path}: copying a param with shape {value.shape} from checkpoint, "
                    f"the shape in current model is {mine.shape}."
                )
            else:
                with no_grad():
                    mine.detach().copy_(value)
        takes_extra = type(self).set_extra_state is not StatefulTree.set_extra_state
        if takes_extra and prefix + _EXTRA in state_dict:
            self.set_extra_state(state_dict[prefix + _EXTRA])
        elif takes_extra:
            missing_keys.append(prefix + _EXTRA)
        for path in state_dict:
            name, dot, _ = path.removeprefix(prefix).partition(".")
            known = name in self._modules if dot else name in own or (takes_extra and name == _EXTRA)
            if path.startswith(prefix) and not known:
                unexpected_keys.append(path)


class IncompatibleKeys(NamedTuple):
    """The result of `load_state_dict`: the names that were missing, and those that were unexpected."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not any(self):
            return "<All keys matched successfully>"
        return f"_IncompatibleKeys(missing_keys={self[0]}, unexpected_keys={self[1]})"


def _quoted(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
