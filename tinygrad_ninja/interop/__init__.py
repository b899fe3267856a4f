"""The same network in PyTorch, and back.

    model = to_torch(model)  # goes on in PyTorch: its exporters, its compiler, its machines

A layer that both have is made anew from its settings (`conversion`). Any other Module is its own code under
the other import: the names here are PyTorch's, so that its methods do there what they did here (`code`).
"""

from __future__ import annotations

from typing import Any

from .conversion import FromTorch, ToTorch

__all__ = ["from_torch", "to_torch"]


def to_torch(model: Any) -> Any:
    """`model`, a Module, as a `torch.nn.Module` of its own: the same keys and numbers in the `state_dict`,
    the same settings, modes (training or evaluation) and `requires_grad`; what was shared is shared.

    It may also be a Tensor, or a dict, list or tuple of Tensors, such as an optimizer's `state_dict`. NumPy's
    arrays and the device "torch" become tensors on the CPU, "cuda" stays. All numbers are copied; gradients
    and history stay behind.

    A Module of the user's own becomes a class of the same name, whose methods are the same code with `torch`
    for this package. That class is in no file: save the `state_dict` of such a model, and not the model.

    TypeError, naming the layer, where its `forward` uses something that PyTorch has not got, or it has hooks.
    ImportError without PyTorch.
    """
    return ToTorch()(model)


def from_torch(module: Any) -> Any:
    """A `torch.nn.Module`, Tensor, dict, list or tuple as those of this engine: what `to_torch` says holds
    this way too. Tensors on the CPU become NumPy's arrays (`.to("torch")` moves them), those on a GPU stay
    there.

    NotImplementedError for a setting that a layer here has not got; TypeError, naming the layer, for one of
    PyTorch's that is not here, or where its `forward` uses a name that is not here. ImportError without
    PyTorch.
    """
    return FromTorch()(module)
