"""The engine: Tensors, the graph that operations record, and the way back through it."""

# A class that stands in one file is completed by others: whoever imports any of the engine gets all of it.
from . import apply, change, gradients, tensor_namespace, view

__all__ = ["apply", "change", "gradients", "tensor_namespace", "view"]
