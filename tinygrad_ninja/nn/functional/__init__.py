"""Functions of layers, under the names and with the arguments of `torch.nn.functional`."""

from typing import Any

from ...api import OFFERED
from ...api.missing import explain
from .basic import dropout, embedding, gelu, linear, log_softmax, relu, sigmoid, softmax, tanh
from .dot_product import scaled_dot_product_attention
from .loss_functions import cross_entropy, mse_loss, nll_loss
from .norms import batch_norm, layer_norm, normalize

one_hot = OFFERED["one_hot"]

__all__ = [
    "batch_norm", "cross_entropy", "dropout", "embedding", "gelu", "layer_norm", "linear", "log_softmax",
    "mse_loss", "nll_loss", "normalize", "one_hot", "relu", "scaled_dot_product_attention", "sigmoid",
    "softmax", "tanh",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise AttributeError(explain("nn.functional", name, __all__))
