"""The lecture's models, by their names on the command line and in a checkpoint."""

from .bigram import Bigram
from .gpt import GPT
from .mlp import MLP, BatchNormMLP
from .model import Model, Recipe
from .stacks import Deep, WaveNet

__all__ = ["GPT", "MLP", "MODELS", "BatchNormMLP", "Bigram", "Deep", "Model", "Recipe", "WaveNet"]

MODELS: dict[str, type[Model]] = {
    "bigram": Bigram,
    "mlp": MLP,
    "bn-mlp": BatchNormMLP,
    "deep": Deep,
    "wavenet": WaveNet,
    "gpt": GPT,
}
