"""Functions of layers, under the names and with the arguments of `torch.nn.functional`."""

from typing import Any

from ...api import OFFERED
from ...api.missing import explain
from .basic import dropout, embedding, gelu, linear, log_softmax, relu, sigmoid, softmax, tanh
from .dot_product import scaled_dot_product_attention
from .elementwise_losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cosine_similarity,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    smooth_l1_loss,
)  # fmt: skip
from .loss_functions import cross_entropy, nll_loss
from .nonlinear import (
    celu,
    celu_,
    elu,
    elu_,
    glu,
    gumbel_softmax,
    hardtanh,
    hardtanh_,
    leaky_relu,
    leaky_relu_,
    logsigmoid,
    mish,
    prelu,
    relu6,
    relu_,
    selu,
    selu_,
    silu,
    softplus,
    softsign,
)  # fmt: skip
from .norms import batch_norm, group_norm, layer_norm, normalize, rms_norm
from .padding import pad
from .windows import avg_pool1d, conv1d, max_pool1d, max_pool1d_with_indices

one_hot = OFFERED["one_hot"]

__all__ = [
    "avg_pool1d", "batch_norm", "binary_cross_entropy", "binary_cross_entropy_with_logits", "celu",
    "celu_", "conv1d", "cosine_similarity", "cross_entropy", "dropout", "elu", "elu_", "embedding",
    "gelu", "glu", "group_norm", "gumbel_softmax", "hardtanh", "hardtanh_", "huber_loss", "kl_div",
    "l1_loss", "layer_norm", "leaky_relu", "leaky_relu_", "linear", "log_softmax", "logsigmoid", "max_pool1d",
    "max_pool1d_with_indices", "mish", "mse_loss", "nll_loss", "normalize", "one_hot", "pad", "prelu",
    "relu", "relu6", "relu_", "rms_norm", "scaled_dot_product_attention", "selu", "selu_", "sigmoid",
    "silu", "smooth_l1_loss", "softmax", "softplus", "softsign", "tanh",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise AttributeError(explain("nn.functional", name, __all__))
