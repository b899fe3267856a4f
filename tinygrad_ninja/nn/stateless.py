"""A module with other Tensors in the place of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..engine.tensor import Tensor
from .module import Module


def functional_call(
    module: Module,
    parameters_and_buffers: Mapping[str, Tensor],
    args: Any = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    strict: bool = False,
) -> Any:
    """Return the output of the module with these Tensors, by their dotted paths, in place of its own.

    args: its arguments in a tuple, or the only one. A parameter that the module has in several places is
    replaced in all. With strict, RuntimeError is raised where a name is missing or is not the module's;
    otherwise the module's own Tensor is used for a missing name, and a surplus one is ignored.
    """
    own = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    mismatched = [
        *(own.keys() - parameters_and_buffers.keys()),
        *(parameters_and_buffers.keys() - own.keys()),
    ]
    if strict and mismatched:
        raise RuntimeError(f"these are missing, or not the module's: {', '.join(sorted(mismatched))}")
    replacements = {id(own[name]): value for name, value in parameters_and_buffers.items() if name in own}
    dictionaries: list[dict[str, Any]] = [
        tensors for layer in module.modules() for tensors in (layer._parameters, layer._buffers)
    ]
    originals = [dict(tensors) for tensors in dictionaries]
    try:
        for tensors in dictionaries:
            tensors.update(
                {
                    name: replacements[id(value)]
                    for name, value in tensors.items()
                    if id(value) in replacements
                }
            )
        return module(*(args if isinstance(args, tuple) else (args,)), **(kwargs or {}))
    finally:
        for tensors, values in zip(dictionaries, originals, strict=True):
            tensors.update(values)
