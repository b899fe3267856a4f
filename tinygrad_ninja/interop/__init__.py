"""The same network in PyTorch, and back.

    model = to_torch(model)  # now PyTorch's exporters, compiler and machines can use it

A layer that both engines have is built again from its settings (`conversion`). Any other Module is its own
code under the other import: the names here are PyTorch's, so its methods do there what they did here
(`code`). The other way round, a program's `import torch` is answered by this engine (`import_hook`,
`notebook_cells`), and what it would lack is listed (`program_names`).
"""

from __future__ import annotations

from typing import Any

from .conversion import FromTorch, ToTorch

__all__ = ["from_torch", "to_torch"]


def to_torch(model: Any) -> Any:
    """Convert `model`, a Module, to a `torch.nn.Module` of its own.

    The result has the same keys and numbers in its `state_dict`, the same settings, modes (training or
    evaluation) and `requires_grad`; objects that the model shares are shared in the result.

    `model` may also be a Tensor, or a dict, list or tuple of Tensors, such as an optimizer's `state_dict`.
    NumPy's arrays and the device "torch" become tensors on the CPU, "cuda" stays. All numbers are copied;
    gradients and history are not.

    A Module of the user's own becomes a class of the same name, whose methods are the same code with `torch`
    for this package. That class is in no file: save the `state_dict` of such a model, and not the model.

    Raises TypeError, naming the layer, where its `forward` uses something that PyTorch lacks, or it has
    hooks; ImportError without PyTorch.
    """
    return ToTorch()(model)


def from_torch(module: Any) -> Any:
    """Convert a `torch.nn.Module`, Tensor, dict, list or tuple to one of this engine.

    `to_torch` describes what is kept, copied and shared. Tensors on the CPU become NumPy's arrays
    (`.to("torch")` moves them), those on a GPU stay there.

    Raises NotImplementedError for a setting that a layer here lacks; TypeError, naming the layer, for a layer
    of PyTorch's that this engine lacks, or where its `forward` uses a name that does not exist here;
    ImportError without PyTorch.
    """
    return FromTorch()(module)
